//! What a freeze leaves alone unless a policy insists, on real file systems: what holds the SSM agent's
//! state, the helper's binary, or `/run`.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::function::SignalFunction;
use common::instance::{Instance, token};
use common::{alone, have_devices};
use stillframe_wire::{FileSystemVerdict, Holds, Reason, Report, Verdict};

/// The agent's state, behind a link, on volume `a`; nothing of it on the machine's own disk.
const AGENT_ON_A: &str = "mount -t tmpfs none /var/lib; mkdir -p /var/lib/amazon a/ssm; \
                          ln -s \"$PWD/a/ssm\" /var/lib/amazon/ssm";

/// The verdicts on `a` and `b`, and whether their snapshots were called frozen.
fn outcome(report: &Report) -> ([FileSystemVerdict; 2], [bool; 2]) {
    assert_eq!(report.verdict, Verdict::Consistent, "{}", report.render());
    ([0, 1].map(|n| report.filesystems[n].verdict), [0, 1].map(|n| report.snapshots[n].frozen))
}

#[test]
fn the_agent_s_state_and_what_lies_below_it_are_left_alone_unless_the_policy_insists() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start_with(&[("xfs", "a"), ("ext4", "b")], AGENT_ON_A);
    let mut order = instance.order();
    let (_, report) = instance.freeze(&order, &SignalFunction::willing()).finish();
    let (verdicts, frozen) = outcome(&report);
    assert_eq!(verdicts, [FileSystemVerdict::HoldsSsmAgent, FileSystemVerdict::Frozen]);
    assert_eq!(frozen, [false, true]);
    order.freeze_root = true;
    let (_, report) = instance.freeze(&order, &SignalFunction::willing()).finish();
    assert_eq!(outcome(&report), ([FileSystemVerdict::Frozen; 2], [true; 2]));
    let table = String::from_utf8(instance.helper(&["list"]).stdout).unwrap();
    assert!(
        table.contains(&format!("it holds the SSM agent's state ({}", instance.inside("a/ssm"))),
        "{table}"
    );
}

#[test]
fn agent_s_state_in_an_image_file_keeps_the_outer_file_system_free_too() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let image = "truncate -s 64M a/image; mkfs.ext4 -q -F a/image; mkdir inner; mount -o loop a/image inner; \
                 mount -t tmpfs none /var/lib; mkdir -p /var/lib/amazon inner/ssm; \
                 ln -s \"$PWD/inner/ssm\" /var/lib/amazon/ssm";
    let instance = Instance::start_with(&[("xfs", "a"), ("ext4", "b")], image);
    let (_, report) = instance.freeze(&instance.order(), &SignalFunction::willing()).finish();
    let mut verdicts: Vec<(String, FileSystemVerdict)> =
        report.filesystems.iter().map(|fs| (fs.mount_point.clone(), fs.verdict)).collect();
    verdicts.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = [
        (instance.inside("a"), FileSystemVerdict::HoldsSsmAgent),
        (instance.inside("b"), FileSystemVerdict::Frozen),
        (instance.inside("inner"), FileSystemVerdict::HoldsSsmAgent),
    ];
    assert_eq!(verdicts, expected);
}

#[test]
fn the_helper_s_own_binary_is_left_alone_unless_the_policy_insists() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let copy = format!("cp '{}' a/helper", env!("CARGO_BIN_EXE_stillframe-helper"));
    let instance = Instance::start_with(&[("ext4", "a"), ("btrfs", "b")], &copy);
    let mut order = instance.order();
    for (insist, first) in [(false, FileSystemVerdict::HoldsHelper), (true, FileSystemVerdict::Frozen)] {
        order.freeze_root = insist;
        let function = SignalFunction::willing();
        let command = instance.command(&instance.inside("a/helper"));
        let (_, report) = instance.start_freeze(command, &token(&order), &function.url()).finish();
        assert_eq!(outcome(&report), ([first, FileSystemVerdict::Frozen], [insist, true]));
    }
}

#[test]
fn run_is_never_frozen_whatever_the_policy_says() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance =
        Instance::start_with(&[("ext4", "a"), ("xfs", "b")], "mkdir a/run; mount --bind a/run /run");
    let mut order = instance.order();
    for insist in [false, true] {
        order.freeze_root = insist;
        let (_, report) = instance.freeze(&order, &SignalFunction::willing()).finish();
        let verdicts = [FileSystemVerdict::HoldsRun, FileSystemVerdict::Frozen];
        assert_eq!(outcome(&report), (verdicts, [false, true]));
    }
    assert!(!instance.anything_frozen());
}

#[test]
fn an_order_of_which_nothing_is_left_to_freeze_says_why() {
    if !have_devices() {
        return;
    }
    let _alone = alone();
    let instance = Instance::start_with(&[("xfs", "a"), ("none", "b")], AGENT_ON_A);
    let function = SignalFunction::willing();
    let (_, report) = instance.freeze(&instance.order(), &function).finish();
    assert_eq!(report.reason, Some(Reason::NothingToFreeze));
    assert_eq!(report.filesystems[0].verdict, FileSystemVerdict::HoldsSsmAgent);
    let holds: Vec<Holds> = report.volumes.iter().map(|note| note.holds).collect();
    assert_eq!(holds, [Holds::NotFrozen, Holds::Nothing]);
    assert!(function.signals().is_empty());
}
