//! A restore takes the newest good set, and ends with one set of volumes whatever happens to it on the way.
//! These regions have records only: that the bytes come back is another scenario's.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, daily};
use serde_json::{Value, json};

const HOST: &str = "i-0bbbbbbbbbbbbbbb2";

/// The database, and an instance that is to replace it, without any volume.
fn region() -> Region {
    let host = format!(
        r##"
[[instance]]
id = "{HOST}"
tags = {{ role = "db", cluster = "main", environment = "prod", "stillframe:restore" = "user-data" }}
user_data = "#!/bin/sh\\necho not ours"
"##
    );
    Region::without_disks(&format!("{ONE_INSTANCE}{host}"))
}

fn asked() -> Value {
    json!({"restore": {"instance": HOST}})
}

fn running() -> Value {
    json!({
        "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification",
        "detail": {"instance-id": HOST, "state": "running"},
    })
}

/// Backs up, and lets what was made be whole.
fn back_up(region: &Region) -> String {
    region.backup(daily());
    region.complete_snapshots();
    let newest = region.snapshots().into_iter().max_by(|a, b| a.start_time.cmp(&b.start_time));
    newest.expect("a snapshot").tags["stillframe:run"].clone()
}

#[test]
fn the_newest_set_comes_back_once() {
    let region = region();
    let run = back_up(&region);
    let result = region.invoke("restore", &asked());
    assert_eq!(result["status"], "restored", "{result}");
    assert_eq!(result["sets"][0]["run"], run.as_str(), "{result}");
    assert_eq!(result["mounts"]["mounts"].as_array().map(Vec::len), Some(2), "{result}");
    assert_eq!(region.restored_volumes(), (2, 2));

    // Asked once more, and at a later start: all is there.
    let again = region.invoke("restore", &asked());
    assert_eq!(again["status"], "already-there", "{again}");
    assert_eq!((region.restored_volumes(), region.calls("CreateVolume")), ((2, 2), 2));
}

#[test]
fn a_set_that_cannot_be_used_is_passed_over() {
    for state in ["pending", "error"] {
        let region = region();
        let older = back_up(&region);
        region.advance(86_400);
        let newer = back_up(&region);
        let bad =
            region.snapshots().into_iter().find(|one| one.tags["stillframe:run"] == newer).expect("one");
        region.set_snapshot_state(&bad.id, state);
        let result = region.invoke("restore", &asked());
        assert_eq!(result["status"], "restored", "{state}: {result}");
        assert_eq!(result["sets"][0]["run"], older.as_str(), "{state}: {result}");
        assert_eq!(result["passed_over"][0]["run"], newer.as_str(), "{state}: {result}");
    }
}

#[test]
fn without_a_snapshot_there_are_blank_volumes_or_one_sentence() {
    let region = region();
    let result = region.invoke("restore", &asked());
    assert_eq!(result["status"], "refused", "{result}");
    assert!(result["message"].as_str().is_some_and(|text| text.contains("no restore point has")), "{result}");
    assert_eq!(region.calls("CreateVolume"), 0);

    let spec =
        json!({"blank": true, "volumes": [{"mount_point": "/srv/pg", "size": 7, "file_system": "ext4"}]});
    region.put_parameter("/stillframe/restore/first", &spec);
    let result = region.invoke("restore", &json!({"restore": {"instance": HOST, "parameter": "first"}}));
    assert_eq!(result["status"], "restored", "{result}");
    assert_eq!(region.restored_volumes(), (1, 1));
}

#[test]
fn an_instance_that_asks_for_nothing_gets_nothing() {
    let region = region();
    back_up(&region);
    let result = region.invoke("restore", &running());
    assert_eq!(result["status"], "not-asked", "{result}");
    assert!(result["message"].as_str().is_some_and(|text| text.contains("a script")), "{result}");
    let dry = region.invoke("restore", &json!({"restore": {"instance": HOST, "dry_run": true}}));
    assert_eq!(dry["status"], "planned", "{dry}");
    assert!(dry["plan"].as_str().is_some_and(|plan| plan.contains("2 to make")), "{dry}");
    assert_eq!(region.restored_volumes(), (0, 0));
}

#[test]
fn a_function_killed_after_any_call_is_carried_on() {
    for (operation, after) in [
        ("DescribeInstances", 0),
        ("DescribeSnapshots", 0),
        ("DescribeVolumes", 0),
        ("CreateVolume", 0),
        ("CreateVolume", 1),
        // The first look at what was made.
        ("DescribeVolumes", 1),
        ("AttachVolume", 0),
        ("AttachVolume", 1),
        ("ModifyInstanceAttribute", 0),
        ("CreateTags", 0),
        ("DescribeInstanceInformation", 0),
        ("SendCommand", 0),
        ("ListCommandInvocations", 0),
    ] {
        let region = region();
        back_up(&region);
        region.faults(&json!({"op": operation, "fault": "kill-caller", "after": after, "caller": "restore"}));
        let result = region.try_restore(&asked());
        assert!(result.is_err(), "not killed after {operation}: {result:?}");
        let result = region.invoke("restore", &asked());
        assert!(
            ["restored", "already-there"].map(Value::from).contains(&result["status"]),
            "{operation}: {result}"
        );
        assert_eq!(region.restored_volumes(), (2, 2), "after {operation} {after}: {result}");
        assert_eq!(result["deleted"], json!([]), "what was made is of use: {result}");
    }
}

#[test]
fn a_lost_answer_makes_no_second_volume() {
    for operation in ["CreateVolume", "AttachVolume", "ModifyInstanceAttribute", "CreateTags", "SendCommand"]
    {
        let region = region();
        back_up(&region);
        region.faults(&json!({"op": operation, "fault": "drop-response", "caller": "restore"}));
        let result = region.invoke("restore", &asked());
        assert_eq!(result["status"], "restored", "{operation}: {result}");
        assert_eq!(region.restored_volumes(), (2, 2), "{operation}: {result}");
    }
}

#[test]
fn two_at_the_same_time_make_one_set() {
    let region = region();
    back_up(&region);
    std::thread::scope(|scope| {
        let both =
            [scope.spawn(|| region.try_restore(&asked())), scope.spawn(|| region.try_restore(&asked()))];
        for one in both {
            let result = one.join().expect("it ends").expect("a report");
            assert!(["restored", "already-there"].map(Value::from).contains(&result["status"]), "{result}");
        }
    });
    assert_eq!(region.restored_volumes(), (2, 2));
}
