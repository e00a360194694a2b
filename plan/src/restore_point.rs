//! Restore points: the snapshots of one instance's volumes from one run, found again among all
//! snapshots by their tags. A volume that was attached nowhere is a point of its own.
//!
//! Snapshots that do not carry a policy's tags are nobody's restore point here, so nothing that works
//! on restore points can ever touch them.

use crate::layout::{self, LayoutError};
use crate::observed::{Snapshot, SnapshotState, Tier};
use crate::policy::Policy;
use crate::{Consistency, InstanceId, RunId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

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

/// One restore point.
#[derive(Debug, Clone)]
pub struct RestorePoint<'a> {
    /// The run that made it.
    pub run: RunId,
    /// The slot that it was made for, as tagged.
    pub slot: Option<&'a str>,
    /// What it is of.
    pub target: Target,
    /// Its snapshots by volume: one each, unless something went wrong. In order of their ids.
    pub members: BTreeMap<VolumeId, Vec<&'a Snapshot>>,
    manifest: Result<BTreeSet<VolumeId>, LayoutError>,
}

/// The restore points of a policy, oldest first. The order of the snapshots makes no difference, nor
/// does one that is given twice.
#[must_use]
pub fn restore_points<'a>(policy: &str, snapshots: &'a [Snapshot]) -> Vec<RestorePoint<'a>> {
    let mut sets: BTreeMap<(&str, Target), BTreeMap<&str, &Snapshot>> = BTreeMap::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.policy() == Some(policy)) {
        let Some(run) = snapshot.run() else { continue };
        let target = match snapshot.instance() {
            Some(instance) => Target::Instance(instance.into()),
            None => Target::Volume(snapshot.volume.clone()),
        };
        sets.entry((run, target)).or_default().insert(snapshot.id.as_str(), snapshot);
    }
    let mut points: Vec<_> = sets
        .into_iter()
        .map(|((run, target), set)| RestorePoint::of(run.into(), target, set.into_values()))
        .collect();
    points.sort_by(|a, b| (a.started_at(), &a.run, &a.target).cmp(&(b.started_at(), &b.run, &b.target)));
    points
}

impl<'a> RestorePoint<'a> {
    fn of(run: RunId, target: Target, set: impl Iterator<Item = &'a Snapshot>) -> Self {
        let mut members: BTreeMap<VolumeId, Vec<&Snapshot>> = BTreeMap::new();
        let mut manifest = Ok(BTreeSet::new());
        let mut slot = None;
        for snapshot in set {
            slot = slot.or(snapshot.slot());
            members.entry(snapshot.volume.clone()).or_default().push(snapshot);
            // Volumes snapshotted one by one name only themselves: the manifest is what all say together.
            match (layout::decode(&snapshot.tags), &mut manifest) {
                (Ok(records), Ok(named)) => named.extend(records.into_iter().map(|record| record.volume)),
                (Err(error), Ok(_)) => manifest = Err(error),
                (_, Err(_)) => {}
            }
        }
        Self { run, slot, target, members, manifest }
    }

    /// Every snapshot of it.
    pub fn snapshots(&self) -> impl Iterator<Item = &'a Snapshot> {
        self.members.values().flatten().copied()
    }

    /// Its instant: that of its newest snapshot, which for a set taken in one call is that of all.
    #[must_use]
    pub fn started_at(&self) -> DateTime<Utc> {
        self.snapshots().map(|snapshot| snapshot.started_at).max().unwrap_or_default()
    }

    /// Whether every volume that its manifest names is there, completed, and nothing besides has
    /// failed. A manifest that cannot be read vouches for nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let whole = |snapshots: &Vec<&Snapshot>| {
            snapshots.iter().any(|snapshot| snapshot.state == SnapshotState::Completed)
        };
        self.manifest
            .as_ref()
            .is_ok_and(|named| named.iter().all(|volume| self.members.get(volume).is_some_and(whole)))
            && self.members.values().all(whole)
    }

    /// Whether a volume has a good snapshot in it: complete, and at least as consistent as the policy
    /// asks, or [as consistent as it gets](Self::is_as_asked). An archived one does not count: it
    /// cannot be restored from at once.
    #[must_use]
    pub fn is_good(&self, policy: &Policy, volume: &VolumeId) -> bool {
        self.is_complete()
            && self.members.get(volume).is_some_and(|snapshots| {
                snapshots.iter().any(|snapshot| {
                    snapshot.state == SnapshotState::Completed
                        && snapshot.tier == Tier::Standard
                        && self.is_as_asked(policy, snapshot)
                })
            })
    }

    /// Whether a snapshot of it is what the policy asks for. One that stayed `crash` in a set whose
    /// freeze was proved is so if the manifest names its volume: then it was ordered, and there was
    /// nothing to freeze on it (the root file system, swap, no file system), which no later run will
    /// better. A volume attached after the plan is not named.
    #[must_use]
    pub fn is_as_asked(&self, policy: &Policy, snapshot: &Snapshot) -> bool {
        policy.is_satisfied_by(snapshot.label())
            || (self.manifest.as_ref().is_ok_and(|named| named.contains(&snapshot.volume))
                && self.snapshots().any(|other| {
                    matches!(other.label(), Consistency::Filesystem | Consistency::Application)
                        && policy.is_satisfied_by(other.label())
                }))
    }
}
