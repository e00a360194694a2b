//! The fleet itself: it speaks to the AWS CLI and boto3, and leaves the machine as it found it.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, TWO_INSTANCES, left_behind, program};
use serde_json::json;

#[test]
fn sigterm_leaves_nothing_behind() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let pid = region.pid();
    region.backup(scenarios::daily());
    region.terminate();
    assert_eq!(left_behind(pid), Vec::<String>::new());
}

#[test]
fn sigterm_with_a_frozen_file_system_leaves_nothing_behind() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let pid = region.pid();
    region.freeze_and_forget("/srv/wal");
    region.terminate();
    assert_eq!(left_behind(pid), Vec::<String>::new());
}

#[test]
fn the_next_fleet_cleans_up_after_one_that_was_killed() {
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let pid = region.pid();
    region.freeze_and_forget("/srv/wal");
    region.kill();
    let Some(next) = Region::with_disks(ONE_INSTANCE) else { return };
    assert_eq!(left_behind(pid), Vec::<String>::new());
    drop(next);
}

#[test]
fn the_aws_cli_pages_and_filters() {
    if !program("aws") {
        return;
    }
    let Some(region) = Region::with_disks(TWO_INSTANCES) else { return };
    let all = region.aws("ec2 describe-volumes --max-items 10 --page-size 5").expect("describe-volumes");
    assert_eq!(all["Volumes"].as_array().map(Vec::len), Some(4));
    let some = region
        .aws("ec2 describe-volumes --filters Name=attachment.instance-id,Values=i-0aaaaaaaaaaaaaaa1 Name=tag:stillframe,Values=dai*")
        .expect("describe-volumes");
    assert_eq!(some["Volumes"].as_array().map(Vec::len), Some(2));
    region.backup(scenarios::daily());
    let snapshots = region
        .aws("ec2 describe-snapshots --owner-ids self --filters Name=tag:stillframe:consistency,Values=filesystem")
        .expect("describe-snapshots");
    assert_eq!(snapshots["Snapshots"].as_array().map(Vec::len), Some(4));
    let agents = region.aws("ssm describe-instance-information").expect("describe-instance-information");
    assert_eq!(agents["InstanceInformationList"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_snapshot_is_a_file_that_can_be_copied_into_a_new_volume() {
    if !program("aws") {
        return;
    }
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(scenarios::daily());
    region.complete_snapshots();
    let snapshot = region.snapshots()[0].clone();
    let paths = region.snapshot_files();
    let file = &paths[&snapshot.id];
    assert_eq!(std::fs::metadata(file).expect("the snapshot's file").len(), 400 << 20);
    let volume = region
        .aws(&format!("ec2 create-volume --availability-zone eu-central-1a --snapshot-id {}", snapshot.id))
        .expect("create-volume");
    assert_eq!(volume["SnapshotId"], json!(snapshot.id));
}
