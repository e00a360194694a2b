//! Which file systems an order is about: pure, from an inventory and the order.

use super::essentials::Held;
use super::inventory::{FileSystem, Inventory};
use super::mountinfo::{DeviceNumber, Mount};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use stillframe_wire::VolumeId;

/// A mounted file system on ordered volumes, and on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The super block.
    pub device: DeviceNumber,
    /// Its type.
    pub fs_type: String,
    /// Its UUID, where one could be read.
    pub uuid: Option<String>,
    /// Where it is mounted, best first. Never empty.
    pub mounts: Vec<Mount>,
    /// The volumes that it lies on.
    pub volumes: Vec<VolumeId>,
    /// What stands between it and the volumes.
    pub layout: String,
    /// What the machine, or the freeze itself, needs of it.
    pub holds: Vec<Held>,
    /// When it is frozen: every file system whose image lies on this one has a lower level, is frozen
    /// before it and thawed after it. 0 for one that holds no other target's image.
    pub level: usize,
}

impl Target {
    /// Where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> &Path {
        self.mounts.first().map_or(Path::new(""), |mount| &mount.mount_point)
    }
}

/// An order that cannot be carried out here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The volume is not here.
    #[error("volume {volume} of the order is not attached to this instance")]
    NotAttached {
        /// Which.
        volume: VolumeId,
    },
    /// A freeze of this file system would not be whole.
    #[error(
        "the file system at {mount_point} spans {ordered} and {other}, and the order names only {ordered}"
    )]
    Spans {
        /// Where it is mounted.
        mount_point: PathBuf,
        /// A volume of the order.
        ordered: VolumeId,
        /// The volume or disk that is not in the order.
        other: String,
    },
    /// A btrfs whose mount cannot be found.
    #[error(
        "volume {volume} holds a btrfs whose mount cannot be told from others; mount it by its device name"
    )]
    Unmatched {
        /// Which.
        volume: VolumeId,
    },
}

/// The file systems on the ordered volumes. None is no error: volumes may hold none.
///
/// # Errors
/// A volume is missing, or a file system lies on something that the order does not name.
pub fn resolve(inventory: &Inventory, ordered: &[VolumeId]) -> Result<Vec<Target>, ResolveError> {
    if let Some(volume) = ordered.iter().find(|id| !inventory.volumes.contains_key(id)) {
        return Err(ResolveError::NotAttached { volume: volume.clone() });
    }
    for backing in &inventory.unmatched {
        if let Some(volume) = ordered.iter().find(|id| backing.volumes.contains(id)) {
            return Err(ResolveError::Unmatched { volume: volume.clone() });
        }
    }
    let touched: Vec<&FileSystem> = inventory
        .filesystems
        .iter()
        .filter(|fs| ordered.iter().any(|id| fs.backing.volumes.contains(id)))
        .collect();
    let mut targets = Vec::new();
    for fs in &touched {
        let mount_point = || fs.mounts.first().map_or_else(PathBuf::new, |mount| mount.mount_point.clone());
        let outside = fs.backing.volumes.iter().find(|id| !ordered.contains(id)).map(ToString::to_string);
        let other = outside.or_else(|| fs.backing.other_disks.first().map(|disk| format!("disk {disk}")));
        if let Some(other) = other
            && let Some(ordered) = ordered.iter().find(|id| fs.backing.volumes.contains(id))
        {
            return Err(ResolveError::Spans { mount_point: mount_point(), ordered: ordered.clone(), other });
        }
        targets.push(Target {
            device: fs.device,
            fs_type: fs.fs_type.clone(),
            uuid: fs.uuid.clone(),
            mounts: fs.mounts.clone(),
            volumes: fs.backing.volumes.iter().cloned().collect(),
            layout: fs.backing.layout(),
            holds: fs.holds.clone(),
            level: level(fs, &touched, &mut BTreeSet::new()),
        });
    }
    Ok(targets)
}

/// One more than the highest level among the file systems whose images lie on `fs`.
fn level(fs: &FileSystem, all: &[&FileSystem], seen: &mut BTreeSet<DeviceNumber>) -> usize {
    if !seen.insert(fs.device) {
        return 0;
    }
    let inner = all.iter().filter(|other| other.backing.outer.contains(&fs.device));
    let level = inner.map(|inner| 1 + level(inner, all, seen)).max().unwrap_or(0);
    seen.remove(&fs.device);
    level
}
