//! Promise 1 on real file systems: whichever process is killed or stopped, at whichever phase, nothing
//! stays frozen.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, yes};
use common::instance::{Helper, Instance, children, is_alive, kill, name};
use common::{alone, have_devices, within};
use rustix::process::Signal as Kill;
use std::process::Command;
use std::time::{Duration, Instant};
use stillframe_wire::{Exit, Reason, Verdict};

/// From the death of the worker, or from the deadline, to the thaw. The promise.
const PROMISE: Duration = Duration::from_millis(100);
/// What starting the process that writes the probe may take on a loaded machine.
const PROBE: Duration = Duration::from_millis(100);

/// Answers FROZEN later than any test lasts.
fn hanging() -> SignalFunction {
    SignalFunction::at_frozen(|_| Reply::Silence(Duration::from_secs(20)))
}

fn both(instance: &Instance) -> Vec<Option<Duration>> {
    (0..instance.volumes.len()).map(|n| instance.write_takes(n, PROMISE + PROBE)).collect()
}

fn guardian_ends(guardian: u32) -> bool {
    within(Duration::from_secs(3), || !is_alive(guardian))
}

#[test]
fn a_worker_killed_at_any_phase_leaves_nothing_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    for phase in ["sf:resolve", "sf:ready", "sf:flush", "sf:prime", "sf:freeze", "sf:frozen", "sf:thaw"] {
        // READY takes a moment, so that its phase can be met.
        let function = SignalFunction::deciding(|signal| Reply::Late(Duration::from_millis(30), yes(signal)));
        let mut met = 0;
        for _ in 0..20 {
            let mut helper = instance.freeze(&instance.order(), &function);
            if !within(Duration::from_secs(5), || {
                name(helper.child.id()).as_deref() == Some(phase) || !is_alive(helper.child.id())
            }) {
                panic!("{phase} was not reached");
            }
            met += usize::from(is_alive(helper.child.id()));
            let guardian = instance.guardian(&helper);
            helper.signal(Kill::KILL);
            let killed = Instant::now();
            helper.child.wait().unwrap();
            let died = killed.elapsed();
            let took = both(&instance);
            assert!(
                took.iter().all(Option::is_some),
                "{phase}: left frozen; it died after {died:?}, {took:?}"
            );
            if let Some(guardian) = guardian {
                assert!(guardian_ends(guardian), "{phase}: the guardian stays");
            }
            assert!(!instance.has_lease(), "{phase}: the lease stays");
            if met == 3 {
                break;
            }
        }
        eprintln!("{phase}: killed there {met} times");
        // The others last a millisecond or less; whoever is late kills in the next.
        let lasting = ["sf:resolve", "sf:ready", "sf:frozen"].contains(&phase);
        assert!(met > 0 || !lasting, "{phase} was never met");
    }
}

#[test]
fn a_worker_killed_at_random_leaves_nothing_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("btrfs", "c")]);
    let function = SignalFunction::at_frozen(|signal| Reply::Late(Duration::from_millis(20), yes(signal)));
    // A fixed sequence of moments in the 150 ms after the guardian shows: reproducible, and spread.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for n in 0..60 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut helper = instance.freeze(&instance.order(), &function);
        let mut guardian = None;
        assert!(within(Duration::from_secs(5), || {
            guardian = instance.guardian(&helper);
            guardian.is_some()
        }));
        let moment = Instant::now() + Duration::from_micros(random % 150_000);
        within(Duration::from_secs(1), || Instant::now() >= moment);
        let at = name(helper.child.id());
        helper.signal(Kill::KILL);
        helper.child.wait().unwrap();
        let took = both(&instance);
        assert!(took.iter().all(Option::is_some), "{n}: killed in {at:?} and left frozen: {took:?}");
        // It holds the lock until it has seen to everything.
        assert!(guardian.is_some_and(guardian_ends), "{n}: killed in {at:?}, and the guardian stays");
    }
}

#[test]
fn a_killed_guardian_has_the_worker_thaw_at_once() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = hanging();
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    kill(instance.guardian(&helper).unwrap(), Kill::KILL);
    let took = both(&instance);
    assert!(took.iter().all(Option::is_some), "{took:?}");
    let (code, report) = helper.finish();
    assert_eq!(code, i32::from(Exit::Unproved.code()), "{}", report.render());
    assert_eq!((report.verdict, report.reason), (Verdict::Unproved, Some(Reason::GuardianLost)));
    assert!(!instance.has_lease());
}

#[test]
fn a_guardian_killed_before_the_freeze_prevents_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::deciding(|signal| Reply::Late(Duration::from_millis(300), yes(signal)));
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:ready"));
    kill(instance.guardian(&helper).unwrap(), Kill::KILL);
    let (code, report) = helper.finish();
    assert_eq!(code, i32::from(Exit::NotFrozen.code()), "{}", report.render());
    assert_eq!(report.reason, Some(Reason::GuardianLost));
    assert_eq!(function.frozen_signals(), 0);
}

/// Freezes for 500 ms, with a function that never answers, stops `whom` in the window, and measures
/// when a write gets through.
fn thawed_after(instance: &Instance, helper: &Helper, stop: &[u32]) -> Duration {
    assert!(helper.reach("sf:frozen"));
    let frozen = Instant::now();
    for pid in stop {
        kill(*pid, Kill::STOP);
    }
    for n in 0..instance.volumes.len() {
        assert!(instance.write_takes(n, Duration::from_secs(3)).is_some(), "volume {n} is left frozen");
    }
    frozen.elapsed()
}

#[test]
fn a_stopped_worker_is_thawed_at_the_deadline_and_killed() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = hanging();
    let mut order = instance.order();
    order.max_freeze_ms = 500;
    let mut helper = instance.freeze(&order, &function);
    let worker = helper.child.id();
    let took = thawed_after(&instance, &helper, &[worker]);
    assert!(took < Duration::from_millis(500) + PROMISE + PROBE, "{took:?}");
    let status = helper.child.wait().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    assert!(within(Duration::from_secs(1), || !instance.has_lease()));
}

#[test]
fn a_stopped_guardian_leaves_the_deadline_to_the_worker() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = hanging();
    let mut order = instance.order();
    order.max_freeze_ms = 500;
    let helper = instance.freeze(&order, &function);
    assert!(helper.reach("sf:frozen"));
    let guardian = instance.guardian(&helper).unwrap();
    let took = thawed_after(&instance, &helper, &[guardian]);
    assert!(took < Duration::from_millis(500) + PROMISE + PROBE, "{took:?}");
    let (code, report) = helper.finish();
    assert_eq!(code, i32::from(Exit::Unproved.code()), "{}", report.render());
    assert_eq!(report.reason, Some(Reason::Deadline));
    assert!(!is_alive(guardian), "a guardian that does not answer is ended");
}

#[test]
fn a_signal_thaws_and_still_reports() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    for signal in [Kill::TERM, Kill::INT, Kill::HUP] {
        let function = hanging();
        let helper = instance.freeze(&instance.order(), &function);
        assert!(helper.reach("sf:frozen"));
        helper.signal(signal);
        assert!(instance.write_takes(0, PROMISE + PROBE).is_some());
        let (code, report) = helper.finish();
        assert_eq!(code, i32::from(Exit::Unproved.code()), "{}", report.render());
        assert_eq!(report.reason, Some(Reason::Terminated));
    }
}

#[test]
fn the_death_of_the_whole_process_group_leaves_nothing_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = hanging();
    let mut helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    // As the SSM agent does on cancel; here the group is the test's own, so its members are killed one
    // by one: whoever is still in it.
    let group = rustix::process::getpgrp();
    let worker = helper.child.id();
    let pid = |raw: u32| rustix::process::Pid::from_raw(i32::try_from(raw).unwrap());
    let members: Vec<u32> = std::iter::once(worker)
        .chain(children(worker))
        .filter(|member| rustix::process::getpgid(pid(*member)).is_ok_and(|of| of == group))
        .collect();
    assert_eq!(members, [worker], "the guardian has a session of its own");
    kill(worker, Kill::KILL);
    helper.child.wait().unwrap();
    assert!(instance.write_takes(0, PROMISE + PROBE).is_some());
}

#[test]
fn the_guardian_does_not_hold_the_caller_s_streams() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = hanging();
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    let guardian = instance.guardian(&helper).unwrap();
    for stream in 0..3 {
        let target = std::fs::read_link(format!("/proc/{guardian}/fd/{stream}")).unwrap();
        assert_eq!(target, std::path::Path::new("/dev/null"));
    }
}

#[test]
fn both_killed_is_undone_by_thaw_and_by_the_next_freeze() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    for next in ["thaw", "freeze"] {
        let function = hanging();
        let mut helper = instance.freeze(&instance.order(), &function);
        assert!(helper.reach("sf:frozen"));
        let guardian = instance.guardian(&helper).unwrap();
        // Neither may act for the other in between.
        kill(guardian, Kill::STOP);
        helper.signal(Kill::STOP);
        kill(guardian, Kill::KILL);
        helper.signal(Kill::KILL);
        helper.child.wait().unwrap();
        assert!(instance.is_frozen(0) && instance.is_frozen(1) && instance.has_lease());
        if next == "thaw" {
            let output = instance.helper(&["thaw"]);
            assert!(output.status.success(), "{output:?}");
            let thawed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(thawed["thawed"].as_array().unwrap().len(), 2, "{thawed}");
        } else {
            let (code, report) = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
            assert_eq!(code, 0, "{}", report.render());
        }
        assert!(!instance.anything_frozen() && !instance.has_lease(), "{next}");
    }
}

#[test]
fn thaw_leaves_a_healthy_freeze_alone_unless_it_is_forced() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = hanging();
    let output = instance.helper(&["thaw"]);
    assert!(output.status.success(), "nothing to thaw is fine: {output:?}");
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    let output = instance.helper(&["thaw"]);
    assert_eq!(output.status.code(), Some(i32::from(Exit::Refused.code())));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--force"));
    let output = instance.helper(&["thaw", "--force"]);
    assert!(output.status.success(), "{output:?}");
    assert!(instance.write_takes(0, PROMISE + PROBE).is_some());
    let (code, report) = helper.finish();
    assert_eq!(code, i32::from(Exit::Unproved.code()), "{}", report.render());
}

#[test]
fn thaw_ends_a_freeze_whose_processes_are_all_stopped() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = hanging();
    let mut order = instance.order();
    order.max_freeze_ms = 200;
    let helper = instance.freeze(&order, &function);
    assert!(helper.reach("sf:frozen"));
    let guardian = instance.guardian(&helper).unwrap();
    kill(guardian, Kill::STOP);
    helper.signal(Kill::STOP);
    assert!(instance.is_frozen(0));
    // The lease says until when it was to be over: two freezes of 200 ms, and a second.
    assert!(within(Duration::from_secs(4), || instance.helper(&["thaw"]).status.success()));
    assert!(instance.write_takes(0, PROMISE + PROBE).is_some());
    assert!(within(Duration::from_secs(1), || !is_alive(guardian) && !is_alive(helper.child.id())));
}

#[test]
fn a_frozen_helper_is_small_and_locked_in_memory() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("btrfs", "c")]);
    let function = hanging();
    let helper = instance.freeze(&instance.order(), &function);
    assert!(helper.reach("sf:frozen"));
    for pid in [helper.child.id(), instance.guardian(&helper).unwrap()] {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let kib = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches("kB").trim().parse().unwrap()
        };
        let own = kib("RssAnon:");
        eprintln!("pid {pid}: {own} KiB of its own, {} KiB with the program's pages", kib("VmRSS:"));
        // The program's own pages are many in a debug build; a release is measured where it is built.
        assert!(own < 12 * 1024, "{own} KiB");
        assert!(kib("VmLck:") > own, "it might have to wait for its own pages");
        let score = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        // A container's root may lack the right to it (CAP_SYS_RESOURCE).
        if pid != helper.child.id() && may_lower_its_score() {
            assert_eq!(score.trim(), "-1000", "the guardian must be the last to be killed for memory");
        }
    }
    let writable: Vec<String> = open_for_writing(helper.child.id());
    let folder = instance.inside("");
    assert!(!writable.iter().any(|path| path.starts_with(&folder)), "{writable:?}");
}

fn may_lower_its_score() -> bool {
    let lowered = Command::new("sh").args(["-c", "echo -1000 >/proc/self/oom_score_adj"]).output();
    lowered.is_ok_and(|output| output.status.success())
}

/// Paths that a process has open for writing.
fn open_for_writing(pid: u32) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fdinfo")) else { return vec![] };
    entries
        .flatten()
        .filter(|entry| {
            let info = std::fs::read_to_string(entry.path()).unwrap_or_default();
            let flags =
                info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or("0").trim().to_owned();
            i32::from_str_radix(&flags, 8).unwrap_or(0) & 3 != 0
        })
        .filter_map(|entry| {
            let link = format!("/proc/{pid}/fd/{}", entry.file_name().to_str()?);
            Some(std::fs::read_link(link).ok()?.to_string_lossy().into_owned())
        })
        .collect()
}
