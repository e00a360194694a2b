//! From volumes to the device that holds the file system: the volume's disk by its serial number, its
//! partition, or the logical volume or array that udev assembled from it. Waits until it is there.

use super::MountError;
use super::signature::Signature;
use crate::clock::Boottime;
use crate::volumes::attached;
use crate::volumes::mountinfo::Mount;
use crate::volumes::sysfs::Sysfs;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_wire::{FileSystemKind, MountSpec, VolumeId};

/// How often is looked whether a volume has appeared.
const PAUSE: Duration = Duration::from_millis(50);
/// More layers than this are a loop in what we read.
const MOST_LAYERS: usize = 8;

/// The devices of one file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    root: PathBuf,
    /// Their names in the kernel; several only for a btrfs over several. Never empty.
    pub(super) names: Vec<String>,
    /// What the first one carries.
    pub(super) signature: Signature,
}

/// Waits for the volumes and finds the device on them.
///
/// # Errors
/// They do not appear in time, or it cannot be told which device is meant.
pub(super) fn find(root: &Path, spec: &MountSpec, until: Boottime) -> Result<Device, MountError> {
    let began = Boottime::now();
    let limit = until.min(began.after(Duration::from_secs(spec.wait_s)));
    loop {
        let found = look(root, spec, until);
        let may_appear = matches!(
            found,
            Err(MountError::NotAttached { .. }
                | MountError::NotAssembled { .. }
                | MountError::NoPartition { .. }
                | MountError::Read { .. })
        );
        if !may_appear || Boottime::now() >= limit {
            return found;
        }
        std::thread::sleep(PAUSE);
    }
}

fn look(root: &Path, spec: &MountSpec, until: Boottime) -> Result<Device, MountError> {
    let sysfs = Sysfs::new(root);
    let attached = attached(root);
    let mut names: Vec<String> = Vec::new();
    for (n, volume) in spec.volumes.iter().enumerate() {
        let disk = attached.get(volume).cloned().or_else(|| xen(&sysfs, spec.devices.get(n)?));
        let disk = disk.ok_or_else(|| missing(volume, spec))?;
        let name = on_disk(root, &sysfs, spec, &disk, until)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let device = Device { root: root.to_owned(), names, signature: Signature::default() };
    for path in device.paths() {
        // sysfs shows a disk a moment before /dev has it.
        path.metadata().map_err(|source| MountError::Read { device: path.display().to_string(), source })?;
    }
    let signature = Signature::of(&device.path(), until)?;
    if let Some(kind) = signature.kind.as_deref().filter(|kind| is_part(kind)) {
        return Err(MountError::NotAssembled { device: device.shown(), signature: kind.to_owned() });
    }
    Ok(Device { signature, ..device })
}

/// Whether it is what something else is assembled from.
fn is_part(kind: &str) -> bool {
    kind.ends_with("_member") || kind == "crypto_LUKS"
}

fn missing(volume: &VolumeId, spec: &MountSpec) -> MountError {
    MountError::NotAttached { volume: volume.clone(), seconds: spec.wait_s }
}

/// A Xen instance calls `/dev/sdf` `xvdf`. Its disks give no serial number; one that does is another's.
fn xen(sysfs: &Sysfs, attached_as: &str) -> Option<String> {
    let letters = attached_as.strip_prefix("/dev/")?;
    let letters = letters.strip_prefix("xvd").or_else(|| letters.strip_prefix("sd"))?;
    let name = format!("xvd{letters}");
    let has_serial = sysfs.serials().iter().any(|(_, disk)| *disk == name);
    (sysfs.has(&name) && !has_serial).then_some(name)
}

/// The device on a disk that holds the file system that is meant.
fn on_disk(
    root: &Path,
    sysfs: &Sysfs,
    spec: &MountSpec,
    disk: &str,
    until: Boottime,
) -> Result<String, MountError> {
    let partitions = sysfs.partitions(disk);
    let start = match spec.partition {
        None => disk.to_owned(),
        Some(wanted) => match partitions.iter().find(|(number, _)| *number == wanted) {
            Some((_, name)) => name.clone(),
            None => {
                let found: Vec<&str> = partitions.iter().map(|(_, name)| name.as_str()).collect();
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                return Err(MountError::NoPartition { device: shown(disk), partition: wanted, found });
            }
        },
    };
    let mut ends = Vec::new();
    ends_of(sysfs, &start, 0, &mut ends);
    if let [only] = ends.as_slice() {
        return Ok(only.clone());
    }
    let holds_one = |name: &&String| {
        let found = Signature::of(&root.join("dev").join(name), until);
        found.is_ok_and(|found| found.kind.as_deref().and_then(FileSystemKind::named).is_some())
    };
    let with_one: Vec<String> = ends.iter().filter(holds_one).cloned().collect();
    match with_one.as_slice() {
        [only] => Ok(only.clone()),
        _ => Err(MountError::Several { device: shown(disk), found: ends.join(", ") }),
    }
}

/// The devices above one on which nothing else is built: itself, its partitions, what LVM, md or LUKS made
/// of it.
fn ends_of(sysfs: &Sysfs, name: &str, depth: usize, ends: &mut Vec<String>) {
    let mut above: Vec<String> = sysfs.partitions(name).into_iter().map(|(_, name)| name).collect();
    above.extend(sysfs.holders(name));
    if above.is_empty() || depth == MOST_LAYERS {
        if !ends.iter().any(|end| end == name) {
            ends.push(name.to_owned());
        }
        return;
    }
    for name in above {
        ends_of(sysfs, &name, depth + 1, ends);
    }
}

fn shown(name: &str) -> String {
    format!("/dev/{name}")
}

impl Device {
    /// The first one's file.
    pub(super) fn path(&self) -> PathBuf {
        self.paths().next().unwrap_or_default()
    }

    /// Every one's file.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.names.iter().map(|name| self.root.join("dev").join(name))
    }

    /// The first one's file, for people.
    pub(super) fn shown(&self) -> String {
        self.names.first().map(|name| shown(name)).unwrap_or_default()
    }

    /// The first one's size.
    pub(super) fn size(&self) -> u64 {
        self.names.first().and_then(|name| Sysfs::new(&self.root).size(name)).unwrap_or(0)
    }

    /// The size of all together.
    pub(super) fn whole_size(&self) -> u64 {
        let sysfs = Sysfs::new(&self.root);
        self.names.iter().filter_map(|name| sysfs.size(name)).sum()
    }

    /// Whether that mount is of this file system.
    pub(super) fn is_in(&self, mount: &Mount) -> bool {
        let sysfs = Sysfs::new(&self.root);
        if mount.fs_type != "btrfs" {
            return sysfs.name(mount.device).is_some_and(|name| self.names.contains(&name));
        }
        // The mount's number is not a device's, and its source may be any one member.
        let Some(source) = mount.source.file_name().and_then(|name| name.to_str()) else { return false };
        let mut of_it =
            sysfs.btrfs().into_iter().filter(|(_, names)| names.iter().any(|name| name == source));
        of_it.any(|(_, names)| names.iter().any(|name| self.names.contains(name)))
            || self.names.iter().any(|name| name == source)
    }

    /// By whom it is held, other than by a mount that can be seen; nothing when it is free.
    pub(super) fn held_by(&self) -> Result<Option<String>, MountError> {
        let sysfs = Sysfs::new(&self.root);
        for (name, path) in self.names.iter().zip(self.paths()) {
            let holders = sysfs.holders(name);
            if !holders.is_empty() {
                return Ok(Some(holders.join(", ")));
            }
            match rustix::fs::open(&path, OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC, Mode::empty()) {
                Ok(_) => {}
                Err(Errno::BUSY) => return Ok(Some("by the kernel or another process".to_owned())),
                Err(error) => return Err(MountError::Read { device: shown(name), source: error.into() }),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
#[path = "device_tests.rs"]
mod tests;
