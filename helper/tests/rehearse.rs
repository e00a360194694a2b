//! What happens before anything is frozen, and where it ends when it should go no further.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::SignalFunction;
use common::instance::{Helper, Instance, token};
use common::{alone, have, have_devices, skip};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use stillframe_wire::{Exit, FileSystemVerdict, Reason, Signal, Verdict};

/// Starts the helper under strace, which writes down every ioctl.
fn traced(instance: &Instance, more: &[&str], token: &str, function: &SignalFunction) -> Helper {
    let mut command = instance.command("strace");
    command.args(["-f", "-e", "trace=ioctl", "-o", &instance.inside("trace")]);
    command.arg(env!("CARGO_BIN_EXE_stillframe-helper"));
    instance.start_with_arguments(command, more, token, &function.url())
}

#[test]
fn a_rehearsal_does_everything_but_freeze() {
    if !have_devices() || !have("strace") {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("none", "c")]);
    for (by, arguments) in [("the order", &[][..]), ("the command line", &["--rehearse"])] {
        let function = SignalFunction::willing();
        let mut order = instance.order();
        order.rehearse = by == "the order";
        let (code, report) = traced(&instance, arguments, &token(&order), &function).finish();
        assert_eq!((code, report.verdict), (0, Verdict::Rehearsed), "{by}: {}", report.render());
        assert!(report.filesystems.iter().all(|fs| fs.verdict == FileSystemVerdict::Rehearsed), "{by}");
        assert_eq!((report.filesystems.len(), report.snapshots.len()), (2, 0));
        assert!(
            report.flush.rounds > 0 && report.phases.ready_us > 0 && report.phases.window_us == 0,
            "{by}"
        );
        let signals = function.signals();
        let [(_, Signal::Ready(ready))] = signals.as_slice() else { panic!("{by}: {signals:?}") };
        assert!(ready.rehearse);
        let trace = std::fs::read_to_string(instance.path(&instance.inside("trace"))).unwrap();
        assert!(trace.contains("ioctl") && !trace.contains("FIFREEZE") && !trace.contains("FITHAW"), "{by}");
        assert!(!instance.has_lease());
    }
}

#[test]
fn the_trace_of_a_freeze_shows_the_ioctls_that_a_rehearsal_must_not_make() {
    if !have_devices() || !have("strace") {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::willing();
    let (code, _) = traced(&instance, &[], &token(&instance.order()), &function).finish();
    assert_eq!(code, 0);
    let trace = std::fs::read_to_string(instance.path(&instance.inside("trace"))).unwrap();
    assert!(trace.contains("FIFREEZE"));
}

/// A limit on what may be written to a block device, for as long as this lives.
struct SlowDisk {
    device: String,
}

const THROTTLE: &str = "/sys/fs/cgroup/blkio/blkio.throttle.write_bps_device";

impl SlowDisk {
    fn new(device: &str, bytes_per_second: u64) -> Self {
        std::fs::write(THROTTLE, format!("{device} {bytes_per_second}")).unwrap();
        Self { device: device.to_owned() }
    }
}

impl Drop for SlowDisk {
    fn drop(&mut self) {
        let _ = std::fs::write(THROTTLE, format!("{} 0", self.device));
    }
}

/// A process that is ended with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn writers_faster_than_the_disk_are_given_up_on_before_the_freeze() {
    if !have_devices() {
        return;
    }
    if !Path::new(THROTTLE).exists() {
        skip("a slow disk needs the blkio controller of cgroup v1");
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let mount = instance.path(&instance.inside("a"));
    let writer = Command::new("sh")
        .args(["-c", "while :; do dd if=/dev/zero of=\"$0\" bs=1M count=4 conv=notrunc 2>/dev/null; done"])
        .arg(mount.join("bulk"))
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let writer = Ends(writer);
    let device = instance.command("stat").args(["-c", "%Hd:%Ld", &instance.inside("a")]).output().unwrap();
    let slow = SlowDisk::new(String::from_utf8(device.stdout).unwrap().trim(), 8 << 20);
    let function = SignalFunction::willing();
    let mut order = instance.order();
    order.max_freeze_ms = 300;
    let (code, report) = instance.freeze(&order, &function).finish();
    assert_eq!(code, i32::from(Exit::NotFrozen.code()), "{}", report.render());
    assert_eq!((report.verdict, report.reason), (Verdict::NotFrozen, Some(Reason::FlushGaveUp)));
    assert!(
        report.flush.gave_up && report.flush.rounds >= 2 && report.flush.dirty_kib > 0,
        "{:?}",
        report.flush
    );
    assert!(report.error.unwrap().contains("max_freeze_ms"));
    assert_eq!((function.signals().len(), report.phases.prime_us), (1, 0), "nothing was frozen");
    drop(writer);
    drop(slow);
    // The same without its writers.
    let (code, report) = instance.freeze(&order, &function).finish();
    assert_eq!(code, 0, "{}", report.render());
    assert!(!instance.anything_frozen());
}
