use super::*;
use crate::ec2::rig::{at, query, region, written};
use crate::ec2::xml;

fn locked(inventory: &mut Inventory, more: &[(&str, &str)], now: i64) -> Result<String, ApiError> {
    lock(inventory, query(more), at(now)).map(|answer| xml::response("X", "r", &answer))
}

fn states(inventory: &Inventory, fields: &[(&str, &str)], now: i64) -> Vec<String> {
    let answer = written(describe(inventory, query(fields), at(now)));
    let states = answer.split("<lockState>").skip(1).filter_map(|rest| rest.split('<').next());
    states.map(str::to_owned).collect()
}

const DAY: i64 = 86_400;

#[test]
fn a_locked_snapshot_is_deleted_by_nobody_until_the_lock_expires() {
    let (mut inventory, ids) = region(1);
    let fields = [("SnapshotId", ids[0].as_str()), ("LockMode", "governance"), ("LockDuration", "2")];
    locked(&mut inventory, &fields, 600).unwrap();
    assert_eq!(inventory.delete_snapshot(&ids[0], at(DAY)).unwrap_err().code, "OperationNotPermitted");
    assert_eq!(states(&inventory, &[], DAY), ["governance"]);
    // It is listed still, as what it is.
    assert_eq!(states(&inventory, &[], 3 * DAY), ["expired"]);
    assert!(inventory.delete_snapshot(&ids[0], at(3 * DAY)).is_ok());
    assert_eq!(states(&inventory, &[], 3 * DAY), [""; 0]);
}

#[test]
fn governance_can_be_undone_and_compliance_only_while_it_cools_off() {
    let (mut inventory, ids) = region(1);
    let id = ids[0].as_str();
    let undo = |inventory: &mut Inventory, now: i64| unlock(inventory, query(&[("SnapshotId", id)]), at(now));
    assert_eq!(undo(&mut inventory, 600).unwrap_err().code, "OperationNotPermitted", "there is none");
    locked(&mut inventory, &[("SnapshotId", id), ("LockMode", "governance"), ("LockDuration", "9")], 600)
        .unwrap();
    undo(&mut inventory, 700).unwrap();
    let compliance = [
        ("SnapshotId", id),
        ("LockMode", "compliance"),
        ("CoolOffPeriod", "1"),
        ("ExpirationDate", "2023-12-24T00:00:00Z"),
    ];
    locked(&mut inventory, &compliance, 700).unwrap();
    assert_eq!(states(&inventory, &[], 800), ["compliance-cooloff"]);
    undo(&mut inventory, 800).unwrap();
    locked(&mut inventory, &compliance, 800).unwrap();
    assert_eq!(states(&inventory, &[], DAY), ["compliance"]);
    assert_eq!(undo(&mut inventory, DAY).unwrap_err().code, "OperationNotPermitted");
    let shorter = [("SnapshotId", id), ("LockMode", "compliance"), ("LockDuration", "1")];
    assert_eq!(locked(&mut inventory, &shorter, DAY).unwrap_err().code, "OperationNotPermitted");
    assert_eq!(
        states(&inventory, &[("Filter.1.Name", "lock-state"), ("Filter.1.Value.1", "governance")], DAY),
        [""; 0]
    );
}

#[test]
fn locks_come_in_pages() {
    let (mut inventory, ids) = region(7);
    for id in &ids {
        locked(&mut inventory, &[("SnapshotId", id), ("LockMode", "governance"), ("LockDuration", "9")], 600)
            .unwrap();
    }
    let first = written(describe(&inventory, query(&[("MaxResults", "5")]), at(700)));
    assert_eq!(first.matches("<lockState>").count(), 5);
    let (_, rest) = first.split_once("<nextToken>").unwrap();
    let token = rest.split('<').next().unwrap();
    assert_eq!(states(&inventory, &[("MaxResults", "5"), ("NextToken", token)], 700).len(), 2);
}

#[test]
fn a_lock_that_ec2_would_not_set_is_refused() {
    let (mut inventory, ids) = region(1);
    let id = ids[0].as_str();
    for (mode, more, code) in [
        ("strict", ("LockDuration", "1"), "InvalidParameterValue"),
        ("governance", ("LockDuration", "0"), "InvalidParameterValue"),
        ("governance", ("LockDuration", "36501"), "InvalidParameterValue"),
        ("governance", ("CoolOffPeriod", "1"), "InvalidParameterValue"),
        ("compliance", ("CoolOffPeriod", "73"), "InvalidParameterValue"),
        ("governance", ("ExpirationDate", "2020-01-01T00:00:00Z"), "InvalidParameterValue"),
        ("governance", ("DryRun", "false"), "InvalidParameterCombination"),
    ] {
        let fields = [("SnapshotId", id), ("LockMode", mode), more];
        assert_eq!(locked(&mut inventory, &fields, 600).unwrap_err().code, code, "{mode} {more:?}");
    }
    let nobody =
        [("SnapshotId", "snap-0fffffffffffffff0"), ("LockMode", "governance"), ("LockDuration", "1")];
    assert_eq!(locked(&mut inventory, &nobody, 600).unwrap_err().code, "InvalidSnapshot.NotFound");
}
