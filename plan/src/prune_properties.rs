//! What holds for every pruning: the last good copy survives (promise 3).

use super::*;
use crate::observed::Snapshot;
use crate::world::*;
use crate::{Consistency, SnapshotId};
use chrono::TimeDelta;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::BTreeSet;

/// One snapshot of a set: its volume, its label, its state.
fn any_member() -> impl Strategy<Value = (usize, &'static str, SnapshotState)> {
    let states = vec![
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Pending,
        SnapshotState::Error,
    ];
    (0_usize..3, select(vec!["filesystem", "filesystem", "crash", "offline"]), select(states))
}

/// Sets of up to three volumes over some weeks, some of them foreign or without a member.
fn any_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let set = (vec(any_member(), 1..4), 0_i64..1_000, prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    vec(set, 0..40).prop_map(|sets| {
        let mut made = Vec::new();
        for (number, (members, hours, foreign, named)) in sets.into_iter().enumerate() {
            for (member, (volume, label, state)) in members.into_iter().enumerate() {
                let at = now() - TimeDelta::hours(hours);
                let id = format!("snap-{number}-{member}");
                let mut one = snapshot(&id, &format!("vol-{volume}"), &format!("daily/x/{number}"), at);
                one = one.labelled(label).in_state(state);
                if named {
                    one = one.naming(&["vol-0", "vol-1"]);
                }
                if foreign {
                    one.tags.remove(tags::POLICY);
                }
                made.push(one);
            }
        }
        made
    })
}

fn any_observed() -> impl Strategy<Value = Observed> {
    (any_snapshots(), vec(any::<bool>(), 3)).prop_map(|(snapshots, live)| {
        let mut observed = empty().with_snapshots(snapshots);
        for (number, _) in live.into_iter().enumerate().filter(|(_, live)| *live) {
            observed = observed.with_volume(volume(&format!("vol-{number}"), None));
        }
        observed
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (
        1_u32..5,
        1_u32..4,
        select(vec!["filesystem", "crash"]),
        select(vec!["day", "hour", "week"]),
        any::<bool>(),
    )
        .prop_map(|(last, min, consistency, every, allow)| {
            policy(json!({
                "keep": {"last": last}, "min": min, "consistency": consistency, "every": every,
                "allow_mass_delete": allow,
            }))
        })
}

fn deleted(prune: &Prune) -> BTreeSet<SnapshotId> {
    prune.deletions().flat_map(|point| point.snapshots.clone()).collect()
}

fn after(observed: &Observed, gone: &BTreeSet<SnapshotId>) -> Observed {
    let mut observed = observed.clone();
    observed.snapshots.retain(|snapshot| !gone.contains(&snapshot.id));
    observed
}

/// Instants of the good restore points of a volume, newest first.
fn good(policy: &Policy, observed: &Observed, volume: &VolumeId) -> Vec<DateTime<Utc>> {
    let points = restore_points(&policy.name, &observed.snapshots);
    points.iter().rev().filter(|point| point.is_good(policy, volume)).map(RestorePoint::started_at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn the_newest_good_ones_survive(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        let rest = after(&observed, &gone);
        for number in 0..3 {
            let volume = VolumeId::from(format!("vol-{number}"));
            let (before, left) = (good(&policy, &observed, &volume), good(&policy, &rest, &volume));
            let wanted = usize::try_from(policy.min.max(policy.keep.last)).unwrap().min(before.len());
            prop_assert!(left.len() >= wanted, "{} of {} good ones of {} left", left.len(), before.len(), volume);
            prop_assert_eq!(&left[..wanted], &before[..wanted]);
        }
    }

    #[test]
    fn only_what_may_go_goes(policy in any_policy(), observed in any_observed()) {
        let found = prune(&policy, &observed);
        for id in deleted(&found) {
            let snapshot = observed.snapshots.iter().find(|snapshot| snapshot.id == id).unwrap();
            prop_assert_eq!(snapshot.policy(), Some("daily"));
            match snapshot.state {
                SnapshotState::Completed => {
                    // Something newer is good for this volume: it can do without.
                    let newer = good(&policy, &observed, &snapshot.volume);
                    prop_assert!(newer.first().is_some_and(|newest| *newest > snapshot.started_at));
                }
                SnapshotState::Error => {
                    // It may go early with a whole snapshot of the same volume and run that goes.
                    let twin = |other: &&Snapshot| {
                        other.state == SnapshotState::Completed
                            && (&other.volume, other.run()) == (&snapshot.volume, snapshot.run())
                    };
                    let old = observed.now - snapshot.started_at > TimeDelta::days(1);
                    prop_assert!(old || observed.snapshots.iter().any(|other| twin(&other)));
                }
                other => prop_assert!(false, "{} was {:?}", id, other),
            }
        }
    }

    #[test]
    fn a_restore_point_goes_as_a_whole_or_not_at_all(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        for point in restore_points(&policy.name, &observed.snapshots) {
            let left = point.snapshots().filter(|snapshot| !gone.contains(&snapshot.id)).count();
            prop_assert!(left == 0 || left == point.snapshots().count());
        }
    }

    #[test]
    fn an_overdue_volume_loses_nothing_that_holds_data(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        for volume in &observed.volumes {
            let newest = good(&policy, &observed, &volume.id).first().copied();
            if newest.is_some_and(|newest| observed.now - newest <= policy.every.length() * 2) {
                continue;
            }
            for snapshot in observed.snapshots.iter().filter(|snapshot| snapshot.volume == volume.id) {
                prop_assert!(snapshot.state == SnapshotState::Error || !gone.contains(&snapshot.id));
            }
        }
    }

    #[test]
    fn no_run_deletes_more_than_the_brake_allows(policy in any_policy(), observed in any_observed()) {
        let found = prune(&policy, &observed);
        let with_data = found.deletions().filter(|point| point.verdict != Verdict::Delete(DeleteReason::Failed));
        let limit = (found.points.len() / 5).max(10);
        prop_assert!(policy.allow_mass_delete || with_data.count() <= limit);
    }

    #[test]
    fn pruning_twice_is_pruning_once(policy in any_policy(), observed in any_observed()) {
        let policy = Policy { allow_mass_delete: true, ..policy };
        let gone = deleted(&prune(&policy, &observed));
        let again = deleted(&prune(&policy, &after(&observed, &gone)));
        prop_assert!(again.is_empty(), "{:?}", again);
    }

    #[test]
    fn keeping_more_deletes_less(policy in any_policy(), observed in any_observed()) {
        let policy = Policy { allow_mass_delete: true, ..policy };
        let mut generous = policy.clone();
        generous.keep.last += 1;
        let (few, many) = (deleted(&prune(&generous, &observed)), deleted(&prune(&policy, &observed)));
        prop_assert!(few.is_subset(&many));
    }

    #[test]
    fn a_stricter_policy_never_counts_more_as_good(observed in any_observed()) {
        let lax = policy(json!({"consistency": "crash"}));
        let strict = Policy { consistency: Consistency::Filesystem, ..lax.clone() };
        for number in 0..3 {
            let volume = VolumeId::from(format!("vol-{number}"));
            prop_assert!(good(&strict, &observed, &volume).len() <= good(&lax, &observed, &volume).len());
        }
    }

    #[test]
    fn the_order_of_what_was_seen_makes_no_difference(policy in any_policy(), observed in any_observed(), turn in 0_usize..40) {
        let mut turned = observed.clone();
        turned.snapshots.reverse();
        turned.volumes.reverse();
        turned.snapshots.extend(observed.snapshots.iter().take(turn).cloned());
        prop_assert_eq!(prune(&policy, &turned), prune(&policy, &observed));
    }
}
