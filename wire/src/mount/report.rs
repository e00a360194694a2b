//! What became of each mount.

use crate::{JsonError, MountPoint, VERSION, VolumeId, json};
use serde::{Deserialize, Serialize};

/// The helper's stdout after `mount` and `unmount`: one outcome for each mount asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountReport {
    /// Version of the document.
    pub v: u32,
    /// The restore's run, or `boot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Why nothing was tried at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What was done, in the order of the mount points.
    #[serde(default)]
    pub mounts: Vec<MountOutcome>,
    /// Hooks of the whole that ran.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RanHook>,
    /// What does no harm now, and should be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOutcome {
    /// Where; the record's name for a record that cannot be read.
    pub mount_point: String,
    /// The volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeId>,
    /// In one word.
    pub outcome: Mounted,
    /// The device that was mounted, `/dev/nvme1n1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The type of the file system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<String>,
    /// Its UUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether the file system was made just now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub formatted: bool,
    /// Whether a copy was given a UUID of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub new_uuid: bool,
    /// By how many bytes it grew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub grown_bytes: u64,
    /// Whether it is recorded, and so mounted again at the next boot.
    #[serde(default)]
    pub recorded: bool,
    /// How long it took, milliseconds.
    #[serde(default)]
    pub ms: u64,
    /// Why it is not mounted (after `unmount`: why it still is).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What does no harm now, and should be looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Hooks that ran for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RanHook>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How it ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mounted {
    /// It was mounted.
    Mounted,
    /// It had been mounted before.
    Already,
    /// It could not be mounted, or unmounted; see the error.
    Failed,
    /// It was not tried, because the mount that it lies in is missing, or a hook of the whole failed.
    HeldBack,
    /// It was unmounted.
    Unmounted,
    /// It had not been mounted.
    NotMounted,
}

/// A hook that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanHook {
    /// Its event, `pre-mount`.
    pub event: String,
    /// Its file name.
    pub name: String,
    /// Its exit code; absent when it had none (killed, not started).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<i32>,
    /// How long it ran, milliseconds.
    pub ms: u64,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl MountReport {
    /// A report without anything in it.
    #[must_use]
    pub fn new(run: Option<String>) -> Self {
        Self { v: VERSION, run, error: None, mounts: Vec::new(), hooks: Vec::new(), warnings: Vec::new() }
    }

    /// Reads what a helper printed.
    ///
    /// # Errors
    /// It is no report, or one of a version that is not known here; names the field.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        json::expect_version("mount report", text)?;
        json::read("mount report", text)
    }

    /// Whether all that was asked for is so now.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.error.is_none() && self.mounts.iter().all(|mount| mount.outcome.is_well())
    }
}

impl MountOutcome {
    /// An outcome of which no more is known yet.
    #[must_use]
    pub fn new(mount_point: &MountPoint, volumes: &[VolumeId], outcome: Mounted) -> Self {
        Self::named(mount_point.as_str(), volumes, outcome)
    }

    /// The same for something whose mount point is not known.
    #[must_use]
    pub fn named(name: &str, volumes: &[VolumeId], outcome: Mounted) -> Self {
        Self {
            mount_point: name.to_owned(),
            volumes: volumes.to_vec(),
            outcome,
            device: None,
            file_system: None,
            uuid: None,
            formatted: false,
            new_uuid: false,
            grown_bytes: 0,
            recorded: false,
            ms: 0,
            error: None,
            warnings: Vec::new(),
            hooks: Vec::new(),
        }
    }
}

impl Mounted {
    /// Whether that is what was asked for.
    #[must_use]
    pub fn is_well(self) -> bool {
        !matches!(self, Self::Failed | Self::HeldBack)
    }
}
