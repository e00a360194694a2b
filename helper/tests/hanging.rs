//! A disk that stops: FIFREEZE hangs, nothing in user space can end it, and everything else is thawed in
//! time all the same.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, yes};
use common::instance::{Helper, Instance, is_alive, name};
use common::{alone, have_devices, within};
use rustix::process::Signal as Kill;
use std::io::{BufRead, BufReader};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use stillframe_wire::{FileSystemVerdict, Reason, Report, Verdict, WorkOrder};

/// From the death of the worker, or from the deadline, to the thaw. The promise.
const PROMISE: Duration = Duration::from_millis(100);
/// What starting the process that writes the probe may take on a loaded machine.
const PROBE: Duration = Duration::from_millis(100);

fn guardian_ends(guardian: u32) -> bool {
    within(Duration::from_secs(3), || !is_alive(guardian))
}

/// An instance whose first volume is an image on another file system, which is not in the order: while that
/// one is frozen, FIFREEZE of the volume hangs, as on a disk that has stopped. The `others` are as usual.
fn on_a_disk_that_can_hang(others: &[(&'static str, &'static str)]) -> Instance {
    let inner = "truncate -s 64M a/image; mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 a/image; mkdir inner; mount -o loop a/image inner; \
                 rm /dev/disk/by-id/*aa00; link vol0aaaaaaaaaaaaaa00 $(losetup -j $PWD/a/image -O NAME -n)";
    let volumes: Vec<_> = [("xfs", "a")].into_iter().chain(others.iter().copied()).collect();
    let mut instance = Instance::start_with(&volumes, inner);
    instance.keep("inner");
    instance
}

/// A disk that has stopped. It goes on at the end, also when a test fails: nobody can end a process that is
/// inside FIFREEZE before that.
struct Stopped<'a>(&'a Instance);

impl Stopped<'_> {
    /// The disk goes on, and the worker ends.
    fn goes_on(self, helper: &mut Helper) {
        assert!(self.0.fsfreeze("-u", 0), "the disk goes on");
        helper.child.wait().unwrap();
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.fsfreeze("-u", 0);
    }
}

/// A freeze that hangs: the disk stops at its READY. Each may be dropped before what is named before it.
fn that_hangs(
    instance: &Arc<Instance>,
    change: impl FnOnce(&mut WorkOrder),
) -> (SignalFunction, Helper, Stopped<'_>) {
    let function = whose_ready_stops_the_disk(instance);
    let mut order = instance.order();
    change(&mut order);
    let (helper, disk) = (instance.freeze(&order, &function), Stopped(instance));
    hangs(&helper);
    (function, helper, disk)
}

/// A function at whose READY the disk stops.
fn whose_ready_stops_the_disk(instance: &Arc<Instance>) -> SignalFunction {
    let here: Weak<Instance> = Arc::downgrade(instance);
    SignalFunction::deciding(move |signal| {
        // Nothing is left to flush, so that FIFREEZE is the first to write, and to hang.
        let instance = here.upgrade().unwrap();
        let synced = instance.command("sync").args(["-f", &instance.inside("inner")]).status().unwrap();
        assert!(synced.success());
        assert!(instance.fsfreeze("-f", 0), "the disk hangs from here on");
        Reply::Answer(yes(signal))
    })
}

/// Whether the worker freezes and its file system's thread waits in the kernel.
fn is_inside_a_call(worker: u32) -> bool {
    if !matches!(name(worker).as_deref(), Some("sf:prime" | "sf:freeze")) {
        return false;
    }
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{worker}/task")) else { return false };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .any(|stat| stat.contains("(sf:fs") && stat.contains(") D"))
}

/// Waits until the worker is inside a call that does not return.
fn hangs(helper: &Helper) {
    let worker = helper.child.id();
    let for_a_while = || !within(Duration::from_millis(100), || !is_inside_a_call(worker));
    let inside = within(Duration::from_secs(10), for_a_while);
    let waits = std::fs::read_to_string(format!("/proc/{worker}/stack")).unwrap_or_default();
    assert!(inside, "it is at {:?}, {waits}", name(worker));
}

#[test]
fn a_worker_killed_inside_a_hanging_freeze_leaves_nothing_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(on_a_disk_that_can_hang(&[]));
    for by in ["the guardian", "a kill"] {
        let (function, mut helper, disk) = that_hangs(&instance, |order| order.max_freeze_ms = 300);
        let guardian = instance.guardian(&helper).unwrap();
        let worker = helper.child.id();
        if by == "a kill" {
            helper.signal(Kill::KILL);
        }
        // Past the deadline and the guardian's grace: the worker is being killed and cannot die.
        let limit = Instant::now() + Duration::from_millis(900);
        within(Duration::from_secs(2), || Instant::now() > limit);
        assert!(is_alive(guardian) && helper.child.try_wait().unwrap().is_none(), "{by}: inside FIFREEZE");
        disk.goes_on(&mut helper);
        assert!(!is_alive(worker));
        let took = instance.write_takes_at(&instance.inside("inner"), PROMISE + PROBE);
        assert!(took.is_some(), "{by}: left frozen");
        assert!(guardian_ends(guardian) && !instance.has_lease(), "{by}");
        assert_eq!(function.frozen_signals(), 0);
    }
}

/// The report, which comes while the helper still hangs.
fn report_of(helper: &mut Helper) -> Report {
    let mut line = String::new();
    BufReader::new(helper.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Report::read(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
}

#[test]
fn a_hanging_freeze_holds_up_no_other_and_is_reported() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(on_a_disk_that_can_hang(&[("ext4", "b"), ("btrfs", "c")]));
    let (function, mut helper, disk) = that_hangs(&instance, |order| order.max_freeze_ms = 500);
    // The other two are frozen since then, and wait for the first.
    let began = Instant::now();
    let limit = Duration::from_millis(500) + PROMISE + PROBE;
    for other in [1, 2] {
        let took = instance.write_takes(other, limit.saturating_sub(began.elapsed()));
        assert!(took.is_some(), "volume {other} was held up");
    }
    let report = report_of(&mut helper);
    assert_eq!(report.verdict, Verdict::ThawUncertain, "{}", report.render());
    assert_eq!(report.reason, Some(Reason::Deadline));
    let verdict = |name: &str| {
        let mount_point = instance.inside(name);
        report.filesystems.iter().find(|fs| fs.mount_point == mount_point).unwrap().verdict
    };
    assert_eq!(verdict("inner"), FileSystemVerdict::FreezeHangs);
    assert_ne!(verdict("b"), FileSystemVerdict::FreezeHangs);
    disk.goes_on(&mut helper);
    assert!(instance.write_takes_at(&instance.inside("inner"), PROMISE + PROBE).is_some(), "left frozen");
    assert!(within(Duration::from_secs(3), || !instance.has_lease()));
    assert_eq!(function.frozen_signals(), 0);
}

#[test]
fn no_hook_runs_while_something_may_be_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(on_a_disk_that_can_hang(&[("ext4", "b")]));
    let own_hooks = "mkdir /run/up /run/work; mount -t overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work none /etc; \
                     for event in pre-snapshots post-snapshot post-snapshots; do f=/etc/stillframe/hooks/$event.d; mkdir -p $f; \
                     printf '#!/bin/sh\necho $STILLFRAME_HOOK >>/run/log\n' >$f/10; chmod 755 $f/10; done";
    assert!(instance.command("sh").args(["-ec", own_hooks]).status().unwrap().success());
    let (_function, mut helper, disk) = that_hangs(&instance, |order| order.max_freeze_ms = 300);
    let report = report_of(&mut helper);
    assert_eq!(report.verdict, Verdict::ThawUncertain, "{}", report.render());
    let ran = || std::fs::read_to_string(instance.path("/run/log")).unwrap();
    assert_eq!(ran(), "pre-snapshots\n");
    // All is thawed then, and what the first hooks did is undone.
    disk.goes_on(&mut helper);
    assert_eq!(ran(), "pre-snapshots\npost-snapshot\npost-snapshot\npost-snapshots\n");
}

#[test]
fn a_worker_killed_while_one_freeze_hangs_has_the_others_thawed_at_once() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(on_a_disk_that_can_hang(&[("ext4", "b"), ("btrfs", "c")]));
    // Its deadline is much later than this test looks.
    let (_function, mut helper, disk) = that_hangs(&instance, |order| order.max_freeze_ms = 20_000);
    assert!(within(Duration::from_secs(2), || instance.is_frozen(1) && instance.is_frozen(2)));
    let guardian = instance.guardian(&helper).unwrap();
    helper.signal(Kill::KILL);
    for other in [1, 2] {
        assert!(
            instance.write_takes(other, PROMISE + PROBE).is_some(),
            "volume {other} waits for the deadline"
        );
    }
    assert!(helper.child.try_wait().unwrap().is_none(), "it is inside FIFREEZE still");
    disk.goes_on(&mut helper);
    assert!(instance.write_takes_at(&instance.inside("inner"), PROMISE + PROBE).is_some(), "left frozen");
    assert!(guardian_ends(guardian) && !instance.has_lease());
}

#[test]
fn a_stopped_guardian_leaves_the_deadline_of_a_hanging_freeze_to_the_worker() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(on_a_disk_that_can_hang(&[("ext4", "b"), ("btrfs", "c")]));
    let allowed = Duration::from_millis(800);
    let (_function, mut helper, disk) = that_hangs(&instance, |order| order.max_freeze_ms = 800);
    let guardian = instance.guardian(&helper).unwrap();
    common::instance::kill(guardian, Kill::STOP);
    assert!(instance.is_frozen(1), "the guardian was stopped too late to prove anything");
    // No request is under way whose own time could end it.
    for other in [1, 2] {
        let took = instance.write_takes(other, allowed + PROMISE + PROBE);
        assert!(took.is_some(), "volume {other} waits for a guardian that cannot act");
    }
    let report = report_of(&mut helper);
    assert_eq!(report.reason, Some(Reason::Deadline), "{}", report.render());
    disk.goes_on(&mut helper);
    assert!(instance.write_takes_at(&instance.inside("inner"), PROMISE + PROBE).is_some(), "left frozen");
    assert!(!is_alive(guardian), "a guardian that does not answer is ended");
}

const SETTING: &str = "/sys/kernel/rcu_expedited";

/// Takes the setting back when a test fails: it is the machine's.
struct TakesBack;

impl Drop for TakesBack {
    fn drop(&mut self) {
        let _ = std::fs::write(SETTING, "0");
    }
}

#[test]
fn expedited_grace_periods_are_taken_back_whoever_dies() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let setting = || std::fs::read_to_string(SETTING).unwrap().trim().to_owned();
    assert_eq!(setting(), "0", "somebody else on this machine expedites grace periods");
    let _takes_back = TakesBack;
    let instance = Arc::new(on_a_disk_that_can_hang(&[("ext4", "b")]));
    for by in ["the guardian", "thaw"] {
        let expedite = |order: &mut WorkOrder| (order.expedite_rcu, order.max_freeze_ms) = (true, 20_000);
        let (_function, mut helper, disk) = that_hangs(&instance, expedite);
        assert_eq!(setting(), "1", "this test would prove nothing");
        let guardian = instance.guardian(&helper).unwrap();
        if by == "thaw" {
            common::instance::kill(guardian, Kill::STOP);
            common::instance::kill(guardian, Kill::KILL);
        }
        helper.signal(Kill::KILL);
        if by == "the guardian" {
            assert!(within(PROMISE + PROBE, || setting() == "0"), "{by}");
        }
        disk.goes_on(&mut helper);
        if by == "thaw" {
            assert!(within(Duration::from_secs(3), || !is_alive(guardian)));
            assert!(instance.helper(&["thaw"]).status.success());
        }
        assert_eq!(setting(), "0", "{by}");
        assert!(
            instance.write_takes_at(&instance.inside("inner"), PROMISE + PROBE).is_some(),
            "{by}: left frozen"
        );
        assert!(guardian_ends(guardian) && !instance.has_lease(), "{by}");
    }
    let function = SignalFunction::at_frozen(move |signal| {
        assert_eq!(std::fs::read_to_string(SETTING).unwrap().trim(), "0", "the window needs it no more");
        Reply::Answer(yes(signal))
    });
    let mut order = instance.order();
    order.expedite_rcu = true;
    let (_, report) = instance.freeze(&order, &function).finish();
    assert_eq!(report.verdict, Verdict::Consistent, "{}", report.render());
    assert_eq!(report.phases.prime_us, 0, "no prime on top of it");
    assert_eq!(setting(), "0");
}
