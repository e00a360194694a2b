//! Promise 3: pruning deletes only ours, counts only good points and never takes the last of them.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, REPLICAS, Region, daily, program};
use serde_json::json;
use std::collections::BTreeMap;

/// Runs the policy on `days` days in a row, each day again once the set is complete, as the hourly
/// schedule does: a pending set counts for nothing, so it is the second run that prunes.
fn days(region: &Region, policy: &serde_json::Value, days: u32) {
    for _ in 0..days {
        region.backup(policy.clone());
        region.complete_snapshots();
        region.backup(policy.clone());
        region.advance(86_400);
    }
}

fn per_volume(region: &Region) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for snapshot in region.snapshots() {
        *count.entry(snapshot.volume).or_default() += 1;
    }
    count
}

#[test]
fn keep_last_keeps_that_many_good_points_per_volume() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let mut policy = daily();
    policy["keep"] = json!({"last": 3});
    days(&region, &policy, 5);
    let kept = per_volume(&region);
    assert!(kept.values().all(|&count| count == 3), "{kept:?}");
}

#[test]
fn lesser_points_do_not_push_out_good_ones() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let mut policy = daily();
    policy["keep"] = json!({"last": 2});
    days(&region, &policy, 2);
    let good: Vec<String> = region.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
    assert_eq!(good.len(), 4);

    // From now on no freeze succeeds: crash-consistent sets come every day.
    region.faults(&json!({"op": "Invoke", "fault": "error500", "times": 500, "function": "signal"}));
    days(&region, &policy, 4);
    let snapshots = region.snapshots();
    for id in &good {
        assert!(snapshots.iter().any(|snapshot| &snapshot.id == id), "{id} was good and is gone");
    }
}

#[test]
fn a_snapshot_that_is_not_ours_is_never_deleted() {
    if !program("aws") {
        return;
    }
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let made = region
        .aws("ec2 create-snapshot --volume-id vol-0aaaaaaaaaaaaaa01 --description by-hand")
        .expect("the CLI makes a snapshot");
    let foreign = made["SnapshotId"].as_str().expect("an id").to_owned();
    region.advance(60);
    let mut policy = daily();
    policy["keep"] = json!({"last": 1});
    days(&region, &policy, 3);
    assert!(region.snapshots().iter().any(|snapshot| snapshot.id == foreign));
}

#[test]
fn replicas_with_the_same_tags_and_mount_point_each_keep_their_own() {
    let Some(region) = Region::with_disks(REPLICAS) else { return };
    let mut policy = daily();
    policy["keep"] = json!({"last": 2});
    days(&region, &policy, 4);
    let kept = per_volume(&region);
    assert_eq!(kept.len(), 3, "three replicas: {kept:?}");
    assert!(kept.values().all(|&count| count == 2), "{kept:?}");
}

#[test]
fn a_rule_of_the_calendar_decides_too() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let mut policy = daily();
    policy["keep"] = json!({"daily": 2});
    days(&region, &policy, 4);
    let kept = per_volume(&region);
    assert!(kept.values().all(|&count| count == 2), "{kept:?}");
}
