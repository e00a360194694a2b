//! Freezes of real file systems on loop devices: what is consistent, and what is not and says so.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::{Reply, SignalFunction, no, order_of, yes};
use common::instance::{Instance, token};
use common::{alone, have_devices};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use stillframe_wire::{
    Answer, Exit, FileSystemVerdict, Reason, RefusalReason, Report, RunId, Signal, Verdict, VolumeId,
};

fn ends_with(outcome: &(i32, Report), exit: Exit, verdict: Verdict, reason: Option<Reason>) {
    let (code, report) = outcome;
    assert_eq!(
        (*code, report.verdict, report.reason),
        (i32::from(exit.code()), verdict, reason),
        "{}",
        report.render()
    );
}

#[test]
fn all_three_kinds_are_frozen_when_the_function_is_asked_and_thawed_after() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(Instance::start(&[("ext4", "pg data"), ("xfs", "xfs"), ("btrfs", "btrfs")]));
    let here: Weak<Instance> = Arc::downgrade(&instance);
    let frozen = Arc::new(OnceLock::new());
    let seen = Arc::clone(&frozen);
    let function = SignalFunction::at_frozen(move |signal| {
        let instance = here.upgrade().unwrap();
        seen.set([0, 1, 2].map(|n| instance.is_frozen(n))).unwrap();
        Reply::Answer(yes(signal))
    });
    let mut order = instance.order();
    order.max_freeze_ms = 5_000;
    let outcome = instance.freeze(&order, &function).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    let (_, report) = outcome;
    assert_eq!(frozen.get(), Some(&[true, true, true]));
    assert!(!instance.anything_frozen());
    assert!(!instance.has_lease());
    assert_eq!(report.snapshots.len(), 3);
    assert!(report.snapshots.iter().all(|snapshot| snapshot.frozen));
    assert!(report.filesystems.iter().all(|fs| fs.verdict == FileSystemVerdict::Frozen && fs.frozen_us > 0));
    assert!(report.phases.window_us >= report.phases.signal_us);
    let signals = function.signals();
    assert_eq!(signals.len(), 2, "one READY, one FROZEN");
    assert!(signals.iter().all(|(connection, _)| *connection == 0), "on one connection");
    let Signal::Frozen(frozen) = &signals[1].1 else { panic!("{signals:?}") };
    assert!(frozen.budget_ms > 3_000 && frozen.budget_ms <= 5_000, "{}", frozen.budget_ms);
    assert_eq!(frozen.filesystems[0].mount_point, instance.inside("pg data"));
    assert!(frozen.filesystems.iter().all(|fs| fs.uuid.is_some() && fs.layout == "disk"));
}

#[test]
fn a_plain_freeze_flushes_and_primes_nothing_before_and_is_as_good_a_proof() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = SignalFunction::willing();
    let mut plain = instance.command("sh");
    plain.args(["-c", "exec \"$0\" \"$@\" --plain", env!("CARGO_BIN_EXE_stillframe-helper")]);
    let outcome = instance.start_freeze(plain, &token(&instance.order()), &function.url()).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    let (_, report) = outcome;
    assert_eq!((report.flush.rounds, report.phases.prime_us), (0, 0));
    assert!(report.snapshots.iter().all(|snapshot| snapshot.frozen));
    assert!(!instance.anything_frozen() && !instance.has_lease());
}

#[test]
fn a_blank_volume_is_in_the_set_and_not_called_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("none", "b")]);
    let function = SignalFunction::willing();
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    let frozen: Vec<bool> = outcome.1.snapshots.iter().map(|snapshot| snapshot.frozen).collect();
    assert_eq!(frozen, [true, false]);
}

#[test]
fn a_volume_that_is_not_attached_is_refused_by_name() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::willing();
    let mut order = instance.order();
    order.volumes[0].id = VolumeId::new("vol-0fffffffffffffff1").unwrap();
    let outcome = instance.freeze(&order, &function).finish();
    ends_with(&outcome, Exit::Refused, Verdict::Refused, Some(Reason::VolumeMissing));
    assert!(outcome.1.error.unwrap().contains("vol-0fffffffffffffff1"));
    assert!(function.signals().is_empty());
}

#[test]
fn an_order_that_is_none_or_for_another_instance_is_refused() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let function = SignalFunction::willing();
    let outcome = instance.freeze_token("not an order", &function).finish();
    ends_with(&outcome, Exit::Refused, Verdict::Refused, Some(Reason::BadOrder));
    let mut order = instance.order();
    order.instance = stillframe_wire::InstanceId::new("i-0bbbbbbbbbbbbbbb2").unwrap();
    let outcome = instance.freeze(&order, &function).finish();
    ends_with(&outcome, Exit::Refused, Verdict::Refused, Some(Reason::BadOrder));
    assert!(outcome.1.error.unwrap().contains("i-0bbbbbbbbbbbbbbb2"));
    assert!(function.signals().is_empty());
}

#[test]
fn nothing_is_done_when_nothing_can_be_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("none", "a")]);
    let function = SignalFunction::willing();
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::NothingToFreeze));
    assert!(function.signals().is_empty());
}

#[test]
fn a_foreign_freeze_is_refused_and_left_as_it_was() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = SignalFunction::willing();
    assert!(instance.fsfreeze("-f", 1));
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::ForeignFreeze));
    assert!(outcome.1.error.unwrap().contains(&instance.inside("b")));
    // Before an intent is written down: a guardian that finds one takes the freeze for ours.
    assert!(function.signals().is_empty(), "found by a write, not by FIFREEZE");
    assert!(instance.is_free(0), "ours is free");
    assert!(instance.is_frozen(1), "theirs is frozen still");
    assert!(instance.fsfreeze("-u", 1));
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
}

#[test]
fn a_foreign_freeze_that_begins_after_ready_is_refused_and_left_as_it_was() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(Instance::start(&[("ext4", "a"), ("xfs", "b")]));
    let here = Arc::downgrade(&instance);
    let function = SignalFunction::deciding(move |signal| {
        if matches!(signal, Signal::Ready(_)) {
            assert!(here.upgrade().unwrap().fsfreeze("-f", 0));
        }
        Reply::Answer(yes(signal))
    });
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::ForeignFreeze));
    assert_eq!(outcome.1.filesystems[0].verdict, FileSystemVerdict::ForeignFreeze);
    assert!(instance.is_frozen(0) && instance.is_free(1));
    assert_eq!(function.frozen_signals(), 0);
}

#[test]
fn a_thaw_by_somebody_else_inside_the_window_breaks_the_proof() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Arc::new(Instance::start(&[("ext4", "a"), ("xfs", "b")]));
    let here = Arc::downgrade(&instance);
    let function = SignalFunction::at_frozen(move |signal| {
        assert!(here.upgrade().unwrap().fsfreeze("-u", 1));
        Reply::Answer(yes(signal))
    });
    let outcome = instance.freeze(&instance.order(), &function).finish();
    ends_with(&outcome, Exit::Unproved, Verdict::Unproved, Some(Reason::ThawedByOther));
    let (_, report) = outcome;
    assert_eq!(report.filesystems[1].verdict, FileSystemVerdict::ThawedByOther);
    assert!(report.snapshots.len() == 2 && report.snapshots.iter().all(|snapshot| !snapshot.frozen));
    assert!(!instance.anything_frozen());
}

#[test]
fn what_the_function_answers_instead_of_a_cut_is_never_proof() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("ext4", "b")]);
    type Decide = fn(&Signal) -> Reply;
    let cases: [(&str, Decide, Reason); 10] = [
        ("connection reset", |_| Reply::Reset, Reason::BadAnswer),
        ("function error", |_| Reply::FunctionError, Reason::BadAnswer),
        ("throttled invoke", |_| Reply::Status(429), Reason::Throttled),
        ("server error", |_| Reply::Status(500), Reason::BadAnswer),
        ("half an answer", |_| Reply::Text(r#"{"cut": {"run": "x""#), Reason::BadAnswer),
        (
            "another run",
            |signal| {
                let Answer::Cut(mut cut) = yes(signal) else { panic!() };
                cut.run = RunId::new("daily/2026-11-21/zzzzzz").unwrap();
                Reply::Answer(Answer::Cut(cut))
            },
            Reason::BadAnswer,
        ),
        (
            "a missing volume",
            |signal| {
                let Answer::Cut(mut cut) = yes(signal) else { panic!() };
                cut.snapshots.pop();
                Reply::Answer(Answer::Cut(cut))
            },
            Reason::BadAnswer,
        ),
        ("throttled", |_| no(RefusalReason::Throttled), Reason::Throttled),
        ("refused", |_| no(RefusalReason::CreateFailed), Reason::RefusedBySignal),
        ("pending limit", |_| no(RefusalReason::PendingLimit), Reason::PendingLimit),
    ];
    for (name, decide, reason) in cases {
        let function = SignalFunction::at_frozen(decide);
        let outcome = instance.freeze(&instance.order(), &function).finish();
        eprintln!("{name}: {:?}", outcome.1.error);
        ends_with(&outcome, Exit::Unproved, Verdict::Unproved, Some(reason));
        assert!(outcome.1.snapshots.iter().all(|snapshot| !snapshot.frozen), "{name}");
        assert!(outcome.1.error.is_some(), "{name}");
        assert_eq!(function.frozen_signals(), 1, "{name}: FROZEN is never sent twice");
        assert!(!instance.anything_frozen(), "{name}");
    }
}

#[test]
fn an_answer_after_the_deadline_is_late_and_the_thaw_is_not() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b")]);
    let function = SignalFunction::at_frozen(|signal| Reply::Late(Duration::from_millis(900), yes(signal)));
    let mut order = instance.order();
    order.max_freeze_ms = 400;
    let outcome = instance.freeze(&order, &function).finish();
    ends_with(&outcome, Exit::Unproved, Verdict::Unproved, Some(Reason::Deadline));
    for fs in &outcome.1.filesystems {
        assert!(fs.frozen_us <= 500_000, "{fs:?}");
    }
}

#[test]
fn a_function_that_refuses_or_fails_at_ready_freezes_nothing() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let refusing = SignalFunction::deciding(|_| no(RefusalReason::Expired));
    let outcome = instance.freeze(&instance.order(), &refusing).finish();
    ends_with(&outcome, Exit::Refused, Verdict::Refused, Some(Reason::RefusedBySignal));
    let broken = SignalFunction::deciding(|_| Reply::Reset);
    let outcome = instance.freeze(&instance.order(), &broken).finish();
    ends_with(&outcome, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::SignalUnreachable));
    let other_run = SignalFunction::deciding(|signal| {
        assert_eq!(order_of(signal).policy, "daily");
        let run = RunId::new("daily/2026-11-21/zzzzzz").unwrap();
        Reply::Answer(Answer::Ready(stillframe_wire::ReadyAnswer { run }))
    });
    let outcome = instance.freeze(&instance.order(), &other_run).finish();
    ends_with(&outcome, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::BadAnswer));
    assert_eq!(other_run.frozen_signals(), 0);
    assert!(!instance.has_lease());
}

#[test]
fn a_second_freeze_on_the_instance_is_busy() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a")]);
    let slow = SignalFunction::at_frozen(|signal| Reply::Late(Duration::from_millis(1_500), yes(signal)));
    let first = instance.freeze(&instance.order(), &slow);
    assert!(first.reach("sf:frozen"));
    let second = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    ends_with(&second, Exit::NotFrozen, Verdict::NotFrozen, Some(Reason::Busy));
    ends_with(&first.finish(), Exit::Done, Verdict::Consistent, None);
}

#[test]
fn a_file_system_in_a_file_is_frozen_before_the_one_that_holds_the_file() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let inner = "truncate -s 64M a/image; mkfs.ext4 -q -F a/image; mkdir inner; mount -o loop a/image inner";
    let instance = Instance::start_with(&[("xfs", "a")], inner);
    let outcome = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    assert_eq!(outcome.1.filesystems.len(), 2);
    assert!(outcome.1.filesystems.iter().all(|fs| fs.verdict == FileSystemVerdict::Frozen));
}

#[test]
fn btrfs_subvolumes_and_bind_mounts_are_one_file_system() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let more = "btrfs -q subvolume create a/home; mkdir home bound; \
                mount -o subvol=home $(findmnt -no SOURCE a) home; mount --bind b bound";
    let instance = Instance::start_with(&[("btrfs", "a"), ("ext4", "b")], more);
    let outcome = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    let mounts: Vec<String> = outcome.1.filesystems.iter().map(|fs| fs.mount_point.clone()).collect();
    assert_eq!(mounts, [instance.inside("a"), instance.inside("b")]);
}

#[test]
fn list_says_what_can_be_frozen() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "pg data"), ("none", "b")]);
    let output = instance.helper(&["list", "--json"]);
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["volume"], "vol-0aaaaaaaaaaaaaa00");
    assert_eq!(rows[0]["mount_point"], instance.inside("pg data"));
    assert_eq!(rows[0]["freezable"], true);
    assert_eq!(rows[1]["freezable"], false);
    let table = String::from_utf8(instance.helper(&["list"]).stdout).unwrap();
    assert!(table.starts_with("VOLUME") && table.contains("no file system of it is mounted"), "{table}");
}

#[test]
fn a_volume_that_only_a_container_has_mounted_is_frozen_too() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    // A namespace of its own mounts the file system, and the instance's no longer does.
    let more = "unshare --mount --propagation private sh -c 'touch inner; exec sleep 120' >/dev/null 2>&1 &\n\
                until [ -e inner ]; do :; done; umount a";
    let instance = Instance::start_with(&[("ext4", "a")], more);
    let outcome = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    ends_with(&outcome, Exit::Done, Verdict::Consistent, None);
    assert_eq!(outcome.1.filesystems[0].verdict, FileSystemVerdict::Frozen);
    assert!(outcome.1.snapshots[0].frozen);
}

#[test]
fn the_doctor_says_what_a_freeze_would_do_and_what_stands_against_it() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start(&[("ext4", "a"), ("xfs", "b"), ("none", "c")]);
    let function = SignalFunction::deciding(|_| no(RefusalReason::Malformed));
    let doctor = |url: &str| -> (i32, serde_json::Value) {
        let mut command = instance.command(env!("CARGO_BIN_EXE_stillframe-helper"));
        command.args(["doctor", "--json", "--function", "signal"]);
        command.envs([
            ("AWS_REGION", "eu-north-1"),
            ("AWS_ACCESS_KEY_ID", "A"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ]);
        let output = command.env("AWS_ENDPOINT_URL_LAMBDA", url).output().unwrap();
        (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap())
    };
    let grade = |findings: &serde_json::Value, about: &str| -> String {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["about"] == about);
        found.unwrap_or_else(|| panic!("{about} in {findings}"))["grade"].as_str().unwrap().to_owned()
    };
    let (a, b) = (instance.inside("a"), instance.inside("b"));
    assert!(instance.fsfreeze("-f", 1));
    let (code, findings) = doctor(&function.url());
    assert!(instance.fsfreeze("-u", 1));
    assert_eq!(code, i32::from(Exit::NotFrozen.code()), "{findings}");
    for (about, expected) in [
        ("rights", "ok"),
        ("/run", "ok"),
        ("freeze", "ok"),
        ("signal function", "ok"),
        (a.as_str(), "ok"),
        (b.as_str(), "problem"),
        (instance.volumes[2].id.as_str(), "warning"),
    ] {
        assert_eq!(grade(&findings, about), expected, "{about} in {findings}");
    }
    let (_, findings) = doctor("http://127.0.0.1:1");
    assert_eq!(grade(&findings, "signal function"), "problem");
    assert_eq!(grade(&findings, b.as_str()), "ok", "it is thawed again");
}
