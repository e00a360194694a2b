//! Disks that fail, vanish or are taken away while a freeze counts on them: nothing stays frozen, and
//! nothing is called consistent that is not.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, yes};
use common::instance::{Instance, token};
use common::{alone, have, have_devices, within};
use std::sync::{Arc, Weak};
use std::time::Duration;
use stillframe_wire::{Exit, FileSystemVerdict, Reason, Verdict};

/// A function that has something done to the instance at FROZEN, and then says yes.
fn that_first(instance: &Arc<Instance>, does: impl Fn(&Instance) + Send + Sync + 'static) -> SignalFunction {
    let here: Weak<Instance> = Arc::downgrade(instance);
    SignalFunction::at_frozen(move |signal| {
        does(&here.upgrade().unwrap());
        Reply::Answer(yes(signal))
    })
}

fn run(instance: &Instance, program: &str, arguments: &[&str]) {
    let output = instance.command(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
}

#[test]
fn a_file_system_that_shuts_down_while_frozen_is_thawed_through_the_kept_handle() {
    if !have_devices() || !have("xfs_io") {
        return;
    }
    let _alone = alone();
    for fs in ["xfs", "ext4"] {
        let instance = Arc::new(Instance::start(&[(fs, "a"), ("ext4", "b")]));
        let mount = instance.inside("a");
        let function = that_first(&instance, {
            let mount = mount.clone();
            move |instance| run(instance, "xfs_io", &["-x", "-c", "shutdown", &mount])
        });
        let (code, report) = instance.freeze(&instance.order(), &function).finish();
        // What was cut was frozen before and after; the thaw could be seen.
        assert_eq!((code, report.verdict), (0, Verdict::Consistent), "{fs}: {}", report.render());
        assert!(instance.is_free(1) && !instance.has_lease(), "{fs}");
        if fs == "xfs" {
            let opened = std::fs::File::open(instance.path(&mount));
            assert!(opened.is_err(), "a new handle could not have thawed it");
        }
        let thawed_twice = instance.fsfreeze("-u", 0);
        assert!(!thawed_twice, "{fs}: it was frozen still");
    }
}

#[test]
fn a_file_system_that_is_unmounted_lazily_while_frozen_leaves_no_ghost() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    for fs in ["ext4", "xfs", "btrfs"] {
        let instance = Arc::new(Instance::start(&[(fs, "a")]));
        let (mount, image) = (instance.inside("a"), instance.inside("0.img"));
        let device = instance.command("losetup").args(["-j", &image, "-O", "NAME", "-n"]).output().unwrap();
        let device = String::from_utf8(device.stdout).unwrap().trim().to_owned();
        let function = that_first(&instance, {
            let mount = mount.clone();
            move |instance| run(instance, "umount", &["-l", &mount])
        });
        let (code, report) = instance.freeze(&instance.order(), &function).finish();
        assert_eq!((code, report.verdict), (0, Verdict::Consistent), "{fs}: {}", report.render());
        // The same super block, if the test's own handle still holds it: a frozen one would show.
        run(&instance, "mount", &[&device, &mount]);
        assert!(instance.is_free(0), "{fs}: a frozen ghost was mounted again");
    }
}

#[test]
fn one_of_four_that_cannot_be_frozen_has_the_others_thawed_and_stays_as_it_was() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(Instance::start(&[("ext4", "a"), ("xfs", "b"), ("ext4", "c"), ("btrfs", "d")]));
    let here: Weak<Instance> = Arc::downgrade(&instance);
    // After the helper has tried its writes, and before it freezes.
    let function = SignalFunction::deciding(move |signal| {
        assert!(here.upgrade().unwrap().fsfreeze("-f", 2));
        Reply::Answer(yes(signal))
    });
    let (code, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!(code, i32::from(Exit::NotFrozen.code()), "{}", report.render());
    assert_eq!(report.reason, Some(Reason::ForeignFreeze));
    assert!(instance.error_names(&report, 2), "{:?}", report.error);
    for other in [0, 1, 3] {
        assert!(instance.is_free(other), "volume {other} was not rolled back");
    }
    assert!(instance.is_frozen(2), "somebody else's freeze was undone");
    assert!(instance.fsfreeze("-u", 2));
    assert_eq!(function.frozen_signals(), 0);
}

/// An instance with an XFS whose disk takes less than it promises: an image with holes on a small tmpfs.
fn on_a_disk_that_is_too_small() -> Instance {
    let more = "mkdir small; mount -t tmpfs -o size=140M none small; truncate -s 600M small/image; \
                mkfs.xfs -q -f small/image; mkdir thin; mount -o loop small/image thin; \
                rm /dev/disk/by-id/*aa00; link vol0aaaaaaaaaaaaaa00 $(losetup -j $PWD/small/image -O NAME -n)";
    let mut instance = Instance::start_with(&[("ext4", "a")], more);
    instance.keep("thin");
    instance
}

#[test]
fn data_that_the_disk_does_not_take_is_found_before_the_freeze_or_in_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    for (arguments, reason) in [(&[][..], Reason::FlushFailed), (&["--plain"], Reason::WriteLost)] {
        let instance = Arc::new(on_a_disk_that_is_too_small());
        let thin = instance.inside("thin");
        let here: Weak<Instance> = Arc::downgrade(&instance);
        let folder = thin.clone();
        let function = SignalFunction::deciding(move |signal| {
            // Dirty, and more than the disk takes; after the helper has opened its handle.
            let instance = here.upgrade().unwrap();
            let script = "dd if=/dev/urandom of=\"$0/lost\" bs=1M count=200 2>/dev/null";
            run(&instance, "sh", &["-c", script, &folder]);
            Reply::Answer(yes(signal))
        });
        let command = instance.command(env!("CARGO_BIN_EXE_stillframe-helper"));
        let helper =
            instance.start_with_arguments(command, arguments, &token(&instance.order()), &function.url());
        let (_, report) = helper.finish();
        assert_eq!(report.reason, Some(reason), "{}", report.render());
        assert!(matches!(report.verdict, Verdict::NotFrozen | Verdict::Unproved), "{}", report.render());
        assert_eq!(function.frozen_signals(), 0, "no snapshot of what is lost");
        if reason == Reason::WriteLost {
            let verdict = report.filesystems.iter().find(|fs| fs.mount_point == thin).unwrap().verdict;
            assert_eq!(verdict, FileSystemVerdict::WriteLost, "FIFREEZE of an XFS does not tell");
        }
        assert!(within(Duration::from_secs(3), || !instance.has_lease()));
        let thawed = instance.command("fsfreeze").args(["-u", &thin]).output().unwrap();
        assert!(!thawed.status.success(), "it was frozen still");
    }
}
