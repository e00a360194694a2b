//! What settling works with: what was to be made, and what is known of how it went. The executor gathers
//! the evidence; it draws no conclusion from it.

use crate::backup::{Plan, Unsettled, Way};
use crate::history::Target;
use crate::observed::{Instance, Volume};
use crate::{InstanceId, RunId, SnapshotId, VolumeId};
use std::collections::BTreeSet;

/// What a run was to make of one instance or one volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What is settled: an instance's set, or one volume taken by itself.
    pub target: Target,
    /// The instance that the snapshots name in their tags.
    pub instance: Option<InstanceId>,
    /// The run that they name.
    pub run: RunId,
    /// The volumes that were to be in it.
    pub volumes: BTreeSet<VolumeId>,
    /// How it was to come about.
    pub means: Means,
}

/// How a set was to come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// By a work order.
    Order,
    /// Directly.
    Direct(Way),
    /// By an earlier run, of which only the snapshots and perhaps a report are left.
    EarlierRun,
}

/// What is known when everything has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evidence {
    /// The helper's report.
    Reported(Reported),
    /// The order ended without a report; what SSM says of it. Not to be given while the helper may
    /// still be at work: an agent that SSM lost sight of may be, until the order expires.
    NoReport {
        /// SSM's status, `Failed`, `ExecutionTimedOut`, with what else it says.
        status: String,
    },
    /// The order was certainly not sent.
    NotSent {
        /// Why.
        cause: String,
    },
    /// The order has not ended.
    UnderWay,
    /// How instance and volumes were seen after a direct call.
    SeenAfter {
        /// The instance, where there is one.
        instance: Option<Instance>,
        /// The volumes.
        volumes: Vec<Volume>,
    },
    /// EC2 takes no further snapshot of a volume for now, and made none.
    Later {
        /// Why.
        cause: String,
    },
    /// A direct call that EC2 refused, or whose outcome is not known.
    CallFailed {
        /// Why.
        cause: String,
    },
    /// Nothing is known.
    Nothing,
}

/// What a helper's report says, as far as it is evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Whether every freeze provably enclosed the cut.
    pub consistent: bool,
    /// The snapshots that the cut named.
    pub snapshots: Vec<ReportedSnapshot>,
    /// Why it is not consistent, in a few words.
    pub reason: String,
    /// Whether waiting may cure it: EC2 was asked too often, and nothing was made.
    pub retry_later: bool,
}

/// One snapshot of a reported cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedSnapshot {
    /// Its volume.
    pub volume: VolumeId,
    /// Its id.
    pub snapshot: SnapshotId,
    /// Whether all file systems of the volume were frozen around the cut.
    pub frozen: bool,
}

impl Plan {
    /// What is to be settled once the plan is carried out: one entry for each order, then for each set,
    /// then for each volume, in the order of the plan's own lists. (For what an earlier run left, see [`Unsettled::expectation`].)
    #[must_use]
    pub fn expectations(&self) -> Vec<Expectation> {
        let set = |call: &crate::SetCall, means| Expectation {
            target: Target::Instance(call.instance.clone()),
            instance: Some(call.instance.clone()),
            run: self.run.clone(),
            volumes: call.volumes.iter().map(|volume| volume.id.clone()).collect(),
            means,
        };
        let orders = self.orders.iter().map(|order| set(&order.call, Means::Order));
        let sets = self.sets.iter().map(|direct| set(&direct.call, Means::Direct(direct.way.clone())));
        let volumes = self.volumes.iter().map(|direct| Expectation {
            target: Target::Volume(direct.volume.clone()),
            instance: direct.instance.clone(),
            run: self.run.clone(),
            volumes: BTreeSet::from([direct.volume.clone()]),
            means: Means::Direct(direct.way.clone()),
        });
        orders.chain(sets).chain(volumes).collect()
    }
}

impl Unsettled {
    /// What is to be settled of it: its report may still be had from SSM, nothing else.
    #[must_use]
    pub fn expectation(&self) -> Expectation {
        let instance = match &self.target {
            Target::Instance(instance) => Some(instance.clone()),
            Target::Volume(_) => None,
        };
        Expectation {
            target: self.target.clone(),
            instance,
            run: self.run.clone(),
            volumes: self.snapshots.iter().map(|(volume, _)| volume.clone()).collect(),
            means: Means::EarlierRun,
        }
    }
}
