//! Orders for recorded machines: what they find, and what is refused.

use super::machine::{lines, recorded, volume};
use std::collections::BTreeMap;
use std::path::Path;
use stillframe_helper::list;
use stillframe_helper::volumes::{Essential, Inventory, ResolveError, resolve};
use stillframe_wire::VolumeId;

fn inventory(name: &str) -> Inventory {
    Inventory::read(recorded(name).path()).unwrap()
}

#[test]
fn partitions_bind_mounts_blanks_and_an_image_file_are_resolved() {
    let inventory = inventory("plain");
    let disks: BTreeMap<String, &str> =
        inventory.volumes.iter().map(|(id, disk)| (id.to_string(), disk.as_str())).collect();
    assert_eq!(
        disks,
        BTreeMap::from([
            ("vol-0aaaaaaaaaaaaaaaa".to_owned(), "nvme0n1"),
            ("vol-0f000000000000001".to_owned(), "nvme1n1"),
            ("vol-0f000000000000002".to_owned(), "nvme2n1"),
            ("vol-0f00000000000000a".to_owned(), "nvme3n1"),
        ])
    );
    let ordered = [volume("1"), volume("2"), volume("a")];
    let targets = resolve(&inventory, &ordered).unwrap();
    assert_eq!(
        lines(&targets),
        [
            "/data/ext4: ext4, disk, 001, level 1",
            "/data/xfs: xfs, partition 1, 002, level 0",
            "/data/loop: ext4, loop, 001, level 0",
        ]
    );
    let mounts: Vec<_> = targets[0].mounts.iter().map(|mount| mount.mount_point.to_str().unwrap()).collect();
    assert_eq!(mounts, ["/data/ext4", "/data/bind", "/data/with space"], "one super block, best mount first");
    assert_eq!(targets[0].uuid.as_deref(), Some("568bfd94-3f7d-40a9-a8bb-23244ecb3174"));
}

#[test]
fn the_root_file_system_is_found_behind_dev_root() {
    let inventory = inventory("plain");
    let root = VolumeId::new("vol-0aaaaaaaaaaaaaaaa").unwrap();
    let targets = resolve(&inventory, &[root]).unwrap();
    assert_eq!(targets.len(), 1);
    assert_eq!(targets[0].layout, "partition 1");
    assert_eq!(targets[0].holds.first().map(|held| held.what), Some(Essential::Root));
}

#[test]
fn every_stack_at_once_is_resolved() {
    let inventory = inventory("luks-lvm");
    let all: Vec<VolumeId> = inventory.volumes.keys().cloned().collect();
    assert_eq!(
        lines(&resolve(&inventory, &all).unwrap()),
        [
            "/: ext4, partition 1, boot, level 0",
            "/data/ext4: ext4, disk, 001, level 1",
            "/data/xfs: xfs, partition 1, 002, level 0",
            "/data/loop: ext4, loop, 001, level 0",
            "/data/lin: ext4, lvm vg0/lv_lin, 003 + 004, level 0",
            "/data/str: xfs, lvm vg0/lv_str, 003 + 004, level 0",
            "/data/my-lv: ext4, lvm vg0/my-lv, 003, level 0",
            "/data/md: xfs, md md127, 005 + 006, level 0",
            "/data/bt: btrfs, disk, 007 + 008, level 0",
            "/data/luks: xfs, lvm vgc/lvc on crypt secret on partition 1, 009, level 0",
        ]
    );
}

#[test]
fn both_subvolumes_of_a_btrfs_are_one_target_on_both_members() {
    let targets = resolve(&inventory("btrfs"), &[volume("7"), volume("8")]).unwrap();
    assert_eq!(lines(&targets), ["/data/bt: btrfs, disk, 007 + 008, level 0"]);
    assert_eq!(targets[0].mounts.len(), 2);
    assert_eq!(targets[0].uuid.as_deref(), Some("b9b99567-3c7f-4e47-a8db-d5408b4ae704"));
}

#[test]
fn a_file_system_that_spans_a_volume_not_in_the_order_is_refused_with_both_named() {
    let inventory = inventory("luks-lvm");
    for (ordered, other, mount_point) in
        [("8", "7", "/data/bt"), ("7", "8", "/data/bt"), ("5", "6", "/data/md"), ("4", "3", "/data/lin")]
    {
        let error = resolve(&inventory, &[volume(ordered)]).unwrap_err();
        let ResolveError::Spans { ordered: named, other: named_other, mount_point: at } = &error else {
            panic!("{error}");
        };
        assert_eq!((named, named_other.as_str()), (&volume(ordered), volume(other).as_str()));
        assert_eq!(at, Path::new(mount_point));
        let text = error.to_string();
        assert!(text.contains(volume(ordered).as_str()) && text.contains(volume(other).as_str()), "{text}");
    }
}

#[test]
fn a_volume_that_is_not_attached_is_named() {
    let missing = volume("fff");
    let error = resolve(&inventory("plain"), &[volume("1"), missing.clone()]).unwrap_err();
    assert_eq!(error, ResolveError::NotAttached { volume: missing });
}

#[test]
fn a_multipath_controller_s_hidden_paths_are_not_taken_for_disks() {
    let inventory = inventory("multipath");
    let disks: Vec<&str> = inventory.volumes.values().map(String::as_str).collect();
    assert_eq!(disks, ["nvme0n1", "nvme1n1"]);
    assert_eq!(lines(&resolve(&inventory, &[volume("1")]).unwrap()), ["/data/a: ext4, disk, 001, level 0"]);
}

#[test]
fn the_list_of_a_recorded_machine_says_what_can_be_frozen_and_why_not() {
    let rows = list::rows(recorded("plain").path()).unwrap();
    let brief: Vec<String> = rows
        .iter()
        .map(|row| {
            let mount_point = row.mount_point.as_deref().unwrap_or("-");
            let note = row.note.as_deref().unwrap_or("");
            format!("{} {mount_point} {} {note}", row.device.as_deref().unwrap_or("-"), row.freezable)
                .trim_end()
                .to_owned()
        })
        .collect();
    assert_eq!(
        brief,
        [
            "/dev/nvme0n1 / false it is the root file system; only a policy with freeze_root has it frozen",
            "/dev/nvme1n1 /data/ext4 true",
            "/dev/nvme1n1 /data/loop true",
            "/dev/nvme2n1 /data/xfs true",
            "/dev/nvme2n1 - false swap: nvme2n1p2",
            "/dev/nvme3n1 - false no file system of it is mounted",
        ]
    );
}

#[test]
fn an_empty_machine_has_no_volumes() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Inventory::read(folder.path()).unwrap_err().to_string().contains("proc/self/mountinfo"));
    std::fs::create_dir_all(folder.path().join("proc/self")).unwrap();
    std::fs::write(folder.path().join("proc/self/mountinfo"), "").unwrap();
    assert!(list::rows(folder.path()).unwrap().is_empty());
}
