//! A restore, decided to the last value. It is data, to be carried out, to be printed, to be tested; it
//! leaves no choice to whoever carries it out. `planner` makes it.

use crate::history::Target;
use crate::restore::PassedOver;
use crate::restore::spec::VolumeType;
use crate::tags::Tags;
use crate::{InstanceId, RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// What one restore does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestorePlan {
    /// The instance.
    pub instance: InstanceId,
    /// Its availability zone.
    pub zone: String,
    /// The sets that volumes come from, newest first: one at most, unless the spec says `mixed`.
    pub sets: Vec<ChosenSet>,
    /// Sets of the lineage that were not taken and are newer than the oldest that was; all of them where none
    /// was. Newest first.
    pub passed_over: Vec<PassedOver>,
    /// In order of where they are mounted.
    pub volumes: Vec<RestoredVolume>,
    /// In the order in which they can be mounted: the outer ones first.
    pub mounts: Vec<PlannedMount>,
    /// What earlier tries left over.
    pub leftovers: Vec<Leftover>,
    /// What the operator should know.
    pub notes: Vec<RestoreNote>,
}

/// A set that volumes come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChosenSet {
    /// Its instant.
    pub started_at: DateTime<Utc>,
    /// Its run.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoredVolume {
    /// Where it is mounted; nowhere, where the set does not tell.
    pub mount_points: Vec<String>,
    /// What it is a copy of; none for a blank one, and for one that is there and tells no more.
    pub source: Option<VolumeId>,
    /// What is done for it.
    pub way: RestoreWay,
    /// The name under which it is attached.
    pub device: String,
    /// Whether it is to go with its instance; none: it is left as it is.
    pub delete_on_termination: Option<bool>,
}

/// What is done for a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreWay {
    /// It is made, attached, and marked as used.
    Create(VolumeCall),
    /// An earlier try made it: it is attached, and marked as used.
    Attach {
        /// The volume.
        volume: VolumeId,
    },
    /// An earlier try attached it: it is marked as used.
    Mark {
        /// The volume.
        volume: VolumeId,
    },
    /// It is there.
    Keep {
        /// The volume.
        volume: VolumeId,
    },
}

impl RestoreWay {
    /// The volume, if there is one.
    #[must_use]
    pub fn volume(&self) -> Option<&VolumeId> {
        match self {
            Self::Create(_) => None,
            Self::Attach { volume } | Self::Mark { volume } | Self::Keep { volume } => Some(volume),
        }
    }
}

/// The arguments of one `CreateVolume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeCall {
    /// The client token: the same whenever the same volume of the same set is made for the same instance.
    pub token: String,
    /// The availability zone.
    pub zone: String,
    /// What it is made from; none for a blank one.
    pub snapshot: Option<SnapshotId>,
    /// Size, GiB: never below the snapshot's.
    pub size_gib: u64,
    /// Type.
    pub kind: VolumeType,
    /// IOPS, if the spec says.
    pub iops: Option<u32>,
    /// Throughput, MiB/s, if the spec says.
    pub throughput: Option<u32>,
    /// Key to encrypt with; none: as the snapshot is, and as the account has it.
    pub kms_key: Option<String>,
    /// `VolumeInitializationRate`, MiB/s.
    pub initialization_rate: Option<u32>,
    /// Tags.
    pub tags: Tags,
}

/// One file system to mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedMount {
    /// Where.
    pub mount_point: String,
    /// Its type; empty where only its signature tells.
    pub file_system: String,
    /// As `mount -o` takes them; empty for the usual.
    pub options: String,
    /// The volumes that it lies on, by their place in [`RestorePlan::volumes`].
    pub volumes: Vec<usize>,
    /// Whether they were made blank, by this restore or by an earlier try of it, and the spec still allows
    /// that: only then a file system may be made, and only where nothing is.
    pub blank: bool,
}

/// A volume that is deleted: an earlier try made it, and it was never in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// The volume.
    pub volume: VolumeId,
    /// Whether it has to be detached first, never by force.
    pub attached: bool,
}

/// What the operator should know, though the restore goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreNote {
    /// The snapshot, or the type, needs more than the spec asks for.
    SizeRaised {
        /// Where.
        mount_point: String,
        /// What was asked, GiB.
        asked: u64,
        /// What it becomes, GiB.
        to: u64,
    },
    /// `gp3` has 3,000 IOPS at no cost and takes no fewer.
    IopsRaised {
        /// Where.
        mount_point: String,
        /// What was asked.
        asked: u32,
    },
    /// The set has another file system than the spec asks for: it is mounted as what it is.
    FileSystemDiffers {
        /// Where.
        mount_point: String,
        /// What was asked.
        asked: String,
        /// What the set holds.
        found: String,
    },
    /// Blank volumes are made though there are sets, none of which can be used.
    BlankDespiteSets {
        /// How many there are.
        sets: usize,
    },
    /// An earlier restore's volume is attached nowhere, but was: what is on it nobody knows. It is left alone.
    LeftAlone {
        /// The volume.
        volume: VolumeId,
    },
    /// Nothing tells where a volume of the set was mounted: it is attached only.
    NoMount {
        /// The volume that it is a copy of.
        source: VolumeId,
    },
}

/// One thing to be done. Those of one kind, next to each other, may be done at the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreStep {
    /// `DetachVolume`, and wait until it is done.
    Detach(VolumeId),
    /// `CreateVolume`, and wait until it is available; by place in [`RestorePlan::volumes`].
    Create(usize),
    /// `AttachVolume`, and wait until it is attached.
    Attach(usize),
    /// `ModifyInstanceAttribute`: whether it goes with its instance.
    DeleteOnTermination(usize),
    /// `CreateTags`: it is in use from now on. Never before all are attached, never after anything is mounted.
    Mark(usize),
    /// `DeleteVolume` of what is left over.
    Delete(VolumeId),
    /// `SendCommand` with [`RestorePlan::mounts`].
    Mount,
}

impl RestorePlan {
    /// What is to be done, in this order.
    #[must_use]
    pub fn steps(&self) -> Vec<RestoreStep> {
        let each = |wanted: fn(&RestoredVolume) -> bool, step: fn(usize) -> RestoreStep| {
            let places = self.volumes.iter().enumerate().filter(move |(_, volume)| wanted(volume));
            places.map(move |(at, _)| step(at))
        };
        let attached = self.leftovers.iter().filter(|leftover| leftover.attached);
        let mut steps: Vec<RestoreStep> =
            attached.map(|leftover| RestoreStep::Detach(leftover.volume.clone())).collect();
        steps.extend(each(|v| matches!(v.way, RestoreWay::Create(_)), RestoreStep::Create));
        steps.extend(each(
            |v| matches!(v.way, RestoreWay::Create(_) | RestoreWay::Attach { .. }),
            RestoreStep::Attach,
        ));
        steps.extend(each(
            |v| v.delete_on_termination.is_some() && !matches!(v.way, RestoreWay::Keep { .. }),
            RestoreStep::DeleteOnTermination,
        ));
        steps.extend(each(|v| !matches!(v.way, RestoreWay::Keep { .. }), RestoreStep::Mark));
        steps.extend(self.leftovers.iter().map(|leftover| RestoreStep::Delete(leftover.volume.clone())));
        if !self.mounts.is_empty() {
            steps.push(RestoreStep::Mount);
        }
        steps
    }
}
