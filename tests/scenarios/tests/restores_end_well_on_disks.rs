//! A restore brings every acknowledged byte back, mounted, at the replacement's start and at every boot after
//! it; whatever set is newest, and wherever the function is killed.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{PairWriter, Region, daily};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SOURCE: &str = "i-0aaaaaaaaaaaaaaa1";
const HOST: &str = "i-0bbbbbbbbbbbbbbb2";
/// The tag `stillframe` lets the roles of the template send orders to an instance.
const TAGS: &str = r#"role = "db", cluster = "main", environment = "prod", stillframe = "volumes""#;

/// An instance that is to take another's place: a boot volume, its tags, and that it wants a restore.
fn replacement(id: &str, state: &str) -> String {
    let number = &id[id.len() - 1..];
    format!(
        r#"
[[instance]]
id = "{id}"
state = "{state}"
tags = {{ {TAGS}, "stillframe:restore" = "user-data" }}
user_data = '{{"role": "db", "cluster": "main", "environment": "prod"}}'
[[instance.volume]]
id = "vol-0fffffffffffff{number}0"
root = true
fs = "ext4"
mount = "/"
size_mib = 64
"#
    )
}

fn volume(number: u32, fs: &str, size_mib: u32, mount: &str, writer: bool) -> String {
    format!(
        r#"
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa{number:02}"
size_mib = {size_mib}
fs = "{fs}"
mount = "{mount}"
tags = {{ stillframe = "daily" }}
writer = {writer}
"#
    )
}

/// The instance that is backed up.
fn source(volumes: &[String]) -> String {
    format!("[[instance]]\nid = \"{SOURCE}\"\ntags = {{ {TAGS} }}\n{}", volumes.concat())
}

fn back_up(region: &Region) -> String {
    region.backup(daily());
    region.complete_snapshots();
    let newest = region.snapshots().into_iter().max_by(|a, b| a.start_time.cmp(&b.start_time));
    newest.expect("a snapshot").tags["stillframe:run"].clone()
}

fn snapshot_of(region: &Region, run: &str, volume: &str) -> String {
    let all = region.snapshots().into_iter();
    let of_it = all.filter(|one| one.tags["stillframe:run"] == run && one.volume == volume);
    of_it.map(|one| one.id).next().expect("every volume is in the set")
}

fn asked(host: &str, fields: Value) -> Value {
    let mut asked = fields;
    asked["instance"] = json!(host);
    json!({ "restore": asked })
}

#[test]
fn a_replacement_has_every_acknowledged_byte_and_again_at_every_boot() {
    const PLACES: [(&str, u32, &str); 5] = [
        ("/srv/ext4", 1, "ext4"),
        ("/srv/xfs", 2, "xfs"),
        ("/srv/btrfs", 3, "btrfs"),
        ("/srv/db", 4, "ext4"),
        ("/srv/db/wal", 5, "xfs"),
    ];
    let volumes = PLACES.map(|(at, number, fs)| volume(number, fs, 400, at, number < 4));
    let rule = "[[rule]]\nfunction = \"restore\"\nstates = [\"running\"]\n\
                detail_types = [\"EC2 Instance State-change Notification\"]\n";
    let spec = format!("{rule}{}{}", source(&volumes), replacement(HOST, "stopped"));
    let Some(region) = Region::with_disks(&spec) else { return };
    let pair = PairWriter::start(&region.inside(SOURCE, "/srv/db/wal"), &region.inside(SOURCE, "/srv/db"));
    region.wait_until("records", || region.acknowledged().values().filter(|count| **count > 20).count() == 3);
    let run = back_up(&region);
    assert_eq!(region.labels_of_newest_run(), ["filesystem"; 5]);
    let acknowledged = pair.finish();
    region.terminate_instance(SOURCE);

    region.start_instance(HOST);
    region.run_on(HOST, "stillframe-helper install");
    region.wait_for_mounts(HOST, 5);
    region.settle_down();
    let check = |when: &str| {
        let mounted = region.mounted_on(HOST);
        for (at, number, _) in PLACES {
            let was = format!("vol-0aaaaaaaaaaaaaa{number:02}");
            assert!(mounted.contains_key(at) && mounted[at] != was, "{when}: {mounted:?}");
            let snapshot = snapshot_of(&region, &run, &was);
            if number < 4 {
                let (owed, lost) = region.owed_and_lost(HOST, at, &snapshot);
                assert!(owed > 20 && lost == 0, "{when}: {lost} of {owed} records are lost on {at}");
            } else {
                let begun = region.cut_of(&snapshot).begun_ns;
                let owed = acknowledged.iter().filter(|ns| **ns < begun).count();
                let found = PairWriter::count(&region.inside(HOST, at));
                assert!(owed > 3 && found >= owed, "{when}: {found} numbers of {owed} on {at}");
            }
        }
        let [log, tables] = ["/srv/db/wal", "/srv/db"].map(|at| PairWriter::count(&region.inside(HOST, at)));
        assert!(log == tables || log == tables + 1, "{when}: of one instant, {log} and {tables}");
    };
    check("after the start");
    assert_eq!(region.restored_volumes(), (5, 5));

    // Written now, and to be there after the next boot.
    for (at, ..) in PLACES {
        region.write_inside(HOST, &format!("{at}/since"), at);
    }
    let made = region.calls("CreateVolume");
    // Nobody answers any more but the disks.
    for operation in ["SendCommand", "DescribeInstances", "DescribeVolumes", "GetParameter", "Invoke"] {
        region.fault(operation, "error500", 1_000);
    }
    let before = region.calls_of_function(HOST);
    region.reboot_instance(HOST);
    region.wait_for_mounts(HOST, 5);
    check("after a reboot");
    for (at, ..) in PLACES {
        let since = region.read_inside(HOST, &format!("{at}/since"));
        assert_eq!(since.as_deref(), Some(at), "what was written since");
    }
    assert_eq!(region.calls_of_function(HOST), before, "a boot asks nobody");
    let log = region.read_inside(HOST, "/var/log/stillframe-mount.service.log").expect("the unit's output");
    let report: Value = serde_json::from_str(log.lines().next().unwrap_or_default()).expect("a report");
    let outcomes = report["mounts"].as_array().expect("mounts").iter().map(|mount| &mount["outcome"]);
    assert_eq!(outcomes.collect::<Vec<_>>(), ["mounted"; 5], "{log}");
    region.clear_faults();

    // A stop and a start: the event comes again, and finds all there.
    region.stop_instance(HOST, false);
    region.start_instance(HOST);
    region.wait_for_mounts(HOST, 5);
    region.settle_down();
    check("after a stop and a start");
    assert_eq!((region.restored_volumes(), region.calls("CreateVolume")), ((5, 5), made));
}

#[test]
fn the_newest_set_that_can_be_used_comes_back_with_its_bytes() {
    // The last one stays pending, and nothing could be waited for after it.
    const CASES: [&str; 4] = ["error", "incomplete", "archived", "pending"];
    let volumes = [volume(1, "ext4", 64, "/srv/pg", false), volume(2, "ext4", 64, "/srv/wal", false)];
    let hosts: Vec<String> = (2..6).map(|n| format!("i-0bbbbbbbbbbbbbbb{n}")).collect();
    let replacements: String = hosts.iter().map(|host| replacement(host, "running")).collect();
    let Some(region) = Region::with_disks(&format!("{}{replacements}", source(&volumes))) else { return };
    let write = |text: &str| {
        for at in ["/srv/pg", "/srv/wal"] {
            region.write_inside(SOURCE, &format!("{at}/which"), text);
        }
    };
    write("good");
    let good = back_up(&region);
    for (case, host) in CASES.into_iter().zip(&hosts) {
        region.advance(86_400);
        write(case);
        let newest = back_up(&region);
        let bad = snapshot_of(&region, &newest, "vol-0aaaaaaaaaaaaaa02");
        match case {
            "incomplete" => region.delete_snapshot(&bad),
            "archived" => region.archive_snapshot(&bad),
            state => region.set_snapshot_state(&bad, state),
        }
        // What was restored before is backed up as well, and of no interest here.
        let result = region.invoke("restore", &asked(host, json!({"from_instance": SOURCE})));
        assert_eq!(result["status"], "restored", "{case}: {result}");
        assert_eq!(result["sets"][0]["run"], good.as_str(), "{case}: {result}");
        assert_eq!(result["passed_over"][0]["run"], newest.as_str(), "{case}: {result}");
        for at in ["/srv/pg", "/srv/wal"] {
            let which = region.read_inside(host, &format!("{at}/which"));
            assert_eq!(which.as_deref(), Some("good"), "{case}: {at}");
        }
    }
}

#[test]
fn a_larger_volume_is_filled_and_none_is_smaller_than_its_snapshot() {
    // XFS knows no copies beside each other, so the original goes first.
    let volumes = [
        volume(1, "ext4", 1_536, "/srv/ext4", false),
        volume(2, "xfs", 400, "/srv/xfs", false),
        volume(3, "btrfs", 400, "/srv/btrfs", false),
    ];
    let Some(region) = Region::with_disks(&format!("{}{}", source(&volumes), replacement(HOST, "running")))
    else {
        return;
    };
    for at in ["/srv/ext4", "/srv/xfs", "/srv/btrfs"] {
        region.write_inside(SOURCE, &format!("{at}/file"), at);
    }
    back_up(&region);
    region.terminate_instance(SOURCE);
    let spec = json!({"volumes": [
        {"mount_point": "/srv/ext4", "size": 1},
        {"mount_point": "/srv/xfs", "size": 3},
        {"mount_point": "/srv/btrfs", "size": 3},
    ]});
    let result = region.invoke("restore", &asked(HOST, spec));
    assert_eq!(result["status"], "restored", "{result}");
    let raised = json!({"size-raised": {"mount_point": "/srv/ext4", "asked": 1, "to": 2}});
    assert_eq!(result["notes"], json!([raised]), "{result}");
    let bytes_of = |at: &str| -> u64 {
        let printed = region.run_on(HOST, &format!("df -B1 --output=size {at} | tail -1"));
        printed.trim().parse().expect("a number")
    };
    for (at, grown) in [("/srv/ext4", false), ("/srv/xfs", true), ("/srv/btrfs", true)] {
        let mount = Region::mount_in(&result, at);
        let by = mount["grown_bytes"].as_u64().unwrap_or_default();
        assert_eq!((by > 2 << 30, mount["warnings"].is_null()), (grown, true), "{mount}");
        assert_eq!(region.read_inside(HOST, &format!("{at}/file")).as_deref(), Some(at));
        let (least, most) = if grown { (2_800 << 20, 3 << 30) } else { (1_300 << 20, 1_536 << 20) };
        assert!((least..=most).contains(&bytes_of(at)), "{at} has {} bytes", bytes_of(at));
    }
}

#[test]
fn device_names_that_are_taken_are_left_to_whom_they_belong() {
    let volumes = [volume(1, "ext4", 64, "/srv/pg", false)];
    let taken = r#"
[[instance.volume]]
id = "vol-0fffffffffffff70"
device = "/dev/sdf"
fs = "ext4"
mount = "/mnt/other"
size_mib = 64
"#;
    let spec = format!("{}{}{taken}", source(&volumes), replacement(HOST, "running"));
    let Some(region) = Region::with_disks(&spec) else { return };
    region.write_inside(SOURCE, "/srv/pg/file", "here");
    region.write_inside(HOST, "/mnt/other/file", "theirs");
    back_up(&region);
    // Asked for by name, it is refused with that name; nothing is made.
    let named = json!({"volumes": [{"mount_point": "/srv/pg", "device": "/dev/xvdf"}]});
    let result = region.invoke("restore", &asked(HOST, named));
    assert_eq!(result["status"], "refused", "{result}");
    assert!(result["message"].as_str().is_some_and(|text| text.contains("/dev/xvdf")), "{result}");
    assert_eq!((region.calls("CreateVolume"), region.restored_volumes()), (0, (0, 0)));
    // Not asked for, another is taken.
    let result = region.invoke("restore", &asked(HOST, json!({})));
    assert_eq!(result["status"], "restored", "{result}");
    assert_eq!(result["volumes"][0]["device"], "/dev/sdg", "{result}");
    assert_eq!(region.read_inside(HOST, "/srv/pg/file").as_deref(), Some("here"));
    assert_eq!(region.read_inside(HOST, "/mnt/other/file").as_deref(), Some("theirs"));
}

#[test]
fn a_function_killed_after_any_call_is_carried_on_to_mounted_bytes() {
    const CALLS: [(&str, u64); 9] = [
        ("CreateVolume", 0),
        ("CreateVolume", 1),
        ("DescribeVolumes", 1),
        ("AttachVolume", 0),
        ("AttachVolume", 1),
        ("ModifyInstanceAttribute", 0),
        ("CreateTags", 0),
        ("SendCommand", 0),
        ("ListCommandInvocations", 0),
    ];
    let volumes = [volume(1, "ext4", 64, "/srv/pg", false), volume(2, "ext4", 64, "/srv/pg/wal", false)];
    let hosts: Vec<String> = (0..CALLS.len()).map(|n| format!("i-0bbbbbbbbbbbbbbb{n}")).collect();
    let replacements: String = hosts.iter().map(|host| replacement(host, "running")).collect();
    let Some(region) = Region::with_disks(&format!("{}{replacements}", source(&volumes))) else { return };
    for at in ["/srv/pg", "/srv/pg/wal"] {
        region.write_inside(SOURCE, &format!("{at}/file"), at);
    }
    back_up(&region);
    for (n, ((operation, after), host)) in CALLS.into_iter().zip(&hosts).enumerate() {
        region.faults(&json!({"op": operation, "fault": "kill-caller", "after": after, "caller": "restore"}));
        let killed = region.try_restore(&asked(host, json!({})));
        assert!(killed.is_err(), "not killed after {operation} {after}: {killed:?}");
        let result = region.invoke("restore", &asked(host, json!({})));
        let ended = [json!("restored"), json!("already-there")].contains(&result["status"]);
        assert!(ended, "{operation} {after}: {result}");
        assert_eq!(region.restored_volumes(), (2 * (n + 1), 2 * (n + 1)), "{operation} {after}: {result}");
        assert_eq!(result["deleted"], json!([]), "what was made is of use: {result}");
        let expected: BTreeMap<String, Value> = [("/srv/pg", 0), ("/srv/pg/wal", 1)]
            .map(|(at, n)| (at.to_owned(), result["volumes"][n]["volume"].clone()))
            .into();
        let mut mounted = region.mounted_on(host);
        mounted.remove("/");
        let mounted: BTreeMap<String, Value> = mounted.into_iter().map(|(at, id)| (at, json!(id))).collect();
        assert_eq!(mounted, expected, "{operation} {after}");
        for at in ["/srv/pg", "/srv/pg/wal"] {
            let file = region.read_inside(host, &format!("{at}/file"));
            assert_eq!(file.as_deref(), Some(at), "{operation} {after}");
        }
    }
}
