//! Restore points: the snapshots of one instance's volumes from one run. A volume that was attached
//! nowhere is a point of its own. `grouping` finds them.

use crate::history::layouts::Layout;
use crate::layout::Record;
use crate::observed::{Snapshot, SnapshotState, Tier};
use crate::policy::Policy;
use crate::{Consistency, InstanceId, RunId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::ops::Range;
use std::sync::Arc;

/// What a restore point is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// The volumes of an instance.
    Instance(InstanceId),
    /// One volume that was attached nowhere.
    Volume(VolumeId),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instance(instance) => instance.fmt(f),
            Self::Volume(volume) => volume.fmt(f),
        }
    }
}

/// One snapshot of a restore point.
#[derive(Debug, Clone)]
pub struct Member<'a> {
    /// The volume that it is of: for a copy that of the snapshot it was copied from.
    pub volume: VolumeId,
    /// The snapshot.
    pub snapshot: &'a Snapshot,
    /// Its label.
    pub label: Consistency,
    /// How far it has got.
    pub state: SnapshotState,
    /// Where it is stored.
    pub tier: Tier,
    /// The volume's number among those of the grouping.
    pub(crate) number: u32,
}

/// One restore point.
#[derive(Debug, Clone)]
pub struct RestorePoint<'a> {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant: that of its newest snapshot, which for a set taken in one call is that of all.
    pub started_at: DateTime<Utc>,
    /// The members of all points of the grouping.
    all_members: Arc<Vec<Member<'a>>>,
    /// Which of them are its own.
    own: Range<usize>,
    /// What its members say of the set: as a rule all the same.
    layout: Option<Arc<Layout>>,
    /// Volumes snapshotted one by one name only themselves: then it is what all say together.
    other_layouts: Vec<Arc<Layout>>,
    complete: bool,
    /// The strongest label that a freeze gave one of its snapshots.
    frozen: Option<Consistency>,
}

impl<'a> RestorePoint<'a> {
    /// Its `own` members are in order of their volumes, then of their ids; there is at least one.
    pub(crate) fn new(
        run: RunId,
        target: Target,
        started_at: DateTime<Utc>,
        (all_members, own): (Arc<Vec<Member<'a>>>, Range<usize>),
        mut layouts: impl Iterator<Item = Arc<Layout>>,
    ) -> Self {
        let mut point = Self {
            run,
            target,
            started_at,
            all_members,
            own,
            layout: layouts.next(),
            other_layouts: layouts.collect(),
            complete: false,
            frozen: None,
        };
        let labels = point.members().iter().map(|member| member.label);
        point.frozen =
            labels.filter(|label| matches!(label, Consistency::Filesystem | Consistency::Application)).max();
        point.complete = point.find_complete();
        point
    }

    fn layouts(&self) -> impl Iterator<Item = &Layout> {
        self.layout.iter().chain(&self.other_layouts).map(AsRef::as_ref)
    }

    /// Its snapshots, in order of their volumes, then of their ids: one for each volume, unless something
    /// went wrong.
    #[must_use]
    pub fn members(&self) -> &[Member<'a>] {
        self.all_members.get(self.own.clone()).unwrap_or_default()
    }

    /// The same, the snapshots of each volume together.
    pub fn by_volume(&self) -> impl Iterator<Item = &[Member<'a>]> {
        self.members().chunk_by(|a, b| a.number == b.number)
    }

    /// Its snapshots.
    pub fn snapshots(&self) -> impl Iterator<Item = &'a Snapshot> {
        self.members().iter().map(|member| member.snapshot)
    }

    /// Whether every volume that its manifest names is there, completed, and nothing besides has
    /// failed. A manifest that cannot be read vouches for nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn find_complete(&self) -> bool {
        let whole = |member: &Member<'_>| member.state == SnapshotState::Completed;
        self.by_volume().all(|members| members.iter().any(whole))
            && self.layouts().all(|layout| {
                let named =
                    |record: &Record| self.members().iter().any(|member| member.volume == record.volume);
                layout.as_ref().is_some_and(|records| records.iter().all(named))
            })
    }

    /// Whether the snapshots of one volume, from [`Self::by_volume`], are good: complete, and at least as
    /// consistent as the policy asks, or [as consistent as it gets](Self::is_as_asked). An archived one
    /// does not count: it cannot be restored from at once.
    #[must_use]
    pub fn is_good(&self, policy: &Policy, members: &[Member<'_>]) -> bool {
        self.complete
            && members.iter().any(|member| {
                member.state == SnapshotState::Completed
                    && member.tier == Tier::Standard
                    && self.is_as_asked(policy, member)
            })
    }

    /// Whether a snapshot of it is what the policy asks for. One that stayed `crash` in a set whose
    /// freeze was proved is so if the manifest names its volume: then it was ordered, and there was
    /// nothing to freeze on it (the root file system, swap, no file system), which no later run will
    /// better. A volume attached after the plan is not named.
    #[must_use]
    pub fn is_as_asked(&self, policy: &Policy, member: &Member<'_>) -> bool {
        self.is_at_least(policy.consistency, member)
    }

    /// The same for a consistency that no policy asks for.
    #[must_use]
    pub fn is_at_least(&self, wanted: Consistency, member: &Member<'_>) -> bool {
        member.label >= wanted
            || (self.frozen.is_some_and(|label| label >= wanted)
                && self.layouts().all(Option::is_some)
                && self.records_of(&member.volume).next().is_some())
    }

    /// Volumes that its manifest names and of which it has no snapshot; none where it cannot be read.
    #[must_use]
    pub fn lacks(&self) -> Option<Vec<VolumeId>> {
        let mut lacking = Vec::new();
        for layout in self.layouts() {
            for record in layout.as_ref()? {
                let there = self.members().iter().any(|member| member.volume == record.volume);
                if !there && !lacking.contains(&record.volume) {
                    lacking.push(record.volume.clone());
                }
            }
        }
        lacking.sort();
        Some(lacking)
    }

    /// Where a file system of the volume was mounted, as far as the set knows: of several mount points
    /// the first in order.
    #[must_use]
    pub fn mount_point<'b>(&'b self, volume: &'b VolumeId) -> Option<&'b str> {
        let mounts = self.records_of(volume).map(|record| record.mount_point.as_str());
        mounts.filter(|mount| !mount.is_empty()).min()
    }

    /// What its members say of one volume.
    pub(crate) fn records_of<'b>(&'b self, volume: &'b VolumeId) -> impl Iterator<Item = &'b Record> {
        let records = self.layouts().filter_map(Option::as_ref).flatten();
        records.filter(move |record| &record.volume == volume)
    }
}
