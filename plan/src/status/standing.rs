//! What is told of how a policy's backups stand. Data only; `status` finds it out.

use crate::observed::{Consistency, SnapshotState, Word};
use crate::policy::Slot;
use crate::warning::Warning;
use crate::{InstanceId, RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::cmp::Reverse;

/// How the backups of a policy stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// The policy's name.
    pub policy: String,
    /// The slot of now.
    pub slot: Slot,
    /// The time of the look.
    pub now: DateTime<Utc>,
    /// Everything in numbers, that which is left out too.
    pub totals: StatusTotals,
    /// Whether the policy selects no volume at all.
    pub selects_nothing: bool,
    /// Its lineages, by name.
    pub lineages: Vec<LineageStatus>,
    /// Selected volumes that have no snapshot, by id.
    pub never_backed_up: Vec<NeverBackedUp>,
    /// Running instances with selected volumes whose agent takes no order now, by id.
    pub agents: Vec<SilentAgent>,
    /// Tags for us that cannot be read.
    pub warnings: Vec<Warning>,
    /// Whether any of the lists was cut short.
    pub truncated: bool,
    /// Every snapshot of the policy, by volume, of each the newest first.
    pub snapshots: Vec<SnapshotLine>,
}

impl PolicyStatus {
    /// Age of the oldest of the newest good restore points of all living lineages that are backed up,
    /// seconds; none when no such lineage has a good one.
    #[must_use]
    pub fn restore_point_age_s(&self) -> Option<i64> {
        let backed_up =
            |lineage: &&LineageStatus| !matches!(lineage.standing, Standing::Ended | Standing::NotBackedUp);
        let ages = self.lineages.iter().filter(backed_up).filter_map(|lineage| lineage.newest_good.as_ref());
        ages.map(|good| good.age_s).max()
    }

    /// How many volumes should have a newer good restore point, or one at all.
    #[must_use]
    pub fn volumes_overdue(&self) -> usize {
        self.totals.overdue + self.totals.never_backed_up
    }
}

/// One lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineageStatus {
    /// What it is.
    pub lineage: String,
    /// Its volumes, the oldest first.
    pub volumes: Vec<VolumeId>,
    /// The last of them, if it lives.
    pub live: Option<VolumeId>,
    /// How it stands.
    pub standing: Standing,
    /// Its newest good restore point.
    pub newest_good: Option<NewestGood>,
    /// The newest one that was brought back to try it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rehearsed: Option<Rehearsal>,
}

/// How a lineage stands; what somebody should look at comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It has had restore points for longer than two slots, and none of them is good.
    NeverGood,
    /// Its newest good one is older than two slots.
    Overdue,
    /// It has none that is good, and is young.
    NoneYet,
    /// Its volume lives, but the policy does not select it any more, or it is tagged to be skipped.
    NotBackedUp,
    /// As it should be.
    Fine,
    /// Its volume is gone.
    Ended,
}

impl Standing {
    /// Whether it should have a good restore point that it does not have.
    #[must_use]
    pub fn is_overdue(self) -> bool {
        matches!(self, Self::NeverGood | Self::Overdue)
    }
}

/// The newest good restore point of a lineage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewestGood {
    /// The run that made it.
    pub run: RunId,
    /// Its instant.
    pub instant: DateTime<Utc>,
    /// Its age, seconds.
    pub age_s: i64,
    /// Its label.
    pub label: Consistency,
    /// Size of the volume, GiB.
    pub size_gib: u64,
    /// The lineage's snapshots in it: as a rule one.
    pub snapshots: Vec<SnapshotId>,
}

/// That a restore point was brought back to try it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rehearsal {
    /// The run that made the restore point.
    pub run: RunId,
    /// When it was tried, as the tag says it.
    pub at: String,
    /// How long ago, seconds; absent when the tag is no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_s: Option<i64>,
}

/// A selected volume that has no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NeverBackedUp {
    /// The volume.
    pub volume: VolumeId,
    /// The instance that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// How long ago that is, seconds.
    pub age_s: i64,
    /// Whether that is more than two slots.
    pub overdue: bool,
}

/// An instance whose agent takes no order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SilentAgent {
    /// The instance.
    pub instance: InstanceId,
    /// What SSM says.
    pub agent: AgentState,
    /// Its selected volumes.
    pub volumes: Vec<VolumeId>,
}

/// What SSM says of an agent that takes no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AgentState {
    /// It does not answer.
    Offline,
    /// It has never registered.
    Unknown,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotLine {
    /// The volume.
    pub volume: VolumeId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// How far it has got.
    pub status: SnapshotState,
    /// When EC2 began it.
    pub date: DateTime<Utc>,
    /// Its label.
    pub label: Consistency,
    /// Its description.
    pub description: Word,
}

/// A status in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct StatusTotals {
    /// Volumes that the policy selects.
    pub selected: usize,
    /// Those of them that are tagged to be skipped.
    pub skipped: usize,
    /// Lineages.
    pub lineages: usize,
    /// Those that should have a good restore point and have none.
    pub overdue: usize,
    /// Volumes that have no snapshot.
    pub never_backed_up: usize,
    /// Instances whose agent takes no order.
    pub agents: usize,
    /// Snapshots.
    pub snapshots: usize,
}

impl PolicyStatus {
    /// Cuts the lists short until all of it takes no more than so many bytes as JSON, and says so. What
    /// somebody should look at stays; of the snapshots the newest.
    #[must_use]
    pub fn fitting(mut self, bytes: usize) -> Self {
        let tenth = bytes / 10;
        let cut = [
            crate::room::fit(&mut self.lineages, 4 * tenth, |one| {
                (one.standing, one.newest_good.as_ref().map(|good| good.instant))
            }),
            crate::room::fit(&mut self.never_backed_up, tenth, |one| Reverse(one.age_s)),
            crate::room::fit(&mut self.agents, tenth, |_| ()),
            crate::room::fit(&mut self.warnings, tenth, |_| ()),
            crate::room::fit(&mut self.snapshots, 3 * tenth, |one| Reverse(one.date)),
        ];
        self.truncated |= cut.contains(&true);
        self
    }
}
