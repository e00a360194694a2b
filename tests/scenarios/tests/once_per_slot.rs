//! Promise 4: one restore point per volume and slot, whatever is delivered twice, retried or killed
//! half-way.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{Region, TWO_INSTANCES, daily};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

#[test]
fn a_done_slot_is_skipped() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let first = region.backup(daily());
    assert_eq!(first["status"], "done", "{first}");
    assert_eq!(region.snapshots().len(), 4);

    let again = region.backup(daily());
    assert_eq!(again["status"], "nothing-to-do", "{again}");
    assert_eq!(again["skipped"].as_array().map(Vec::len), Some(4), "{again}");
    assert_eq!(region.snapshots().len(), 4);
    assert_eq!(region.calls("CreateSnapshots"), 2, "one call per instance, none for the second run");
    assert_eq!(region.calls("SendCommand"), 2, "a done slot sends nothing to an instance");
}

#[test]
fn a_pending_set_counts_as_in_progress() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.backup(daily());
    for snapshot in region.snapshots() {
        region.set_snapshot_state(&snapshot.id, "pending");
    }
    let again = region.backup(daily());
    assert_eq!(again["status"], "nothing-to-do", "{again}");
    assert_eq!(region.snapshots().len(), 4);
}

#[test]
fn an_error_set_does_not_finish_a_slot() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.backup(daily());
    for snapshot in region.snapshots() {
        region.set_snapshot_state(&snapshot.id, "error");
    }
    region.advance(60);
    let again = region.backup(daily());
    assert_eq!(again["status"], "done", "{again}");
    let fresh: Vec<_> = region.snapshots().into_iter().filter(|snapshot| snapshot.state != "error").collect();
    assert_eq!(fresh.len(), 4, "{again}");
    assert!(fresh.iter().all(|snapshot| snapshot.label == "filesystem"), "{fresh:?}");
}

#[test]
fn a_new_day_is_a_new_slot() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.backup(daily());
    region.advance(86_400);
    let next = region.backup(daily());
    assert_eq!(next["status"], "done", "{next}");
    assert_eq!(region.snapshots().len(), 8);
}

#[test]
fn a_day_whose_firings_were_missed_is_caught_up_once() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.backup(daily());
    // A day on, and five hours in which no event comes.
    region.advance(86_400);
    region.advance(5 * 3_600);
    let late = region.backup(daily());
    assert_eq!(late["status"], "done", "{late}");
    region.advance(3_600);
    let again = region.backup(daily());
    // From seven in the evening on, the next hours are the next day's.
    let days: BTreeSet<String> =
        region.snapshots().into_iter().map(|snapshot| snapshot.tags["stillframe:slot"].clone()).collect();
    assert_eq!(region.snapshots().len(), 4 * days.len(), "{again}");
    assert!(days.contains(late["slot"].as_str().expect("a slot")), "{days:?}");
}

#[test]
fn hours_that_were_missed_are_over_and_the_present_one_is_made_once() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let mut hourly = daily();
    hourly["policy"] = json!("hourly");
    hourly["every"] = json!("hour");
    region.backup(hourly.clone());
    region.advance(5 * 3_600);
    let late = region.backup(hourly.clone());
    assert_eq!(late["status"], "done", "{late}");
    assert_eq!(region.snapshots().len(), 8, "one set for the hour that is, none for those that were");
}

#[test]
fn a_slot_that_one_instance_missed_is_finished_an_hour_later() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let mut policy = daily();
    policy["on_failure"] = json!("skip");
    let (done, missed) = ("i-0aaaaaaaaaaaaaaa1", "i-0bbbbbbbbbbbbbbb2");
    region.faults(&json!({
        "op": "Invoke", "fault": "error500", "times": 500, "function": "signal", "caller": missed
    }));
    let half = region.backup(policy.clone());
    assert_eq!(half["failures"][0]["instance"], missed, "{half}");
    assert_eq!(region.snapshots().len(), 2, "{half}");
    region.clear_faults();
    region.settle_down();

    region.advance(60);
    let rest = region.backup(policy.clone());
    assert_eq!(rest["status"], "done", "{rest}");
    assert_eq!(rest["skipped"].as_array().map(Vec::len), Some(2), "what is done stays: {rest}");
    let mut by_instance: BTreeMap<String, usize> = BTreeMap::new();
    for snapshot in region.snapshots() {
        *by_instance.entry(snapshot.tags["stillframe:instance"].clone()).or_default() += 1;
    }
    assert_eq!(by_instance, [(done.to_owned(), 2), (missed.to_owned(), 2)].into(), "{rest}");
    assert_eq!(region.backup(policy)["status"], "nothing-to-do");
}

#[test]
fn of_a_set_with_one_failed_snapshot_that_volume_alone_is_made_again() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.backup(daily());
    let failed = region.snapshots().remove(0);
    region.set_snapshot_state(&failed.id, "error");
    region.advance(60);
    let again = region.backup(daily());
    assert_eq!(again["status"], "done", "{again}");
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 5, "{again}");
    let of_volume: Vec<_> = snapshots.iter().filter(|one| one.volume == failed.volume).collect();
    assert_eq!(of_volume.len(), 2, "{again}");
    assert!(of_volume.iter().any(|one| one.state != "error" && one.label == "filesystem"), "{of_volume:?}");
}

#[test]
fn three_events_at_once_make_one_restore_point() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let results: Vec<_> = thread::scope(|scope| {
        let runs: Vec<_> = (0..3).map(|_| scope.spawn(|| region.backup(daily()))).collect();
        runs.into_iter().map(|run| run.join().expect("a run panicked")).collect()
    });
    let done = results.iter().filter(|result| result["status"] == "done").count();
    assert_eq!(done, 1, "{results:?}");
    // The others are held off, not merely too late: without the lease it would be luck that they were.
    let held_off = results.iter().filter(|result| result["status"] == "lease-held").count();
    assert_eq!(held_off, 2, "{results:?}");
    assert_eq!(region.snapshots().len(), 4);
    assert_eq!(region.calls("CreateSnapshots"), 2);
}

#[test]
fn an_event_that_comes_while_a_run_is_at_work_is_held_off() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let mut second = json!(null);
    let first = region.backup_while(daily(), "DescribeVolumes", || second = region.backup(daily()));
    assert_eq!(first["status"], "done", "{first}");
    assert_eq!(second["status"], "lease-held", "{second}");
    assert_eq!(region.snapshots().len(), 4);
}

#[test]
fn an_event_that_is_delivered_twice_through_the_queue_makes_one_restore_point() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.invoke_async("backup", &daily());
    region.invoke_async("backup", &daily());
    region.wait_until("four labelled snapshots", || {
        region.snapshots().iter().filter(|snapshot| snapshot.label == "filesystem").count() == 4
    });
    region.settle_down();
    assert_eq!(region.snapshots().len(), 4);
}

#[test]
fn a_lost_create_snapshots_answer_makes_no_second_set_and_stays_crash() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    region.fault("CreateSnapshots", "drop-response", 1);
    let result = region.backup(daily());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 4, "the set whose answer was lost is found, not made again: {result}");
    assert_eq!(region.calls("CreateSnapshots"), 2);
    let crash: Vec<_> = snapshots.iter().filter(|snapshot| snapshot.label == "crash").collect();
    assert_eq!(crash.len(), 2, "the set of one instance stays crash: {snapshots:?}");
    assert_eq!(crash[0].tags["stillframe:instance"], crash[1].tags["stillframe:instance"]);

    let again = region.backup(daily());
    assert_eq!(again["status"], "nothing-to-do", "{again}");
    assert_eq!(region.snapshots().len(), 4);
}

/// Kills the backup function after the effect of each of its API calls, one run per call, and lets the
/// next hour's event finish.
#[test]
fn a_backup_function_killed_after_any_of_its_calls_is_finished_by_the_next_run() {
    let Some(probe) = Region::with_disks(TWO_INSTANCES) else { return };
    probe.backup(daily());
    // What the function calls in an undisturbed run, and how often.
    let calls: Vec<(String, u64)> = probe
        .calls_of_function("backup")
        .into_iter()
        .filter(|(operation, _)| operation != "Invoke")
        .collect();
    drop(probe);
    assert!(calls.len() >= 8, "the function makes more kinds of call than these: {calls:?}");

    for (operation, times) in calls {
        for after in 0..times {
            let region = Region::with_disks(TWO_INSTANCES).expect("the first one started");
            region.faults(&json!({
                "op": operation, "fault": "kill-caller", "times": 1, "after": after,
                "caller": "backup"
            }));
            let _ = region.try_backup(daily());
            // How often a run polls varies: a fault that met no call must not meet the next run.
            region.clear_faults();
            // An hour later the schedule fires again: leases are stale, helpers have long ended.
            region.settle_down();
            region.advance(3_600);
            let result = region.backup(daily());
            region.settle_down();
            let made = region.snapshots();
            let context = format!("killed after {operation} number {}: {result}", after + 1);
            assert_eq!(made.len(), 4, "{context}\n{made:?}");
            assert!(made.iter().all(|snapshot| snapshot.label == "filesystem"), "{context}\n{made:?}");
            assert!(region.frozen().is_empty(), "{context}");
        }
    }
}
