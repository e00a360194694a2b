use super::*;
use crate::ec2::xml;
use crate::spec::Spec;

const SPEC: &str = r#"
    [[instance]]
    id = "i-0aaaaaaaaaaaaaaa1"
    tags = { role = "db" }
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa00"
    root = true
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa01"
    size_mib = 1500
    tags = { stillframe = "daily" }
    [[instance]]
    id = "i-0bbbbbbbbbbbbbbb2"
    state = "stopped"
    [[volume]]
    id = "vol-0aaaaaaaaaaaaaa09"
    type = "st1"
"#;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

type Describe = fn(&Inventory, Query, DateTime<Utc>) -> Result<Vec<Element>, ApiError>;

fn ask(describe: Describe, fields: &[(&str, &str)]) -> Result<String, ApiError> {
    let inventory = Inventory::new(&Spec::read(SPEC).unwrap(), now());
    let query = Query::new(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    describe(&inventory, query, now()).map(|children| xml::response("X", "r", &children))
}

/// How many of the resources a filter finds, by the tag that each answer has once per resource.
fn count(describe: Describe, mark: &str, filter: &str, value: &str) -> usize {
    let fields = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
    ask(describe, &fields).unwrap_or_else(|error| panic!("{filter}: {error}")).matches(mark).count()
}

#[test]
fn every_filter_of_volumes_finds_what_it_should() {
    let iso = "2023-11-14T22:13:20.000Z";
    for (filter, value, found) in [
        ("attachment.attach-time", iso, 2),
        ("attachment.delete-on-termination", "true", 1),
        ("attachment.device", "/dev/sdf", 1),
        ("attachment.instance-id", "i-0aaaaaaaaaaaaaaa1", 2),
        ("attachment.status", "attached", 2),
        ("availability-zone", "eu-central-1a", 3),
        ("availability-zone-id", "*-az1", 3),
        ("create-time", "2023-11-14*", 3),
        ("encrypted", "true", 0),
        ("fast-restored", "false", 3),
        ("multi-attach-enabled", "false", 3),
        ("operator.managed", "false", 3),
        ("size", "2", 1),
        ("snapshot-id", "*", 0),
        ("status", "available", 1),
        ("tag:stillframe", "dai*", 1),
        ("tag-key", "stillframe", 1),
        ("volume-id", "vol-0aaaaaaaaaaaaaa0?", 3),
        ("volume-type", "st1", 1),
    ] {
        assert_eq!(count(volumes, "<createTime>", filter, value), found, "{filter} = {value}");
    }
}

#[test]
fn every_filter_of_instances_finds_what_it_should() {
    for (filter, value, found) in [
        ("availability-zone", "eu-*", 2),
        ("block-device-mapping.attach-time", "2023-*", 1),
        ("block-device-mapping.delete-on-termination", "true", 1),
        ("block-device-mapping.device-name", "/dev/xvda", 1),
        ("block-device-mapping.status", "attached", 1),
        ("block-device-mapping.volume-id", "vol-0aaaaaaaaaaaaaa01", 1),
        ("instance-id", "i-0b*", 1),
        ("instance-state-code", "80", 1),
        ("instance-state-name", "running", 1),
        ("launch-time", "2023-11-14T21*", 2),
        ("owner-id", "123456789012", 2),
        ("private-ip-address", "10.0.0.4", 1),
        ("root-device-name", "/dev/xvda", 2),
        ("root-device-type", "ebs", 2),
        ("tag:role", "db", 1),
        ("tag-key", "role", 1),
    ] {
        assert_eq!(count(instances, "<launchTime>", filter, value), found, "{filter} = {value}");
    }
}

fn with_snapshot(describe: impl Fn(&Inventory) -> usize) -> usize {
    let mut inventory = Inventory::new(&Spec::read(SPEC).unwrap(), now());
    let request = Query::new(vec![
        ("VolumeId".to_owned(), "vol-0aaaaaaaaaaaaaa01".to_owned()),
        ("Description".to_owned(), "by hand".to_owned()),
    ]);
    let request = crate::ec2::snapshots::Request::of_volume(request).unwrap();
    let reservation = inventory.reserve(&request, now()).unwrap();
    inventory.record(reservation, now());
    describe(&inventory)
}

fn snapshots_of(fields: &[(&str, &str)]) -> usize {
    with_snapshot(|inventory| {
        let query = Query::new(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let children = snapshots(inventory, query, now()).unwrap();
        xml::response("X", "r", &children).matches("<startTime>").count()
    })
}

#[test]
fn every_filter_of_snapshots_finds_what_it_should() {
    for (filter, value, found) in [
        ("description", "by*", 1),
        ("encrypted", "false", 1),
        ("owner-alias", "amazon", 0),
        ("owner-id", "123456789012", 1),
        ("progress", "0%", 1),
        ("snapshot-id", "snap-*", 1),
        ("start-time", "2023-11-14*", 1),
        ("status", "pending", 1),
        ("status", "completed", 0),
        ("storage-tier", "standard", 1),
        ("transfer-type", "*", 0),
        ("volume-id", "vol-0aaaaaaaaaaaaaa01", 1),
        ("volume-size", "2", 1),
        ("tag-key", "*", 0),
    ] {
        let fields = [("Filter.1.Name", filter), ("Filter.1.Value.1", value)];
        assert_eq!(snapshots_of(&fields), found, "{filter} = {value}");
    }
}

#[test]
fn snapshots_of_others_are_not_there() {
    assert_eq!(snapshots_of(&[]), 1);
    assert_eq!(snapshots_of(&[("Owner.1", "self")]), 1);
    assert_eq!(snapshots_of(&[("Owner.1", "123456789012")]), 1);
    assert_eq!(snapshots_of(&[("Owner.1", "amazon")]), 0);
}

#[test]
fn what_is_not_there_or_not_known_is_refused() {
    let code = |describe: Describe, fields: &[(&str, &str)]| ask(describe, fields).unwrap_err().code;
    assert_eq!(code(volumes, &[("VolumeId.1", "vol-0ffffffffffffffff")]), "InvalidVolume.NotFound");
    assert_eq!(code(instances, &[("InstanceId.1", "i-0ffffffffffffffff")]), "InvalidInstanceID.NotFound");
    assert_eq!(code(snapshots, &[("SnapshotId.1", "snap-0ffffffffffffffff")]), "InvalidSnapshot.NotFound");
    assert_eq!(code(snapshots, &[("SnapshotId.1", "snap")]), "InvalidSnapshotID.Malformed");
    let colour = [("Filter.1.Name", "colour"), ("Filter.1.Value.1", "x")];
    for describe in [volumes as Describe, instances, snapshots] {
        assert_eq!(code(describe, &colour), "InvalidParameterValue");
        assert_eq!(code(describe, &[("DryRun", "true")]), "DryRunOperation");
    }
}
