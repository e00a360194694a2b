//! The order to mount: which volumes, where, how.

use crate::{JsonError, VERSION, VolumeId, json};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The longest that one mount may be given, in seconds: a check of a large file system takes hours.
pub const MAX_MOUNT_TIMEOUT_S: u64 = 86_400;

/// What is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOrder {
    /// Version of the document.
    #[serde(default = "version")]
    pub v: u32,
    /// The restore for which it was written: hooks learn it, nothing else depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Whether hooks run on the instance.
    #[serde(default = "yes")]
    pub hooks: bool,
    /// The mounts, in any order; never empty.
    pub mounts: Vec<MountSpec>,
}

/// One file system, and where it is to be mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountSpec {
    /// The volumes that the file system lies on: one, or all of a set. Never empty.
    pub volumes: Vec<VolumeId>,
    /// The names under which they were attached (`/dev/sdf`), in the same order. Only a Xen instance, whose
    /// disks have no serial number, needs them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// Which partition of the volume; without it the only one that holds a file system, or the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<u32>,
    /// Where.
    pub mount_point: MountPoint,
    /// The type that the file system must have, and that a blank volume gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_system: Option<FileSystemKind>,
    /// Options as in fstab(5).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mount_options: String,
    /// Whether the volume was made blank by this restore, or by a try of it that did not come to the mount, so
    /// that a file system may be made on it. What carries anything is never formatted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blank: bool,
    /// Whether it may be mounted over a mount point that is not empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub over_non_empty: bool,
    /// What to do with a copy whose original is here too.
    #[serde(default, skip_serializing_if = "Duplicate::is_default")]
    pub duplicate: Duplicate,
    /// Whether the file system is checked, its journal replayed, before it is mounted.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub check: bool,
    /// Whether it grows when its device is larger.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub grow: bool,
    /// Owner of the root directory of the file system, a name or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group of it, a name or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Permissions of it, octal digits: `0750`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Whether it is recorded, so that it is mounted again at every boot.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub record: bool,
    /// How long the volumes may take to appear, seconds.
    #[serde(default = "wait_s")]
    pub wait_s: u64,
    /// How long all of it may take, seconds, 1 to [`MAX_MOUNT_TIMEOUT_S`].
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
}

/// A type of file system that can be made and mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystemKind {
    /// ext2.
    Ext2,
    /// ext3.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

/// What to do with a copy whose original, with the same UUID, is on the same instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicate {
    /// Give the copy a UUID of its own, for good.
    #[default]
    NewUuid,
    /// Mount it with the UUID that it has.
    Nouuid,
    /// Do not mount it.
    Refuse,
}

/// An absolute path below `/` without `.`, `..` and doubled slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPoint(String);

/// A path that is no mount point.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no mount point: {cause}")]
pub struct MountPointError {
    value: String,
    cause: &'static str,
}

fn version() -> u32 {
    VERSION
}

fn yes() -> bool {
    true
}

fn wait_s() -> u64 {
    60
}

fn timeout_s() -> u64 {
    300
}

impl FileSystemKind {
    /// Its name, as mount(8) and `blkid` write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext2 => "ext2",
            Self::Ext3 => "ext3",
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// The type of that name, if it is one of ours.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Ext2, Self::Ext3, Self::Ext4, Self::Xfs, Self::Btrfs].into_iter().find(|k| k.name() == name)
    }
}

impl fmt::Display for FileSystemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Duplicate {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl MountPoint {
    /// Takes the text as a mount point; one slash at the end is dropped.
    ///
    /// # Errors
    /// It is relative, is `/` itself, or has a `.`, a `..`, an empty part or a control character.
    pub fn new(value: impl Into<String>) -> Result<Self, MountPointError> {
        let value = value.into();
        let cause = if !value.starts_with('/') {
            Some("it is not absolute")
        } else if value.chars().any(char::is_control) {
            Some("it has a control character")
        } else {
            let path = value.strip_suffix('/').unwrap_or(&value);
            match path.split('/').skip(1).find(|part| matches!(*part, "" | "." | "..")) {
                _ if path.is_empty() => Some("the root directory is mounted by the machine itself"),
                Some("..") => Some("it has a .. in it"),
                Some(".") => Some("it has a . in it"),
                Some(_) => Some("it has an empty part"),
                None if path.len() > 4_095 => Some("it is longer than 4,095 bytes"),
                None => return Ok(Self(path.to_owned())),
            }
        };
        Err(MountPointError { value, cause: cause.unwrap_or_default() })
    }

    /// The path.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&self.0)
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it lies strictly below the other.
    #[must_use]
    pub fn is_below(&self, other: &Self) -> bool {
        self != other && self.as_path().starts_with(other.as_path())
    }

    /// A file name for it, and for no other mount point: `/srv/my-data` is `srv-my\x2ddata`, as systemd
    /// names its mount units.
    #[must_use]
    pub fn name(&self) -> String {
        let mut name = String::with_capacity(self.0.len());
        for (n, byte) in self.0.bytes().skip(1).enumerate() {
            match byte {
                b'/' => name.push('-'),
                b'.' if n == 0 => name.push_str("\\x2e"),
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' => name.push(char::from(byte)),
                other => {
                    name.push_str("\\x");
                    name.push_str(&format!("{other:02x}"));
                }
            }
        }
        name
    }

    /// The mount point that has this [`name`](Self::name), if any has.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        let mut bytes = vec![b'/'];
        let mut rest = name.as_bytes();
        while let Some((&first, tail)) = rest.split_first() {
            match (first, tail) {
                (b'-', _) => {
                    bytes.push(b'/');
                    rest = tail;
                }
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = [*high, *low];
                    let digits = std::str::from_utf8(&digits).ok()?;
                    bytes.push(u8::from_str_radix(digits, 16).ok()?);
                    rest = after;
                }
                (b'\\', _) => return None,
                _ => {
                    bytes.push(first);
                    rest = tail;
                }
            }
        }
        let path = Self::new(String::from_utf8(bytes).ok()?).ok()?;
        (path.name() == name).then_some(path)
    }
}

impl TryFrom<String> for MountPoint {
    type Error = MountPointError;
    fn try_from(value: String) -> Result<Self, MountPointError> {
        Self::new(value)
    }
}

impl From<MountPoint> for String {
    fn from(path: MountPoint) -> Self {
        path.0
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<MountPoint> for PathBuf {
    fn from(path: MountPoint) -> Self {
        path.0.into()
    }
}

impl MountSpec {
    /// A spec with every default: that volume, there.
    #[must_use]
    pub fn new(volume: VolumeId, mount_point: MountPoint) -> Self {
        Self {
            volumes: vec![volume],
            devices: Vec::new(),
            partition: None,
            mount_point,
            file_system: None,
            mount_options: String::new(),
            blank: false,
            over_non_empty: false,
            duplicate: Duplicate::default(),
            check: true,
            grow: true,
            owner: None,
            group: None,
            mode: None,
            record: true,
            wait_s: wait_s(),
            timeout_s: timeout_s(),
        }
    }

    /// The permissions as a number.
    #[must_use]
    pub fn mode_bits(&self) -> Option<u32> {
        self.mode.as_deref().and_then(|mode| u32::from_str_radix(mode, 8).ok())
    }

    /// Whether the whole is one that can be carried out; an error names the field, below `at`.
    ///
    /// # Errors
    /// A field's value, or two that do not go together.
    pub fn check(&self, at: &str) -> Result<(), JsonError> {
        let field = |field: &str, cause: String| {
            let field = if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
            Err(JsonError::Field { what: "mount order", field, cause })
        };
        if self.volumes.is_empty() {
            return field("volumes", "names no volume".to_owned());
        }
        for (n, volume) in self.volumes.iter().enumerate() {
            if self.volumes.iter().take(n).any(|other| other == volume) {
                return field("volumes", format!("names {volume} twice"));
            }
        }
        if !self.devices.is_empty() && self.devices.len() != self.volumes.len() {
            return field(
                "devices",
                format!("has {} names for {} volumes", self.devices.len(), self.volumes.len()),
            );
        }
        if let Some(name) = self.devices.iter().find(|name| !is_device_name(name)) {
            return field("devices", format!("{name:?} is no device name like /dev/sdf"));
        }
        if self.partition == Some(0) {
            return field("partition", "0 is none; the first is 1".to_owned());
        }
        if self.blank && self.file_system.is_none() {
            return field(
                "file_system",
                "is missing: a blank volume needs the type that is to be made on it".to_owned(),
            );
        }
        if self.blank && self.volumes.len() > 1 {
            return field("blank", "a file system over several volumes is not made here".to_owned());
        }
        if let Some(mode) = &self.mode
            && (!(3..=4).contains(&mode.len()) || !mode.bytes().all(|digit| (b'0'..=b'7').contains(&digit)))
        {
            return field("mode", format!("{mode:?} is no mode of 3 or 4 octal digits"));
        }
        for (name, value) in [("owner", &self.owner), ("group", &self.group)] {
            if let Some(value) = value
                && (value.is_empty() || value.contains([':', '\n', '\0']))
            {
                return field(name, format!("{value:?} is no name or number"));
            }
        }
        if !(1..=MAX_MOUNT_TIMEOUT_S).contains(&self.timeout_s) {
            return field(
                "timeout_s",
                format!("{} is not between 1 and {MAX_MOUNT_TIMEOUT_S}", self.timeout_s),
            );
        }
        if self.wait_s > self.timeout_s {
            return field("wait_s", format!("{} is more than timeout_s, {}", self.wait_s, self.timeout_s));
        }
        Ok(())
    }
}

fn is_device_name(name: &str) -> bool {
    name.strip_prefix("/dev/").is_some_and(|rest| {
        (3..=8).contains(&rest.len())
            && (rest.starts_with("sd") || rest.starts_with("xvd"))
            && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

impl MountOrder {
    /// Reads an order.
    ///
    /// # Errors
    /// It is no JSON of this shape; names the field and the value.
    pub fn read(text: &[u8]) -> Result<Self, JsonError> {
        let order: Self = json::read("mount order", text)?;
        order.check()?;
        Ok(order)
    }

    /// Whether it can be carried out, as far as it says by itself.
    ///
    /// # Errors
    /// A field's value, or two mounts that do not go together.
    pub fn check(&self) -> Result<(), JsonError> {
        let field =
            |field: String, cause: String| Err(JsonError::Field { what: "mount order", field, cause });
        json::check_version("mount order", self.v)?;
        if self.mounts.is_empty() {
            return field("mounts".to_owned(), "names no mount".to_owned());
        }
        let mut taken: BTreeMap<&MountPoint, usize> = BTreeMap::new();
        for (n, spec) in self.mounts.iter().enumerate() {
            spec.check(&format!("mounts[{n}]"))?;
            if let Some(first) = taken.insert(&spec.mount_point, n) {
                let cause = format!("{} is mounts[{first}]'s already", spec.mount_point);
                return field(format!("mounts[{n}].mount_point"), cause);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
