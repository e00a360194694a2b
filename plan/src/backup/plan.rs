//! A plan: what one run of a policy will do, decided to the last id. It is data, to be carried out, to
//! be printed, to be tested; it leaves no choice to whoever carries it out. `planner` makes it.

use crate::backup::{CrashReason, SkipReason};
use crate::history::Target;
use crate::observed::LastStop;
use crate::policy::Slot;
use crate::tags::Tags;
use crate::warning::Warning;
use crate::{Consistency, InstanceId, RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What one run does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The policy's name.
    pub policy: String,
    /// The run.
    pub run: RunId,
    /// The slot that it is for.
    pub slot: Slot,
    /// What the policy asks for.
    pub consistency: Consistency,
    /// Whether the plan is only to be shown.
    pub dry_run: bool,
    /// Whether the orders end before the first freeze, and nothing else is carried out.
    pub rehearsal: bool,
    /// Instances that freeze, each by one signed order. By instance id.
    pub orders: Vec<Order>,
    /// Instances whose set is taken at once, by one `CreateSnapshots` each. By instance id.
    pub sets: Vec<DirectSet>,
    /// Volumes that are taken one by one, by one `CreateSnapshot` each. By volume id.
    pub volumes: Vec<DirectVolume>,
    /// Selected volumes that are left alone, each with its reason. By volume id.
    pub skipped: Vec<Skipped>,
    /// Sets of this slot that are still labelled `crash` though the policy asks for more: a run that
    /// was killed may have left them so. Their reports are to be looked up and settled first.
    pub unsettled: Vec<Unsettled>,
    /// What the operator should know.
    pub warnings: Vec<Warning>,
}

/// One volume of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedVolume {
    /// Its id.
    pub id: VolumeId,
    /// The name under which it is attached, `/dev/sdf`.
    pub device: String,
    /// Size, GiB.
    pub size_gib: u64,
    /// Whether it is the boot volume.
    pub boot: bool,
}

/// The arguments of one `CreateSnapshots`: all attached volumes less the excluded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SetCall {
    /// The instance.
    pub instance: InstanceId,
    /// The volumes that the set is to hold; never empty. By id.
    pub volumes: Vec<PlannedVolume>,
    /// Whether the boot volume is left out.
    pub exclude_boot: bool,
    /// Data volumes that are left out, at most 40. By id.
    pub exclude_volumes: Vec<VolumeId>,
    /// Tags of every snapshot of the set.
    pub tags: Tags,
    /// Whether the volumes' own tags are copied (`CopyTagsFromSource`).
    pub copy_volume_tags: bool,
    /// Description of every snapshot.
    pub description: String,
}

/// What a work order is made of. Its signature, expiry and signal function are the executor's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Order {
    /// The call that the signal function makes while the instance is frozen. Its tags are complete but
    /// for the layout, which only the frozen instance knows.
    pub call: SetCall,
    /// How many layout tags the set has room for.
    pub layout_tags: usize,
    /// Longest freeze, milliseconds.
    pub max_freeze_ms: u64,
    /// Whether hooks run.
    pub hooks: bool,
    /// Whether `/` is frozen too.
    pub freeze_root: bool,
    /// Whether the kernel's grace periods are expedited during the freeze.
    pub expedite_rcu: bool,
    /// Whether the helper ends before the first freeze.
    pub rehearse: bool,
    /// The crash-consistent call in its stead, when settling says [`crate::Outcome::Fallback`]; absent
    /// where the policy takes none. Its tags are complete.
    pub fallback: Option<SetCall>,
}

/// A set that is taken at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectSet {
    /// The call; its tags are complete.
    pub call: SetCall,
    /// Why without an order, and what may be claimed of it afterwards.
    pub way: Way,
}

/// A volume that is taken by itself, by `CreateSnapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DirectVolume {
    /// The volume.
    pub volume: VolumeId,
    /// Size, GiB.
    pub size_gib: u64,
    /// The instance that it is attached to.
    pub instance: Option<InstanceId>,
    /// The name under which it is attached; empty when it is not.
    pub device: String,
    /// Tags of the snapshot, complete: the volume's own are among them, since `CreateSnapshot` copies none.
    pub tags: Tags,
    /// Description of the snapshot.
    pub description: String,
    /// Why by itself, and what may be claimed of it afterwards.
    pub way: Way,
}

/// How a snapshot without a freeze comes about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The instance is stopped: `offline` if it is still so afterwards.
    Stopped(StoppedBefore),
    /// The volume is attached nowhere: `offline` if it is still so afterwards.
    Detached,
    /// While something may write: `crash`, and so it stays.
    Crash(CrashReason),
}

/// How a stopped instance was seen before the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StoppedBefore {
    /// When it was last started.
    pub launched_at: DateTime<Utc>,
    /// How its stop came about.
    pub last_stop: LastStop,
}

/// A selected volume that is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The volume.
    pub volume: VolumeId,
    /// The instance that it is attached to.
    pub instance: Option<InstanceId>,
    /// Why.
    pub reason: SkipReason,
}

/// A set of this slot whose labels are behind what the policy asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsettled {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its snapshots that are labelled `crash`, by volume.
    pub snapshots: Vec<(VolumeId, SnapshotId)>,
}

/// Limits of EC2 that a plan keeps to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most data volumes that `CreateSnapshots` excludes.
    pub excluded_volumes: usize,
    /// Most snapshots of a volume that are pending (or failed) at a time.
    pub pending_per_volume: usize,
    /// The same for `st1` and `sc1`.
    pub pending_per_throughput_volume: usize,
    /// Seconds between two snapshots of a volume.
    pub seconds_between_snapshots: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            excluded_volumes: 40,
            pending_per_volume: 5,
            pending_per_throughput_volume: 1,
            seconds_between_snapshots: 15,
        }
    }
}

/// A plan in numbers, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PlanBrief {
    /// Volumes that the policy selects.
    pub selected: usize,
    /// Volumes to be taken while frozen.
    pub by_order: usize,
    /// Volumes to be taken without.
    pub direct: usize,
    /// Volumes whose slot is done or in progress.
    pub done: usize,
    /// Volumes left alone for any other reason.
    pub skipped: usize,
    /// Instances that get an order.
    pub orders: usize,
    /// Sets to settle first.
    pub unsettled: usize,
    /// Warnings.
    pub warnings: usize,
}

impl Plan {
    /// Whether there is nothing to do: a firing within a slot that is done.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.orders.is_empty() && self.sets.is_empty() && self.volumes.is_empty() && self.unsettled.is_empty()
    }

    /// The plan in numbers.
    #[must_use]
    pub fn brief(&self) -> PlanBrief {
        let by_order = self.orders.iter().map(|order| order.call.volumes.len()).sum();
        let direct = self.sets.iter().map(|set| set.call.volumes.len()).sum::<usize>() + self.volumes.len();
        let done = self.skipped.iter().filter(|skipped| skipped.reason.is_done()).count();
        PlanBrief {
            selected: by_order + direct + self.skipped.len(),
            by_order,
            direct,
            done,
            skipped: self.skipped.len() - done,
            orders: self.orders.len(),
            unsettled: self.unsettled.len(),
            warnings: self.warnings.len(),
        }
    }
}
