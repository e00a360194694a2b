//! Pruning: which restore points of a policy may go. Only those that carry our tags and this policy's
//! name are ever looked at.
//!
//! Each lineage judges the restore points that hold a volume of it; one is deleted, as a whole, when no
//! lineage needs it. Rules count good ones only (see [`RestorePoint::is_good`]), so that `last: 5` is five
//! from which everything can be brought back, however many lesser ones lie between.

use crate::VolumeId;
use crate::keep::Keep;
use crate::kept_by::KeptBy;
use crate::lineage::History;
use crate::observed::{Observed, SnapshotState, Tier};
use crate::overrides;
use crate::policy::Policy;
use crate::reason::Warning;
use crate::restore_point::{Member, RestorePoint};
use crate::retention::retain;
use crate::verdict::{DeleteReason, Hold, Judged, KeepReason, PauseReason, Paused, Prune, Verdict};
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;

/// How many restore points one run may delete whatever their share.
const BRAKE_COUNT: usize = 10;
/// Which share of a policy's restore points one run may delete, percent.
const BRAKE_PERCENT: usize = 20;

/// Judges every restore point of a policy.
#[must_use]
pub fn prune(policy: &Policy, observed: &Observed) -> Prune {
    let history = History::of(policy, observed);
    let mut stakes = stakes(policy, &history);
    let mut lineages: Vec<Standing> = history.lineages.iter().map(|_| Standing::default()).collect();
    let mut warnings = Vec::new();
    for of_one in stakes.chunk_by_mut(|a, b| a.lineage == b.lineage) {
        let Some(first) = of_one.first() else { continue };
        let (keep, warning) = rules(policy, &history, first);
        warnings.extend(warning);
        let live = history.lineages.get(first.lineage).and_then(|lineage| lineage.live.clone());
        if let Some(standing) = lineages.get_mut(first.lineage) {
            *standing = Standing::of(policy, observed.now, live, of_one);
        }
        count(policy, &keep, of_one);
    }
    // Back into the order of the points.
    stakes.sort_unstable_by_key(|stake| (stake.point, stake.at));
    let mut of_points = stakes.chunk_by(|a, b| a.point == b.point);

    let judge = |point| judge(policy, observed, point, of_points.next().unwrap_or_default(), &lineages);
    let judged: Vec<Judged> = history.points.iter().map(judge).collect();
    let paused =
        |standing: &Standing| Some(Paused { volume: standing.live.clone()?, reason: standing.paused? });
    let mut paused: Vec<Paused> = lineages.iter().filter_map(paused).collect();
    paused.sort_by(|a, b| a.volume.cmp(&b.volume));
    warnings.sort_by_cached_key(ToString::to_string);
    Prune { policy: policy.name.clone(), hold: hold(policy, &judged), paused, warnings, points: judged }
}

/// What one restore point is to one lineage.
struct Stake {
    lineage: usize,
    /// Both newest first: the point among the points, the volume's snapshots among the point's.
    point: usize,
    at: usize,
    instant: DateTime<Utc>,
    good: bool,
    /// The rules that keep it, of a good one.
    kept_by: KeptBy,
    /// How many good ones the lineage has with this one, counted from the newest.
    rank: u32,
}

/// Those of each lineage together, newest first.
fn stakes(policy: &Policy, history: &History<'_>) -> Vec<Stake> {
    let mut stakes = Vec::new();
    for (number, point) in history.points.iter().enumerate() {
        for (at, members) in point.by_volume().enumerate() {
            let Some(member) = members.first() else { continue };
            stakes.push(Stake {
                lineage: history.lineage_of(member.number),
                point: number,
                at,
                instant: point.started_at,
                good: point.is_good(policy, members),
                kept_by: KeptBy::default(),
                rank: 0,
            });
        }
    }
    stakes.sort_unstable_by_key(|stake| (stake.lineage, stake.point, stake.at));
    stakes
}

/// The rules for a lineage, told from its newest restore point: those of its living volume, of one that is
/// gone those that its newest snapshot says, else the policy's. Malformed ones are the policy's too.
fn rules<'a>(policy: &'a Policy, history: &History<'_>, newest: &Stake) -> (Cow<'a, Keep>, Option<Warning>) {
    let point = history.points.get(newest.point);
    let member = point.and_then(|point| point.by_volume().nth(newest.at)).and_then(<[_]>::first);
    let Some(Member { volume, snapshot, number, .. }) = member else {
        return (Cow::Borrowed(&policy.keep), None);
    };
    let said = match history.live(*number) {
        Some(live) => live.tags.get(crate::tags::KEEP).map(String::as_str),
        None => snapshot.tags.get(crate::tags::KEEP),
    };
    match said.map(|said| overrides::keep(volume, said)) {
        Some(Ok(keep)) => (Cow::Owned(keep), None),
        Some(Err(warning)) => (Cow::Borrowed(&policy.keep), Some(warning)),
        None => (Cow::Borrowed(&policy.keep), None),
    }
}

/// Lets the rules count the good ones of one lineage.
fn count(policy: &Policy, keep: &Keep, newest_first: &mut [Stake]) {
    let good: Vec<_> = newest_first.iter().filter(|stake| stake.good).map(|stake| stake.instant).collect();
    let kept = retain(keep, policy.timezone, &good);
    let good = newest_first.iter_mut().filter(|stake| stake.good);
    for (rank, (stake, kept_by)) in (1..).zip(good.zip(kept)) {
        stake.rank = rank;
        stake.kept_by = kept_by;
    }
}

/// How a lineage stands.
#[derive(Default)]
struct Standing {
    newest_good: Option<DateTime<Utc>>,
    live: Option<VolumeId>,
    paused: Option<PauseReason>,
}

impl Standing {
    fn of(policy: &Policy, now: DateTime<Utc>, live: Option<VolumeId>, newest_first: &[Stake]) -> Self {
        let overdue = |instant: DateTime<Utc>| now - instant > policy.every.length() * 2;
        let newest_good = newest_first.iter().find(|stake| stake.good).map(|stake| stake.instant);
        let oldest = newest_first.last().map(|stake| stake.instant);
        let paused = match (&live, newest_good) {
            (Some(_), Some(newest_good)) if overdue(newest_good) => {
                Some(PauseReason::Overdue { newest_good })
            }
            (Some(_), None) if oldest.is_some_and(overdue) => Some(PauseReason::NeverGood),
            _ => None,
        };
        Self { newest_good, live, paused }
    }
}

fn judge(
    policy: &Policy,
    observed: &Observed,
    point: &RestorePoint<'_>,
    stakes: &[Stake],
    lineages: &[Standing],
) -> Judged {
    let mut kept = Vec::new();
    let mut doom = DeleteReason::Failed;
    for (members, stake) in point.by_volume().zip(stakes) {
        let (Some(member), Some(lineage)) = (members.first(), lineages.get(stake.lineage)) else { continue };
        match judge_for(policy, observed, members, stake, lineage) {
            Ok(reason) => kept.push((member.volume.clone(), reason)),
            Err(reason) => doom = doom.max(reason),
        }
    }
    Judged {
        run: point.run.clone(),
        target: point.target.clone(),
        started_at: point.started_at,
        snapshots: point.snapshots().map(|snapshot| snapshot.id.clone()).collect(),
        good: stakes.iter().all(|stake| stake.good),
        verdict: if kept.is_empty() { Verdict::Delete(doom) } else { Verdict::Keep(kept) },
    }
}

/// Whether one lineage needs a restore point that holds a volume of it.
fn judge_for(
    policy: &Policy,
    observed: &Observed,
    members: &[Member<'_>],
    stake: &Stake,
    lineage: &Standing,
) -> Result<KeepReason, DeleteReason> {
    let any = |is: fn(SnapshotState) -> bool| members.iter().any(|member| is(member.snapshot.state));
    if any(|state| state == SnapshotState::Pending) {
        return Ok(KeepReason::Unfinished);
    }
    if any(|state| matches!(state, SnapshotState::Recoverable | SnapshotState::Recovering)) {
        return Ok(KeepReason::RecycleBin);
    }
    // A failed snapshot holds nothing, and EC2 counts it as pending until it is gone: neither a pause nor a
    // rule must keep the very thing that may be in the way of the next good one.
    if members.iter().all(|member| member.snapshot.state == SnapshotState::Error) {
        let old = observed.now - stake.instant > TimeDelta::days(1);
        return if old { Err(DeleteReason::Failed) } else { Ok(KeepReason::FailedLately) };
    }
    let doom = match stake.good {
        true if stake.kept_by.any() => return Ok(KeepReason::Rules(stake.kept_by)),
        true if stake.rank <= policy.min => return Ok(KeepReason::Min { rank: stake.rank }),
        true => DeleteReason::Outlived,
        false if lineage.newest_good > Some(stake.instant) => DeleteReason::Superseded,
        false => return Ok(KeepReason::NoNewerGood),
    };
    guard(observed, members, lineage).ok_or(doom)
}

/// What stands in the way of a deletion that the rules want.
fn guard(observed: &Observed, members: &[Member<'_>], lineage: &Standing) -> Option<KeepReason> {
    if let Some(reason) = lineage.paused {
        return Some(KeepReason::Paused(reason));
    }
    let any = |is: &dyn Fn(&Member<'_>) -> bool| members.iter().any(is);
    if any(&|member| observed.locked.contains(&member.snapshot.id)) {
        Some(KeepReason::Locked)
    } else if any(&|member| observed.used_by_images.contains(&member.snapshot.id)) {
        Some(KeepReason::UsedByImage)
    } else if any(&|member| member.snapshot.tier == Tier::Archive) {
        Some(KeepReason::Archived)
    } else {
        None
    }
}

fn hold(policy: &Policy, judged: &[Judged]) -> Option<Hold> {
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
