use super::*;
use crate::spec::Spec;
use std::collections::BTreeMap;

const SPEC: &str = r#"
    [[instance]]
    id = "i-0aaaaaaaaaaaaaaa1"
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa00"
    root = true
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa01"
    tags = { stillframe = "daily", "aws:cloudformation" = "x" }
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa02"
    tags = { Name = "wal" }
    [[volume]]
    id = "vol-0aaaaaaaaaaaaaa09"
    type = "st1"
"#;

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";
const ROOT: &str = "vol-0aaaaaaaaaaaaaa00";
const DATA: &str = "vol-0aaaaaaaaaaaaaa01";
const WAL: &str = "vol-0aaaaaaaaaaaaaa02";
const DETACHED: &str = "vol-0aaaaaaaaaaaaaa09";

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn inventory() -> Inventory {
    Inventory::new(&Spec::read(SPEC).unwrap(), at(0))
}

fn query(pairs: &[(&str, &str)]) -> Query {
    Query::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
}

fn of_instance(more: &[(&str, &str)]) -> Result<Request, ApiError> {
    let mut pairs = vec![("InstanceSpecification.InstanceId", INSTANCE)];
    pairs.extend(more);
    Request::of_instance(query(&pairs))
}

fn of_volume(volume: &str) -> Request {
    Request::of_volume(query(&[("VolumeId", volume)])).unwrap()
}

fn cut(inventory: &mut Inventory, request: &Request, now: DateTime<Utc>) -> Result<Vec<Snapshot>, ApiError> {
    let reservation = inventory.reserve(request, now)?;
    Ok(inventory.record(reservation, now))
}

fn volumes(made: &[Snapshot]) -> Vec<&str> {
    made.iter().map(|snapshot| snapshot.volume.as_str()).collect()
}

const NO_BOOT: (&str, &str) = ("InstanceSpecification.ExcludeBootVolume", "true");

#[test]
fn a_set_holds_every_attached_volume_with_one_start_time() {
    let mut inventory = inventory();
    let made = cut(&mut inventory, &of_instance(&[]).unwrap(), at(1)).unwrap();
    assert_eq!(volumes(&made), [ROOT, DATA, WAL]);
    assert!(made.iter().all(|snapshot| snapshot.started_at == at(1)));
    assert!(made.iter().all(|snapshot| snapshot.state(at(1)) == SnapshotState::Pending));
    assert!(made.iter().all(|snapshot| snapshot.state(at(3)) == SnapshotState::Completed));
}

#[test]
fn volumes_are_left_out_by_exclusion() {
    let mut inventory = inventory();
    let without_wal = [NO_BOOT, ("InstanceSpecification.ExcludeDataVolumeId.1", WAL)];
    let made = cut(&mut inventory, &of_instance(&without_wal).unwrap(), at(1)).unwrap();
    assert_eq!(volumes(&made), [DATA]);
}

#[test]
fn exclusions_that_ec2_refuses_are_refused() {
    let mut inventory = inventory();
    for excluded in [ROOT, DETACHED, "vol-0ffffffffffffffff"] {
        let request = of_instance(&[("InstanceSpecification.ExcludeDataVolumeId.1", excluded)]).unwrap();
        assert_eq!(
            inventory.reserve(&request, at(1)).unwrap_err().code,
            "InvalidParameterValue",
            "{excluded}"
        );
    }
    let all = [
        NO_BOOT,
        ("InstanceSpecification.ExcludeDataVolumeId.1", DATA),
        ("InstanceSpecification.ExcludeDataVolumeId.2", WAL),
    ];
    let nothing = of_instance(&all).unwrap();
    assert_eq!(inventory.reserve(&nothing, at(1)).unwrap_err().code, "InvalidParameterValue");

    let fields: Vec<(String, String)> = (1..=41)
        .map(|n| (format!("InstanceSpecification.ExcludeDataVolumeId.{n}"), format!("vol-{n:017x}")))
        .chain([("InstanceSpecification.InstanceId".to_owned(), INSTANCE.to_owned())])
        .collect();
    assert_eq!(Request::of_instance(Query::new(fields)).unwrap_err().code, "InvalidParameterValue");
}

fn tag<'a>(key: &'a str, value: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", key),
        ("TagSpecification.1.Tag.1.Value", value),
    ]
}

const COPY: (&str, &str) = ("CopyTagsFromSource", "volume");

#[test]
fn tags_are_those_of_the_call_and_if_asked_for_the_volumes_own() {
    let mut inventory = inventory();
    let mut fields = tag("stillframe:run", "r").to_vec();
    fields.extend([COPY, NO_BOOT]);
    let made = cut(&mut inventory, &of_instance(&fields).unwrap(), at(1)).unwrap();
    let tags = |n: usize| -> BTreeMap<&str, &str> {
        made[n].tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
    };
    // What AWS itself has put on a volume is not copied.
    assert_eq!(tags(0), BTreeMap::from([("stillframe", "daily"), ("stillframe:run", "r")]));
    assert_eq!(tags(1), BTreeMap::from([("Name", "wal"), ("stillframe:run", "r")]));
}

#[test]
fn a_copied_key_that_collides_fails_the_whole_set_and_starts_nothing() {
    let mut inventory = inventory();
    let mut fields = tag("Name", "mine").to_vec();
    fields.push(COPY);
    let error = inventory.reserve(&of_instance(&fields).unwrap(), at(1)).unwrap_err();
    assert_eq!(error.code, "InvalidParameterValue");
    assert!(error.message.contains("Duplicate tag key 'Name' specified"), "{error}");
    assert!(inventory.snapshots.is_empty());
    assert!(cut(&mut inventory, &of_instance(&[]).unwrap(), at(1)).is_ok(), "no volume has begun its rest");
}

#[test]
fn more_than_fifty_tags_fail_the_whole_set() {
    let mut inventory = inventory();
    let mut fields = vec![("TagSpecification.1.ResourceType".to_owned(), "snapshot".to_owned())];
    for n in 1..=50 {
        fields.push((format!("TagSpecification.1.Tag.{n}.Key"), format!("k{n}")));
    }
    fields.push(("InstanceSpecification.InstanceId".to_owned(), INSTANCE.to_owned()));
    let fifty = Request::of_instance(Query::new(fields.clone())).unwrap();
    assert!(inventory.reserve(&fifty, at(1)).is_ok());
    fields.push(("CopyTagsFromSource".to_owned(), "volume".to_owned()));
    let more = Request::of_instance(Query::new(fields)).unwrap();
    assert_eq!(inventory.reserve(&more, at(60)).unwrap_err().code, "TagLimitExceeded");
}

#[test]
fn one_volume_within_its_fifteen_seconds_fails_the_whole_set() {
    let mut inventory = inventory();
    cut(&mut inventory, &of_volume(WAL), at(0)).unwrap();
    let set = of_instance(&[]).unwrap();
    assert_eq!(inventory.reserve(&set, at(14)).unwrap_err().code, "SnapshotCreationPerVolumeRateExceeded");
    assert!(inventory.reserve(&of_volume(DATA), at(14)).is_ok(), "the others have not begun to rest");
    assert!(inventory.reserve(&of_volume(WAL), at(15)).is_ok());
}

#[test]
fn five_unfinished_snapshots_of_a_volume_are_the_limit_and_failed_ones_count() {
    let mut inventory = inventory();
    for n in 0..5 {
        let made = cut(&mut inventory, &of_volume(DATA), at(60 * n)).unwrap();
        let state = if n % 2 == 0 { SnapshotState::Pending } else { SnapshotState::Error };
        inventory.snapshots.get_mut(&made[0].id).unwrap().forced = Some(state);
    }
    let error = inventory.reserve(&of_instance(&[]).unwrap(), at(600)).unwrap_err();
    assert_eq!(error.code, "ConcurrentSnapshotLimitExceeded");
    let any = inventory.snapshots.keys().next().unwrap().clone();
    inventory.snapshots.get_mut(&any).unwrap().forced = None;
    assert!(inventory.reserve(&of_instance(&[]).unwrap(), at(600)).is_ok());
}

#[test]
fn a_magnetic_volume_has_one_at_a_time() {
    let mut inventory = inventory();
    let made = cut(&mut inventory, &of_volume(DETACHED), at(0)).unwrap();
    inventory.snapshots.get_mut(&made[0].id).unwrap().forced = Some(SnapshotState::Pending);
    let error = inventory.reserve(&of_volume(DETACHED), at(60)).unwrap_err();
    assert_eq!(error.code, "ConcurrentSnapshotLimitExceeded");
}

#[test]
fn a_dry_run_and_a_missing_instance_make_nothing() {
    let mut inventory = inventory();
    let dry = of_instance(&[("DryRun", "true")]).unwrap();
    assert_eq!(inventory.reserve(&dry, at(0)).unwrap_err().code, "DryRunOperation");
    let code = |inventory: &mut Inventory, id: &str| {
        let request = Request::of_instance(query(&[("InstanceSpecification.InstanceId", id)])).unwrap();
        inventory.reserve(&request, at(0)).unwrap_err().code
    };
    assert_eq!(code(&mut inventory, "i-0ffffffffffffffff"), "InvalidInstanceID.NotFound");
    assert_eq!(code(&mut inventory, "instance"), "InvalidInstanceID.Malformed");
    assert!(inventory.reserve(&of_instance(&[]).unwrap(), at(0)).is_ok());
}

#[test]
fn a_deleted_snapshot_is_gone_but_counts_while_it_would_be_pending() {
    let mut inventory = inventory();
    inventory.completes_after = TimeDelta::hours(1);
    for n in 0..5 {
        let made = cut(&mut inventory, &of_volume(DATA), at(60 * n)).unwrap();
        inventory.delete_snapshot(&made[0].id, at(60 * n)).unwrap();
        let again = inventory.delete_snapshot(&made[0].id, at(60 * n)).unwrap_err();
        assert_eq!(again.code, "InvalidSnapshot.NotFound");
    }
    assert_eq!(inventory.visible_snapshots().count(), 0);
    let error = inventory.reserve(&of_volume(DATA), at(600)).unwrap_err();
    assert_eq!(error.code, "ConcurrentSnapshotLimitExceeded");
    assert!(inventory.reserve(&of_volume(DATA), at(7_200)).is_ok());
}
