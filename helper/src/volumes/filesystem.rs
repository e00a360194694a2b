//! A mounted file system, and what it lies on: the words of this room.

use super::mountinfo::{DeviceNumber, Mount};
use std::collections::BTreeSet;
use std::path::PathBuf;
use stillframe_wire::VolumeId;

/// One mounted file system: one super block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSystem {
    /// The super block.
    pub device: DeviceNumber,
    /// Its type.
    pub fs_type: String,
    /// Its UUID, where one could be read.
    pub uuid: Option<String>,
    /// Where it is mounted, best first: whole before parts of it. Never empty.
    pub mounts: Vec<Mount>,
    /// What it lies on.
    pub backing: Backing,
    /// What the machine, or the freeze itself, needs of it.
    pub holds: Vec<Held>,
}

/// What a file system lies on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backing {
    /// Volumes.
    pub volumes: BTreeSet<VolumeId>,
    /// Disks that are no volume: an instance store, a disk of another kind.
    pub other_disks: BTreeSet<String>,
    /// The file systems that hold its image, when loop devices are in between.
    pub outer: BTreeSet<DeviceNumber>,
    /// What stands in between, from the file system down: `lvm vg0/data`, `partition 1`.
    pub layers: Vec<String>,
}

impl Backing {
    /// The layers in one line; `disk` when there are none.
    #[must_use]
    pub fn layout(&self) -> String {
        if self.layers.is_empty() { "disk".to_owned() } else { self.layers.join(" on ") }
    }
}

/// Something that lies on a file system and is not to be frozen without being asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What.
    pub what: Essential,
    /// Where.
    pub path: PathBuf,
}

/// What the machine, or the freeze, needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Essential {
    /// `/run`: lock and lease, and the sockets of those who would have to thaw.
    Run,
    /// `/`.
    Root,
    /// The SSM agent's state, without which no report leaves the instance.
    SsmAgent,
    /// The running helper's own binary.
    Helper,
}
