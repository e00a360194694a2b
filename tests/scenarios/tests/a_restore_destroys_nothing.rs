//! A restore destroys nothing: a file system is made only on a volume that was made blank and carries nothing,
//! nothing is mounted over what is there, and the original of a copy stays as it is.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{Region, daily};
use serde_json::{Value, json};
use std::fs::File;
use std::os::unix::fs::FileExt;

const SOURCE: &str = "i-0aaaaaaaaaaaaaaa1";
const HOST: &str = "i-0bbbbbbbbbbbbbbb2";

/// An instance with a file system of each kind, and one without any volume.
const SPEC: &str = r#"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
tags = { role = "db", stillframe = "volumes", "stillframe:restore" = "user-data" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa01"
fs = "ext4"
mount = "/srv/ext4"
tags = { stillframe = "daily" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa02"
fs = "xfs"
mount = "/srv/xfs"
tags = { stillframe = "daily" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa03"
fs = "btrfs"
mount = "/srv/btrfs"
tags = { stillframe = "daily" }

[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
tags = { role = "db", stillframe = "volumes", "stillframe:restore" = "user-data" }
"#;
const PLACES: [&str; 3] = ["/srv/ext4", "/srv/xfs", "/srv/btrfs"];

fn asked(instance: &str, fields: Value) -> Value {
    let mut asked = fields;
    asked["instance"] = json!(instance);
    json!({ "restore": asked })
}

fn back_up(region: &Region) {
    for at in PLACES {
        region.write_inside(SOURCE, &format!("{at}/file"), at);
    }
    region.backup(daily());
    region.complete_snapshots();
}

#[test]
fn a_first_boot_has_blank_volumes_where_that_is_allowed_and_one_sentence_where_not() {
    let Some(region) = Region::with_disks(SPEC) else { return };
    let volumes = json!([
        {"mount_point": "/srv/ext4", "size": 1, "file_system": "ext4"},
        {"mount_point": "/srv/xfs", "size": 1},
    ]);
    let result = region.invoke("restore", &asked(HOST, json!({"volumes": volumes})));
    assert_eq!(result["status"], "refused", "{result}");
    assert!(result["message"].as_str().is_some_and(|text| text.contains("no restore point has")), "{result}");
    assert_eq!((region.calls("CreateVolume"), region.mounted_on(HOST).len()), (0, 0));

    let result = region.invoke("restore", &asked(HOST, json!({"blank": true, "volumes": volumes})));
    assert_eq!(result["status"], "restored", "{result}");
    for (at, fs) in [("/srv/ext4", "ext4"), ("/srv/xfs", "xfs")] {
        let mount = Region::mount_in(&result, at);
        assert_eq!((&mount["formatted"], &mount["file_system"]), (&json!(true), &json!(fs)), "{mount}");
        region.write_inside(HOST, &format!("{at}/file"), at);
    }
    // Asked again, it is not blank any more, and nothing is made anew.
    let result = region.invoke("restore", &asked(HOST, json!({"blank": true, "volumes": volumes})));
    assert_eq!(result["status"], "already-there", "{result}");
    for at in ["/srv/ext4", "/srv/xfs"] {
        assert_eq!(Region::mount_in(&result, at)["outcome"], "already", "{result}");
        assert_eq!(region.read_inside(HOST, &format!("{at}/file")).as_deref(), Some(at));
    }
}

#[test]
fn a_first_boot_that_ended_before_its_mounts_is_finished_by_the_next_try() {
    let Some(region) = Region::with_disks(SPEC) else { return };
    let spec = json!({"blank": true, "volumes": [{"mount_point": "/srv/new", "size": 1}]});
    for operation in ["CreateTags", "DescribeInstanceInformation"] {
        region.faults(&json!({"op": operation, "fault": "kill-caller", "caller": "restore"}));
        assert!(region.try_restore(&asked(HOST, spec.clone())).is_err(), "not killed after {operation}");
    }
    let result = region.invoke("restore", &asked(HOST, spec));
    let mount = Region::mount_in(&result, "/srv/new");
    assert_eq!((&result["status"], &mount["formatted"]), (&json!("already-there"), &json!(true)), "{result}");
    assert_eq!(region.restored_volumes(), (1, 1));
}

#[test]
fn a_volume_that_carries_anything_is_never_formatted() {
    // At the beginning of the disk, and in the middle of it, where no signature is.
    for place in [0, 700 << 20] {
        let Some(region) = Region::with_disks(SPEC) else { return };
        let spec = json!({"blank": true, "volumes": [{"mount_point": "/srv/new", "size": 1, "file_system": "ext4"}]});
        region.faults(&json!({"op": "CreateTags", "fault": "kill-caller", "caller": "restore"}));
        assert!(region.try_restore(&asked(HOST, spec.clone())).is_err());
        assert_eq!(region.restored_volumes(), (1, 1));
        // Attached, and before the helper comes somebody begins to use the disk by itself.
        let device = region.inside(HOST, "/dev/sdf");
        let text = b"a database that needs no file system";
        let disk = File::options().read(true).write(true).open(device).expect("the disk");
        disk.write_all_at(text, place).and_then(|()| disk.sync_all()).expect("a write");

        let result = region.invoke("restore", &asked(HOST, spec));
        assert_eq!(result["status"], "not-mounted", "{result}");
        let mount = Region::mount_in(&result, "/srv/new");
        let error = mount["error"].as_str().unwrap_or_default();
        assert!(error.contains("not blank") || error.contains("data without"), "{mount}");
        let mut found = vec![0; text.len()];
        disk.read_exact_at(&mut found, place).expect("a read");
        assert_eq!(found, text, "the bytes at {place}");
        assert!(!region.mounted_on(HOST).contains_key("/srv/new"));
    }
}

#[test]
fn a_mount_point_that_is_not_empty_keeps_what_it_has() {
    let Some(region) = Region::with_disks(SPEC) else { return };
    back_up(&region);
    region.terminate_instance(SOURCE);
    region.write_inside(HOST, "/srv/xfs/mine", "here before");
    let result = region.invoke("restore", &asked(HOST, json!({})));
    assert_eq!(result["status"], "not-mounted", "{result}");
    let mount = Region::mount_in(&result, "/srv/xfs");
    assert_eq!(mount["outcome"], "failed", "{mount}");
    assert!(mount["error"].as_str().is_some_and(|error| error.contains("mine")), "{mount}");
    assert_eq!(region.read_inside(HOST, "/srv/xfs/mine").as_deref(), Some("here before"));
    let mounted = region.mounted_on(HOST);
    assert_eq!(mounted.keys().collect::<Vec<_>>(), ["/srv/btrfs", "/srv/ext4"], "the others are mounted");
    // Out of the way, the next try goes on from there.
    region.run_on(HOST, "mv /srv/xfs /srv/before");
    let result = region.invoke("restore", &asked(HOST, json!({})));
    assert_eq!(result["status"], "already-there", "{result}");
    for at in PLACES {
        assert_eq!(region.read_inside(HOST, &format!("{at}/file")).as_deref(), Some(at));
    }
    assert_eq!(region.restored_volumes(), (3, 3));
}

#[test]
fn a_copy_beside_its_original_is_mounted_and_the_original_stays() {
    let Some(region) = Region::with_disks(SPEC) else { return };
    back_up(&region);
    let uuids = || region.run_on(SOURCE, "for at in ext4 xfs btrfs; do findmnt -no UUID /srv/$at; done");
    let before = uuids();
    for at in PLACES {
        region.write_inside(SOURCE, &format!("{at}/file"), "changed since");
    }
    let volumes = PLACES.map(|at| json!({"mount_point": format!("/old{at}"), "from": at}));
    let result = region.invoke("restore", &asked(SOURCE, json!({"volumes": volumes})));
    assert_eq!(result["status"], "restored", "{result}");
    for at in PLACES {
        let copy = region.read_inside(SOURCE, &format!("/old{at}/file"));
        assert_eq!(copy.as_deref(), Some(at), "the copy has what was backed up");
        let original = region.read_inside(SOURCE, &format!("{at}/file"));
        assert_eq!(original.as_deref(), Some("changed since"), "the original has what came after");
        let renamed = Region::mount_in(&result, &format!("/old{at}"))["new_uuid"] == true;
        assert_eq!(renamed, at != "/srv/ext4", "ext4 does not mind: {result}");
    }
    assert_eq!(uuids(), before, "the originals keep their UUIDs");
    // And by its record a copy is found again, whatever UUID it has now.
    region
        .run_on(SOURCE, "umount /old/srv/ext4 /old/srv/xfs /old/srv/btrfs && stillframe-helper mount --boot");
    for at in PLACES {
        assert_eq!(region.read_inside(SOURCE, &format!("/old{at}/file")).as_deref(), Some(at));
    }
}
