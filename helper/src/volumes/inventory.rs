//! What is attached and mounted here, all of it, before any order is looked at: each volume's disk,
//! and each file system on a block device with the disks under it.

use super::essentials;
use super::filesystem::{Backing, FileSystem};
use super::mountinfo::{self, DeviceNumber, Mount};
use super::occupants::{self, Occupant};
use super::sysfs::Sysfs;
use super::walk::Walk;
use super::{by_id, namespaces};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use stillframe_wire::VolumeId;

/// The machine could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// No mountinfo.
    #[error("failed to read {path}")]
    Mountinfo {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is attached and mounted.
#[derive(Debug, Clone)]
pub struct Inventory {
    /// Attached volumes and their disks' names.
    pub volumes: BTreeMap<VolumeId, String>,
    /// Mounted file systems that lie on block devices, in the order in which they were mounted.
    pub filesystems: Vec<FileSystem>,
    /// Devices of btrfs file systems that no mount could be matched with.
    pub unmatched: Vec<Backing>,
    /// What else lies on volumes: all that no freeze of a mounted file system covers.
    pub occupants: Vec<Occupant>,
}

impl Inventory {
    /// Reads the machine whose root directory is `root`.
    ///
    /// # Errors
    /// mountinfo cannot be read.
    pub fn read(root: &Path) -> Result<Self, InventoryError> {
        let sysfs = Sysfs::new(root);
        let volumes = by_id::attached(root);
        let disks = volumes.iter().map(|(volume, disk)| (disk.clone(), volume.clone())).collect();
        let mounts = read_mounts(root)?;
        let walk = Walk { root, sysfs: &sysfs, disks, mounts: &mounts };
        let mut btrfs = sysfs.btrfs();
        let mut filesystems = Vec::new();
        let mut unmatched_mounts = Vec::new();
        let mut mounted = BTreeSet::new();
        for (device, mounts) in by_super_block(&mounts) {
            let Some(first) = mounts.first() else { continue };
            let (fs_type, source) = (first.fs_type.clone(), first.source.clone());
            let (uuid, mut names) = if fs_type == "btrfs" {
                let member = walk.device_name(&source);
                let at =
                    btrfs.iter().position(|(_, names)| member.as_ref().is_some_and(|m| names.contains(m)));
                let Some(at) = at else {
                    unmatched_mounts.push((device, mounts));
                    continue;
                };
                let (fsid, names) = btrfs.swap_remove(at);
                (Some(fsid), names)
            } else if let Some(name) = sysfs.name(device) {
                (walk.udev(device, "ID_FS_UUID"), vec![name])
            } else {
                continue;
            };
            names.extend(mounts.iter().flat_map(|mount| &mount.beside).filter_map(|at| walk.device_name(at)));
            let backing = walk.backing(&names);
            mounted.extend(names);
            filesystems.push(FileSystem { device, fs_type, uuid, mounts, backing, holds: Vec::new() });
        }
        // The source of a root file system can be `/dev/root`: the last one left is it.
        if let ([_], [_]) = (unmatched_mounts.as_slice(), btrfs.as_slice())
            && let (Some((device, mounts)), Some((fsid, names))) = (unmatched_mounts.pop(), btrfs.pop())
        {
            let backing = walk.backing(&names);
            mounted.extend(names);
            filesystems.push(FileSystem {
                device,
                fs_type: "btrfs".into(),
                uuid: Some(fsid),
                mounts,
                backing,
                holds: Vec::new(),
            });
        }
        essentials::find(root, &mounts, &mut filesystems);
        let unmatched = if unmatched_mounts.is_empty() {
            Vec::new()
        } else {
            btrfs.iter().map(|(_, names)| walk.backing(names)).collect()
        };
        let occupants = occupants::find(&walk, &mounted);
        Ok(Self { volumes, filesystems, unmatched, occupants })
    }
}

/// Every mount of the machine: first this process's own, then those of other mount namespaces.
///
/// # Errors
/// mountinfo cannot be read.
pub fn read_mounts(root: &Path) -> Result<Vec<Mount>, InventoryError> {
    let path = root.join("proc/self/mountinfo");
    let text = fs::read(&path).map_err(|source| InventoryError::Mountinfo { path, source })?;
    let mut mounts = mountinfo::parse(&text);
    mounts.extend(namespaces::other_mounts(root));
    Ok(mounts)
}

/// Mounts by super block, in the order of each one's first; our own before others', whole before parts.
fn by_super_block(mounts: &[Mount]) -> Vec<(DeviceNumber, Vec<Mount>)> {
    let mut found: Vec<(DeviceNumber, Vec<Mount>)> = Vec::new();
    for mount in mounts {
        if mount.device.major == 0 && mount.fs_type != "btrfs" {
            continue;
        }
        match found.iter_mut().find(|(device, _)| *device == mount.device) {
            Some((_, same)) => same.push(mount.clone()),
            None => found.push((mount.device, vec![mount.clone()])),
        }
    }
    for (_, same) in &mut found {
        same.sort_by_key(|mount| (mount.through.is_some(), mount.root != Path::new("/")));
    }
    found
}
