//! Freezes of what lies on and beside real file systems on loop devices: overlays, other namespaces,
//! read-only mounts, swap files, volumes that a process writes to by itself.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, yes};
use common::instance::Instance;
use common::{alone, have, have_devices};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use stillframe_wire::{FileSystemVerdict, Holds, Reason, Report, Verdict};

/// Freezes, and says what came of it; the report is consistent.
fn freeze(instance: &Instance) -> Report {
    let (_, report) = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    assert_eq!(report.verdict, Verdict::Consistent, "{}", report.render());
    report
}

fn mounts(report: &Report) -> Vec<(&str, FileSystemVerdict)> {
    report.filesystems.iter().map(|fs| (fs.mount_point.as_str(), fs.verdict)).collect()
}

fn frozen(report: &Report) -> Vec<bool> {
    report.snapshots.iter().map(|snapshot| snapshot.frozen).collect()
}

fn holds(report: &Report) -> Vec<(&str, Holds)> {
    report.volumes.iter().map(|note| (note.volume.as_str(), note.holds)).collect()
}

const A: &str = "vol-0aaaaaaaaaaaaaa00";
const B: &str = "vol-0aaaaaaaaaaaaaa01";

#[test]
fn an_overlay_waits_while_its_upper_file_system_is_frozen_and_is_not_counted() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let more = "mkdir a/up a/work b/low merged; \
                mount -t overlay -o lowerdir=b/low,upperdir=a/up,workdir=a/work overlay merged";
    let instance = Arc::new(Instance::start_with(&[("ext4", "a"), ("xfs", "b")], more));
    let (here, seen) = (Arc::downgrade(&instance), Arc::new(OnceLock::new()));
    let waited = Arc::clone(&seen);
    let function = SignalFunction::at_frozen(move |signal| {
        let instance = here.upgrade().unwrap();
        let writes = instance.write_takes_at(&instance.inside("merged"), Duration::from_millis(150));
        waited.set(writes.is_none()).unwrap();
        Reply::Answer(yes(signal))
    });
    let (_, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!((report.verdict, seen.get()), (Verdict::Consistent, Some(&true)), "{}", report.render());
    let expected = ["a", "b"].map(|name| (instance.inside(name), FileSystemVerdict::Frozen));
    assert_eq!(mounts(&report), expected.each_ref().map(|(at, verdict)| (at.as_str(), *verdict)));
    assert_eq!((frozen(&report), holds(&report)), (vec![true, true], vec![]));
    assert!(instance.write_takes_at(&instance.inside("merged"), Duration::from_secs(2)).is_some());
}

#[test]
fn an_image_file_on_an_overlay_is_frozen_before_the_upper_file_system() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let more = "mkdir a/up a/work a/low merged inner; \
                mount -t overlay -o lowerdir=$PWD/a/low,upperdir=$PWD/a/up,workdir=$PWD/a/work overlay merged; \
                truncate -s 64M merged/image; mkfs.ext4 -q -F merged/image; mount -o loop merged/image inner";
    let mut instance = Instance::start_with(&[("xfs", "a")], more);
    instance.keep("inner");
    let report = freeze(&instance);
    let mut found = mounts(&report);
    found.sort_by_key(|(at, _)| at.len());
    let expected = ["a", "inner"].map(|name| (instance.inside(name), FileSystemVerdict::Frozen));
    assert_eq!(found, expected.each_ref().map(|(at, verdict)| (at.as_str(), *verdict)));
}

#[test]
fn an_image_file_that_a_container_mounted_is_frozen_before_what_holds_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    // Inside, the image's path is /in/image or the like, which the instance does not have.
    let more = "truncate -s 64M a/image; mkfs.ext4 -q -F a/image; mkdir away inner\n\
                unshare --mount --propagation private sh -c \
                'mount --move a away; mount -o loop away/image inner; touch up; exec sleep 120' \
                >/dev/null 2>&1 &\n\
                until [ -e up ]; do :; done";
    let instance = Instance::start_with(&[("xfs", "a")], more);
    let report = freeze(&instance);
    assert_eq!(report.filesystems.len(), 2, "{}", report.render());
    assert!(report.filesystems.iter().all(|fs| fs.verdict == FileSystemVerdict::Frozen));
}

#[test]
fn read_only_mounts_and_read_only_super_blocks_are_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let more = "mkdir ro; mount --bind a ro; mount -o remount,bind,ro ro; mount -o remount,ro b; \
                mount -o remount,ro c";
    let instance = Instance::start_with(&[("ext4", "a"), ("xfs", "b"), ("btrfs", "c")], more);
    let report = freeze(&instance);
    assert_eq!(frozen(&report), [true, true, true]);
    assert_eq!(report.filesystems.len(), 3);
}

/// Two devices of one btrfs: the instance's blank volumes, joined by its own hand.
const JOINED: &str = "d() { readlink -f /dev/disk/by-id/*vol0aaaaaaaaaaaaaa0$1; }; mkdir pool home; \
                      mkfs.btrfs -q -f $(d 0) $(d 1) >/dev/null; btrfs device scan $(d 0) $(d 1) >/dev/null; \
                      mount $(d 1) pool; btrfs -q subvolume create pool/home; \
                      mount -o subvol=home $(d 0) home";

#[test]
fn a_btrfs_on_two_volumes_is_one_file_system_and_refused_without_either() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let mut instance = Instance::start_with(&[("none", "a"), ("none", "b")], JOINED);
    instance.keep("pool");
    let report = freeze(&instance);
    assert_eq!((frozen(&report), report.filesystems.len()), (vec![true, true], 1));
    for left in [0, 1] {
        let mut order = instance.order();
        order.volumes.remove(left);
        let (_, report) = instance.freeze(&order, &SignalFunction::willing()).finish();
        assert_eq!(report.reason, Some(Reason::SpansOtherVolume));
        let error = report.error.unwrap();
        assert!(error.contains(A) && error.contains(B), "{error}");
    }
}

#[test]
fn an_xfs_with_its_log_on_another_volume_spans_both() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let more = "d() { readlink -f /dev/disk/by-id/*vol0aaaaaaaaaaaaaa0$1; }; mkdir x; \
                mkfs.xfs -q -f -l logdev=$(d 1),size=64m $(d 0); mount -o logdev=$(d 1) $(d 0) x";
    let mut instance = Instance::start_with(&[("none", "a"), ("none", "b")], more);
    instance.keep("x");
    let report = freeze(&instance);
    assert_eq!((frozen(&report), report.filesystems.len()), (vec![true, true], 1));
    assert_eq!(holds(&report), []);
    let mut order = instance.order();
    order.volumes.pop();
    let (_, report) = instance.freeze(&order, &SignalFunction::willing()).finish();
    assert_eq!(report.reason, Some(Reason::SpansOtherVolume));
    assert!(report.error.unwrap().contains(B));
}

#[test]
fn a_volume_that_a_process_writes_to_by_itself_is_not_called_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    // One raw volume and one under a mounted file system; a reader does no harm.
    let more = "d() { readlink -f /dev/disk/by-id/*vol0aaaaaaaaaaaaaa0$1; }\n\
                exec 5<>$(d 1); exec 6<>$(d 2); exec 7<$(d 0)";
    let instance = Instance::start_with(&[("ext4", "a"), ("none", "b"), ("xfs", "c")], more);
    let report = freeze(&instance);
    assert_eq!(mounts(&report).len(), 2);
    assert!(report.filesystems.iter().all(|fs| fs.verdict == FileSystemVerdict::Frozen));
    assert_eq!(frozen(&report), [true, false, false]);
    assert_eq!(holds(&report), [(B, Holds::Raw), ("vol-0aaaaaaaaaaaaaa02", Holds::Raw)]);
    assert!(report.volumes[0].detail.contains(" by sh ("), "{:?}", report.volumes);
}

#[test]
fn a_file_system_that_was_unmounted_lazily_is_alive_and_said_so() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    for kind in ["ext4", "xfs", "btrfs"] {
        // A process works in it still.
        let instance = Instance::start_with(&[("ext4", "a"), (kind, "b")], "exec 5>b/file; umount -l b");
        let report = freeze(&instance);
        assert_eq!(holds(&report), [(B, Holds::Unreachable)], "{kind}");
        assert_eq!(frozen(&report), [true, false], "{kind}");
    }
}

#[test]
fn a_swap_file_is_told_of_and_hinders_nothing() {
    if !have_devices() || !have("swapon") || !have("mkswap") {
        return;
    }
    let _alone = alone();
    let file = "dd if=/dev/zero of=a/swap bs=1M count=16 status=none; chmod 600 a/swap; mkswap -q a/swap";
    let instance = Instance::start_with(&[("ext4", "a"), ("xfs", "b")], file);
    let swap = instance.inside("a/swap");
    let on = instance.command("swapon").arg(&swap).status().unwrap();
    assert!(on.success());
    let result = std::panic::catch_unwind(|| freeze(&instance));
    assert!(instance.command("swapoff").arg(&swap).status().unwrap().success());
    let report = result.unwrap();
    assert_eq!((holds(&report), frozen(&report)), (vec![(A, Holds::SwapFile)], vec![true, true]));
    assert_eq!(report.volumes[0].detail, swap);
}

#[test]
fn a_squashfs_beside_a_frozen_file_system_does_it_no_harm() {
    if !have_devices() || !have("mksquashfs") {
        return;
    }
    let _alone = alone();
    let more = "mkdir content snap; date >content/x; mksquashfs content a/image -quiet -no-progress >/dev/null; \
                mount -t squashfs -o loop,ro a/image snap";
    let instance = Instance::start_with(&[("ext4", "a")], more);
    let report = freeze(&instance);
    assert_eq!(report.filesystems[1].verdict, FileSystemVerdict::NeverWritten);
    assert_eq!(frozen(&report), [true]);
}
