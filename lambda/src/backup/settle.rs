//! Settling, carried out: find the run's snapshots by their tag, have the plan judge each case, write
//! the labels, take the sets that fell back.

use super::{case::Case, deadline::Deadline, direct::Direct, pace::Pace, stop::Stop};
use crate::{
    aws::{CallError, Cause, CreateTags, Made, MadeSnapshot, Observe},
    timer,
};
use std::{collections::BTreeMap, time::Duration};
use stillframe_plan::{
    Consistency, Evidence, Outcome, Policy, RunId, Settled, Settlement, Snapshot, SnapshotId, settle, tags,
};

/// Pauses between looks for snapshots that should be there: EC2 shows a new one after a moment, and a
/// call whose answer was lost may still take effect.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];

/// Settles.
#[derive(Debug)]
pub struct Settle {
    /// The look by run tag.
    pub observe: Observe,
    /// The labels.
    pub create_tags: CreateTags,
}

/// A settlement and what it was made from.
#[derive(Debug)]
pub struct Judgement {
    /// One entry for each case, in their order.
    pub settlement: Settlement,
    /// The snapshots that were seen.
    pub snapshots: Vec<Snapshot>,
}

impl Settle {
    /// Judges the cases of one run by the snapshots that were `seen` when they were last judged, and a look
    /// for those of the cases that snapshots were asked for since. Looks again for a while as long as a
    /// snapshot that was expected is not to be seen: only then is its absence a fact to act on.
    ///
    /// # Errors
    /// The snapshots could not be looked at.
    pub async fn judge(
        &self,
        policy: &Policy,
        run: &RunId,
        cases: &mut [Case<'_>],
        seen: Vec<Snapshot>,
    ) -> Result<Judgement, Stop> {
        let mut pauses = PAUSES.iter();
        let mut seen = by_id(seen);
        let mut wanted: Vec<bool> = cases.iter().map(Case::is_to_be_looked_for).collect();
        loop {
            let looked_for = cases.iter().zip(&wanted).filter(|(_, wanted)| **wanted).map(|(case, _)| case);
            seen.extend(by_id(self.look_for(run, looked_for).await?));
            let judgement = judge_by(policy, cases, seen.into_values().collect());
            for (wanted, set) in wanted.iter_mut().zip(&judgement.settlement.sets) {
                *wanted &= awaited(set);
            }
            match pauses.next() {
                Some(pause) if wanted.contains(&true) => timer::sleep(*pause).await,
                _ => {
                    cases.iter_mut().for_each(Case::note_look);
                    return Ok(judgement);
                }
            }
            seen = by_id(judgement.snapshots);
        }
    }

    async fn look_for<'c>(
        &self,
        run: &RunId,
        cases: impl Iterator<Item = &'c Case<'c>>,
    ) -> Result<Vec<Snapshot>, Stop> {
        let mut of = Made::default();
        for case in cases {
            match &case.expected.instance {
                Some(instance) => of.instances.push((instance, case.expected.volumes.len())),
                None => of.volumes.extend(&case.expected.volumes),
            }
        }
        let found = self.observe.snapshots_of_run(run, &of).await;
        found.map_err(Stop::at("look for the run's snapshots"))
    }

    /// Writes the labels that the settlement gives.
    ///
    /// # Errors
    /// Some may not be written; a later run sees them unsettled.
    pub async fn promote(&self, settlement: &Settlement) -> Result<(), CallError> {
        for (label, snapshots) in settlement.promotions() {
            self.create_tags.call(&snapshots, &label_tag(label)).await?;
        }
        Ok(())
    }
}

fn by_id(snapshots: Vec<Snapshot>) -> BTreeMap<SnapshotId, Snapshot> {
    snapshots.into_iter().map(|snapshot| (snapshot.id.clone(), snapshot)).collect()
}

/// Whether a set lacks snapshots that may still show.
fn awaited(set: &Settled) -> bool {
    !set.missing.is_empty() && !matches!(set.outcome, Outcome::Later { .. } | Outcome::Wait)
}

/// Judges the cases by these snapshots, each by those of its own instance.
#[must_use]
pub fn judge_by(policy: &Policy, cases: &[Case<'_>], mut snapshots: Vec<Snapshot>) -> Judgement {
    snapshots.sort_by(|a, b| a.instance().cmp(&b.instance()));
    let settlement = cases
        .iter()
        .map(|case| {
            let instance = case.expected.instance.as_ref().map(|instance| instance.as_str());
            let from = snapshots.partition_point(|snapshot| snapshot.instance() < instance);
            let to = snapshots.partition_point(|snapshot| snapshot.instance() <= instance);
            let own = snapshots.get(from..to).unwrap_or_default();
            settle(policy, &case.expected, case.attempt, &case.evidence, own)
        })
        .collect();
    Judgement { settlement, snapshots }
}

/// Takes the crash-consistent set of every case that is to fall back and has not done so. Whether there
/// was any.
///
/// # Errors
/// Time is nearly up.
pub async fn fall_back(
    cases: &mut [Case<'_>],
    settlement: &Settlement,
    direct: &Direct,
    pace: &mut Pace,
    deadline: &Deadline,
) -> Result<bool, Stop> {
    let mut taken = false;
    for (case, set) in cases.iter_mut().zip(&settlement.sets) {
        let Outcome::Fallback { .. } = set.outcome else { continue };
        let Some(call) = case.order.and_then(|order| order.fallback.as_ref()) else { continue };
        if case.fallback.is_some() {
            continue;
        }
        deadline.check()?;
        let answer = direct.set(call, pace).await;
        note_fallback(case, answer);
        taken = true;
    }
    Ok(taken)
}

fn note_fallback(case: &mut Case<'_>, answer: Result<Vec<MadeSnapshot>, CallError>) {
    if let Err(error) = &answer
        && error.cause() == Cause::PendingLimit
    {
        case.evidence = Evidence::Later { cause: error.to_string() };
    }
    case.fallback = Some(answer.map(|_| ()).map_err(|error| error.to_string()));
}

/// Which cases are to be sent again.
#[must_use]
pub fn requeued(settlement: &Settlement) -> Vec<usize> {
    let again = |set: &Settled| matches!(set.outcome, Outcome::Requeue { .. });
    settlement.sets.iter().enumerate().filter(|(_, set)| again(set)).map(|(at, _)| at).collect()
}

/// Writes the labels into snapshots that were seen before they were promoted: EC2 shows new tags after
/// a moment, and decisions that follow must not be made from old ones.
pub fn relabel(snapshots: &mut [Snapshot], promoted: &BTreeMap<SnapshotId, Consistency>) {
    for snapshot in snapshots {
        if let Some(label) = promoted.get(&snapshot.id) {
            snapshot.tags.extend(label_tag(*label));
        }
    }
}

fn label_tag(label: Consistency) -> BTreeMap<String, String> {
    BTreeMap::from([(tags::CONSISTENCY.to_owned(), label.as_str().to_owned())])
}
