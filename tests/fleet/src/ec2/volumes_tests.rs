use super::*;
use crate::spec::Spec;

const SPEC: &str = r#"
    [[instance]]
    id = "i-0aaaaaaaaaaaaaaa1"
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa00"
    root = true
    [[instance.volume]]
    id = "vol-0aaaaaaaaaaaaaa01"
    [[instance]]
    id = "i-0bbbbbbbbbbbbbbb2"
    [[volume]]
    id = "vol-0aaaaaaaaaaaaaa09"
"#;
const A: &str = "i-0aaaaaaaaaaaaaaa1";
const B: &str = "i-0bbbbbbbbbbbbbbb2";
const FREE: &str = "vol-0aaaaaaaaaaaaaa09";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap()
}

fn inventory() -> Inventory {
    Inventory::new(&Spec::read(SPEC).unwrap(), now())
}

fn create(inventory: &mut Inventory, fields: &[(&str, &str)]) -> Result<Created, ApiError> {
    let mut pairs = vec![("AvailabilityZone".to_owned(), "eu-central-1a".to_owned())];
    pairs.extend(fields.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    inventory.create_volume(Creation::read(Query::new(pairs))?, now())
}

#[test]
fn a_client_token_makes_one_volume_and_only_with_the_same_parameters() {
    let mut inventory = inventory();
    let Created::New(new) = create(&mut inventory, &[("Size", "2"), ("ClientToken", "t")]).unwrap() else {
        panic!("not new")
    };
    assert_eq!(new.size_mib, 2_048);
    let again = create(&mut inventory, &[("Size", "2"), ("ClientToken", "t")]).unwrap();
    assert!(matches!(again, Created::Before(id) if id == new.id));
    let other = create(&mut inventory, &[("Size", "3"), ("ClientToken", "t")]).unwrap_err();
    assert_eq!(other.code, "IdempotentParameterMismatch");
    inventory.forget_volume(&new.id);
    let after = create(&mut inventory, &[("Size", "2"), ("ClientToken", "t")]).unwrap();
    assert!(matches!(after, Created::New(_)), "a volume that could not be made leaves no token");
}

#[test]
fn volumes_that_cannot_be_are_refused() {
    let mut inventory = inventory();
    let mut code = |fields: &[(&str, &str)]| create(&mut inventory, fields).unwrap_err().code;
    assert_eq!(code(&[]), "MissingParameter");
    assert_eq!(code(&[("Size", "0")]), "InvalidParameterValue");
    assert_eq!(code(&[("SnapshotId", "snap-0ffffffffffffffff")]), "InvalidSnapshot.NotFound");
    assert_eq!(code(&[("Size", "1"), ("Flavour", "x")]), "UnknownParameter");
    let elsewhere = Query::new(vec![
        ("AvailabilityZone".to_owned(), "eu-central-1b".to_owned()),
        ("Size".to_owned(), "1".to_owned()),
    ]);
    let elsewhere = Creation::read(elsewhere).unwrap();
    assert_eq!(inventory.create_volume(elsewhere, now()).unwrap_err().code, "InvalidZone.NotFound");
}

#[test]
fn a_volume_is_attached_once_and_a_device_name_taken_once() {
    let mut inventory = inventory();
    let mut attach = |volume: &str, instance: &str, device: &str| {
        inventory.attach(volume, instance, device, now()).map(|_| ()).map_err(|error| error.code)
    };
    assert_eq!(attach(FREE, A, "/dev/sdf"), Err("InvalidParameterValue"), "taken");
    assert_eq!(attach(FREE, A, "sdg"), Err("InvalidParameterValue"));
    assert_eq!(attach(FREE, "i-0ffffffffffffffff", "/dev/sdg"), Err("InvalidInstanceID.NotFound"));
    assert_eq!(attach(FREE, A, "/dev/sdg"), Ok(()));
    assert_eq!(attach(FREE, B, "/dev/sdg"), Err("VolumeInUse"));
    assert_eq!(inventory.attached(A).count(), 3);
}

#[test]
fn detaching_undoes_attaching() {
    let mut inventory = inventory();
    inventory.attach(FREE, B, "/dev/sdf", now()).unwrap();
    assert_eq!(inventory.delete_volume(FREE).unwrap_err().code, "VolumeInUse");
    assert_eq!(inventory.detachable(FREE, Some(A)).unwrap_err().code, "InvalidAttachment.NotFound");
    inventory.detachable(FREE, Some(B)).unwrap();
    inventory.detached(FREE);
    assert_eq!(inventory.attached(B).count(), 0);
    assert_eq!(inventory.detachable(FREE, None).unwrap_err().code, "IncorrectState");
    inventory.delete_volume(FREE).unwrap();
    assert_eq!(inventory.delete_volume(FREE).unwrap_err().code, "InvalidVolume.NotFound");
}

#[test]
fn a_root_volume_stays_while_the_instance_runs() {
    let mut inventory = inventory();
    let root = "vol-0aaaaaaaaaaaaaa00";
    assert_eq!(inventory.detachable(root, None).unwrap_err().code, "OperationNotPermitted");
    inventory.arrived(A, InstanceState::Stopped);
    assert!(inventory.detachable(root, None).is_ok());
}

#[test]
fn a_volume_of_a_snapshot_is_at_least_as_large() {
    let mut inventory = inventory();
    let of = |volume: &str| {
        super::super::snapshots::Request::of_volume(Query::new(vec![(
            "VolumeId".to_owned(),
            volume.to_owned(),
        )]))
    };
    let reservation = inventory.reserve(&of(FREE).unwrap(), now()).unwrap();
    let snapshot = inventory.record(reservation, now())[0].id.clone();
    let pending = create(&mut inventory, &[("SnapshotId", &snapshot)]).unwrap_err();
    assert_eq!(pending.code, "IncorrectState");
    inventory.snapshots.get_mut(&snapshot).unwrap().forced = Some(SnapshotState::Completed);
    let mut size = |gib: &str| match create(&mut inventory, &[("SnapshotId", &snapshot), ("Size", gib)]) {
        Ok(Created::New(new)) => Ok(new.size_mib),
        Ok(Created::Before(_)) => panic!("no token was given"),
        Err(error) => Err(error.code),
    };
    assert_eq!(size("1"), Ok(400), "the snapshot's own 400 MiB are EC2's 1 GiB");
    assert_eq!(size("2"), Ok(2_048));
    assert_eq!(size("0"), Err("InvalidParameterValue"));
}
