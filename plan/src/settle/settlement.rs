//! What settling comes to: an outcome for each instance or volume, a label for each snapshot, and the
//! same in numbers. Data only; `settle` decides it.

use crate::history::Target;
use crate::{Consistency, RunId, SnapshotId, VolumeId};
use serde::Serialize;
use std::collections::BTreeMap;

/// What becomes of one instance or volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settled {
    /// Which.
    pub target: Target,
    /// The run of its snapshots.
    pub run: RunId,
    /// What is to be done.
    pub outcome: Outcome,
    /// The snapshots that the run made of it, each with the label that it is to carry.
    pub members: Vec<Member>,
    /// Expected volumes of which there is no snapshot.
    pub missing: Vec<VolumeId>,
}

/// One snapshot and its label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// Its volume.
    pub volume: VolumeId,
    /// Its id.
    pub snapshot: SnapshotId,
    /// What it is to be labelled.
    pub label: Consistency,
    /// Why it stays `crash` in a set that is promoted.
    pub left: Option<LeftReason>,
}

/// Why one snapshot of a promoted set stays `crash`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftReason {
    /// Nothing on the volume was frozen: the root file system, one without freeze, or none.
    NotFrozen,
    /// The volume was not in the plan: it was attached since.
    NotPlanned,
    /// The report does not name this snapshot.
    NotReported,
    /// The volume was not where it had been, or not there alone.
    Moved,
}

/// What is to be done for one instance or volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Label the members that say so.
    Promote {
        /// The label.
        label: Consistency,
    },
    /// The snapshots stay `crash`.
    Crash {
        /// Why.
        reason: String,
    },
    /// No snapshot was made: take the crash-consistent set.
    Fallback {
        /// Why.
        reason: String,
    },
    /// No snapshot was made since EC2 was too busy: send the order again, later.
    Requeue {
        /// Why.
        reason: String,
    },
    /// There is no snapshot, since EC2 takes none of a volume for now (its limits of pending snapshots, or
    /// of snapshots in a while): a later run makes it. That is no failure.
    Later {
        /// Why.
        reason: String,
    },
    /// There is no snapshot, and this run will make none.
    Failed {
        /// Why.
        reason: String,
    },
    /// The order has not ended: a later look will settle it.
    Wait,
}

/// All that was settled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// One entry for each instance or volume.
    pub sets: Vec<Settled>,
}

/// A settlement in numbers, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SettlementBrief {
    /// Snapshots labelled `filesystem`.
    pub filesystem: usize,
    /// Snapshots labelled `offline`.
    pub offline: usize,
    /// Snapshots that stay `crash`.
    pub crash: usize,
    /// Instances or volumes for which a fallback is wanted.
    pub fallbacks: usize,
    /// Instances whose order is to be sent again.
    pub requeued: usize,
    /// Instances or volumes without a snapshot.
    pub failed: usize,
    /// Instances or volumes that are left to a later run.
    pub later: usize,
    /// Instances whose order has not ended.
    pub waiting: usize,
}
impl Settlement {
    /// The snapshots to be promoted, by the label that they get.
    #[must_use]
    pub fn promotions(&self) -> BTreeMap<Consistency, Vec<SnapshotId>> {
        let mut promotions: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for member in self.sets.iter().flat_map(|set| &set.members) {
            if member.label > Consistency::Crash {
                promotions.entry(member.label).or_default().push(member.snapshot.clone());
            }
        }
        promotions
    }

    /// The settlement in numbers.
    #[must_use]
    pub fn brief(&self) -> SettlementBrief {
        let mut brief = SettlementBrief::default();
        for set in &self.sets {
            match set.outcome {
                Outcome::Fallback { .. } => brief.fallbacks += 1,
                Outcome::Requeue { .. } => brief.requeued += 1,
                Outcome::Failed { .. } => brief.failed += 1,
                Outcome::Later { .. } => brief.later += 1,
                Outcome::Wait => brief.waiting += 1,
                Outcome::Promote { .. } | Outcome::Crash { .. } => {}
            }
            for member in &set.members {
                match member.label {
                    Consistency::Crash => brief.crash += 1,
                    Consistency::Filesystem | Consistency::Application => brief.filesystem += 1,
                    Consistency::Offline => brief.offline += 1,
                }
            }
        }
        brief
    }
}

impl FromIterator<Settled> for Settlement {
    fn from_iter<I: IntoIterator<Item = Settled>>(sets: I) -> Self {
        Self { sets: sets.into_iter().collect() }
    }
}
