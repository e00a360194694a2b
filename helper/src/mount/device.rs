//! From volumes to the device that holds the file system: the volume's disk by its serial number, its
//! partition, or the logical volume or array that was assembled from it. Waits until it is there.

use super::MountError;
use super::sets::{self, Part, is_part};
use super::signature::Signature;
use crate::clock::Boottime;
use crate::programs;
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
/// How long udev may take for what it has begun.
const UDEV: Duration = Duration::from_secs(10);
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
    /// What was changed on the volumes to put them together, if anything, for people.
    pub(super) changed: Option<String>,
}

/// What the volumes hold.
enum Found {
    Device(Device),
    /// Parts of sets that nobody has put together.
    Parts(Vec<Part>),
}

/// Waits for the volumes and finds the device on them. A set that udev has not put together by itself is
/// assembled.
///
/// # Errors
/// They do not appear in time, a set cannot be assembled, or it cannot be told which device is meant.
pub(super) fn find(root: &Path, spec: &MountSpec, until: Boottime) -> Result<Device, MountError> {
    let began = Boottime::now();
    let limit = until.min(began.after(Duration::from_secs(spec.wait_s)));
    let mut assembled: Vec<Vec<Part>> = Vec::new();
    let mut changed = None;
    loop {
        let found = match look(root, spec, until) {
            Ok(Found::Device(device)) => return Ok(Device { changed, ..device }),
            Ok(Found::Parts(parts)) if !assembled.contains(&parts) => {
                settle(until);
                // What udev has put together meanwhile is left to it.
                if !matches!(look(root, spec, until), Ok(Found::Parts(after)) if after == parts) {
                    continue;
                }
                match sets::assemble(root, spec, &parts, until) {
                    Ok(done) => changed = done.or(changed),
                    // What needs a key may still be opened by somebody who has it.
                    Err(MountError::NotAssembled { .. }) => {}
                    Err(error) => return Err(error),
                }
                settle(until);
                assembled.push(parts);
                continue;
            }
            Ok(Found::Parts(parts)) => {
                let first = parts.first();
                Err(MountError::NotAssembled {
                    device: first.map(Part::shown).unwrap_or_default(),
                    signature: first.map(|part| part.signature.words()).unwrap_or_default(),
                })
            }
            Err(error) => Err(error),
        };
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

/// Lets udev end what it has begun. Where there is none, nothing is waited for.
fn settle(until: Boottime) {
    let mut settle = programs::program("udevadm");
    settle.args(["settle", &format!("--timeout={}", UDEV.as_secs())]);
    let _ = programs::run(&mut settle, until.min(Boottime::now().after(UDEV)));
}

fn look(root: &Path, spec: &MountSpec, until: Boottime) -> Result<Found, MountError> {
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
    let device = Device { root: root.to_owned(), names, signature: Signature::default(), changed: None };
    for path in device.paths() {
        // sysfs shows a disk a moment before /dev has it.
        path.metadata().map_err(|source| MountError::Read { device: path.display().to_string(), source })?;
    }
    let mut parts = Vec::new();
    for name in &device.names {
        let signature = Signature::of(&root.join("dev").join(name), until)?;
        if signature.kind.as_deref().is_some_and(is_part) {
            parts.push(Part { name: name.clone(), signature });
        }
    }
    if !parts.is_empty() {
        return Ok(Found::Parts(parts));
    }
    let signature = Signature::of(&device.path(), until)?;
    Ok(Found::Device(Device { signature, ..device }))
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
    let kind = |name: &String| {
        let found = Signature::of(&root.join("dev").join(name), until).ok()?;
        found.kind.as_deref().and_then(FileSystemKind::named)
    };
    let with_one: Vec<(String, FileSystemKind)> =
        ends.iter().filter_map(|name| Some((name.clone(), kind(name)?))).collect();
    let of_kind: Vec<&String> =
        with_one.iter().filter(|(_, kind)| Some(*kind) == spec.file_system).map(|(name, _)| name).collect();
    match (with_one.as_slice(), of_kind.as_slice()) {
        // One among others that is of the type that the order names cannot be mistaken either.
        ([(only, _)], _) => Ok(only.clone()),
        (_, [only]) => Ok((*only).clone()),
        _ => Err(MountError::Several { device: shown(disk), found: ends.join(", ") }),
    }
}

/// The devices above one on which nothing else is built: itself, its partitions, what LVM, md or LUKS made
/// of it.
fn ends_of(sysfs: &Sysfs, name: &str, depth: usize, ends: &mut Vec<String>) {
    let mut above: Vec<String> = sysfs.partitions(name).into_iter().map(|(_, name)| name).collect();
    // An array that udev has begun is none yet.
    above.extend(sysfs.holders(name).into_iter().filter(|holder| !super::md::is_unstarted(sysfs, holder)));
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
