//! Promise 2: a label beyond `crash` is written only with proof.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, TWO_INSTANCES, daily};
use serde_json::json;

#[test]
fn a_frozen_set_is_labelled_filesystem_and_its_bytes_agree() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let result = region.backup(daily());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 4, "{result}");
    for snapshot in &snapshots {
        assert_eq!(snapshot.label, "filesystem", "{result}");
        let found = region.verify(&snapshot.id);
        assert!(found.is_consistent(), "{} of {}: {found:?}", snapshot.id, snapshot.volume);
        let records = found.records.expect("a file system with a writer");
        assert!(records.acknowledged > 0, "a volume without records proves nothing: {records:?}");
    }
}

#[test]
fn every_snapshot_is_born_crash_and_carries_its_set() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    // The function dies before it can promote: what is left is what the call itself wrote.
    region.faults(&json!({"op": "CreateTags", "fault": "error500", "times": 50}));
    let _ = region.try_backup(daily());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2);
    for snapshot in &snapshots {
        assert_eq!(snapshot.label, "crash");
        assert_eq!(snapshot.tags["stillframe:policy"], "daily");
        assert_eq!(snapshot.tags["stillframe:instance"], "i-0aaaaaaaaaaaaaaa1");
        assert_eq!(snapshot.tags["stillframe:instance.role"], "db");
        assert_eq!(snapshot.tags["stillframe"], "daily", "the volume's own tag is copied");
        let layout = &snapshot.tags["stillframe:layout.0"];
        for part in ["vol-0aaaaaaaaaaaaaa01", "vol-0aaaaaaaaaaaaaa02", "/dev/sdf", "ext4", "xfs"] {
            assert!(layout.contains(part), "{layout}");
        }
    }
}

#[test]
fn a_set_that_somebody_thawed_during_the_cut_stays_crash() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.fault("CreateSnapshots", "delay-ms:2000", 1);
    let (thawed, result) = region.thaw_in_window("/srv/wal", || region.backup(daily()));
    assert!(thawed, "a window of two seconds can be hit: {result}");
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{result}");
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{result}");
    assert!(result.to_string().contains("thawed-by-other"), "the result says why: {result}");
}

#[test]
fn a_stopped_instance_is_labelled_offline() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.stop_instance("i-0aaaaaaaaaaaaaaa1", false);
    region.advance(3_600);
    let result = region.backup(daily());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{result}");
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "offline"), "{result}");
    assert_eq!(region.calls("SendCommand"), 0);
}

#[test]
fn a_force_stopped_instance_stays_crash() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.stop_instance("i-0aaaaaaaaaaaaaaa1", true);
    region.advance(3_600);
    let result = region.backup(daily());
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{result}");
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{result}");
}

#[test]
fn an_instance_started_and_stopped_again_during_the_cut_stays_crash() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let id = "i-0aaaaaaaaaaaaaaa1";
    region.stop_instance(id, false);
    region.advance(3_600);
    region.fault("CreateSnapshots", "delay-ms:2500", 1);
    let result = region.backup_while(daily(), "CreateSnapshots", || {
        region.start_instance(id);
        region.stop_instance(id, false);
    });
    let snapshots = region.snapshots();
    assert_eq!(snapshots.len(), 2, "{result}");
    assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{result}");
}

#[test]
fn a_detached_volume_is_labelled_offline() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.detach_volume("i-0aaaaaaaaaaaaaaa1", "vol-0aaaaaaaaaaaaaa02");
    let result = region.backup(daily());
    let label = |volume: &str| {
        let snapshots = region.snapshots();
        snapshots.iter().find(|snapshot| snapshot.volume == volume).map(|snapshot| snapshot.label.clone())
    };
    assert_eq!(label("vol-0aaaaaaaaaaaaaa02").as_deref(), Some("offline"), "{result}");
    assert_eq!(label("vol-0aaaaaaaaaaaaaa01").as_deref(), Some("filesystem"), "{result}");
}

#[test]
fn an_agent_that_is_offline_gives_a_crash_set_or_a_failure_as_the_policy_says() {
    for (on_failure, wanted) in [("crash", 2), ("skip", 0)] {
        let spec = ONE_INSTANCE.replace("agent = \"online\"", "agent = \"offline\"");
        let Some(region) = Region::with_disks(&spec) else { return };
        let mut policy = daily();
        policy["on_failure"] = json!(on_failure);
        let result = region.backup(policy);
        let snapshots = region.snapshots();
        assert_eq!(snapshots.len(), wanted, "on_failure {on_failure}: {result}");
        assert!(snapshots.iter().all(|snapshot| snapshot.label == "crash"), "{result}");
    }
}

#[test]
fn a_volume_attached_after_the_plan_is_in_the_set_stays_crash_and_is_reported() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let late = region.create_volume(64);
    let result = region.backup_while(daily(), "SendCommand", || {
        region.attach_volume("i-0aaaaaaaaaaaaaaa1", &late, "/dev/sdq");
    });
    let snapshots = region.snapshots();
    let of_late: Vec<_> = snapshots.iter().filter(|snapshot| snapshot.volume == late).collect();
    assert_eq!(of_late.len(), 1, "CreateSnapshots takes whatever is attached: {result}");
    assert_eq!(of_late[0].label, "crash");
    assert!(result.to_string().contains(&late), "the result names the late volume: {result}");
    let planned = snapshots.iter().filter(|snapshot| snapshot.label == "filesystem").count();
    assert_eq!(planned, 2, "the others have their proof: {result}");
}
