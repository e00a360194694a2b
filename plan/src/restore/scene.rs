//! What was seen before a restore: everything that it may depend on. Order of the lists and repeated entries
//! make no difference.

use crate::observed::{Instance, Snapshot, Volume};
use crate::tags::Tags;
use crate::{InstanceId, SnapshotId, VolumeId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// On a volume: the instance that it was made for.
pub const RESTORED_FOR: &str = "stillframe:restored-for";
/// On a volume: the run of the set that it was made from; [`BLANK`] for a blank one.
pub const RESTORED_FROM: &str = "stillframe:restored-from";
/// On a volume: the volume that it is a copy of; none on a blank one.
pub const RESTORED_VOLUME: &str = "stillframe:restored-volume";
/// On a volume: where it is mounted, paths joined by colons; as many as fit.
pub const RESTORED_MOUNT: &str = "stillframe:restored-mount";
/// On a volume that has been attached, whatever the value. Whoever takes it away again may have written to
/// it: it is nothing that a restore left over.
pub const RESTORED_USED: &str = "stillframe:restored-used";
/// Stands for the run of a volume that was made blank.
pub const BLANK: &str = "blank";

/// Whether a key is one that a restore writes on volumes.
pub(super) fn is_of_a_restore(key: &str) -> bool {
    [RESTORED_FOR, RESTORED_FROM, RESTORED_VOLUME, RESTORED_MOUNT, RESTORED_USED].contains(&key)
}

/// Everything that a restore may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// The instance to restore onto.
    pub host: Host,
    /// Snapshots that carry our tags.
    pub snapshots: Vec<Snapshot>,
    /// Those of them that another account owns, and only shares.
    #[serde(default)]
    pub foreign: BTreeSet<SnapshotId>,
    /// Volumes that carry [`RESTORED_FOR`], for whichever instance.
    pub made: Vec<MadeVolume>,
    /// Instances named there that are terminated, or not known any more.
    #[serde(default)]
    pub gone: BTreeSet<InstanceId>,
}

/// The instance to restore onto.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The instance.
    pub instance: Instance,
    /// Its availability zone: volumes of another one cannot be attached.
    pub zone: String,
    /// What is attached to it, by device name; the volume, where it is one.
    pub attached: BTreeMap<String, VolumeId>,
    /// How many volumes its type takes, the boot volume among them; none where only the names are a limit.
    #[serde(default)]
    pub most_volumes: Option<usize>,
}

/// A volume that a restore made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeVolume {
    /// The volume.
    pub volume: Volume,
    /// Its availability zone.
    pub zone: String,
    /// What it was made from.
    pub snapshot: Option<SnapshotId>,
}

impl MadeVolume {
    fn tag(&self, key: &str) -> Option<&str> {
        self.volume.tags.get(key).map(String::as_str)
    }

    /// The instance that it was made for.
    #[must_use]
    pub fn made_for(&self) -> Option<&str> {
        self.tag(RESTORED_FOR)
    }

    pub(super) fn run(&self) -> Option<&str> {
        self.tag(RESTORED_FROM)
    }

    pub(super) fn mounts(&self) -> impl Iterator<Item = &str> {
        self.tag(RESTORED_MOUNT).unwrap_or_default().split(':').filter(|mount| !mount.is_empty())
    }

    /// Whether it is mounted nowhere: a database may use the device itself.
    pub(super) fn is_raw(&self) -> bool {
        self.mounts().next().is_none()
    }

    pub(super) fn source(&self) -> Option<&str> {
        self.tag(RESTORED_VOLUME)
    }

    /// Whether it has been attached at some time.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.volume.tags.contains_key(RESTORED_USED)
    }
}

impl Scene {
    /// Once each, in order of their ids. Of one that is given twice the version that permits less counts.
    pub(super) fn made(&self) -> Vec<&MadeVolume> {
        let mut made: Vec<&MadeVolume> = self.made.iter().collect();
        made.sort_by_key(|made| {
            let idle = made.volume.current_attachment().is_none();
            (&made.volume.id, idle, !made.was_used(), made.volume.state as u8)
        });
        made.dedup_by_key(|made| &made.volume.id);
        made
    }

    /// The values to go by: the spec's, and where it has none the instance's own.
    pub(super) fn filter(&self, spec: &super::Spec) -> Tags {
        let own = |key: &String| Some((key.clone(), self.host.instance.tags.get(key)?.clone()));
        let mut filter: Tags = spec.filter_tags.iter().filter_map(own).collect();
        filter.extend(spec.filter.clone());
        filter
    }
}
