//! Which file systems an order is about: pure, from an inventory and the order.

use super::filesystem::{FileSystem, Held};
use super::inventory::Inventory;
use super::mountinfo::{DeviceNumber, Mount};
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
    for (fs, level) in touched.iter().zip(levels(&touched)) {
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
            level,
        });
    }
    Ok(targets)
}

/// For each file system one more than the highest level among those whose images lie on it. File systems
/// that hold each other's images, which no machine has, do not make it run on.
fn levels(all: &[&FileSystem]) -> Vec<usize> {
    let mut levels = vec![0; all.len()];
    for _ in 0..all.len() {
        let before = levels.clone();
        for (outer, level) in all.iter().zip(&mut levels) {
            let inner =
                all.iter().zip(&before).filter(|(inner, _)| inner.backing.outer.contains(&outer.device));
            *level = inner.map(|(_, inner)| inner + 1).max().unwrap_or(0);
        }
        if levels == before {
            break;
        }
    }
    levels
}
