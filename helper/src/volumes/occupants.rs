//! What lies on the volumes beside mounted file systems: swap, devices that a process writes to by itself,
//! file systems that nobody mounted. Reads below the root directory that it is given, and knows what was
//! there at that time, before the flush.
//!
//! Not seen: a user inside the kernel that leaves no trace in sysfs, udev's database or a process, such
//! as an iSCSI target that exports a device with a file system's signature.

use super::sysfs::Below;
use super::walk::Walk;
use super::writers;
use std::collections::{BTreeMap, BTreeSet};
use stillframe_wire::VolumeId;

/// Signatures of what cannot be in use without being seen: file systems that are mounted by their device's
/// number, and parts of what has a device of its own when it is in use.
const AT_REST: [&str; 20] = [
    "ext2",
    "ext3",
    "ext4",
    "xfs",
    "btrfs",
    "f2fs",
    "vfat",
    "exfat",
    "ntfs",
    "udf",
    "minix",
    "squashfs",
    "erofs",
    "iso9660",
    "swap",
    "LVM2_member",
    "LVM1_member",
    "linux_raid_member",
    "crypto_LUKS",
    "BitLocker",
];

/// Something on volumes that no freeze covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The volumes that it lies on.
    pub volumes: BTreeSet<VolumeId>,
    /// Its name, for people: `nvme2n1p2`, `lvm vg0/redo`, `/srv/swap`.
    pub name: String,
    /// What it is.
    pub what: Occupies,
}

/// What an occupant is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occupies {
    /// Swap space in use.
    Swap,
    /// A swap file in use.
    SwapFile,
    /// A device that a process has open for writing.
    OpenForWriting {
        /// Which process: `postgres (4711)`.
        by: String,
    },
    /// A file system that is alive and has no mount that could be found.
    Unreachable {
        /// Its type.
        fs_type: String,
    },
    /// Something whose use cannot be seen.
    Unknown {
        /// As udev calls it.
        signature: String,
    },
    /// Something that is not in use.
    Unused {
        /// As udev calls it; nothing when it has no signature.
        signature: Option<String>,
    },
}

/// Everything beside the devices of `mounted` file systems.
pub(super) fn find(walk: &Walk<'_>, mounted: &BTreeSet<String>) -> Vec<Occupant> {
    let devices: BTreeMap<String, BTreeSet<VolumeId>> = walk
        .sysfs
        .names()
        .into_iter()
        .filter_map(|name| {
            let backing = walk.backing(std::slice::from_ref(&name));
            // What is written to a loop device is written to its file, on a file system.
            (backing.outer.is_empty() && !backing.volumes.is_empty()).then_some((name, backing.volumes))
        })
        .collect();
    let mut occupants = Vec::new();
    let mut told: BTreeSet<String> = mounted.clone();
    for (name, by) in open_for_writing(walk, &devices) {
        occupants.extend(occupant(walk, &devices, &name, Occupies::OpenForWriting { by }));
        told.insert(name);
    }
    for path in walk.swaps() {
        if let Some(name) = walk.device_name(&path).filter(|name| devices.contains_key(name)) {
            occupants.extend(occupant(walk, &devices, &name, Occupies::Swap));
            told.insert(name);
        } else if let Some(volumes) = walk.volumes_of_file(&path) {
            let name = path.to_string_lossy().into_owned();
            occupants.push(Occupant { volumes, name, what: Occupies::SwapFile });
        }
    }
    let used: BTreeSet<String> = devices.keys().flat_map(|name| names_below(walk, name)).collect();
    for name in devices.keys() {
        if !used.contains(name) && !told.contains(name) && !walk.sysfs.is_hidden_part(name) {
            occupants.extend(occupant(walk, &devices, name, at_rest(walk, name)));
        }
    }
    occupants
}

fn occupant(
    walk: &Walk<'_>,
    devices: &BTreeMap<String, BTreeSet<VolumeId>>,
    name: &str,
    what: Occupies,
) -> Option<Occupant> {
    let made = if name.starts_with("dm-") { walk.sysfs.layer(name) } else { None };
    Some(Occupant {
        volumes: devices.get(name)?.clone(),
        name: made.unwrap_or_else(|| name.to_owned()),
        what,
    })
}

/// The devices that somebody writes to by himself, and who.
fn open_for_writing(
    walk: &Walk<'_>,
    devices: &BTreeMap<String, BTreeSet<VolumeId>>,
) -> BTreeMap<String, String> {
    let numbers: BTreeMap<_, &String> =
        devices.keys().filter_map(|name| Some((walk.sysfs.number(name)?, name))).collect();
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for writer in writers::of_devices(walk.root, walk.mounts) {
        if let Some(name) = numbers.get(&writer.device) {
            found.entry((*name).clone()).or_insert(writer.process);
        }
    }
    found
}

/// What a device that nothing seems to use is.
fn at_rest(walk: &Walk<'_>, name: &str) -> Occupies {
    let signature = walk.sysfs.number(name).and_then(|number| walk.udev(number, "ID_FS_TYPE"));
    let alive = |fs_type: &&str| walk.sysfs.is_alive(fs_type, name);
    if let Some(fs_type) = ["ext4", "xfs", "f2fs"].iter().find(|fs_type| alive(fs_type)) {
        return Occupies::Unreachable { fs_type: (*fs_type).to_owned() };
    }
    if walk.sysfs.btrfs().iter().any(|(_, members)| members.iter().any(|member| member == name)) {
        return Occupies::Unreachable { fs_type: "btrfs".to_owned() };
    }
    match signature {
        Some(signature) if !AT_REST.contains(&signature.as_str()) => Occupies::Unknown { signature },
        signature => Occupies::Unused { signature },
    }
}

fn names_below(walk: &Walk<'_>, name: &str) -> Vec<String> {
    match walk.below(name) {
        Below::Disk { disk, .. } => vec![disk],
        Below::Devices { names, .. } => names,
        Below::Nothing | Below::File(_) => Vec::new(),
    }
}
