//! Settling: what may be claimed of the snapshots of a run, decided from evidence alone. A snapshot is
//! promoted only when everything that proves it is at hand; whatever is unknown stays `crash`.
//!
//! `filesystem` is proved by the helper's report: the freeze as a whole was consistent, the file systems
//! of this volume were frozen around the cut, and EC2 shows the very snapshot with the tags of this run
//! and instance.
//!
//! `offline` is proved by what was seen before and after the call. A stopped instance was not started
//! in between if its launch time is the same, and it had its say if its last stop was not forced. (A
//! stop that was asked of EC2 becomes a power cut where the system takes too long; EC2 does not tell.)
//! A detached volume was `available` and attached nowhere, both times: nothing could write while it was
//! so. Not provable from EC2: that it was unmounted before it was detached, and that nobody attached
//! and detached it again between the two looks, which should follow each other closely.

mod evidence;
mod settlement;

pub use evidence::*;
pub use settlement::*;

use crate::backup::{CrashReason, StoppedBefore, Way};
use crate::history::Target;
use crate::observed::{
    AttachmentState, Instance, InstanceState, LastStop, Snapshot, SnapshotState, Volume, VolumeState,
};
use crate::policy::Policy;
use crate::{Consistency, VolumeId};
use std::collections::BTreeMap;

/// How many times an order is sent, when EC2 was too busy, before it is given up.
pub const MOST_ATTEMPTS: u32 = 3;

/// Decides what becomes of one instance or volume.
///
/// `snapshots` are those that EC2 shows, at least the run's own; which of them belong here is told by
/// their tags. `attempt` counts the times that the order was sent, from 1.
#[must_use]
pub fn settle(
    policy: &Policy,
    expected: &Expectation,
    attempt: u32,
    evidence: &Evidence,
    snapshots: &[Snapshot],
) -> Settled {
    let made = made(policy, expected, snapshots);
    let case = Case { policy, expected, attempt, made: &made };
    let (outcome, labels) = case.decide(evidence);
    let members = made
        .values()
        .map(|snapshot| {
            // What was promoted before stays so: nothing that is known now takes it back.
            let (label, left) = match labels.get(snapshot.id.as_str()) {
                _ if snapshot.label() > Consistency::Crash => (snapshot.label(), None),
                Some(Ok(label)) => (*label, None),
                Some(Err(left)) => (Consistency::Crash, Some(*left)),
                None => (Consistency::Crash, None),
            };
            Member { volume: snapshot.volume.clone(), snapshot: snapshot.id.clone(), label, left }
        })
        .collect();
    let missing = expected
        .volumes
        .iter()
        .filter(|volume| !made.values().any(|snapshot| &snapshot.volume == *volume))
        .cloned()
        .collect();
    Settled { target: expected.target.clone(), run: expected.run.clone(), outcome, members, missing }
}

/// The run's snapshots of this instance or volume that hold anything, by id.
fn made<'a>(
    policy: &Policy,
    expected: &Expectation,
    snapshots: &'a [Snapshot],
) -> BTreeMap<&'a str, &'a Snapshot> {
    snapshots
        .iter()
        .filter(|snapshot| {
            snapshot.policy() == Some(&policy.name)
                && snapshot.run() == Some(expected.run.as_str())
                && snapshot.instance() == expected.instance.as_ref().map(|instance| instance.as_str())
                && matches!(snapshot.state, SnapshotState::Pending | SnapshotState::Completed)
                && match &expected.target {
                    Target::Instance(_) => true,
                    Target::Volume(volume) => &snapshot.volume == volume,
                }
        })
        .map(|snapshot| (snapshot.id.as_str(), snapshot))
        .collect()
}

/// A label for each snapshot that is judged, or why it gets none.
type Labels<'a> = BTreeMap<&'a str, Result<Consistency, LeftReason>>;

struct Case<'a> {
    policy: &'a Policy,
    expected: &'a Expectation,
    attempt: u32,
    made: &'a BTreeMap<&'a str, &'a Snapshot>,
}

impl<'a> Case<'a> {
    fn decide(&self, evidence: &Evidence) -> (Outcome, Labels<'a>) {
        let none = Labels::new();
        match (&self.expected.means, evidence) {
            (_, Evidence::UnderWay) => (Outcome::Wait, none),
            (_, Evidence::Later { cause }) if self.made.is_empty() => {
                (Outcome::Later { reason: cause.clone() }, none)
            }
            (_, Evidence::Later { cause }) => (self.unproved(cause.clone(), false), none),
            (Means::Order | Means::EarlierRun, Evidence::Reported(report)) => self.by_report(report),
            (Means::Order | Means::EarlierRun, Evidence::NoReport { status }) => {
                (self.unproved(format!("the helper gave no report: {status}"), true), none)
            }
            (Means::Order, Evidence::NotSent { cause }) => {
                (self.unproved(format!("the order was not sent: {cause}"), true), none)
            }
            (Means::Direct(way), Evidence::SeenAfter { instance, volumes }) => match way {
                Way::Crash(reason) => (self.unproved(reason.to_string(), false), none),
                Way::Stopped(before) => self.by_stop(before, instance.as_ref(), volumes),
                Way::Detached => self.by_detachment(volumes),
            },
            (Means::Direct(_), Evidence::CallFailed { cause }) => (self.unproved(cause.clone(), false), none),
            (Means::Direct(Way::Crash(reason)), _) => (self.unproved(reason.to_string(), false), none),
            (Means::Order | Means::EarlierRun | Means::Direct(_), _) => {
                (self.unproved("nothing is known of how it went".to_owned(), false), none)
            }
        }
    }

    /// What is to be done where nothing can be promoted. `ended` says that whatever could still have made
    /// snapshots has ended, so that their absence is known.
    fn unproved(&self, reason: String, ended: bool) -> Outcome {
        if !self.made.is_empty() {
            Outcome::Crash { reason }
        } else if ended && self.expected.means == Means::Order && self.policy.takes_crash() {
            Outcome::Fallback { reason }
        } else {
            Outcome::Failed { reason }
        }
    }

    fn by_report(&self, report: &Reported) -> (Outcome, Labels<'a>) {
        let reason = &report.reason;
        if !report.snapshots.is_empty() && self.made.is_empty() {
            // They were made; EC2 does not show them (yet), or they have failed. Not made twice.
            let reason = format!("EC2 shows none of the snapshots that the helper reported ({reason})");
            return (Outcome::Failed { reason }, Labels::new());
        }
        if !report.consistent {
            if report.retry_later
                && self.made.is_empty()
                && self.expected.means == Means::Order
                && self.attempt < MOST_ATTEMPTS
            {
                return (Outcome::Requeue { reason: reason.clone() }, Labels::new());
            }
            return (self.unproved(reason.clone(), true), Labels::new());
        }
        let label = |snapshot: &Snapshot| {
            if !self.expected.volumes.contains(&snapshot.volume) {
                return Err(LeftReason::NotPlanned);
            }
            let named = report
                .snapshots
                .iter()
                .find(|named| named.snapshot == snapshot.id && named.volume == snapshot.volume)
                .ok_or(LeftReason::NotReported)?;
            if named.frozen { Ok(Consistency::Filesystem) } else { Err(LeftReason::NotFrozen) }
        };
        self.promote(Consistency::Filesystem, label, "nothing on these volumes was frozen")
    }

    fn by_stop(
        &self,
        before: &StoppedBefore,
        after: Option<&Instance>,
        volumes: &[Volume],
    ) -> (Outcome, Labels<'a>) {
        if let Err(reason) = stayed_stopped(before, after) {
            return (self.unproved(reason, false), Labels::new());
        }
        let on_it = |id: &VolumeId| {
            volumes.iter().any(|volume| {
                &volume.id == id
                    && !volume.multi_attach
                    && volume.attachment.as_ref().is_some_and(|attachment| {
                        Some(&attachment.instance) == self.expected.instance.as_ref()
                            && attachment.state == AttachmentState::Attached
                    })
            })
        };
        let label = |snapshot: &Snapshot| {
            if !self.expected.volumes.contains(&snapshot.volume) {
                Err(LeftReason::NotPlanned)
            } else if on_it(&snapshot.volume) {
                Ok(Consistency::Offline)
            } else {
                Err(LeftReason::Moved)
            }
        };
        self.promote(
            Consistency::Offline,
            label,
            "the volumes are no longer attached to the stopped instance",
        )
    }

    fn by_detachment(&self, volumes: &[Volume]) -> (Outcome, Labels<'a>) {
        let label = |snapshot: &Snapshot| {
            let still = volumes.iter().any(|volume| {
                volume.id == snapshot.volume
                    && volume.state == VolumeState::Available
                    && volume.attachment.is_none()
            });
            if still { Ok(Consistency::Offline) } else { Err(LeftReason::Moved) }
        };
        self.promote(Consistency::Offline, label, "the volume is no longer detached")
    }

    /// Labels each snapshot; where none earns the label, the set stays `crash`.
    fn promote(
        &self,
        label: Consistency,
        judge: impl Fn(&Snapshot) -> Result<Consistency, LeftReason>,
        otherwise: &str,
    ) -> (Outcome, Labels<'a>) {
        let labels: Labels<'a> = self.made.iter().map(|(id, snapshot)| (*id, judge(snapshot))).collect();
        if labels.values().any(Result::is_ok) {
            (Outcome::Promote { label }, labels)
        } else {
            (self.unproved(otherwise.to_owned(), false), labels)
        }
    }
}

fn stayed_stopped(before: &StoppedBefore, after: Option<&Instance>) -> Result<(), String> {
    let after = after.ok_or("the instance was not seen after the call")?;
    if after.state != InstanceState::Stopped {
        return Err(format!("the instance is {} after the call", after.state.as_str()));
    }
    if after.launched_at != before.launched_at {
        return Err("the instance was started in between".to_owned());
    }
    if after.hibernation_configured {
        return Err(CrashReason::Hibernation.to_string());
    }
    match (before.last_stop, after.last_stop) {
        (LastStop::Forced, _) | (_, LastStop::Forced) => Err(CrashReason::ForcedStop.to_string()),
        (LastStop::Unknown, _) | (_, LastStop::Unknown) => Err(CrashReason::UnknownStop.to_string()),
        (LastStop::ByItsSystem | LastStop::ByUser, LastStop::ByItsSystem | LastStop::ByUser) => Ok(()),
    }
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
