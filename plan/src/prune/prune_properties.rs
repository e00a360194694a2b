//! What holds for every pruning: the last good copy survives (promise 3). `PROPTEST_CASES` says how many
//! histories, policies and clocks are tried.

use super::*;
use crate::history::{Lineage, lineages};
use crate::observed::{Snapshot, Volume};
use crate::world::*;
use crate::{Consistency, SnapshotId, VolumeId, layout, restore_points, tags};
use chrono::TimeDelta;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const VOLUMES: usize = 6;

/// One snapshot of a set: its volume, its label, its state.
fn any_member() -> impl Strategy<Value = (usize, &'static str, SnapshotState)> {
    let states = vec![
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Pending,
        SnapshotState::Error,
        SnapshotState::Recoverable,
    ];
    (0..VOLUMES, select(vec!["filesystem", "filesystem", "crash", "offline"]), select(states))
}

/// Sets of some volumes over some weeks: some foreign, some without a member, some that know the mounts.
fn any_snapshots() -> impl Strategy<Value = Vec<Snapshot>> {
    let set = (
        vec(any_member(), 1..4),
        0_i64..1_000,
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.1),
        prop::bool::weighted(0.6),
    );
    vec(set, 0..40).prop_map(|sets| {
        let mut made = Vec::new();
        for (number, (members, hours, foreign, lacking, mounted)) in sets.into_iter().enumerate() {
            // Two mount points among six volumes, so that some have to share one.
            let mut records: Vec<layout::Record> = members
                .iter()
                .map(|(volume, ..)| layout::Record {
                    mount_point: if mounted { format!("/srv/{}", volume % 2) } else { String::new() },
                    ..layout::Record::bare(format!("vol-{volume}").into(), "/dev/sdf")
                })
                .collect();
            if lacking {
                records.push(layout::Record::bare("vol-lost".into(), "/dev/sdg"));
            }
            for (member, (volume, label, state)) in members.into_iter().enumerate() {
                let at = now() - TimeDelta::hours(hours);
                let id = format!("snap-{number}-{member}");
                let mut one = snapshot(&id, &format!("vol-{volume}"), &format!("daily/x/{number}"), at);
                one = one.labelled(label).in_state(state);
                one.tags.extend(layout::encode(&records));
                if volume > 0 {
                    one.tags.insert("role", "db");
                }
                if volume == 1 {
                    one.tags.insert(tags::KEEP, "last=3 daily=2");
                }
                if volume == 2 {
                    one.tags.insert(tags::KEEP, "everything");
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

pub(crate) fn any_observed() -> impl Strategy<Value = Observed> {
    let few = || btree_set((0_usize..40, 0_usize..3), 0..6);
    let ids = |chosen: BTreeSet<(usize, usize)>| -> BTreeSet<SnapshotId> {
        chosen.into_iter().map(|(set, member)| format!("snap-{set}-{member}").into()).collect()
    };
    (any_snapshots(), vec(prop::option::of(0_i64..1_200), VOLUMES), few(), few()).prop_map(
        move |(snapshots, live, locked, used)| {
            let mut observed = empty().with_snapshots(snapshots);
            for (number, age) in live.into_iter().enumerate() {
                let Some(age) = age else { continue };
                let made = Volume {
                    created_at: now() - TimeDelta::hours(age),
                    ..volume(&format!("vol-{number}"), None)
                };
                observed = observed.with_volume(made);
            }
            Observed { locked: ids(locked), used_by_images: ids(used), ..observed }
        },
    )
}

pub(crate) fn any_policy() -> impl Strategy<Value = Policy> {
    let counts = (0_u32..5, 0_u32..4, 0_u32..4, 0_u32..4, 0_u32..3);
    let within = prop::option::weighted(0.3, select(vec!["5h", "2d", "9d", "1m"]));
    let zones = vec!["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"];
    (
        counts,
        within,
        1_u32..4,
        select(vec!["filesystem", "crash"]),
        select(vec!["day", "hour", "week"]),
        any::<bool>(),
        select(zones),
    )
        .prop_map(|((last, hourly, daily, weekly, monthly), within, min, consistency, every, allow, zone)| {
            let last = if (hourly, daily, weekly, monthly) == (0, 0, 0, 0) { last.max(1) } else { last };
            let mut keep = json!({"last": last, "hourly": hourly, "daily": daily, "weekly": weekly, "monthly": monthly});
            if let Some(within) = within {
                keep["within"] = json!(within);
            }
            policy(json!({
                "keep": keep, "min": min, "consistency": consistency, "every": every,
                "allow_mass_delete": allow, "timezone": zone,
            }))
        })
}

fn deleted(prune: &Prune<'_>) -> BTreeSet<SnapshotId> {
    prune.deletions().flat_map(|point| &point.snapshots).map(|id| (*id).clone()).collect()
}

fn after(observed: &Observed, gone: &BTreeSet<SnapshotId>) -> Observed {
    let mut observed = observed.clone();
    observed.snapshots.retain(|snapshot| !gone.contains(&snapshot.id));
    observed
}

/// Instants of the good restore points of some volumes, newest first.
pub(crate) fn good(policy: &Policy, observed: &Observed, volumes: &[VolumeId]) -> Vec<DateTime<Utc>> {
    let points = restore_points(&policy.name, &observed.snapshots);
    let good = points.iter().rev().flat_map(|point| {
        let members = point.by_volume().filter(|members| volumes.contains(&members[0].volume));
        members.filter(|members| point.is_good(policy, members)).map(|_| point.started_at)
    });
    good.collect()
}

fn lineage_of<'a>(lineages: &'a [Lineage], volume: &VolumeId) -> &'a Lineage {
    lineages.iter().find(|lineage| lineage.volumes.contains(volume)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(384), ..ProptestConfig::default() })]

    #[test]
    fn the_newest_good_ones_of_every_lineage_survive(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        let rest = after(&observed, &gone);
        for lineage in lineages(&policy, &observed) {
            let (before, left) = (good(&policy, &observed, &lineage.volumes), good(&policy, &rest, &lineage.volumes));
            let wanted = usize::try_from(policy.min).unwrap().min(before.len());
            prop_assert!(left.len() >= wanted, "{} of {} good ones of {} left", left.len(), before.len(), lineage);
            prop_assert_eq!(&left[..wanted], &before[..wanted]);
        }
    }

    #[test]
    fn what_the_rules_keep_is_what_they_keep_of_the_good_ones(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        let rest = after(&observed, &gone);
        for lineage in lineages(&policy, &observed) {
            if lineage.volumes.iter().any(|volume| matches!(volume.as_str(), "vol-1" | "vol-2")) {
                continue; // They have rules of their own.
            }
            let before = good(&policy, &observed, &lineage.volumes);
            let left: BTreeSet<_> = good(&policy, &rest, &lineage.volumes).into_iter().collect();
            for (instant, kept) in before.iter().zip(retain(&policy.keep, policy.timezone, &before)) {
                prop_assert!(!kept.any() || left.contains(instant), "{} of {} is gone: {}", instant, lineage, kept);
            }
        }
    }

    #[test]
    fn only_what_may_go_goes(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        let rest = after(&observed, &gone);
        let lineages = lineages(&policy, &observed);
        let points = restore_points(&policy.name, &observed.snapshots);
        let was_good = |snapshot: &Snapshot| {
            let sets = points.iter().flat_map(|point| point.by_volume().map(move |members| (point, members)));
            let mut own = sets.filter(|(_, members)| members.iter().any(|member| member.snapshot.id == snapshot.id));
            own.any(|(point, members)| point.is_good(&policy, members))
        };
        for id in gone {
            let snapshot = observed.snapshots.iter().find(|snapshot| snapshot.id == id).unwrap();
            prop_assert_eq!(snapshot.policy(), Some("daily"));
            match snapshot.state {
                SnapshotState::Completed => {
                    // What stays of the lineage has a good one that is newer, so it can do without. (Of two good
                    // ones of the same instant either will do.)
                    let left = good(&policy, &rest, &lineage_of(&lineages, &snapshot.volume).volumes);
                    let newest = left.first().copied();
                    prop_assert!(newest > Some(snapshot.started_at) || (was_good(snapshot) && newest == Some(snapshot.started_at)));
                    prop_assert!(!observed.locked.contains(&id) && !observed.used_by_images.contains(&id));
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
    fn with_guards_unseen_only_what_has_failed_goes(policy in any_policy(), observed in any_observed()) {
        let observed = Observed { guards_unseen: Some("refused".to_owned()), ..observed };
        for id in deleted(&prune(&policy, &observed)) {
            let snapshot = observed.snapshots.iter().find(|snapshot| snapshot.id == id).unwrap();
            prop_assert_eq!(snapshot.state, SnapshotState::Error);
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
    fn an_overdue_lineage_loses_nothing_that_holds_data(policy in any_policy(), observed in any_observed()) {
        let gone = deleted(&prune(&policy, &observed));
        for lineage in lineages(&policy, &observed).iter().filter(|lineage| lineage.live.is_some()) {
            let newest = good(&policy, &observed, &lineage.volumes).first().copied();
            if newest.is_some_and(|newest| observed.now - newest <= policy.every.length() * 2) {
                continue;
            }
            for snapshot in observed.snapshots.iter().filter(|snapshot| lineage.volumes.contains(&snapshot.volume)) {
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
    fn pruning_twice_is_pruning_once_while_the_lineages_are_the_same(policy in any_policy(), observed in any_observed()) {
        let policy = Policy { allow_mass_delete: true, ..policy };
        let gone = deleted(&prune(&policy, &observed));
        let rest = after(&observed, &gone);
        // Without its oldest snapshots a volume that is gone seems to have begun later.
        let left: BTreeSet<_> = rest.snapshots.iter().map(|snapshot| snapshot.volume.clone()).collect();
        let mut before: Vec<Vec<_>> = lineages(&policy, &observed).into_iter().map(|lineage| lineage.volumes).collect();
        before.iter_mut().for_each(|volumes| volumes.retain(|volume| left.contains(volume)));
        before.retain(|volumes| !volumes.is_empty());
        let mut now: Vec<Vec<_>> = lineages(&policy, &rest).into_iter().map(|lineage| lineage.volumes).collect();
        before.sort();
        now.sort();
        if before == now {
            let again = deleted(&prune(&policy, &rest));
            prop_assert!(again.is_empty(), "{:?}", again);
        }
    }

    #[test]
    fn keeping_more_deletes_less(policy in any_policy(), observed in any_observed()) {
        let policy = Policy { allow_mass_delete: true, ..policy };
        let mut generous = policy.clone();
        generous.keep.last += 1;
        generous.min += 1;
        let (few, many) = (deleted(&prune(&generous, &observed)), deleted(&prune(&policy, &observed)));
        prop_assert!(few.is_subset(&many));
    }

    #[test]
    fn a_stricter_policy_never_counts_more_as_good(observed in any_observed()) {
        let lax = policy(json!({"consistency": "crash"}));
        let strict = Policy { consistency: Consistency::Filesystem, ..lax.clone() };
        for number in 0..VOLUMES {
            let volume = [VolumeId::from(format!("vol-{number}"))];
            prop_assert!(good(&strict, &observed, &volume).len() <= good(&lax, &observed, &volume).len());
        }
    }

    #[test]
    fn the_order_of_what_was_seen_makes_no_difference(policy in any_policy(), observed in any_observed(), turn in 0_usize..40) {
        let mut turned = observed.clone();
        turned.snapshots.reverse();
        let cut = turn.min(turned.snapshots.len());
        turned.snapshots.rotate_left(cut);
        turned.volumes.reverse();
        turned.snapshots.extend(observed.snapshots.iter().take(turn).cloned());
        prop_assert_eq!(prune(&policy, &turned), prune(&policy, &observed));
        prop_assert_eq!(lineages(&policy, &turned), lineages(&policy, &observed));
    }

    #[test]
    fn each_volume_has_one_lineage_and_no_two_lives_in_one_overlap(policy in any_policy(), observed in any_observed()) {
        let found = lineages(&policy, &observed);
        let mut instants: BTreeMap<VolumeId, Vec<DateTime<Utc>>> = BTreeMap::new();
        for point in restore_points(&policy.name, &observed.snapshots) {
            for member in point.members() {
                instants.entry(member.volume.clone()).or_default().push(point.started_at);
            }
        }
        let named: Vec<&VolumeId> = found.iter().flat_map(|lineage| &lineage.volumes).collect();
        prop_assert_eq!(named.iter().copied().collect::<BTreeSet<_>>(), instants.keys().collect());
        prop_assert_eq!(named.len(), instants.len());
        for lineage in &found {
            for pair in lineage.volumes.windows(2) {
                let live = |id: &VolumeId| observed.volumes.iter().find(|volume| &volume.id == id);
                prop_assert!(live(&pair[0]).is_none(), "{} lives, and {} follows", pair[0], pair[1]);
                let ended = instants[&pair[0]].iter().max().unwrap();
                let began = live(&pair[1]).map(|volume| volume.created_at);
                let began = began.into_iter().chain(instants[&pair[1]].iter().copied()).min().unwrap();
                prop_assert!(*ended < began);
            }
        }
    }

    #[test]
    fn a_policy_without_lineage_keys_takes_each_volume_by_itself(policy in any_policy(), observed in any_observed()) {
        let policy = Policy { lineage: vec![], ..policy };
        prop_assert!(lineages(&policy, &observed).iter().all(|lineage| lineage.volumes.len() == 1));
    }
}
