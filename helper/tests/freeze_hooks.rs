//! Hooks around freezes of real file systems: before the first ioctl and after the last thaw, and what a
//! failing one changes.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, no, yes};
use common::instance::Instance;
use common::{alone, have_devices, within};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use stillframe_wire::{Exit, Reason, RefusalReason, Report, Verdict};

const EVENTS: [&str; 4] = ["pre-snapshots", "pre-snapshot", "post-snapshot", "post-snapshots"];
const LOG: &str = "/run/log";
/// Says what it learns, and writes to the file system, which waits while that is frozen.
const TELL: &str = "d=${STILLFRAME_MOUNT_POINT:-}; [ -z \"$d\" ] || echo x >>$d/wrote\n\
                    echo $STILLFRAME_HOOK ${d##*/} $STILLFRAME_OUTCOME $STILLFRAME_REASON >>/run/log";

/// Two volumes, and an `/etc` whose hooks are the test's own.
fn instance() -> Instance {
    let own_etc = "mkdir /run/up /run/work\n\
                   mount -t overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work none /etc";
    Instance::start_with(&[("ext4", "a"), ("xfs", "b")], own_etc)
}

fn hook(instance: &Instance, event: &str, name: &str, mode: u32, script: &str) {
    let folder = instance.path(&format!("/etc/stillframe/hooks/{event}.d"));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

fn telling() -> Instance {
    let instance = instance();
    for event in EVENTS {
        hook(&instance, event, "10-tell", 0o755, TELL);
    }
    instance
}

fn log(instance: &Instance) -> Vec<String> {
    let text = std::fs::read_to_string(instance.path(LOG)).unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

fn names(report: &Report) -> Vec<String> {
    report.hooks.iter().map(|hook| format!("{}/{}", hook.event, hook.name)).collect()
}

#[test]
fn hooks_run_before_the_first_ioctl_and_after_the_last_thaw() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(telling());
    let here: Weak<Instance> = Arc::downgrade(&instance);
    let seen = Arc::new(OnceLock::new());
    let at_frozen = Arc::clone(&seen);
    let function = SignalFunction::at_frozen(move |signal| {
        at_frozen.set(log(&here.upgrade().unwrap())).unwrap();
        Reply::Answer(yes(signal))
    });
    let (code, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!((code, report.verdict), (i32::from(Exit::Done.code()), Verdict::Consistent), "{report:?}");
    assert_eq!(seen.get().unwrap(), &["pre-snapshots", "pre-snapshot a", "pre-snapshot b"]);
    assert_eq!(log(&instance)[3..], ["post-snapshot b done", "post-snapshot a done", "post-snapshots done"]);
    let all = EVENTS.map(|event| format!("{event}/10-tell"));
    let expected: Vec<&String> = [0, 1, 1, 2, 2, 3].iter().map(|n| &all[*n]).collect();
    assert_eq!(names(&report).iter().collect::<Vec<_>>(), expected);
    assert!(report.hooks.iter().all(|hook| hook.exit == Some(0)) && report.phases.hooks_us > 0);
    assert!(report.snapshots.iter().all(|snapshot| snapshot.frozen));
}

#[test]
fn a_failing_hook_means_that_nothing_is_frozen_and_the_others_after_it_learn_so() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = telling();
    hook(&instance, "pre-snapshot", "20-no", 0o755, "echo the database is busy >&2; exit 7");
    let function = SignalFunction::willing();
    let (code, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!(code, i32::from(Exit::NotFrozen.code()), "{report:?}");
    assert_eq!((report.verdict, report.reason), (Verdict::NotFrozen, Some(Reason::HookFailed)));
    let error = report.error.clone().unwrap();
    assert_eq!(error, "the pre-snapshot hook 20-no failed: exit code 7: the database is busy");
    assert_eq!((function.frozen_signals(), report.snapshots.len()), (0, 0));
    assert!(report.filesystems.iter().all(|fs| fs.frozen_us == 0) && !instance.has_lease());
    assert_eq!(
        log(&instance),
        [
            "pre-snapshots",
            "pre-snapshot a",
            "post-snapshot b failed hook-failed",
            "post-snapshot a failed hook-failed",
            "post-snapshots failed hook-failed",
        ]
    );
    let failed = report.hooks.iter().find(|hook| hook.exit != Some(0)).unwrap();
    assert_eq!((failed.event.as_str(), failed.exit), ("pre-snapshot", Some(7)));
}

#[test]
fn a_hook_that_hangs_is_killed_when_the_helper_is_asked_to_end() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = telling();
    hook(&instance, "pre-snapshot", "20-hang", 0o755, "echo $$ >/run/pid; exec sleep 600");
    let function = SignalFunction::willing();
    let helper = instance.freeze(&instance.order(), &function);
    let pid = || std::fs::read_to_string(instance.path("/run/pid")).ok()?.trim().parse::<u32>().ok();
    assert!(within(Duration::from_secs(20), || pid().is_some()), "the hook did not start");
    let pid = pid().unwrap();
    helper.signal(rustix::process::Signal::TERM);
    let (_, report) = helper.finish();
    assert_eq!((report.verdict, report.reason), (Verdict::NotFrozen, Some(Reason::Terminated)), "{report:?}");
    assert!(within(Duration::from_secs(5), || !common::instance::is_alive(pid)), "the hook lives on");
    assert_eq!(function.frozen_signals(), 0);
    assert_eq!(log(&instance).last().unwrap(), "post-snapshots failed terminated");
    assert!(report.hooks.iter().any(|hook| hook.name == "20-hang" && hook.exit.is_none()), "{report:?}");
}

#[test]
fn a_refused_cut_is_told_to_the_hooks_after_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = telling();
    let function = SignalFunction::at_frozen(|_| no(RefusalReason::Throttled));
    let (_, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!((report.verdict, report.reason), (Verdict::Unproved, Some(Reason::Throttled)), "{report:?}");
    assert_eq!(log(&instance).last().unwrap(), "post-snapshots failed throttled");
    // A post- hook that fails changes nothing of what was done, and is told of.
    hook(&instance, "post-snapshot", "20-no", 0o755, "exit 3");
    let (code, report) = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    assert_eq!((code, report.verdict), (i32::from(Exit::Done.code()), Verdict::Consistent), "{report:?}");
    assert_eq!(report.hooks.iter().filter(|hook| hook.exit == Some(3)).count(), 2);
}

#[test]
fn hooks_that_are_off_do_not_run_and_loose_ones_keep_everything_from_being_done() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = telling();
    hook(&instance, "post-snapshots", "20-loose", 0o777, "true");
    let function = SignalFunction::willing();
    let mut order = instance.order();
    let (_, report) = instance.freeze(&order, &function).finish();
    assert_eq!((report.verdict, report.reason), (Verdict::NotFrozen, Some(Reason::HookFailed)), "{report:?}");
    assert!(report.error.unwrap().contains("20-loose"));
    assert!(function.signals().is_empty() && log(&instance).is_empty());
    order.hooks = false;
    let (code, report) = instance.freeze(&order, &function).finish();
    assert_eq!((code, report.verdict), (i32::from(Exit::Done.code()), Verdict::Consistent), "{report:?}");
    assert!(report.hooks.is_empty() && log(&instance).is_empty());
}

#[test]
fn a_rehearsal_runs_hooks_and_freezes_nothing() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = telling();
    let function = SignalFunction::willing();
    let mut order = instance.order();
    order.rehearse = true;
    let (_, report) = instance.freeze(&order, &function).finish();
    assert_eq!(report.verdict, Verdict::Rehearsed, "{report:?}");
    assert_eq!(log(&instance).last().unwrap(), "post-snapshots rehearsed");
    assert_eq!((function.frozen_signals(), report.hooks.len()), (0, 6));
}
