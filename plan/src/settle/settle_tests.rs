use super::*;
use crate::backup::Unsettled;
use crate::settle::{ReportedSnapshot, Settlement, SettlementBrief};
use crate::tags;
use crate::world::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::BTreeSet;

fn expected(means: Means) -> Expectation {
    Expectation {
        target: Target::Instance("i-1".into()),
        instance: Some("i-1".into()),
        run: RUN.into(),
        volumes: BTreeSet::from(["vol-1".into(), "vol-2".into()]),
        means,
    }
}

/// The set of the run: `snap-1` of `vol-1` and `snap-2` of `vol-2`, pending.
fn made_set() -> Vec<Snapshot> {
    ["1", "2"]
        .map(|n| {
            snapshot(&format!("snap-{n}"), &format!("vol-{n}"), RUN, now()).in_state(SnapshotState::Pending)
        })
        .to_vec()
}

fn named(volume: &str, id: &str, frozen: bool) -> ReportedSnapshot {
    ReportedSnapshot { volume: volume.into(), snapshot: id.into(), frozen }
}

fn report(consistent: bool, snapshots: Vec<ReportedSnapshot>) -> Reported {
    Reported { consistent, snapshots, reason: "deadline".to_owned(), retry_later: false }
}

fn good_report() -> Evidence {
    Evidence::Reported(report(true, vec![named("vol-1", "snap-1", true), named("vol-2", "snap-2", true)]))
}

fn labels(settled: &Settled) -> Vec<(&str, Consistency, Option<LeftReason>)> {
    settled.members.iter().map(|member| (member.snapshot.as_str(), member.label, member.left)).collect()
}

const CRASH: Consistency = Consistency::Crash;
const FILESYSTEM: Consistency = Consistency::Filesystem;
const OFFLINE: Consistency = Consistency::Offline;

#[test]
fn a_proved_freeze_promotes_what_was_frozen_and_nothing_else() {
    let policy = policy(json!({}));
    let settled = settle(&policy, &expected(Means::Order), 1, &good_report(), &made_set());
    assert_eq!(settled.outcome, Outcome::Promote { label: FILESYSTEM });
    assert_eq!(labels(&settled), [("snap-1", FILESYSTEM, None), ("snap-2", FILESYSTEM, None)]);

    // `vol-2` could not be frozen, `vol-3` was attached after the plan.
    let evidence = Evidence::Reported(report(
        true,
        vec![named("vol-1", "snap-1", true), named("vol-2", "snap-2", false), named("vol-3", "snap-3", true)],
    ));
    let mut snapshots = made_set();
    snapshots.push(snapshot("snap-3", "vol-3", RUN, now()));
    snapshots.push(snapshot("snap-4", "vol-1", RUN, now()));
    let settled = settle(&policy, &expected(Means::Order), 1, &evidence, &snapshots);
    assert_eq!(
        labels(&settled),
        [
            ("snap-1", FILESYSTEM, None),
            ("snap-2", CRASH, Some(LeftReason::NotFrozen)),
            ("snap-3", CRASH, Some(LeftReason::NotPlanned)),
            ("snap-4", CRASH, Some(LeftReason::NotReported)),
        ]
    );
    assert!(settled.missing.is_empty());
}

#[test]
fn snapshots_of_others_are_not_ours_to_promote() {
    let policy = policy(json!({}));
    for (name, other) in [
        ("another policy", made_set()[0].clone().tagged(tags::POLICY, "hourly")),
        ("another run", made_set()[0].clone().tagged(tags::RUN, "daily/2026-11-22/other")),
        ("another instance", made_set()[0].clone().tagged(tags::INSTANCE, "i-2")),
        ("no tags", Snapshot { tags: Default::default(), ..made_set()[0].clone() }),
        ("failed", made_set()[0].clone().in_state(SnapshotState::Error)),
    ] {
        let settled = settle(&policy, &expected(Means::Order), 1, &good_report(), &[other]);
        assert!(settled.members.is_empty(), "{name}");
        assert!(matches!(settled.outcome, Outcome::Failed { .. }), "{name}: {:?}", settled.outcome);
        assert_eq!(settled.missing, ["vol-1".into(), "vol-2".into()], "{name}");
    }
    // The id is the report's, the volume is not.
    let moved = Snapshot { volume: "vol-2".into(), ..made_set()[0].clone() };
    let settled = settle(&policy, &expected(Means::Order), 1, &good_report(), &[moved]);
    assert_eq!(labels(&settled), [("snap-1", CRASH, Some(LeftReason::NotReported))]);
}

/// Evidence about an order, whether snapshots exist, and what comes of it for a policy that takes
/// crash-consistent ones and for one that does not.
#[test]
fn what_becomes_of_an_order_that_proves_nothing() {
    let throttled = Evidence::Reported(Reported { retry_later: true, ..report(false, vec![]) });
    let unproved = Evidence::Reported(report(false, vec![named("vol-1", "snap-1", true)]));
    let silent = Evidence::NoReport { status: "ExecutionTimedOut".to_owned() };
    let unsent = Evidence::NotSent { cause: "AccessDenied".to_owned() };
    let refused = Evidence::Reported(report(false, vec![]));
    let later = Evidence::Later { cause: "ConcurrentSnapshotLimitExceeded".to_owned() };
    for (evidence, attempt, exist, crash, skip) in [
        (&refused, 1, false, "fallback", "failed"),
        (&refused, 1, true, "crash", "crash"),
        (&throttled, 1, false, "requeue", "requeue"),
        (&throttled, MOST_ATTEMPTS - 1, false, "requeue", "requeue"),
        (&throttled, MOST_ATTEMPTS, false, "fallback", "failed"),
        (&throttled, 1, true, "crash", "crash"),
        (&unproved, 1, true, "crash", "crash"),
        // They were made and are not seen: not made twice.
        (&unproved, 1, false, "failed", "failed"),
        (&good_report(), 1, false, "failed", "failed"),
        (&silent, 1, false, "fallback", "failed"),
        (&silent, 1, true, "crash", "crash"),
        (&unsent, 1, false, "fallback", "failed"),
        (&unsent, 1, true, "crash", "crash"),
        (&Evidence::UnderWay, 1, false, "wait", "wait"),
        (&Evidence::UnderWay, 1, true, "wait", "wait"),
        (&Evidence::Nothing, 1, false, "failed", "failed"),
        (&Evidence::Nothing, 1, true, "crash", "crash"),
        // EC2's limits of one volume: a later run's, whatever the policy takes, and no failure.
        (&later, 1, false, "later", "later"),
        (&later, MOST_ATTEMPTS, false, "later", "later"),
        (&later, 1, true, "crash", "crash"),
        // Evidence of the wrong kind is none.
        (&Evidence::SeenAfter { instance: None, volumes: vec![] }, 1, true, "crash", "crash"),
    ] {
        for (on_failure, wanted) in [("crash", crash), ("skip", skip)] {
            let snapshots = if exist { made_set() } else { vec![] };
            let policy = policy(json!({"on_failure": on_failure}));
            let settled = settle(&policy, &expected(Means::Order), attempt, evidence, &snapshots);
            let found = match settled.outcome {
                Outcome::Promote { .. } => "promote",
                Outcome::Crash { .. } => "crash",
                Outcome::Fallback { .. } => "fallback",
                Outcome::Requeue { .. } => "requeue",
                Outcome::Failed { .. } => "failed",
                Outcome::Later { .. } => "later",
                Outcome::Wait => "wait",
            };
            assert_eq!(
                found, wanted,
                "{evidence:?}, attempt {attempt}, snapshots exist: {exist}, {on_failure}"
            );
            assert!(settled.members.iter().all(|member| member.label == CRASH));
        }
    }
}

#[test]
fn an_earlier_run_is_settled_by_its_report_and_never_repeated() {
    let unsettled = Unsettled {
        run: RUN.into(),
        target: Target::Instance("i-1".into()),
        snapshots: vec![("vol-1".into(), "snap-1".into())],
    };
    let policy = policy(json!({}));
    let mut set = made_set();
    set[1] = set[1].clone().labelled("filesystem");
    let settled = settle(&policy, &unsettled.expectation(), 1, &good_report(), &set);
    assert_eq!(labels(&settled), [("snap-1", FILESYSTEM, None), ("snap-2", FILESYSTEM, None)]);
    for evidence in [Evidence::Nothing, Evidence::NoReport { status: "Failed".to_owned() }] {
        let settled = settle(&policy, &unsettled.expectation(), 1, &evidence, &[]);
        assert!(matches!(settled.outcome, Outcome::Failed { .. }), "{evidence:?}");
    }
}

fn by_stop(last_stop: LastStop) -> Means {
    Means::Direct(Way::Stopped(StoppedBefore { launched_at: time("2026-11-01"), last_stop }))
}

fn seen(instance: Instance) -> Evidence {
    let volumes =
        [("vol-1", "/dev/sdf"), ("vol-2", "/dev/sdg")].map(|(id, device)| volume(id, Some(("i-1", device))));
    Evidence::SeenAfter { instance: Some(instance), volumes: volumes.to_vec() }
}

#[test]
fn a_set_is_offline_only_if_its_instance_stayed_stopped_and_was_not_forced() {
    use LastStop::{ByItsSystem, ByUser, Forced, Unknown};
    let restarted = Instance { launched_at: time("2026-11-22"), ..stopped("i-1", ByUser) };
    let running = Instance { last_stop: ByUser, ..instance("i-1") };
    let hibernating = Instance { hibernation_configured: true, ..stopped("i-1", ByUser) };
    for (name, before, after, offline) in [
        ("by its system", ByItsSystem, seen(stopped("i-1", ByItsSystem)), true),
        ("by a user", ByUser, seen(stopped("i-1", ByUser)), true),
        ("forced", Forced, seen(stopped("i-1", Forced)), false),
        ("forced, as seen later", ByUser, seen(stopped("i-1", Forced)), false),
        ("forced, as seen before", Forced, seen(stopped("i-1", ByUser)), false),
        ("not known", Unknown, seen(stopped("i-1", Unknown)), false),
        ("no longer known", ByUser, seen(stopped("i-1", Unknown)), false),
        ("started since", ByUser, seen(running), false),
        ("started and stopped since", ByUser, seen(restarted), false),
        ("hibernating", ByUser, seen(hibernating), false),
        ("not seen again", ByUser, Evidence::SeenAfter { instance: None, volumes: vec![] }, false),
        (
            "volumes not seen again",
            ByUser,
            Evidence::SeenAfter { instance: Some(stopped("i-1", ByUser)), volumes: vec![] },
            false,
        ),
        ("nothing known", ByUser, Evidence::Nothing, false),
        ("answer lost", ByUser, Evidence::CallFailed { cause: "timeout".to_owned() }, false),
        ("a report, of all things", ByUser, good_report(), false),
    ] {
        let settled = settle(&policy(json!({})), &expected(by_stop(before)), 1, &after, &made_set());
        let label = if offline { OFFLINE } else { CRASH };
        assert!(settled.members.iter().all(|member| member.label == label), "{name}: {settled:?}");
        assert_eq!(matches!(settled.outcome, Outcome::Promote { .. }), offline, "{name}");
        assert_eq!(matches!(settled.outcome, Outcome::Crash { .. }), !offline, "{name}");
    }
}

#[test]
fn a_volume_that_left_the_stopped_instance_stays_crash() {
    let mut after = seen(stopped("i-1", LastStop::ByUser));
    let Evidence::SeenAfter { volumes, .. } = &mut after else { panic!() };
    volumes[1] = volume("vol-2", Some(("i-9", "/dev/sdg")));
    let settled = settle(&policy(json!({})), &expected(by_stop(LastStop::ByUser)), 1, &after, &made_set());
    assert_eq!(labels(&settled), [("snap-1", OFFLINE, None), ("snap-2", CRASH, Some(LeftReason::Moved))]);
}

#[test]
fn a_volume_that_others_may_write_to_stays_crash() {
    let mut after = seen(stopped("i-1", LastStop::ByUser));
    let Evidence::SeenAfter { volumes, .. } = &mut after else { panic!() };
    volumes[1].multi_attach = true;
    let settled = settle(&policy(json!({})), &expected(by_stop(LastStop::ByUser)), 1, &after, &made_set());
    assert_eq!(labels(&settled), [("snap-1", OFFLINE, None), ("snap-2", CRASH, Some(LeftReason::Moved))]);
}

#[test]
fn a_detached_volume_is_offline_only_if_it_is_still_detached() {
    let expected = Expectation {
        target: Target::Volume("vol-1".into()),
        instance: None,
        run: RUN.into(),
        volumes: BTreeSet::from(["vol-1".into()]),
        means: Means::Direct(Way::Detached),
    };
    let mut made = snapshot("snap-1", "vol-1", RUN, now());
    made.tags.remove(tags::INSTANCE);
    let after = |volumes| Evidence::SeenAfter { instance: None, volumes };
    for (name, evidence, label) in [
        ("still", after(vec![volume("vol-1", None)]), OFFLINE),
        ("attached", after(vec![volume("vol-1", Some(("i-1", "/dev/sdf")))]), CRASH),
        (
            "being attached",
            after(vec![Volume {
                state: VolumeState::Available,
                ..volume("vol-1", Some(("i-1", "/dev/sdf")))
            }]),
            CRASH,
        ),
        (
            "in use, though it is not said where",
            after(vec![Volume { state: VolumeState::InUse, ..volume("vol-1", None) }]),
            CRASH,
        ),
        ("gone", after(vec![]), CRASH),
        ("another", after(vec![volume("vol-2", None)]), CRASH),
    ] {
        let settled = settle(&policy(json!({})), &expected, 1, &evidence, std::slice::from_ref(&made));
        assert_eq!(settled.members[0].label, label, "{name}");
    }
}

#[test]
fn what_was_taken_while_something_may_write_stays_crash_whatever_is_seen() {
    let means = Means::Direct(Way::Crash(CrashReason::NoAgent));
    for evidence in [seen(stopped("i-1", LastStop::ByUser)), good_report(), Evidence::Nothing] {
        let settled = settle(&policy(json!({})), &expected(means.clone()), 1, &evidence, &made_set());
        assert!(settled.members.iter().all(|member| member.label == CRASH), "{evidence:?}");
        assert_eq!(settled.outcome, Outcome::Crash { reason: CrashReason::NoAgent.to_string() });
    }
}

#[test]
fn a_settlement_adds_up() {
    let policy = policy(json!({}));
    let settlement: Settlement = [
        settle(&policy, &expected(Means::Order), 1, &good_report(), &made_set()),
        settle(
            &policy,
            &expected(by_stop(LastStop::ByUser)),
            1,
            &seen(stopped("i-1", LastStop::ByUser)),
            &made_set(),
        ),
        settle(&policy, &expected(Means::Order), 1, &Evidence::UnderWay, &made_set()),
        settle(&policy, &expected(Means::Order), 1, &Evidence::NoReport { status: "Failed".to_owned() }, &[]),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        settlement.brief(),
        SettlementBrief {
            filesystem: 2,
            offline: 2,
            crash: 2,
            fallbacks: 1,
            waiting: 1,
            ..Default::default()
        }
    );
    let promotions = settlement.promotions();
    assert_eq!(promotions[&FILESYSTEM], ["snap-1".into(), "snap-2".into()]);
    assert!(!promotions.contains_key(&CRASH));
}

fn any_reported() -> impl Strategy<Value = Reported> {
    let snapshots = vec((0_usize..5, 0_usize..5, any::<bool>()), 0..5);
    (any::<bool>(), snapshots, any::<bool>()).prop_map(|(consistent, snapshots, retry_later)| Reported {
        consistent,
        snapshots: snapshots
            .into_iter()
            .map(|(v, s, frozen)| named(&format!("vol-{v}"), &format!("snap-{s}"), frozen))
            .collect(),
        reason: "x".to_owned(),
        retry_later,
    })
}

fn any_evidence() -> impl Strategy<Value = Evidence> {
    let stops = vec![LastStop::ByItsSystem, LastStop::ByUser, LastStop::Forced, LastStop::Unknown];
    let after = (select(stops), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(last_stop, runs, restarted, attached)| {
            let mut instance = stopped("i-1", last_stop);
            if runs {
                instance.state = InstanceState::Running;
            }
            if restarted {
                instance.launched_at = now();
            }
            let on = attached.then_some(("i-1", "/dev/sdf"));
            let volumes = (0..3).map(|n| volume(&format!("vol-{n}"), on)).collect();
            Evidence::SeenAfter { instance: Some(instance), volumes }
        },
    );
    prop_oneof![
        4 => any_reported().prop_map(Evidence::Reported),
        4 => after,
        1 => Just(Evidence::NoReport { status: "x".to_owned() }),
        1 => Just(Evidence::NotSent { cause: "x".to_owned() }),
        1 => Just(Evidence::UnderWay),
        1 => Just(Evidence::CallFailed { cause: "x".to_owned() }),
        1 => Just(Evidence::Nothing),
    ]
}

fn any_means() -> impl Strategy<Value = Means> {
    let stops = vec![LastStop::ByItsSystem, LastStop::ByUser, LastStop::Forced, LastStop::Unknown];
    prop_oneof![
        2 => Just(Means::Order),
        1 => Just(Means::EarlierRun),
        2 => select(stops).prop_map(by_stop),
        1 => Just(Means::Direct(Way::Detached)),
        1 => Just(Means::Direct(Way::Crash(CrashReason::AgentOffline))),
    ]
}

fn any_made() -> impl Strategy<Value = Vec<Snapshot>> {
    let one =
        (0_usize..5, select(vec![RUN, "daily/2026-11-22/b"]), select(vec!["i-1", "i-2"]), any::<bool>());
    vec(one, 0..5).prop_map(|made| {
        made.into_iter()
            .enumerate()
            .map(|(n, (volume, run, instance, failed))| {
                let state = if failed { SnapshotState::Error } else { SnapshotState::Pending };
                snapshot(&format!("snap-{n}"), &format!("vol-{volume}"), run, now())
                    .tagged(tags::INSTANCE, instance)
                    .in_state(state)
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// The whole of promise 2, said once more without the code's own words.
    #[test]
    fn nothing_is_promoted_without_its_full_evidence(
        means in any_means(), evidence in any_evidence(), snapshots in any_made(),
        on_failure in select(vec!["crash", "skip"]), attempt in 1_u32..5,
    ) {
        let expected = expected(means.clone());
        let settled = settle(&policy(json!({"on_failure": on_failure})), &expected, attempt, &evidence, &snapshots);
        for member in &settled.members {
            let seen = snapshots.iter().find(|snapshot| snapshot.id == member.snapshot).unwrap();
            prop_assert_eq!(&seen.volume, &member.volume);
            prop_assert_eq!((seen.run(), seen.instance()), (Some(RUN), Some("i-1")));
            match (member.label, &evidence, &means) {
                (Consistency::Crash, _, _) => {}
                (Consistency::Filesystem, Evidence::Reported(report), Means::Order | Means::EarlierRun) => {
                    prop_assert!(report.consistent && expected.volumes.contains(&member.volume));
                    let named = |r: &ReportedSnapshot| r.snapshot == member.snapshot && r.volume == member.volume && r.frozen;
                    prop_assert!(report.snapshots.iter().any(named));
                }
                (Consistency::Offline, Evidence::SeenAfter { instance: Some(after), .. }, Means::Direct(Way::Stopped(before))) => {
                    prop_assert_eq!(after.state, InstanceState::Stopped);
                    prop_assert_eq!(after.launched_at, before.launched_at);
                    for stop in [before.last_stop, after.last_stop] {
                        prop_assert!(matches!(stop, LastStop::ByItsSystem | LastStop::ByUser));
                    }
                }
                (Consistency::Offline, Evidence::SeenAfter { volumes, .. }, Means::Direct(Way::Detached)) => {
                    let after = volumes.iter().find(|volume| volume.id == member.volume).unwrap();
                    prop_assert!(after.attachment.is_none() && after.state == VolumeState::Available);
                }
                other => prop_assert!(false, "promoted by {:?}", other),
            }
        }
        let again = matches!(settled.outcome, Outcome::Fallback { .. } | Outcome::Requeue { .. });
        prop_assert!(!again || settled.members.is_empty(), "a second set beside the first");
        match settled.outcome {
            Outcome::Fallback { .. } => prop_assert_eq!(on_failure, "crash"),
            Outcome::Requeue { .. } => prop_assert!(attempt < MOST_ATTEMPTS),
            _ => {}
        }
    }

    #[test]
    fn the_order_of_the_snapshots_makes_no_difference(evidence in any_evidence(), snapshots in any_made()) {
        let (policy, expected) = (policy(json!({})), expected(Means::Order));
        let mut turned = snapshots.clone();
        turned.reverse();
        turned.extend(snapshots.first().cloned());
        prop_assert_eq!(
            settle(&policy, &expected, 1, &evidence, &turned),
            settle(&policy, &expected, 1, &evidence, &snapshots)
        );
    }
}
