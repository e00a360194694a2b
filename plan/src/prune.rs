//! Pruning: which restore points of a policy may go. Only those that carry our tags and this policy's
//! name are ever looked at.
//!
//! Each volume judges the restore points that hold it; one is deleted, as a whole, when no volume needs
//! it. Rules count good ones only (see [`RestorePoint::is_good`]), so that `last: 5` is five from which
//! everything can be brought back, however many lesser ones lie between.
//!
//! In this version a volume's lineage is the volume itself: a replacement starts its own, and the last
//! `max(last, min)` good ones of the volume that it replaced stay. That keeps at least what a lineage
//! across replacements would. Of the rules it decides by `last` alone; a policy or volume with others
//! is paused.

use crate::observed::{Observed, SnapshotState, Tier, Volume, VolumeState};
use crate::policy::Policy;
use crate::restore_point::{RestorePoint, restore_points};
use crate::verdict::{DeleteReason, Hold, Judged, KeepReason, PauseReason, Paused, Prune, Verdict};
use crate::{VolumeId, tags};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// How many restore points one run may delete whatever their share.
const BRAKE_COUNT: usize = 10;
/// Which share of a policy's restore points one run may delete, percent.
const BRAKE_PERCENT: usize = 20;

/// Judges every restore point of a policy.
#[must_use]
pub fn prune(policy: &Policy, observed: &Observed) -> Prune {
    let mut points = restore_points(&policy.name, &observed.snapshots);
    points.reverse();
    let live: BTreeMap<&VolumeId, &Volume> = observed
        .volumes
        .iter()
        .filter(|volume| !matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted))
        .map(|volume| (&volume.id, volume))
        .collect();

    let mut lineages: BTreeMap<&VolumeId, Vec<&RestorePoint<'_>>> = BTreeMap::new();
    for point in &points {
        for volume in point.members.keys() {
            lineages.entry(volume).or_default().push(point);
        }
    }
    let lineages: BTreeMap<&VolumeId, Lineage> = lineages
        .into_iter()
        .map(|(volume, points)| {
            let live = live.get(volume).copied();
            (volume, Lineage::of(policy, observed.now, volume, live, &points))
        })
        .collect();

    let judged: Vec<Judged> =
        points.iter().map(|point| judge(policy, observed.now, point, &lineages)).collect();
    let paused = lineages
        .iter()
        .filter_map(|(volume, lineage)| Some(Paused { volume: (*volume).clone(), reason: lineage.paused? }))
        .collect();
    Prune { policy: policy.name.clone(), hold: hold(policy, &judged), paused, points: judged }
}

/// What one volume has of good restore points.
struct Lineage {
    /// Their instants, newest first.
    good: Vec<DateTime<Utc>>,
    paused: Option<PauseReason>,
}

impl Lineage {
    /// `points`: those that hold the volume, newest first.
    fn of(
        policy: &Policy,
        now: DateTime<Utc>,
        volume: &VolumeId,
        live: Option<&Volume>,
        points: &[&RestorePoint<'_>],
    ) -> Self {
        let good: Vec<_> = points
            .iter()
            .filter(|point| point.is_good(policy, volume))
            .map(|point| point.started_at())
            .collect();
        let own_rules = match live {
            Some(volume) => volume.tags.contains_key(tags::KEEP),
            // What the volume said is still told by the copies of its tags.
            None => points
                .iter()
                .filter_map(|point| point.members.get(volume))
                .flatten()
                .any(|snapshot| snapshot.tags.contains_key(tags::KEEP)),
        };
        let overdue = |instant: DateTime<Utc>| now - instant > policy.every.length() * 2;
        let oldest = points.last().map(|point| point.started_at());
        let paused = match (own_rules, live, good.first().copied()) {
            (true, _, _) => Some(PauseReason::OwnRules),
            (false, Some(_), Some(newest)) if overdue(newest) => {
                Some(PauseReason::Overdue { newest_good: newest })
            }
            (false, Some(_), None) if oldest.is_some_and(overdue) => Some(PauseReason::NeverGood),
            (false, _, _) => None,
        };
        Self { good, paused }
    }
}

fn judge(
    policy: &Policy,
    now: DateTime<Utc>,
    point: &RestorePoint<'_>,
    lineages: &BTreeMap<&VolumeId, Lineage>,
) -> Judged {
    let mut kept = Vec::new();
    let mut doom = DeleteReason::Failed;
    for volume in point.members.keys() {
        let Some(lineage) = lineages.get(volume) else { continue };
        match judge_for(policy, now, point, volume, lineage) {
            Ok(reason) => kept.push((volume.clone(), reason)),
            Err(reason) => doom = doom.max(reason),
        }
    }
    Judged {
        run: point.run.clone(),
        target: point.target.clone(),
        started_at: point.started_at(),
        snapshots: point.snapshots().map(|snapshot| snapshot.id.clone()).collect(),
        good: point.members.keys().all(|volume| point.is_good(policy, volume)),
        verdict: if kept.is_empty() { Verdict::Delete(doom) } else { Verdict::Keep(kept) },
    }
}

/// Whether one volume needs a restore point that holds it.
fn judge_for(
    policy: &Policy,
    now: DateTime<Utc>,
    point: &RestorePoint<'_>,
    volume: &VolumeId,
    lineage: &Lineage,
) -> Result<KeepReason, DeleteReason> {
    let snapshots = || point.members.get(volume).into_iter().flatten();
    if snapshots().any(|snapshot| {
        matches!(
            snapshot.state,
            SnapshotState::Pending | SnapshotState::Recoverable | SnapshotState::Recovering
        )
    }) {
        return Ok(KeepReason::Unfinished);
    }
    // A failed snapshot holds nothing, and EC2 counts it as pending until it is gone: a pause must not
    // keep the very thing that may be in the way of the next good one.
    if snapshots().all(|snapshot| snapshot.state == SnapshotState::Error) {
        let old = now - point.started_at() > TimeDelta::days(1);
        return if old { Err(DeleteReason::Failed) } else { Ok(KeepReason::FailedLately) };
    }
    if snapshots().any(|snapshot| snapshot.tier == Tier::Archive) {
        return Ok(KeepReason::Archived);
    }
    if let Some(reason) = lineage.paused {
        return Ok(KeepReason::Paused(reason));
    }
    let newer_good = lineage.good.iter().filter(|good| **good > point.started_at()).count();
    if !point.is_good(policy, volume) {
        return if newer_good > 0 { Err(DeleteReason::Superseded) } else { Ok(KeepReason::NoNewerGood) };
    }
    match u32::try_from(newer_good).unwrap_or(u32::MAX).saturating_add(1) {
        rank if rank <= policy.keep.last => Ok(KeepReason::Last { rank }),
        rank if rank <= policy.min => Ok(KeepReason::Min { rank }),
        _ => Err(DeleteReason::Outlived),
    }
}

fn hold(policy: &Policy, judged: &[Judged]) -> Option<Hold> {
    let rules = policy.keep.other_rules();
    if !rules.is_empty() {
        return Some(Hold::UndecidedRules { rules: rules.into_iter().map(str::to_owned).collect() });
    }
    let deletions = judged
        .iter()
        .filter(|point| {
            matches!(point.verdict, Verdict::Delete(DeleteReason::Superseded | DeleteReason::Outlived))
        })
        .count();
    let limit = BRAKE_COUNT.max(judged.len() * BRAKE_PERCENT / 100);
    (deletions > limit && !policy.allow_mass_delete).then_some(Hold::Brake {
        deletions,
        limit,
        points: judged.len(),
    })
}

#[cfg(test)]
#[path = "prune_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
