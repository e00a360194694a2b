//! One entry of a spec's `volumes`, and what a volume is to be made like.

use super::{SpecError, read};
use crate::restore::DeviceWish;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// File systems that can be mounted, and made on a blank volume.
const FILE_SYSTEMS: [&str; 5] = ["xfs", "ext4", "btrfs", "ext3", "ext2"];
/// Largest volume, GiB.
const LARGEST_GIB: u64 = 65_536;
/// What EC2 takes as `VolumeInitializationRate`, MiB/s.
const INITIALIZATION_RATE: std::ops::RangeInclusive<u32> = 100..=300;

/// What to mount at one place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "VolumeFields")]
pub struct VolumeSpec {
    /// Where.
    pub mount_point: String,
    /// Where the set knows it, if that was elsewhere.
    pub from: Option<String>,
    /// Under which name to attach it.
    pub device: Option<DeviceWish>,
    /// Size, GiB; a snapshot's own is the least.
    pub size_gib: Option<u64>,
    /// Whether it may be blank, if it says so itself.
    pub blank: Option<bool>,
    /// What the volume is to be like.
    pub shape: VolumeShape,
}

impl VolumeSpec {
    /// Where the set knows it.
    #[must_use]
    pub fn mounted_in_set_at(&self) -> &str {
        self.from.as_deref().unwrap_or(&self.mount_point)
    }
}

/// The fields as they stand in the JSON. `#[serde(flatten)]` would lose the path of a wrong one.
#[derive(Deserialize)]
struct VolumeFields {
    #[serde(deserialize_with = "read::mount_point")]
    mount_point: String,
    #[serde(default, deserialize_with = "read::other_mount_point")]
    from: Option<String>,
    #[serde(default)]
    device: Option<DeviceWish>,
    #[serde(default, deserialize_with = "size")]
    size: Option<u64>,
    #[serde(default)]
    blank: Option<bool>,
    #[serde(default, rename = "type", alias = "volume_type")]
    kind: Option<VolumeType>,
    #[serde(default)]
    iops: Option<u32>,
    #[serde(default)]
    throughput: Option<u32>,
    #[serde(default, deserialize_with = "word")]
    kms_key: Option<String>,
    #[serde(default)]
    initialization_rate: Option<u32>,
    #[serde(default)]
    delete_on_termination: Option<bool>,
    #[serde(default, deserialize_with = "file_system")]
    file_system: Option<String>,
    #[serde(default, deserialize_with = "word")]
    mount_options: Option<String>,
}

impl From<VolumeFields> for VolumeSpec {
    fn from(fields: VolumeFields) -> Self {
        let VolumeFields { mount_point, from, device, size, blank, kind, iops, throughput, kms_key, .. } =
            fields;
        Self {
            mount_point,
            from,
            device,
            size_gib: size,
            blank,
            shape: VolumeShape {
                kind,
                iops,
                throughput,
                kms_key,
                initialization_rate: fields.initialization_rate,
                delete_on_termination: fields.delete_on_termination,
                file_system: fields.file_system,
                mount_options: fields.mount_options,
            },
        }
    }
}

/// What a volume is to be made like, and mounted. What is absent holds as the whole spec says, then as its
/// default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct VolumeShape {
    /// `type`: default `gp3`.
    #[serde(default, rename = "type", alias = "volume_type")]
    pub kind: Option<VolumeType>,
    /// IOPS, for a type that takes them.
    #[serde(default)]
    pub iops: Option<u32>,
    /// Throughput, MiB/s, for `gp3`.
    #[serde(default)]
    pub throughput: Option<u32>,
    /// Key to encrypt with: id, alias or ARN.
    #[serde(default, deserialize_with = "word")]
    pub kms_key: Option<String>,
    /// At what rate EC2 fetches the snapshot's blocks by itself, 100 to 300 MiB/s. It costs.
    #[serde(default)]
    pub initialization_rate: Option<u32>,
    /// Whether the volume goes with its instance; default true, as Snaptastic meant it.
    #[serde(default)]
    pub delete_on_termination: Option<bool>,
    /// `xfs`, `ext4`, ...: what a blank volume gets, and what one from a set must have.
    #[serde(default, deserialize_with = "file_system")]
    pub file_system: Option<String>,
    /// As `mount -o` takes them.
    #[serde(default, deserialize_with = "word")]
    pub mount_options: Option<String>,
}

impl VolumeShape {
    /// This one, and where it says nothing the other.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        // What is meant for one type is not handed to another.
        let same_kind = self.kind.is_none() || self.kind == other.kind;
        Self {
            kind: self.kind.or(other.kind),
            iops: self.iops.or(other.iops.filter(|_| same_kind)),
            throughput: self.throughput.or(other.throughput.filter(|_| same_kind)),
            kms_key: self.kms_key.clone().or_else(|| other.kms_key.clone()),
            initialization_rate: self.initialization_rate.or(other.initialization_rate),
            delete_on_termination: self.delete_on_termination.or(other.delete_on_termination),
            file_system: self.file_system.clone().or_else(|| other.file_system.clone()),
            mount_options: self.mount_options.clone().or_else(|| other.mount_options.clone()),
        }
    }

    /// Whether EC2 would take the numbers. `at`: what comes before the fields' names in an error.
    pub(super) fn check(&self, at: &str) -> Result<(), SpecError> {
        let wrong = |name: &str, cause: String| Err(SpecError::Field { field: format!("{at}{name}"), cause });
        let kind = self.kind.unwrap_or_default();
        if let Some(iops) = self.iops
            && self.kind.is_some()
            && !kind.iops().is_some_and(|taken| taken.contains(&iops))
        {
            return wrong(
                "iops",
                match kind.iops() {
                    Some(taken) => {
                        format!("{iops} is not between {} and {} for {kind}", taken.start(), taken.end())
                    }
                    None => format!("{iops}: a volume of type {kind} takes none"),
                },
            );
        }
        if let Some(throughput) = self.throughput
            && !(kind == VolumeType::Gp3 && (125..=2_000).contains(&throughput))
        {
            return wrong("throughput", format!("{throughput}: only gp3 takes it, 125 to 2000 MiB/s"));
        }
        match self.initialization_rate {
            Some(rate) if !INITIALIZATION_RATE.contains(&rate) => {
                wrong("initialization_rate", format!("{rate} is not between 100 and 300 MiB/s"))
            }
            _ => Ok(()),
        }
    }
}

/// Type of a volume.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeType {
    /// General purpose.
    #[default]
    Gp3,
    /// General purpose, the generation before.
    Gp2,
    /// Provisioned IOPS.
    Io1,
    /// Provisioned IOPS, durable.
    Io2,
    /// Throughput on hard disks.
    St1,
    /// Cold hard disks.
    Sc1,
    /// Magnetic.
    Standard,
}

impl VolumeType {
    const ALL: [Self; 7] = [Self::Gp3, Self::Gp2, Self::Io1, Self::Io2, Self::St1, Self::Sc1, Self::Standard];

    /// EC2's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gp3 => "gp3",
            Self::Gp2 => "gp2",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::St1 => "st1",
            Self::Sc1 => "sc1",
            Self::Standard => "standard",
        }
    }

    /// Smallest volume of it, GiB.
    #[must_use]
    pub fn smallest_gib(self) -> u64 {
        match self {
            Self::St1 | Self::Sc1 => 125,
            Self::Io1 | Self::Io2 => 4,
            Self::Gp3 | Self::Gp2 | Self::Standard => 1,
        }
    }

    /// IOPS that it takes. The ceilings that depend on size and instance are EC2's to judge.
    #[must_use]
    pub fn iops(self) -> Option<std::ops::RangeInclusive<u32>> {
        match self {
            Self::Gp3 => Some(3_000..=80_000),
            Self::Io1 => Some(100..=64_000),
            Self::Io2 => Some(100..=256_000),
            Self::Gp2 | Self::St1 | Self::Sc1 | Self::Standard => None,
        }
    }
}

impl fmt::Display for VolumeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl<'de> Deserialize<'de> for VolumeType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            D::Error::custom(format!("{word:?} is no volume type; known are {known}"))
        })
    }
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(deserializer)? {
        Some(size) if !(1..=LARGEST_GIB).contains(&size) => {
            Err(D::Error::custom(format!("{size} is not between 1 and {LARGEST_GIB} GiB")))
        }
        size => Ok(size),
    }
}

fn file_system<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(name) if !FILE_SYSTEMS.contains(&name.as_str()) => Err(D::Error::custom(format!(
            "{name:?} is no file system that can be restored; known are {}",
            FILE_SYSTEMS.join(", ")
        ))),
        name => Ok(name),
    }
}

/// Text that becomes one argument of something.
fn word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Option::<String>::deserialize(deserializer)? {
        Some(text) if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) => {
            Err(D::Error::custom(format!("{text:?} is empty or has blanks in it")))
        }
        text => Ok(text),
    }
}
