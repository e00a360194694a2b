//! Promise 1: no file system stays frozen longer than `max_freeze` + 100 ms, whichever process is killed,
//! stopped or hung, and whatever the network does.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, TWO_INSTANCES, Victim, daily};
use serde_json::json;
use std::time::Duration;

/// Every phase that the helper shows in its process name.
const PHASES: [&str; 7] =
    ["sf:resolve", "sf:ready", "sf:flush", "sf:prime", "sf:freeze", "sf:frozen", "sf:thaw"];

#[test]
fn a_helper_killed_in_any_phase_leaves_nothing_frozen() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    for phase in PHASES {
        let hit = region.kill_helper_at(phase, Victim::Worker, || region.try_backup(daily()).ok());
        // A phase of microseconds cannot always be hit; then the run ended as usual.
        if let Some(hit) = hit {
            assert!(
                hit.writable_after < Duration::from_millis(100),
                "killed in {phase}: writers stood still for {:?} after its death",
                hit.writable_after
            );
            let labels = region.labels_of_newest_run();
            assert!(labels.iter().all(|label| label == "crash"), "killed in {phase}: {labels:?}");
        }
        assert!(region.frozen().is_empty(), "killed in {phase}");
        region.settle_down();
        region.advance(86_400);
    }
}

#[test]
fn the_phases_that_matter_can_be_hit() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let hit = region.kill_helper_at("sf:frozen", Victim::Worker, || region.try_backup(daily()).ok());
    let hit = hit.expect("the window lasts as long as CreateSnapshots: it can be hit");
    assert!(hit.writable_after < Duration::from_millis(100), "{:?}", hit.writable_after);
}

#[test]
fn a_guardian_killed_while_frozen_makes_the_worker_thaw_at_once() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.fault("CreateSnapshots", "delay-ms:3000", 1);
    let hit = region
        .kill_helper_at("sf:frozen", Victim::Guardian, || region.try_backup(daily()).ok())
        .expect("a window of three seconds can be hit");
    assert!(hit.writable_after < Duration::from_millis(100), "{:?}", hit.writable_after);
    let labels = region.labels_of_newest_run();
    assert!(labels.iter().all(|label| label == "crash"), "{labels:?}");
}

#[test]
fn worker_and_guardian_dying_together_are_undone_while_other_instances_are_still_at_work() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let (dies, works) = ("i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2");
    region.backup(daily());
    region.advance(86_400);
    region.fault("CreateSnapshots", "delay-ms:9000", 1);
    region.faults(&json!({"op": "Invoke", "fault": "hang", "function": "signal", "caller": works}));
    let (thawed_after, others_at_work) = region.kill_both_on(dies, || region.try_backup(daily()).ok());
    eprintln!("thawed after {thawed_after:?}");
    assert!(others_at_work, "this test would prove nothing");
    // SSM tells of the end at once, and the backup function looks at least every five seconds.
    assert!(thawed_after < Duration::from_secs(12), "{thawed_after:?}");
    assert!(region.frozen().is_empty());
}

#[test]
fn ssm_killing_the_whole_process_group_leaves_nothing_frozen() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.fault("CreateSnapshots", "delay-ms:3000", 1);
    let hit = region
        .kill_helper_at("sf:frozen", Victim::CancelledBySsm, || region.try_backup(daily()).ok())
        .expect("a window of three seconds can be hit");
    assert!(hit.writable_after < Duration::from_millis(100), "{:?}", hit.writable_after);
    assert!(region.frozen().is_empty());
    let labels = region.labels_of_newest_run();
    assert!(labels.iter().all(|label| label == "crash"), "{labels:?}");
}

#[test]
fn ssms_timeout_kills_the_helper_and_leaves_nothing_frozen() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    // Makes the key, and is otherwise not of interest.
    region.backup(daily());
    let instance = "i-0aaaaaaaaaaaaaaa1";
    let order = region.order(instance, 30_000);
    region.advance(60);
    region.fault("CreateSnapshots", "delay-ms:25000", 1);
    let mut end = json!(null);
    let stall = region.longest_stall_during(|| {
        end = region.run_freeze(instance, &json!({"order": [order], "executionTimeout": ["10"]}));
    });
    assert_eq!(end["StatusDetails"], "ExecutionTimedOut", "{end}");
    // The agent gave it 10 s, of which some went by before the freeze.
    assert!(stall > Duration::from_secs(5), "killed while frozen, not before: {stall:?}");
    assert!(stall < Duration::from_millis(10_100), "{stall:?}");
    assert!(region.frozen().is_empty());
}

#[test]
fn a_signal_function_that_hangs_is_given_up_at_the_deadline_and_the_fallback_taken() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.fault("CreateSnapshots", "delay-ms:8000", 1);
    let mut policy = daily();
    policy["max_freeze_ms"] = json!(1_500);
    let stall = region.longest_stall_during(|| {
        region.backup(policy.clone());
    });
    assert!(stall < Duration::from_millis(1_500 + 100 + 100), "writers stood still for {stall:?}");
    assert!(region.frozen().is_empty());
    region.settle_down();
    let snapshots = region.snapshots();
    assert!(!snapshots.is_empty());
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{snapshots:?}");
}

#[test]
fn a_signal_function_that_is_down_freezes_nothing_and_the_fallback_is_taken() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.faults(&json!({"op": "Invoke", "fault": "error500", "times": 50, "function": "signal"}));
    let result = region.backup(daily());
    assert!(region.frozen().is_empty());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{result}");
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{snapshots:?}");
}

#[test]
fn throttled_while_frozen_thaws_and_tries_again_later() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.fault("CreateSnapshots", "throttle", 6);
    let mut policy = daily();
    policy["max_freeze_ms"] = json!(1_000);
    let stall = region.longest_stall_during(|| {
        let result = region.backup(policy.clone());
        assert_eq!(result["status"], "done", "{result}");
    });
    assert!(stall < Duration::from_millis(1_000 + 100 + 100), "{stall:?}");
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{snapshots:?}");
    assert!(region.calls("SendCommand") > 1, "the order was sent again");
}

#[test]
fn a_file_system_frozen_by_someone_else_is_refused_and_left_as_it_was() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.freeze_from_outside("/srv/wal", || {
        let result = region.backup(daily());
        assert_eq!(region.frozen(), ["/srv/wal"], "neither thawed nor anything else frozen: {result}");
        let snapshots = region.snapshots();
        assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{snapshots:?}");
    });
    assert!(region.frozen().is_empty());
}
