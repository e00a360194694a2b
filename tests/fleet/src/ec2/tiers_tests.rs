use super::*;
use crate::ec2::rig::{at, query, region};

#[test]
fn an_archived_snapshot_is_shown_as_such_and_makes_no_volume() {
    let (mut inventory, ids) = region(2);
    let archive = |inventory: &mut Inventory, id: &str| {
        modify(inventory, query(&[("SnapshotId", id), ("StorageTier", "archive")]), at(600))
    };
    archive(&mut inventory, &ids[0]).unwrap();
    assert_eq!((inventory.tier(&ids[0]), inventory.tier(&ids[1])), ("archive", "standard"));
    assert_eq!(archive(&mut inventory, &ids[0]).unwrap_err().code, "IncorrectState");
    let of = |id: &str| {
        crate::ec2::volumes::Creation::read(query(&[
            ("AvailabilityZone", "eu-central-1a"),
            ("SnapshotId", id),
        ]))
        .unwrap()
    };
    assert_eq!(inventory.create_volume(of(&ids[0]), at(600)).unwrap_err().code, "IncorrectState");
    assert!(inventory.create_volume(of(&ids[1]), at(600)).is_ok());
    // EC2 does delete it.
    assert!(inventory.delete_snapshot(&ids[0], at(600)).is_ok());
}

#[test]
fn what_cannot_be_archived_is_refused() {
    let (mut inventory, ids) = region(1);
    let fields = [("SnapshotId", ids[0].as_str()), ("StorageTier", "standard")];
    assert_eq!(modify(&mut inventory, query(&fields), at(600)).unwrap_err().code, "InvalidParameterValue");
    inventory.snapshots.get_mut(&ids[0]).unwrap().forced = Some(SnapshotState::Pending);
    assert_eq!(modify(&mut inventory, query(&fields[..1]), at(600)).unwrap_err().code, "IncorrectState");
}
