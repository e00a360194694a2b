//! What is foretold comes true: the runs that the assumption speaks of are made, one after the other, and
//! each deletes what `prune` says.

use super::*;
use crate::observed::Snapshot;
use crate::policy::Slot;
use crate::world::{empty, instance, policy, snapshot, time, volume};
use crate::{SnapshotId, tags};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Runs that are made one after the other.
const RUNS: usize = 60;
const VOLUMES: [&str; 2] = ["vol-1", "vol-2"];

/// Fewer than proptest's own: each is sixty runs.
#[expect(clippy::disallowed_methods, reason = "how long a test takes is no decision")]
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

#[derive(Debug, Clone)]
struct Case {
    policy: Value,
    now: DateTime<Utc>,
    /// Minutes before now, which volumes, whether good.
    points: Vec<(i64, u8, bool)>,
    own_rules: Option<String>,
}

fn any_keep() -> impl Strategy<Value = Value> {
    let counts = proptest::collection::vec(0_u32..4, 6);
    let within = proptest::sample::select(vec!["", "", "30h", "9d", "1m", "2m3d"]);
    (counts, within).prop_map(|(counts, within)| {
        let names = ["last", "hourly", "daily", "weekly", "monthly", "yearly"];
        let mut keep: serde_json::Map<String, Value> = names
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(name, count)| ((*name).to_owned(), json!(count)))
            .collect();
        if !within.is_empty() || keep.is_empty() {
            keep.insert("within".to_owned(), json!(if within.is_empty() { "2d" } else { within }));
        }
        Value::Object(keep)
    })
}

fn any_case() -> impl Strategy<Value = Case> {
    let every = proptest::sample::select(vec!["hour", "day", "day", "week", "month"]);
    let zone = proptest::sample::select(vec![
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Asia/Kolkata",
        "Pacific/Apia",
    ]);
    // Around ends of months and of years, clock changes, and the day that Samoa left out.
    let now = proptest::sample::select(vec![
        "2026-11-22T01:00:00Z",
        "2026-03-28T23:30:00Z",
        "2026-10-24T22:10:00Z",
        "2026-12-31T10:59:59Z",
        "2027-01-30T00:00:01Z",
        "2011-12-29T21:00:00Z",
        "2026-04-04T14:40:00Z",
    ]);
    let span = proptest::sample::select(vec![3_000_i64, 30_000, 600_000]);
    let points =
        span.prop_flat_map(|span| proptest::collection::vec((1..span, 1_u8..4, any::<bool>()), 1..25));
    let own = proptest::option::weighted(0.3, any_keep().prop_map(|keep| keep_tag(&keep)));
    (any_keep(), every, zone, now, points, 1_u32..4, own).prop_map(
        |(keep, every, timezone, now, mut points, min, own_rules)| {
            points.sort_unstable();
            points.dedup_by_key(|(minutes, _, _)| *minutes);
            let policy = json!({
                "keep": keep, "every": every, "timezone": timezone, "min": min, "allow_mass_delete": true
            });
            Case { policy, now: time(now), points, own_rules }
        },
    )
}

fn keep_tag(keep: &Value) -> String {
    let part = |(rule, count): (&String, &Value)| format!("{rule}={}", count.to_string().trim_matches('"'));
    keep.as_object().unwrap().iter().map(part).collect::<Vec<_>>().join(" ")
}

/// The snapshots of one run of some of the volumes.
fn set(number: usize, at: DateTime<Utc>, which: u8, good: bool) -> Vec<Snapshot> {
    let volumes: Vec<&str> =
        VOLUMES.iter().enumerate().filter(|(bit, _)| which & (1 << bit) != 0).map(|(_, id)| *id).collect();
    let one = |volume: &&str| {
        let made = snapshot(&format!("snap-{number}-{volume}"), volume, &format!("daily/s{number}/r"), at);
        made.labelled(if good { "filesystem" } else { "crash" }).naming(&volumes)
    };
    volumes.iter().map(one).collect()
}

fn observed(case: &Case) -> Observed {
    let mut volumes =
        VOLUMES.map(|id| volume(id, Some(("i-1", if id == "vol-1" { "/dev/sdf" } else { "/dev/sdg" }))));
    for volume in &mut volumes {
        volume.created_at = time("2009-01-01");
    }
    if let Some(rules) = &case.own_rules {
        volumes[1].tags.insert(tags::KEEP.to_owned(), rules.clone());
    }
    let points = case.points.iter().enumerate();
    let snapshots = points.flat_map(|(number, (minutes, which, good))| {
        set(number, case.now - TimeDelta::minutes(*minutes), *which, *good)
    });
    let snapshots: Vec<Snapshot> = snapshots.collect();
    let seen = empty().with(instance("i-1"), None, volumes.to_vec()).with_snapshots(snapshots);
    Observed { now: case.now, ..seen }
}

/// Deletes what `prune` says.
fn pruned(policy: &Policy, observed: &mut Observed) -> BTreeSet<SnapshotId> {
    let gone: BTreeSet<SnapshotId> = prune(policy, observed)
        .deletions()
        .flat_map(|point| point.snapshots.iter().copied().cloned())
        .collect();
    observed.snapshots.retain(|snapshot| !gone.contains(&snapshot.id));
    gone
}

/// When each snapshot is deleted, and when the last run was.
fn carried_out(
    policy: &Policy,
    mut observed: Observed,
) -> (BTreeMap<SnapshotId, DateTime<Utc>>, DateTime<Utc>) {
    let now = observed.now;
    let slot = Slot::of(policy.every, policy.timezone, now);
    let mut gone: BTreeMap<SnapshotId, DateTime<Utc>> =
        pruned(policy, &mut observed).into_iter().map(|id| (id, DateTime::<Utc>::MIN_UTC)).collect();
    let good_in_slot = |volume: &str| {
        observed.snapshots.iter().any(|one| {
            one.volume.as_str() == volume
                && one.started_at >= slot.start
                && one.label() == crate::Consistency::Filesystem
        })
    };
    let missing = VOLUMES.iter().enumerate().filter(|(_, volume)| !good_in_slot(volume));
    let mut which = missing.fold(0, |bits, (bit, _)| bits | 1 << bit);
    let (mut at, mut next) = (now, slot.end);
    for number in 1_000..1_000 + RUNS {
        observed.snapshots.extend(set(number, at, which, true));
        observed.now = at;
        gone.extend(pruned(policy, &mut observed).into_iter().map(|id| (id, at)));
        let following = Slot::of(policy.every, policy.timezone, next);
        at = (following.start + (now - slot.start)).min(following.end - TimeDelta::seconds(1));
        (which, next) = (3, following.end);
    }
    (gone, observed.now)
}

fn check(case: &Case) -> Result<(), TestCaseError> {
    let (policy, observed) = (policy(case.policy.clone()), observed(case));
    let told = explain(&policy, None, &observed);
    let (gone, last) = carried_out(&policy, observed);
    for one in &told.snapshots {
        let came = gone.get(&one.snapshot);
        match &one.decision {
            Decision::Delete { held, .. } => {
                prop_assert!(!held);
                prop_assert_eq!(came, Some(&DateTime::<Utc>::MIN_UTC), "{:?}", one);
            }
            Decision::Keep { until: Until::At(instant), .. } if *instant <= last => {
                prop_assert_eq!(came, Some(instant), "{:?}", one);
            }
            Decision::Keep { .. } => prop_assert_eq!(came, None, "{:?}", one),
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn what_is_foretold_comes_true(case in any_case()) {
        check(&case)?;
    }

    #[test]
    fn other_rules_change_what_they_are_said_to_change(case in any_case(), instead in any_keep()) {
        let (policy, observed) = (policy(case.policy.clone()), observed(&case));
        let other = crate::world::policy(json!({
            "keep": instead, "every": case.policy["every"], "timezone": case.policy["timezone"],
            "min": case.policy["min"], "allow_mass_delete": true
        }));
        let told = explain(&policy, Some(&other.keep), &observed);
        let (present, alone) = (explain(&policy, None, &observed), explain(&other, None, &observed));
        for ((one, present), alone) in told.snapshots.iter().zip(&present.snapshots).zip(&alone.snapshots) {
            prop_assert_eq!(&one.decision, &present.decision);
            match &one.instead {
                Some(instead) => prop_assert_eq!(&instead.decision, &alone.decision),
                None => prop_assert_eq!(&one.decision, &alone.decision),
            }
            let deletes = |decision: &Decision| matches!(decision, Decision::Delete { .. });
            let change = one.instead.as_ref().map(|instead| instead.change);
            prop_assert_eq!(change == Some(Change::Deletes), deletes(&alone.decision) && !deletes(&one.decision));
            prop_assert_eq!(change == Some(Change::Spares), !deletes(&alone.decision) && deletes(&one.decision));
        }
    }
}
