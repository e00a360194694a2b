//! A rehearsal does everything up to the first freeze, on production too: nothing is frozen, made, labelled
//! or deleted, and the result says how it would have gone.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, TWO_INSTANCES, daily};
use serde_json::{Value, json};

fn rehearse() -> Value {
    let mut policy = daily();
    policy["rehearse"] = json!(true);
    policy
}

#[test]
fn a_rehearsal_changes_nothing_and_tells_of_every_instance() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    // Before the first backup, and in a slot that is done.
    for made in [0, 4] {
        let mut result = Value::Null;
        let stall = region.longest_stall_during(|| result = region.backup(rehearse()));
        assert_eq!(result["status"], "rehearsed", "{result}");
        assert_eq!(region.snapshots().len(), made);
        assert_eq!(result["failures"], json!([]), "{result}");
        let rehearsals = result["rehearsals"].as_array().unwrap_or_else(|| panic!("{made} made: {result}"));
        assert_eq!(rehearsals.len(), 2, "{result}");
        for one in rehearsals {
            assert_eq!(one["report"]["verdict"], "rehearsed", "{one}");
            assert!(one["report"]["flush"]["rounds"].as_u64() > Some(0), "{one}");
            assert!(one["report"]["phases"]["ready_us"].as_u64() > Some(0), "{one}");
            let filesystems = one["report"]["filesystems"].as_array().expect("a list");
            assert!(filesystems.iter().all(|fs| fs["verdict"] == "rehearsed"), "{one}");
        }
        assert!(stall.as_millis() < 5_000, "a flush may slow a writer down, not stop it: {stall:?}");
        if made == 0 {
            region.backup(daily());
            // EC2 wants some seconds between two snapshots of a volume, and a rehearsal heeds that.
            region.advance(60);
        }
    }
    assert_eq!(region.calls("CreateSnapshots"), 2, "those of the backup");
    assert_eq!(region.calls("DeleteSnapshot"), 0);
}

#[test]
fn what_would_fail_fails_in_the_rehearsal() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(daily());
    region.advance(60);
    region.faults(&json!({"op": "Invoke", "fault": "error500", "times": 1, "function": "signal"}));
    let result = region.backup(rehearse());
    assert_eq!(result["status"], "rehearsed", "{result}");
    assert_eq!(result["failures"][0]["reason"], "rehearsal-failed", "{result}");
    assert!(result["failures"][0]["message"].as_str().unwrap_or_default().contains("signal"), "{result}");
}

#[test]
fn an_order_for_a_rehearsal_makes_no_snapshot_whoever_sends_it() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(daily());
    let (order, before) = (region.order_to_rehearse("i-0aaaaaaaaaaaaaaa1"), region.snapshots().len());
    // A helper that does not know the word would send these.
    for signal in [
        json!({"ready": {"order": order, "filesystems": []}}),
        json!({"frozen": {"order": order, "filesystems": [], "budget_ms": 1_000}}),
    ] {
        let answer = region.invoke("signal", &signal);
        assert_eq!(answer["refused"]["reason"], "malformed", "{answer}");
        assert!(answer["refused"]["message"].as_str().unwrap_or_default().contains("rehearsal"), "{answer}");
    }
    let answer = region.invoke("signal", &json!({"ready": {"order": order, "rehearse": true}}));
    assert_eq!(answer["ready"]["run"], "by-hand/2026-11-22/000000", "{answer}");
    assert_eq!(region.snapshots().len(), before);
}
