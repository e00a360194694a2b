use super::*;
use crate::ec2::rig::{at, query, region, written};

fn binned(inventory: &Inventory, now: i64) -> usize {
    written(list(inventory, query(&[]), at(now))).matches("<recycleBinExitTime>").count()
}

fn described(inventory: &Inventory, now: i64) -> usize {
    let fields = query(&[("Owner.1", "self")]);
    written(describe::snapshots(inventory, fields, at(now))).matches("<startTime>").count()
}

#[test]
fn the_bin_holds_what_its_rule_says_and_gives_it_back_in_time() {
    let (mut inventory, ids) = region(3);
    inventory.snapshots.get_mut(&ids[0]).unwrap().tags.insert("legal".to_owned(), "yes".to_owned());
    let tag = Some(("legal".to_owned(), "yes".to_owned()));
    inventory.bin.rule = Some(Rule { retain: TimeDelta::seconds(1_000), tag });
    assert_eq!(inventory.delete_snapshot(&ids[0], at(600)), Ok(Bytes::Held));
    assert_eq!(inventory.delete_snapshot(&ids[1], at(600)), Ok(Bytes::Gone));
    // `DescribeSnapshots` shows neither.
    assert_eq!((described(&inventory, 700), binned(&inventory, 700)), (1, 1));
    assert_eq!(inventory.delete_snapshot(&ids[0], at(700)).unwrap_err().code, "InvalidSnapshot.NotFound");

    restore(&mut inventory, query(&[("SnapshotId", &ids[0])]), at(700)).unwrap();
    assert_eq!((described(&inventory, 700), binned(&inventory, 700)), (2, 0));
    // Without a tag the rule is for all; after its time a snapshot is gone from there too.
    inventory.bin.rule = Some(Rule { retain: TimeDelta::seconds(1_000), tag: None });
    assert_eq!(inventory.delete_snapshot(&ids[2], at(700)), Ok(Bytes::Held));
    assert_eq!((binned(&inventory, 1_699), binned(&inventory, 1_700)), (1, 0));
    let late = restore(&mut inventory, query(&[("SnapshotId", &ids[2])]), at(1_700)).unwrap_err();
    assert_eq!(late.code, "InvalidSnapshot.NotFound");
}

#[test]
fn a_deletion_may_be_slow_to_be_seen() {
    let (mut inventory, ids) = region(2);
    inventory.bin.seen_for = TimeDelta::seconds(5);
    assert_eq!(inventory.delete_snapshot(&ids[0], at(600)), Ok(Bytes::Gone));
    assert_eq!((described(&inventory, 604), described(&inventory, 605)), (2, 1));
    // It is shown, and does not exist.
    assert_eq!(inventory.delete_snapshot(&ids[0], at(601)).unwrap_err().code, "InvalidSnapshot.NotFound");
}
