//! Block devices as sysfs shows them: which disks there are, and what a device lies on. Reads below
//! the root that it is given, changes nothing.

use super::mountinfo::DeviceNumber;
use std::fs;
use std::path::{Path, PathBuf};

/// sysfs counts in these, whatever the disk's own sectors are.
const SECTOR: u64 = 512;
/// More of LVM's hidden layers than this on one another are a loop in what we read.
const MOST_HIDDEN: usize = 8;

/// A sysfs tree.
#[derive(Debug, Clone)]
pub struct Sysfs {
    root: PathBuf,
}

/// What a block device lies on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Below {
    /// Nothing that sysfs knows of: it is a disk.
    Nothing,
    /// The disk that it is a part of.
    Disk {
        /// The disk's name.
        disk: String,
        /// Which partition.
        partition: String,
    },
    /// The devices that the device mapper or md joined.
    Devices {
        /// What joined them: `lvm vg0/data`, `crypt secret`, `md md127`; nothing for LVM's hidden parts.
        layer: Option<String>,
        /// Their names.
        names: Vec<String>,
    },
    /// A file: it is a loop device.
    File(PathBuf),
}

impl Sysfs {
    /// The sysfs below `root` (`/` on a machine).
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("sys") }
    }

    /// The name of the device with that number: `nvme1n1p1`.
    #[must_use]
    pub fn name(&self, number: DeviceNumber) -> Option<String> {
        last_component(&fs::read_link(self.root.join(format!("dev/block/{number}"))).ok()?)
    }

    /// Every disk with the serial number that its controller gives. A multipath controller's hidden
    /// paths carry their disk's serial and are left out.
    #[must_use]
    pub fn serials(&self) -> Vec<(String, String)> {
        entries(&self.root.join("block"))
            .into_iter()
            .filter(|disk| text(&self.device(disk).join("hidden")).is_none_or(|hidden| hidden == "0"))
            .filter_map(|disk| Some((text(&self.device(&disk).join("device/serial"))?, disk)))
            .collect()
    }

    /// Whether there is a block device of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.device(name).exists()
    }

    /// Every block device's name.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        entries(&self.root.join("class/block"))
    }

    /// The number of the device with that name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<DeviceNumber> {
        DeviceNumber::parse(&text(&self.device(name).join("dev"))?)
    }

    /// Whether a file system of that type is alive on the device, mounted where it can be seen or not.
    #[must_use]
    pub fn is_alive(&self, fs_type: &str, name: &str) -> bool {
        fs_type.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && self.root.join("fs").join(fs_type).join(name).exists()
    }

    /// Whether the device is a part of a logical volume that only LVM itself uses: `-real`, `-tpool`.
    #[must_use]
    pub fn is_hidden_part(&self, name: &str) -> bool {
        text(&self.device(name).join("dm/uuid"))
            .is_some_and(|uuid| uuid.strip_prefix("LVM-").is_some_and(|ids| ids.contains('-')))
    }

    /// The partitions of a disk: number and name, in the order of the numbers.
    #[must_use]
    pub fn partitions(&self, disk: &str) -> Vec<(u32, String)> {
        let folder = self.device(disk);
        let mut found: Vec<(u32, String)> = entries(&folder)
            .into_iter()
            .filter_map(|name| Some((text(&folder.join(&name).join("partition"))?.parse().ok()?, name)))
            .collect();
        found.sort();
        found
    }

    /// What the device mapper or md made of the device; LVM's hidden parts are left out for what lies on
    /// them.
    #[must_use]
    pub fn holders(&self, name: &str) -> Vec<String> {
        let mut found = Vec::new();
        self.collect_holders(name, 0, &mut found);
        found
    }

    fn collect_holders(&self, name: &str, depth: usize, found: &mut Vec<String>) {
        for holder in entries(&self.device(name).join("holders")) {
            if !self.is_hidden_part(&holder) {
                if !found.contains(&holder) {
                    found.push(holder);
                }
            } else if depth < MOST_HIDDEN {
                self.collect_holders(&holder, depth + 1, found);
            }
        }
    }

    /// The size of a device, bytes.
    #[must_use]
    pub fn size(&self, name: &str) -> Option<u64> {
        text(&self.device(name).join("size"))?.parse::<u64>().ok()?.checked_mul(SECTOR)
    }

    /// Where on its disk a partition begins, bytes.
    #[must_use]
    pub fn start(&self, name: &str) -> Option<u64> {
        text(&self.device(name).join("start"))?.parse::<u64>().ok()?.checked_mul(SECTOR)
    }

    /// What the device lies on.
    #[must_use]
    pub fn below(&self, name: &str) -> Below {
        let device = self.device(name);
        if let Some(partition) = text(&device.join("partition"))
            && let Some(disk) = fs::canonicalize(&device).ok().as_deref().and_then(Path::parent)
            && let Some(disk) = last_component(disk)
        {
            return Below::Disk { disk, partition };
        }
        if let Some(file) = text(&device.join("loop/backing_file")) {
            return Below::File(PathBuf::from(file));
        }
        let names = entries(&device.join("slaves"));
        if names.is_empty() {
            return Below::Nothing;
        }
        Below::Devices { layer: self.layer(name), names }
    }

    /// What the device mapper or md made the device of.
    #[must_use]
    pub fn members(&self, name: &str) -> Vec<String> {
        entries(&self.device(name).join("slaves"))
    }

    /// The members of every btrfs file system: its UUID and its devices' names.
    #[must_use]
    pub fn btrfs(&self) -> Vec<(String, Vec<String>)> {
        entries(&self.root.join("fs/btrfs"))
            .into_iter()
            .map(|fsid| {
                let devices = entries(&self.root.join("fs/btrfs").join(&fsid).join("devices"));
                (fsid, devices)
            })
            .filter(|(_, devices)| !devices.is_empty())
            .collect()
    }

    /// What made the device, for people: `lvm vg0/data`, `md md127`.
    pub(super) fn layer(&self, name: &str) -> Option<String> {
        if name.starts_with("md") {
            return Some(format!("md {name}"));
        }
        let mapper = self.device(name).join("dm");
        let mapped = text(&mapper.join("name")).unwrap_or_else(|| name.to_owned());
        let uuid = text(&mapper.join("uuid")).unwrap_or_default();
        if let Some(ids) = uuid.strip_prefix("LVM-") {
            // Volume group and volume are 32 characters each; a hidden part has a suffix.
            return (!ids.contains('-')).then(|| format!("lvm {}", volume_name(&mapped)));
        }
        match uuid.split_once('-') {
            Some((kind, _)) => Some(format!("{} {mapped}", kind.to_ascii_lowercase())),
            None => Some(format!("dm {mapped}")),
        }
    }

    fn device(&self, name: &str) -> PathBuf {
        self.root.join("class/block").join(name)
    }
}

/// LVM's `group-volume`, in which a dash of either name is doubled, as `group/volume`.
fn volume_name(mapped: &str) -> String {
    mapped.replace("--", "\0").replacen('-', "/", 1).replace('\0', "-")
}

/// The names in a folder, sorted; none when it cannot be read.
pub(super) fn entries(folder: &Path) -> Vec<String> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        found.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// A one-line file's text.
pub(super) fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The last component of a path, as text.
pub(super) fn last_component(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvm_names_lose_their_doubled_dashes() {
        assert_eq!(volume_name("vg0-my--lv"), "vg0/my-lv");
        assert_eq!(volume_name("my--group-data"), "my-group/data");
    }
}
