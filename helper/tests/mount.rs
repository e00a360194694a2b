//! Mounts of real file systems on loop devices: what is made, checked, grown, mounted and mounted again at
//! boot, and what is refused with nothing changed.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::machine::{Disk, MIB, Machine, bytes_of, mkfs};
use common::{alone, have, have_devices, skip, within};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::time::Duration;
use stillframe_wire::{Exit, MountReport, Mounted};

const KINDS: [&str; 3] = ["ext4", "xfs", "btrfs"];

fn wants(fs: &str) -> String {
    format!(r#", "file_system": "{fs}""#)
}

#[test]
fn a_blank_volume_is_formatted_mounted_recorded_and_mounted_again_at_boot() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let mut disks = Vec::new();
    for fs in KINDS {
        let disk = machine.volume(320, &[]);
        let at = machine.at(fs);
        let fields = format!(r#", "blank": true, "mount_options": "noatime,nofail"{}"#, wants(fs));
        let outcome = machine.mounted(&disk, &at, &fields);
        assert!(outcome.formatted && outcome.recorded && outcome.warnings.is_empty(), "{outcome:?}");
        assert_eq!((outcome.file_system.as_deref(), &outcome.uuid), (Some(fs), &Some(machine.uuid(&disk))));
        machine.write(&format!("{at}/file"), fs);
        disks.push((disk, at, fields));
    }
    for (disk, at, fields) in &disks {
        let outcome = machine.mount_one(disk, at, fields);
        assert_eq!((outcome.outcome, outcome.formatted), (Mounted::Already, false), "{outcome:?}");
    }
    assert_eq!(machine.mounts().len(), 3);
    for boot in 0..2 {
        machine.reboot();
        let (code, report) = machine.report(&["mount", "--boot"]);
        assert_eq!((code, report.mounts.len()), (0, 3), "{report:?}");
        assert!(report.mounts.iter().all(|m| m.outcome == Mounted::Mounted && m.recorded && !m.formatted));
        for (_, at, _) in &disks {
            let fs = at.rsplit('/').next().unwrap();
            assert_eq!(machine.read(&format!("{at}/file")).as_deref(), Some(fs), "boot {boot}");
        }
    }
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert!(code == 0 && report.mounts.iter().all(|m| m.outcome == Mounted::Already), "{report:?}");
    let table = String::from_utf8(machine.run("cat", &["/proc/self/mounts"]).stdout).unwrap();
    for (_, at, _) in &disks {
        assert!(table.lines().any(|line| line.contains(at) && line.contains("noatime")), "{table}");
    }
}

/// Everything that a refused order must leave alone.
fn state(machine: &Machine, disks: &[&Disk]) -> (Vec<String>, Vec<(String, String)>, Vec<String>) {
    (disks.iter().map(|disk| bytes_of(disk)).collect(), machine.mounts(), machine.records())
}

#[test]
fn bad_input_is_one_clear_error_and_changes_nothing() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let good = machine.volume(64, &mkfs("ext4"));
    let blank = machine.volume(64, &[]);
    let swap = machine.volume(64, &["mkswap"]);
    let raw = machine.volume(64, &[]);
    std::fs::File::options().write(true).open(&raw.image).unwrap().write_all_at(b"data", 40 * MIB).unwrap();
    let other = machine.volume(320, &mkfs("xfs"));
    let damaged = machine.volume(64, &mkfs("ext4"));
    // The root directory's inode is a regular file: nothing that a check may repair by itself.
    // The kernel noted errors: a check looks at everything.
    for spoil in ["set_inode_field <2> mode 0100644", "set_super_value state 2"] {
        let image = damaged.image.to_str().unwrap();
        assert!(Command::new("debugfs").args(["-w", "-R", spoil, image]).output().unwrap().status.success());
    }
    let at = |name: &str| machine.at(name);
    std::fs::create_dir_all(machine.path(at("full/x"))).unwrap();
    std::fs::create_dir_all(machine.path(at("empty"))).unwrap();
    machine.write(&at("file"), "");
    std::os::unix::fs::symlink("empty", machine.path(at("link"))).unwrap();
    std::fs::create_dir_all(machine.path(at("taken"))).unwrap();
    assert!(machine.run("mount", &["-t", "tmpfs", "none", &at("taken")]).status.success());
    let all = [&good, &blank, &swap, &raw, &other, &damaged];
    let before = state(&machine, &all);
    let blank_ext4 = format!(r#", "blank": true{}"#, wants("ext4"));
    let gone = Disk { id: stillframe_wire::VolumeId::new("vol-0cccccccccccccc00").unwrap(), ..good.clone() };
    let rows: Vec<(&Disk, String, &str, &str)> = vec![
        (&blank, at("new"), "", "holds no file system"),
        (&blank, at("new"), r#", "file_system": "ext4""#, "holds no file system"),
        (&swap, at("new"), "", "holds swap, which is no file system"),
        (&swap, at("new"), &blank_ext4, "not blank: it carries swap"),
        (&good, at("new"), r#", "blank": true, "file_system": "xfs""#, "not blank: it carries ext4"),
        (&raw, at("new"), &blank_ext4, "not blank: it carries data without a known signature (at byte 4194"),
        (&other, at("new"), r#", "file_system": "ext4""#, "holds xfs, and the order says ext4"),
        (&good, at("full"), "", "is not empty (it holds \"x\")"),
        (&good, at("file"), "", "is no directory"),
        (&good, at("file/below"), "", "is no directory"),
        (&good, at("link"), "", "is a symbolic link"),
        (&good, at("link/below"), "", "is a symbolic link"),
        (&good, "/proc/x".to_owned(), "", "the kernel's"),
        (&good, at("taken"), "", "is mounted at"),
        (&good, at("new"), r#", "mount_options": "bind""#, "mount option \"bind\""),
        (
            &good,
            at("new/deep"),
            r#", "mount_options": "no-such-option=1", "check": false"#,
            "failed to mount",
        ),
        (&good, at("new"), r#", "owner": "nobody-of-that-name""#, "user \"nobody-of-that-name\""),
        (&good, at("new"), r#", "group": "nobody-of-that-name""#, "group \"nobody-of-that-name\""),
        (&good, at("new"), r#", "partition": 1, "wait_s": 0"#, "has no partition 1; it has none"),
        (&gone, at("new"), r#", "wait_s": 0"#, "did not appear within 0 s"),
        (&damaged, at("new"), "", "asks for a person"),
    ];
    for (disk, at, fields, expected) in rows {
        let outcome = machine.mount_one(disk, &at, fields);
        let error = outcome.error.clone().unwrap_or_default();
        assert_eq!(outcome.outcome, Mounted::Failed, "{fields}: {outcome:?}");
        assert!(error.contains(expected), "{fields}: {error}");
        assert!(!outcome.formatted && !outcome.recorded);
        assert!(!machine.path(machine.at("new")).exists(), "{expected}: a directory stays");
        // A check that finds something writes what it found into the damaged file system.
        if disk.image != damaged.image {
            let n = all.iter().position(|other| other.image == disk.image).unwrap();
            assert_eq!(bytes_of(disk), before.0[n], "{expected}: its bytes have changed");
        }
        assert_eq!((machine.mounts(), machine.records()), (before.1.clone(), before.2.clone()), "{expected}");
    }
    assert_eq!(state(&machine, &all[..5]).0, before.0[..5]);
    for (order, expected) in [
        ("volumes: none".to_owned(), "mount order: expected value"),
        (
            r#"{"mounts": [{"volumes": ["vol-0123456789abcdef0"], "mount_point": "data"}]}"#.to_owned(),
            "not absolute",
        ),
        (
            r#"{"mounts": [{"volumes": ["vol-0123456789abcdef0"], "mount_point": "/a/../b"}]}"#.to_owned(),
            "has a ..",
        ),
        (
            format!(
                r#"{{"mounts": [{{"volumes": ["{}"], "mount_point": "/a", "file_system": "ntfs"}}]}}"#,
                good.id
            ),
            "mounts[0].file_system",
        ),
    ] {
        let (code, report) = machine.mount(&order);
        assert_eq!((code, report.mounts.len()), (i32::from(Exit::NotMounted.code()), 0));
        assert!(report.error.as_ref().unwrap().contains(expected), "{report:?}");
    }
    for arguments in [
        vec!["mount"],
        vec!["mount", "--volume", "vol-1", "--at", "/a"],
        vec!["mount", "--volume", "vol-0123456789abcdef0", "--at", "a"],
        vec!["mount", "--volume", "vol-0123456789abcdef0"],
        vec!["mount", "--boot", "--blank"],
    ] {
        assert_eq!(
            machine.helper().args(&arguments).output().unwrap().status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
    assert_eq!(machine.mounts(), before.1);
    let outcome = machine.mounted(&good, &machine.at("full"), r#", "over_non_empty": true"#);
    assert!(outcome.recorded, "told to, it does");
}

#[test]
fn a_copy_beside_its_original_gets_a_uuid_of_its_own_or_is_mounted_with_the_one_it_has() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    for fs in KINDS {
        let original = machine.volume(320, &mkfs(fs));
        machine.mounted(&original, &machine.at(&format!("{fs}-original")), "");
        let file = machine.at(&format!("{fs}-original/file"));
        machine.write(&file, "before");
        assert!(machine.run("sync", &["-f", &file]).status.success());
        // The log of each copy is as dirty as a power cut leaves it.
        let copies: Vec<Disk> = (0..3).map(|_| machine.copy_of(&original)).collect();
        machine.write(&file, "after");
        let uuid = machine.uuid(&original);
        let at = |name: &str| machine.at(&format!("{fs}-{name}"));
        let refused = machine.mount_one(&copies[0], &at("copy"), r#", "duplicate": "refuse""#);
        if fs == "ext4" {
            assert_eq!(refused.outcome, Mounted::Mounted, "ext4 does not mind: {refused:?}");
        } else {
            let error = refused.error.unwrap_or_default();
            assert!(error.contains("same UUID") && error.contains(&original.device), "{fs}: {error}");
            let outcome = machine.mounted(&copies[0], &at("copy"), "");
            assert!(outcome.new_uuid && outcome.uuid.as_ref() != Some(&uuid), "{fs}: {outcome:?}");
            assert_eq!(outcome.uuid, Some(machine.uuid(&copies[0])));
        }
        let outcome = machine.mount_one(&copies[1], &at("same"), r#", "duplicate": "nouuid""#);
        let error = outcome.error.clone().unwrap_or_default();
        if outcome.outcome == Mounted::Mounted {
            assert!(!outcome.new_uuid && machine.uuid(&copies[1]) == uuid, "{fs}");
        } else {
            assert!(fs == "btrfs" && error.contains("failed to mount"), "{fs}: {error}");
        }
        let before = bytes_of(&copies[2]);
        let read_only =
            machine.mount_one(&copies[2], &at("read-only"), r#", "mount_options": "ro,norecovery""#);
        if fs == "xfs" {
            assert_eq!((read_only.outcome, read_only.new_uuid), (Mounted::Mounted, false), "{read_only:?}");
            assert_eq!(bytes_of(&copies[2]), before, "a read-only mount changes nothing");
        }
        assert_eq!(machine.read(&format!("{}/file", at("copy"))).as_deref(), Some("before"), "{fs}");
        assert_eq!((machine.read(&file).as_deref(), machine.uuid(&original)), (Some("after"), uuid), "{fs}");
    }
    assert!(
        std::fs::read_dir(machine.path("/run/stillframe"))
            .unwrap()
            .flatten()
            .all(|entry| { !entry.file_name().to_string_lossy().starts_with("scratch") })
    );
}

#[test]
fn a_file_system_grows_into_a_larger_volume_at_once_and_at_boot() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let mut disks = Vec::new();
    for fs in KINDS {
        let disk = machine.volume(320, &mkfs(fs));
        let at = machine.at(fs);
        machine.enlarge(&disk, 448);
        let outcome = machine.mounted(&disk, &at, "");
        assert!(outcome.grown_bytes > 100 * MIB && outcome.warnings.is_empty(), "{fs}: {outcome:?}");
        machine.write(&format!("{at}/file"), fs);
        disks.push(disk);
    }
    let still = machine.volume(320, &mkfs("ext4"));
    machine.enlarge(&still, 448);
    assert_eq!(machine.mounted(&still, &machine.at("still"), r#", "grow": false"#).grown_bytes, 0);
    machine.reboot();
    for disk in &disks {
        machine.enlarge(disk, 640);
    }
    let (code, report) = machine.report(&["mount", "--boot"]);
    assert_eq!(code, 0, "{report:?}");
    for outcome in &report.mounts {
        let is_still = outcome.mount_point.ends_with("still");
        assert_eq!(outcome.grown_bytes > 150 * MIB, !is_still, "{outcome:?}");
        assert!(is_still || machine.read(&format!("{}/file", outcome.mount_point)).is_some());
    }
}

#[test]
fn the_last_partition_grows_with_its_disk() {
    if !have_devices() || !have("sfdisk") {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let image = machine.folder.path().join("parts");
    std::fs::File::create(&image).unwrap().set_len(128 * MIB).unwrap();
    let mut sfdisk = Command::new("sfdisk").arg("-q").arg(&image).stdin(Stdio::piped()).spawn().unwrap();
    use std::io::Write;
    sfdisk.stdin.take().unwrap().write_all(b"label: gpt\n,32M\n,\n").unwrap();
    assert!(sfdisk.wait().unwrap().success());
    let disk = machine.attach_unseen(image);
    machine.link(&disk);
    let partition = format!("{}p2", disk.device);
    // A kernel that reads no partition tables is told by partx.
    let _ = machine.run("partx", &["-a", &disk.device]);
    if !within(Duration::from_secs(3), || std::path::Path::new(&partition).exists()) {
        skip("this kernel shows no partitions of loop devices");
        return;
    }
    assert!(Command::new("mkfs.ext4").args(["-q", &partition]).status().unwrap().success());
    machine.enlarge(&disk, 256);
    // Two partitions, one with a file system: no need to say which.
    let outcome = machine.mounted(&disk, &machine.at("p"), "");
    assert_eq!(outcome.device.as_deref(), Some(partition.as_str()));
    assert!(outcome.grown_bytes > 100 * MIB && outcome.warnings.is_empty(), "{outcome:?}");
    let outcome = machine.mount_one(&disk, &machine.at("q"), r#", "partition": 1"#);
    assert!(outcome.error.unwrap().contains("holds no file system"));
    let outcome = machine.mount_one(&disk, &machine.at("q"), r#", "partition": 3, "wait_s": 0"#);
    assert!(outcome.error.unwrap().contains("has no partition 3"));
}

#[test]
fn owner_and_mode_are_set_once_and_left_alone_at_boot() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let disk = machine.volume(64, &mkfs("ext4"));
    let at = machine.at("data");
    machine.mounted(&disk, &at, r#", "owner": "daemon", "group": "7", "mode": "2750""#);
    let seen = || {
        let found = std::fs::metadata(machine.path(&at)).unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    };
    assert_eq!(seen(), (1, 7, 0o2750));
    std::fs::set_permissions(machine.path(&at), PermissionsExt::from_mode(0o700)).unwrap();
    machine.reboot();
    assert_eq!(machine.report(&["mount", "--boot"]).0, 0);
    assert_eq!(seen(), (1, 7, 0o700), "what an administrator changed stays");
}

#[test]
fn a_btrfs_over_two_volumes_is_mounted_when_both_are_there() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let first = machine.volume(200, &[]);
    let second = machine.volume(200, &[]);
    let made = machine.run("mkfs.btrfs", &["-q", "-f", &first.device, &second.device]);
    assert!(made.status.success(), "{made:?}");
    // As on a machine that has never seen them.
    let _ = machine.run("btrfs", &["device", "scan", "--forget", &first.device]);
    let _ = machine.run("btrfs", &["device", "scan", "--forget", &second.device]);
    let at = machine.at("set");
    machine.unlink(&second);
    let order = format!(
        r#"{{"mounts": [{{"volumes": ["{}", "{}"], "mount_point": "{at}", "wait_s": 0}}]}}"#,
        first.id, second.id
    );
    let (_, report) = machine.mount(&order);
    assert!(report.mounts[0].error.as_ref().unwrap().contains(second.id.as_str()), "{report:?}");
    machine.link(&second);
    let (code, report) = machine.mount(&order);
    assert_eq!((code, report.mounts[0].outcome), (0, Mounted::Mounted), "{report:?}");
    assert_eq!(machine.mount(&order).1.mounts[0].outcome, Mounted::Already);
    machine.reboot();
    assert_eq!(machine.report(&["mount", "--boot"]).0, 0);
    assert!(machine.is_mounted(&at));
}

#[test]
fn a_volume_that_appears_late_is_waited_for() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let image = machine.folder.path().join("late");
    std::fs::File::create(&image).unwrap().set_len(64 * MIB).unwrap();
    assert!(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status().unwrap().success());
    let disk = machine.attach_unseen(image);
    let at = machine.at("late");
    let child = machine
        .helper()
        .args(["mount", "--volume", disk.id.as_str(), "--at", &at])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Its lock shows that it is at work.
    let lock = machine.path(format!("/run/stillframe/{}.lock", disk.id));
    assert!(within(Duration::from_secs(10), || lock.exists()));
    machine.link(&disk);
    let output = child.wait_with_output().unwrap();
    let report = MountReport::read(&output.stdout).unwrap();
    assert_eq!((output.status.code(), report.mounts[0].outcome), (Some(0), Mounted::Mounted), "{report:?}");
}

#[test]
fn two_helpers_at_once_mount_a_volume_once() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut machine = Machine::start();
    let disk = machine.volume(64, &[]);
    let at = machine.at("data");
    let start = || {
        let arguments =
            ["mount", "--blank", "--file-system", "ext4", "--volume", disk.id.as_str(), "--at", &at];
        machine.helper().args(arguments).stdout(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    let mut ends = both.map(|output| MountReport::read(&output.stdout).unwrap().mounts[0].outcome);
    ends.sort_by_key(|end| *end == Mounted::Already);
    assert_eq!(ends, [Mounted::Mounted, Mounted::Already]);
    assert_eq!(machine.mounts().iter().filter(|(point, _)| *point == at).count(), 1);
}
