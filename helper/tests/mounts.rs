//! Many mounts together: in each other, beside each other, at boot with broken ones among them; hooks around
//! them; and the way back.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::machine::{Disk, Machine, bytes_of, mkfs};
use common::{alone, have_devices, within};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;
use stillframe_wire::{Exit, MountOutcome, MountReport, Mounted};

const NOT_MOUNTED: i32 = Exit::NotMounted as i32;

/// Volumes with an ext4 each, for these mount points, and the order for all of them, the last one first.
fn ordered(machine: &mut Machine, names: &[&str], fields: &str) -> (Vec<Disk>, String) {
    let disks: Vec<Disk> = names.iter().map(|_| machine.volume(64, &mkfs("ext4"))).collect();
    let mounts: Vec<String> = names
        .iter()
        .zip(&disks)
        .rev()
        .map(|(name, disk)| {
            format!(r#"{{"volumes": ["{}"], "mount_point": "{}"{fields}}}"#, disk.id, machine.at(name))
        })
        .collect();
    (disks, format!(r#"{{"run": "r7", "mounts": [{}]}}"#, mounts.join(",")))
}

fn outcome<'r>(report: &'r MountReport, at: &str) -> &'r MountOutcome {
    report.mounts.iter().find(|mount| mount.mount_point == at).unwrap_or_else(|| panic!("{at}: {report:?}"))
}

#[test]
fn one_broken_record_or_missing_volume_holds_back_only_what_lies_in_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let names =
        ["data", "data/logs", "data/logs/deep", "gone", "other", "spoilt", "spoilt/in", "theirs", "zzz"];
    let (disks, order) = ordered(&mut machine, &names, r#", "wait_s": 1"#);
    let (code, report) = machine.mount(&order);
    assert_eq!((code, report.mounts.len()), (0, 9), "{report:?}");
    let points: Vec<String> = machine.mounts().into_iter().map(|(at, _)| at).collect();
    let position = |name: &str| points.iter().position(|at| *at == machine.at(name)).unwrap();
    assert!(position("data") < position("data/logs") && position("data/logs") < position("data/logs/deep"));
    machine.write(&machine.at("data/logs/deep/file"), "x");
    machine.reboot();
    let record = |name: &str| {
        let at = stillframe_wire::MountPoint::new(machine.at(name)).unwrap();
        machine.path(format!("/etc/stillframe/mounts.d/{}.json", at.name()))
    };
    machine.unlink(&disks[3]);
    std::fs::write(record("spoilt"), "{").unwrap();
    std::fs::set_permissions(record("theirs"), PermissionsExt::from_mode(0o664)).unwrap();
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert_eq!(code, NOT_MOUNTED);
    for name in ["data", "data/logs", "data/logs/deep", "other", "zzz"] {
        assert_eq!(outcome(&report, &machine.at(name)).outcome, Mounted::Mounted, "{name}: {report:?}");
    }
    for (name, ended, why) in [
        ("gone", Mounted::Failed, "did not appear within 1 s"),
        ("spoilt", Mounted::Failed, "failed to understand"),
        ("spoilt/in", Mounted::HeldBack, "in which it lies, is not mounted"),
        ("theirs", Mounted::Failed, "mode 0664"),
    ] {
        let found = outcome(&report, &machine.at(name));
        assert_eq!(found.outcome, ended, "{name}: {found:?}");
        assert!(found.error.as_ref().unwrap().contains(why), "{name}: {found:?}");
        assert!(!machine.is_mounted(&machine.at(name)));
    }
    assert_eq!(machine.read(&machine.at("data/logs/deep/file")).as_deref(), Some("x"));
    // What was missing comes, and only that is mounted then.
    machine.link(&disks[3]);
    let (_, report) = machine.report(&["mount", "--boot"]);
    assert_eq!(outcome(&report, &machine.at("gone")).outcome, Mounted::Mounted);
    assert_eq!(outcome(&report, &machine.at("zzz")).outcome, Mounted::Already);
    // A folder that others can write to says nothing that root would believe.
    let folder = machine.path("/etc/stillframe/mounts.d");
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert!(code == NOT_MOUNTED && report.error.unwrap().contains("mode 0777"));
}

#[test]
fn a_boot_without_records_is_well() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let machine = Machine::start();
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert_eq!((code, report.mounts.len(), report.error), (0, 0, None));
}

#[test]
fn independent_mounts_are_made_at_once_and_one_that_hangs_ends_at_its_own_limit() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let (_, order) = ordered(&mut machine, &["a", "b", "c"], "");
    // Each waits for the others: one after the other, none would ever begin.
    let meet = machine.path("/run/meet");
    std::fs::create_dir(&meet).unwrap();
    machine.hook(
        "pre-mount",
        "meet",
        0o755,
        "touch /run/meet/${STILLFRAME_MOUNT_POINT##*/}\nwhile [ $(ls /run/meet | wc -l) -lt 3 ]; do sleep 0.05; done",
    );
    let (code, report) = machine.mount(&order);
    assert_eq!(code, 0, "{report:?}");
    machine.reboot();
    // One of them sleeps for ever now, and has a second.
    machine.hook("pre-mount", "meet", 0o755, "case $STILLFRAME_MOUNT_POINT in */b) sleep 600;; esac");
    let at = stillframe_wire::MountPoint::new(machine.at("b")).unwrap();
    let record = machine.path(format!("/etc/stillframe/mounts.d/{}.json", at.name()));
    let text = std::fs::read_to_string(&record).unwrap();
    let text =
        text.replace("\"wait_s\": 60", "\"wait_s\": 1").replace("\"timeout_s\": 300", "\"timeout_s\": 1");
    std::fs::write(&record, text).unwrap();
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert_eq!(code, NOT_MOUNTED);
    assert!(
        outcome(&report, at.as_str()).error.as_ref().unwrap().contains("did not end within"),
        "{report:?}"
    );
    for name in ["a", "c"] {
        assert_eq!(outcome(&report, &machine.at(name)).outcome, Mounted::Mounted, "{report:?}");
    }
}

#[test]
fn hooks_run_around_mounts_and_learn_how_they_ended() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let (disks, order) = ordered(&mut machine, &["a", "b"], r#", "wait_s": 0"#);
    let tell = "echo $STILLFRAME_HOOK ${STILLFRAME_MOUNT_POINT##*/} $STILLFRAME_OUTCOME >> /run/log";
    for event in ["pre-mounts", "post-mounts", "pre-mount", "post-mount"] {
        machine.hook(event, "10-tell", 0o755, tell);
    }
    machine.hook(
        "post-mount",
        "20-env",
        0o755,
        "env | grep ^STILLFRAME | sort > /run/env-${STILLFRAME_MOUNT_POINT##*/}; echo heard; exit 3",
    );
    machine.unlink(&disks[1]);
    let (code, report) = machine.mount(&order);
    assert_eq!(code, NOT_MOUNTED);
    let log = machine.read("/run/log").unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!((lines[0].trim(), lines.last().unwrap().trim()), ("pre-mounts", "post-mounts failed"));
    for line in ["pre-mount a", "post-mount a done", "post-mount b failed"] {
        assert!(lines.iter().any(|found| found.trim() == line), "{line}: {log}");
    }
    let a = outcome(&report, &machine.at("a"));
    assert_eq!((a.outcome, a.hooks.len(), a.warnings.len()), (Mounted::Mounted, 3, 1), "{a:?}");
    let env = machine.read("/run/env-a").unwrap();
    for line in [
        format!("STILLFRAME_DEVICE={}", disks[0].device),
        "STILLFRAME_FILE_SYSTEM=ext4".to_owned(),
        "STILLFRAME_RUN=r7".to_owned(),
        format!("STILLFRAME_VOLUME={}", disks[0].id),
        format!("STILLFRAME_MOUNT_POINT={}", machine.at("a")),
        "STILLFRAME_OUTCOME=done".to_owned(),
    ] {
        assert!(env.lines().any(|found| found == line), "{line}: {env}");
    }
    assert!(machine.read("/run/env-b").unwrap().contains("STILLFRAME_ERROR=volume vol-"));
    // A pre- hook that fails keeps it from being mounted, and the others are.
    machine.link(&disks[1]);
    machine.reboot();
    machine.hook("pre-mount", "20-no", 0o755, "case $STILLFRAME_MOUNT_POINT in */a) exit 9;; esac");
    let (_, report) = machine.mount(&order);
    let a = outcome(&report, &machine.at("a"));
    assert!(a.outcome == Mounted::Failed && a.error.as_ref().unwrap().contains("exit code 9"), "{a:?}");
    assert_eq!(outcome(&report, &machine.at("b")).outcome, Mounted::Mounted);
    // Of the whole: nothing is.
    machine.reboot();
    machine.hook("pre-mounts", "20-no", 0o755, "exit 9");
    let (code, report) = machine.mount(&order);
    assert_eq!(code, NOT_MOUNTED);
    assert!(report.mounts.iter().all(|mount| mount.outcome == Mounted::HeldBack), "{report:?}");
    assert!(machine.mounts().is_empty());
    let last = machine.read("/run/log").unwrap();
    assert_eq!(last.lines().last().unwrap().trim(), "post-mounts failed", "it learns of it");
}

#[test]
fn what_a_hook_put_on_a_blank_volume_is_not_formatted_over() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let disk = machine.volume(320, &[]);
    machine.hook("pre-mount", "1", 0o755, "mkfs.xfs -q $STILLFRAME_DEVICE");
    let at = machine.at("a");
    let outcome = machine.mount_one(&disk, &at, r#", "blank": true, "file_system": "ext4""#);
    let error = outcome.error.unwrap();
    assert!(error.contains("not blank: it carries xfs"), "{error}");
    assert!(!outcome.formatted && !machine.is_mounted(&at));
    let kind = machine.run("blkid", &["-p", "-o", "value", "-s", "TYPE", &disk.device]).stdout;
    assert_eq!(String::from_utf8(kind).unwrap().trim(), "xfs");
}

#[test]
fn a_hook_with_loose_permissions_keeps_everything_as_it_is() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let disk = machine.volume(64, &[]);
    let before = bytes_of(&disk);
    machine.hook("pre-mounts", "1", 0o755, "touch /run/ran");
    machine.hook("post-mount", "2", 0o775, "touch /run/ran");
    let order = format!(
        r#"{{"mounts": [{{"volumes": ["{}"], "mount_point": "{}", "blank": true, "file_system": "ext4"}}]}}"#,
        disk.id,
        machine.at("a")
    );
    let (code, report) = machine.mount(&order);
    assert_eq!(code, NOT_MOUNTED);
    let error = report.error.unwrap();
    assert!(error.contains("post-mount.d/2 can be written by others than root (mode 0775)"), "{error}");
    assert!(
        !machine.path("/run/ran").exists() && machine.mounts().is_empty() && machine.records().is_empty()
    );
    assert_eq!(bytes_of(&disk), before);
    let (code, _) = machine.mount(&order.replacen('{', "{\"hooks\": false, ", 1));
    assert_eq!(code, 0, "without hooks it may");
}

#[test]
fn who_holds_a_mount_is_named_and_the_record_goes_or_stays() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let (disks, order) = ordered(&mut machine, &["a", "a/in", "b"], "");
    assert_eq!(machine.mount(&order).0, 0);
    let (a, inner, b) = (machine.at("a"), machine.at("a/in"), machine.at("b"));
    machine.hook("pre-unmount", "1", 0o755, "echo $STILLFRAME_MOUNT_POINT >> /run/log");
    machine.hook("post-unmount", "1", 0o755, "echo $STILLFRAME_OUTCOME >> /run/log");
    let (code, report) = machine.report(&["unmount", &a]);
    let error = report.mounts[0].error.clone().unwrap();
    assert!(code == NOT_MOUNTED && error.contains(&format!("{inner} is mounted in it")), "{error}");
    let mut holder = machine.command("sh");
    holder.args(["-c", "cd \"$0\" && exec 8>held && echo ready && exec sleep 300", &inner]);
    let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
    let file = machine.path(format!("{inner}/held"));
    assert!(within(Duration::from_secs(10), || file.exists()));
    let is_sleep = || common::instance::name(holder.id()).as_deref() == Some("sleep");
    assert!(within(Duration::from_secs(10), is_sleep));
    let (code, report) = machine.report(&["unmount", "--all"]);
    assert_eq!(code, NOT_MOUNTED);
    let error = outcome(&report, &inner).error.clone().unwrap();
    let named = format!("sleep (pid {}: working directory, 1 open file)", holder.id());
    assert!(error.contains(&named), "{error}");
    assert!(outcome(&report, &inner).recorded && machine.is_mounted(&inner) && machine.is_mounted(&a));
    assert_eq!(outcome(&report, &b).outcome, Mounted::Unmounted, "the others are unmounted");
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(machine.mount(&order).0, 0);
    let (code, report) = machine.report(&["unmount", "--volume", disks[2].id.as_str(), "--keep-record"]);
    assert!(code == 0 && report.mounts[0].recorded && !machine.is_mounted(&b), "{report:?}");
    assert_eq!(machine.report(&["mount", "--boot"]).0, 0);
    assert!(machine.is_mounted(&b));
    let (code, report) = machine.report(&["unmount", "--all"]);
    let order: Vec<&str> = report.mounts.iter().map(|mount| mount.mount_point.as_str()).collect();
    assert_eq!((code, order), (0, vec![b.as_str(), &inner, &a]));
    assert!(machine.records().is_empty() && machine.mounts().is_empty());
    let log = machine.read("/run/log").unwrap();
    assert!(log.contains("failed\n") && log.ends_with("done\n"), "{log}");
    for other in ["/etc", "/run"] {
        let (code, report) = machine.report(&["unmount", other]);
        assert!(code == NOT_MOUNTED && report.error.unwrap().contains("holds nothing of a volume"));
    }
}

#[test]
fn the_list_shows_what_is_mounted_and_what_is_recorded() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let (disks, order) = ordered(&mut machine, &["a", "b", "c"], "");
    assert_eq!(machine.mount(&order).0, 0);
    assert!(machine.run("umount", &[&machine.at("b")]).status.success());
    assert!(machine.run("umount", &[&machine.at("c")]).status.success());
    machine.unlink(&disks[2]);
    let output = machine.helper().args(["list", "--json"]).output().unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let row =
        |n: usize| rows.iter().find(|row| row["volume"] == disks[n].id.as_str() && row["recorded"] == true);
    let at = |n: usize| {
        row(n).map(|row| (row["mounted"].clone(), row["device"].clone(), row["mount_point"].clone()))
    };
    assert_eq!(
        at(0),
        Some((true.into(), disks[0].device.clone().into(), machine.at("a").into())),
        "{rows:?}"
    );
    assert_eq!(
        at(1),
        Some((false.into(), disks[1].device.clone().into(), machine.at("b").into())),
        "{rows:?}"
    );
    assert_eq!(at(2), Some((false.into(), serde_json::Value::Null, machine.at("c").into())), "{rows:?}");
    let table = String::from_utf8(machine.helper().arg("list").output().unwrap().stdout).unwrap();
    assert!(table.contains("recorded, and its volume is not attached"), "{table}");
    assert!(table.contains("recorded, and not mounted"), "{table}");
}
