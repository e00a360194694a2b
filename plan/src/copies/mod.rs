//! Copies in other regions: which restore points are to be copied to a destination, which are there or on
//! their way, and which of the copies go again.
//!
//! A set is copied when it is good for every volume of it, and when the destination's rules would keep it
//! beside all others that are good here or there; what they would delete at once is never copied. A set is
//! there when every member has been copied and is complete. The first to be copied is what is half there,
//! which is worth nothing yet and costs least to finish. Then comes the newest set of each lineage, and of
//! these the lineage first that has waited longest: after a disaster one recent restore point of everything
//! is worth more than many of something. The rest follows, newest first.
//!
//! EC2 has no token against making a copy twice, so what counts as copied is told by the source's id in the
//! tags of the copies, which are born with it.

mod attempts;
mod completion;
mod decision;
mod destination;
mod outlook;
mod tags_of_copy;

pub use completion::{Completion, NoCompletion};
pub use decision::*;
pub use destination::Destination;

use crate::history::{Grouping, History, Member, RestorePoint, Target};
use crate::observed::{Observed, Snapshot, SnapshotState, Tier};
use crate::policy::{CopyTo, Policy};
use crate::prune::{KeepReason, Prune, Verdict, prune};
use crate::{RunId, SnapshotId};
use attempts::{Attempt, Attempts};
use chrono::{DateTime, TimeDelta, Utc};
use outlook::Outlook;
use std::collections::{BTreeMap, BTreeSet};

/// Copies that may be on their way to one region at the same time: EC2's limit, of the whole account.
pub const MOST_IN_FLIGHT: usize = 20;
/// How long after its beginning a copy that failed stands in the way of the next attempt.
const RETRY_AFTER: TimeDelta = TimeDelta::hours(1);

/// Decides for one destination. `there` is what [`Destination::as_observed`] gives for `seen`.
#[must_use]
pub fn copies<'a>(
    policy: &Policy,
    to: &CopyTo,
    home: &str,
    source: &Observed,
    seen: &Destination,
    there: &'a Observed,
) -> Copies<'a> {
    let rules = to.policy(policy);
    let attempts = Attempts::of(there, seen);
    let mut sets = good_sets(policy, source, &attempts);
    let outlook = Outlook::of(&rules, there, &sets);
    let mut decided = Copies {
        policy: policy.name.clone(),
        region: to.region.clone(),
        in_flight: seen.in_flight(),
        ..Copies::default()
    };
    decided.there = sets.iter().filter(|set| set.is_there()).count();
    decided.unwanted = sets.iter().filter(|set| !set.is_there() && !outlook.keeps(set)).count();
    decided.cannot_be_finished = cannot_be_finished(policy, there, &sets);
    sets.retain(|set| !set.is_there() && outlook.keeps(set));
    sets.sort_by_cached_key(|set| outlook.turn(set));

    let mut room = MOST_IN_FLIGHT.saturating_sub(decided.in_flight);
    for set in &sets {
        let mut start = Vec::new();
        for (snapshot, state) in &set.members {
            match state {
                Attempt::There => {}
                Attempt::InFlight => decided.under_way += 1,
                Attempt::Failed { begun_at } if source.now - *begun_at < RETRY_AFTER => {
                    decided.failed_lately.push(snapshot.id.clone());
                }
                Attempt::None | Attempt::Failed { .. } if room > 0 => {
                    room -= 1;
                    let (member, warning) = tags_of_copy::member(policy, home, snapshot);
                    decided.warnings.extend(warning);
                    start.push(member);
                }
                Attempt::None | Attempt::Failed { .. } => decided.later += 1,
            }
        }
        if !start.is_empty() {
            decided.start.push(CopySet {
                run: set.run.clone(),
                target: set.target.clone(),
                started_at: set.started_at,
                members: start,
            });
        }
    }
    decided.prune = prune(&rules, there);
    spare(&mut decided.prune, &sets);
    let doomed: BTreeSet<SnapshotId> =
        decided.prune.deletions().flat_map(|point| &point.snapshots).map(|id| (*id).clone()).collect();
    decided.clean_up = attempts.clean_up(source.now).filter(|id| !doomed.contains(id)).collect();
    decided
}

/// What tells a restore point from all others.
type Key = (RunId, Target);

/// A restore point that is good at home.
struct Set<'a> {
    run: RunId,
    target: Target,
    started_at: DateTime<Utc>,
    /// One snapshot for each volume.
    members: Vec<(&'a Snapshot, Attempt)>,
}

impl Set<'_> {
    fn key(&self) -> Key {
        (self.run.clone(), self.target.clone())
    }

    fn is_there(&self) -> bool {
        self.members.iter().all(|(_, attempt)| *attempt == Attempt::There)
    }

    /// Whether some of it is there or on its way.
    fn is_begun(&self) -> bool {
        self.members.iter().any(|(_, attempt)| matches!(attempt, Attempt::There | Attempt::InFlight))
    }
}

/// The restore points that may be copied: good for every volume that they hold.
fn good_sets<'a>(policy: &Policy, source: &'a Observed, attempts: &Attempts<'_>) -> Vec<Set<'a>> {
    let history = History::of(policy, source);
    let good = |point: &&RestorePoint<'a>| point.by_volume().all(|members| point.is_good(policy, members));
    let member = |members: &[Member<'a>]| {
        let whole =
            members.iter().filter(|one| one.state == SnapshotState::Completed && one.tier == Tier::Standard);
        let best = whole.max_by(|a, b| (a.label, &b.snapshot.id).cmp(&(b.label, &a.snapshot.id)))?;
        Some((best.snapshot, attempts.at(&best.snapshot.id)))
    };
    let set = |point: &RestorePoint<'a>| Set {
        run: point.run.clone(),
        target: point.target.clone(),
        started_at: point.started_at,
        members: point.by_volume().filter_map(member).collect(),
    };
    history.points.iter().filter(good).map(set).collect()
}

/// Keeps what is being copied, or will be, from being pruned as the half of a set that it still is.
fn spare(prune: &mut Prune<'_>, sets: &[Set<'_>]) {
    let wanted: BTreeMap<Key, &Set<'_>> = sets.iter().map(|set| (set.key(), set)).collect();
    for point in prune.points.iter_mut().filter(|point| matches!(point.verdict, Verdict::Delete(_))) {
        if let Some(set) = wanted.get(&(point.run.clone(), point.target.clone())) {
            let kept =
                |(snapshot, _): &(&Snapshot, Attempt)| (snapshot.origin().into(), KeepReason::Unfinished);
            point.verdict = Verdict::Keep(set.members.iter().map(kept).collect());
        }
    }
}

/// Sets that are half there, and whose other half is not to be had any more.
fn cannot_be_finished(policy: &Policy, there: &Observed, sets: &[Set<'_>]) -> Vec<Unfinishable> {
    let at_home: BTreeSet<Key> = sets.iter().map(Set::key).collect();
    let unfinishable = |point: &RestorePoint<'_>| {
        let pending = point.members().iter().any(|one| one.state == SnapshotState::Pending);
        let key = (point.run.clone(), point.target.clone());
        (!point.is_complete() && !pending && !at_home.contains(&key)).then_some(Unfinishable {
            run: key.0,
            target: key.1,
            started_at: point.started_at,
        })
    };
    let points = Grouping::of(&policy.name, there.snapshots.iter()).points;
    points.iter().filter_map(unfinishable).collect()
}

#[cfg(test)]
#[path = "copies_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
