//! Pruning: which restore points of a policy may go. Only those that carry our tags and this policy's
//! name are ever looked at.
//!
//! Each lineage judges the restore points that hold a volume of it; one is deleted, as a whole, when no
//! lineage needs it. Rules count good ones only (see [`RestorePoint::is_good`]), so that `last: 5` is five
//! from which everything can be brought back, however many lesser ones lie between.

mod verdict;

pub use verdict::*;

use crate::history::{History, Lineage, Member, RestorePoint};
use crate::observed::{Observed, SnapshotState, Tier};
use crate::policy::{Policy, overrides};
use crate::retention::{Keep, KeptBy, retain};
use crate::tags;
use crate::warning::Warning;
use chrono::{DateTime, TimeDelta, Utc};
use std::borrow::Cow;

/// How many restore points one run may delete whatever their share.
const BRAKE_COUNT: usize = 10;
/// Which share of a policy's restore points one run may delete, percent.
const BRAKE_PERCENT: usize = 20;

/// Judges every restore point of a policy.
#[must_use]
pub fn prune<'a>(policy: &Policy, observed: &'a Observed) -> Prune<'a> {
    let history = History::of(policy, observed);
    let mut stakes = stakes(policy, &history);
    let mut lineages: Vec<Standing> = Vec::with_capacity(history.lineages.len());
    let mut warnings = Vec::new();
    let order = by_lineage(&history, &stakes);
    let mut of_lineages = order.chunk_by(|a, b| a.lineage == b.lineage);
    for lineage in &history.lineages {
        let newest_first = of_lineages.next().unwrap_or_default();
        let (keep, warning) = rules(policy, &history, newest_first, &stakes);
        warnings.extend(warning);
        lineages.push(Standing::of(policy, observed.now, lineage, newest_first));
        count(policy, &keep, newest_first, &mut stakes);
    }
    let mut rest = stakes.as_slice();
    let judge = |point: &RestorePoint<'a>| {
        let (of_point, others) = rest.split_at_checked(point.by_volume().count()).unwrap_or((rest, &[]));
        rest = others;
        judge(policy, observed, point, of_point, &lineages)
    };
    let judged: Vec<Judged<'a>> = history.points.iter().map(judge).collect();
    let paused = |(lineage, standing): (&Lineage, &Standing)| {
        Some(Paused { volume: lineage.live.clone()?, reason: standing.paused? })
    };
    let mut paused: Vec<Paused> = history.lineages.iter().zip(&lineages).filter_map(paused).collect();
    paused.sort_by(|a, b| a.volume.cmp(&b.volume));
    warnings.sort_by_cached_key(ToString::to_string);
    Prune {
        policy: policy.name.clone(),
        hold: hold(policy, observed, &judged),
        paused,
        warnings,
        points: judged,
    }
}

/// What one restore point is to one lineage.
struct Stake {
    lineage: u32,
    /// The point among the points.
    point: u32,
    /// The number of the volume.
    volume: u32,
    good: bool,
    /// How many good ones the lineage has with this one, counted from the newest.
    rank: u32,
    /// The rules that keep it, of a good one.
    kept_by: KeptBy,
    instant: DateTime<Utc>,
}

/// In the order of the points, newest first, and of the volumes in each.
fn stakes(policy: &Policy, history: &History<'_>) -> Vec<Stake> {
    let mut stakes = Vec::with_capacity(history.points.iter().map(|point| point.members().len()).sum());
    for (number, point) in (0..).zip(&history.points) {
        for members in point.by_volume() {
            let Some(member) = members.first() else { continue };
            stakes.push(Stake {
                lineage: history.lineage_of(member.number),
                point: number,
                volume: member.number,
                good: point.is_good(policy, members),
                rank: 0,
                kept_by: KeptBy::default(),
                instant: point.started_at,
            });
        }
    }
    stakes
}

/// A stake as its lineage sees it.
#[derive(Clone, Copy)]
struct Turn {
    lineage: u32,
    /// Its place among the stakes.
    at: u32,
    good: bool,
    instant: DateTime<Utc>,
}

/// The stakes of each lineage together, newest first. Every lineage has some.
fn by_lineage(history: &History<'_>, stakes: &[Stake]) -> Vec<Turn> {
    // Counted, then each put where it belongs: the stakes are in order of time already.
    let mut next = vec![0_usize; history.lineages.len() + 1];
    for stake in stakes {
        if let Some(count) = next.get_mut(stake.lineage as usize + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for first in &mut next {
        sum += *first;
        *first = sum;
    }
    let nothing = Turn { lineage: 0, at: 0, good: false, instant: DateTime::UNIX_EPOCH };
    let mut order = vec![nothing; stakes.len()];
    for (at, stake) in (0..).zip(stakes) {
        let Some(place) = next.get_mut(stake.lineage as usize) else { continue };
        if let Some(slot) = order.get_mut(*place) {
            *slot = Turn { lineage: stake.lineage, at, good: stake.good, instant: stake.instant };
        }
        *place += 1;
    }
    order
}

/// The rules for a lineage, told from its newest restore point: those of its living volume, of one that is
/// gone those that its newest snapshot says, else the policy's. Malformed ones are the policy's too.
fn rules<'a>(
    policy: &'a Policy,
    history: &History<'_>,
    newest_first: &[Turn],
    stakes: &[Stake],
) -> (Cow<'a, Keep>, Option<Warning>) {
    let newest = newest_first.first().and_then(|turn| {
        let stake = stakes.get(turn.at as usize)?;
        let members = history.points.get(stake.point as usize)?.members();
        members.iter().find(|member| member.number == stake.volume)
    });
    match newest {
        Some(member) => rules_of(policy, history, member),
        None => (Cow::Borrowed(&policy.keep), None),
    }
}

/// The rules for the lineage whose newest snapshot this is.
pub(crate) fn rules_of<'a>(
    policy: &'a Policy,
    history: &History<'_>,
    newest: &Member<'_>,
) -> (Cow<'a, Keep>, Option<Warning>) {
    let said = match history.live(newest.number) {
        Some(live) => live.tags.get(tags::KEEP).map(String::as_str),
        None => newest.snapshot.tags.get(tags::KEEP),
    };
    match said.map(|said| overrides::keep(&newest.volume, said)) {
        Some(Ok(keep)) => (Cow::Owned(keep), None),
        Some(Err(warning)) => (Cow::Borrowed(&policy.keep), Some(warning)),
        None => (Cow::Borrowed(&policy.keep), None),
    }
}

/// Whether a lineage whose newest good restore point is of this instant should have got another by now.
pub(crate) fn is_overdue(policy: &Policy, now: DateTime<Utc>, newest_good: DateTime<Utc>) -> bool {
    now - newest_good > policy.every.length() * 2
}

/// Lets the rules count the good ones of one lineage.
fn count(policy: &Policy, keep: &Keep, newest_first: &[Turn], stakes: &mut [Stake]) {
    let good = || newest_first.iter().filter(|turn| turn.good);
    let instants: Vec<_> = good().map(|turn| turn.instant).collect();
    let kept = retain(keep, policy.timezone, &instants);
    for (rank, (turn, kept_by)) in (1..).zip(good().zip(kept)) {
        if let Some(stake) = stakes.get_mut(turn.at as usize) {
            stake.rank = rank;
            stake.kept_by = kept_by;
        }
    }
}

/// How a lineage stands.
struct Standing {
    newest_good: Option<DateTime<Utc>>,
    paused: Option<PauseReason>,
}

impl Standing {
    fn of(policy: &Policy, now: DateTime<Utc>, lineage: &Lineage, newest_first: &[Turn]) -> Self {
        let overdue = |instant| is_overdue(policy, now, instant);
        let newest_good = newest_first.iter().find(|turn| turn.good).map(|turn| turn.instant);
        let oldest = newest_first.last().map(|turn| turn.instant);
        let paused = match (&lineage.live, newest_good) {
            (Some(_), Some(newest_good)) if overdue(newest_good) => {
                Some(PauseReason::Overdue { newest_good })
            }
            (Some(_), None) if oldest.is_some_and(overdue) => Some(PauseReason::NeverGood),
            _ => None,
        };
        Self { newest_good, paused }
    }
}

fn judge<'a>(
    policy: &Policy,
    observed: &Observed,
    point: &RestorePoint<'a>,
    stakes: &[Stake],
    lineages: &[Standing],
) -> Judged<'a> {
    let mut kept = Vec::with_capacity(stakes.len());
    let mut doom = DeleteReason::Failed;
    for (members, stake) in point.by_volume().zip(stakes) {
        let (Some(member), Some(lineage)) = (members.first(), lineages.get(stake.lineage as usize)) else {
            continue;
        };
        match judge_for(policy, observed, members, stake, lineage) {
            Ok(reason) => kept.push((member.volume.clone(), reason)),
            Err(reason) => doom = doom.max(reason),
        }
    }
    Judged {
        run: point.run.clone(),
        target: point.target.clone(),
        started_at: point.started_at,
        snapshots: point.snapshots().map(|snapshot| &snapshot.id).collect(),
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
    let any = |is: fn(SnapshotState) -> bool| members.iter().any(|member| is(member.state));
    if any(|state| state == SnapshotState::Pending) {
        return Ok(KeepReason::Unfinished);
    }
    if any(|state| matches!(state, SnapshotState::Recoverable | SnapshotState::Recovering)) {
        return Ok(KeepReason::RecycleBin);
    }
    // A failed snapshot holds nothing, and EC2 counts it as pending until it is gone: neither a pause nor a
    // rule must keep the very thing that may be in the way of the next good one.
    if members.iter().all(|member| member.state == SnapshotState::Error) {
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
    } else if any(&|member| member.tier == Tier::Archive) {
        Some(KeepReason::Archived)
    } else {
        None
    }
}

/// A set of which one member cannot be deleted would be left in pieces: what guards it has to be known
/// before its first member goes.
fn hold(policy: &Policy, observed: &Observed, judged: &[Judged<'_>]) -> Option<Hold> {
    let deletions = judged
        .iter()
        .filter(|point| {
            matches!(point.verdict, Verdict::Delete(DeleteReason::Superseded | DeleteReason::Outlived))
        })
        .count();
    if let Some(cause) = observed.guards_unseen.as_ref().filter(|_| deletions > 0) {
        return Some(Hold::GuardsUnseen { deletions, cause: cause.clone() });
    }
    let limit = BRAKE_COUNT.max(judged.len() * BRAKE_PERCENT / 100);
    (deletions > limit && !policy.allow_mass_delete).then_some(Hold::Brake {
        deletions,
        limit,
        points: judged.len(),
    })
}

#[cfg(test)]
#[path = "prune_properties.rs"]
pub(crate) mod properties;
#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
