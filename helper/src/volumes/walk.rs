//! The way from a block device down to the disks, through every layer that the kernel can put in between.

use super::filesystem::Backing;
use super::mountinfo::{self, DeviceNumber, Mount};
use super::places::written_below;
use super::sysfs::{self, Below, Sysfs, last_component};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use stillframe_wire::VolumeId;

/// More layers than this between a file system and a disk are a loop in what we read.
const MOST_LAYERS: usize = 16;

/// The way from a device down to the disks.
pub(super) struct Walk<'a> {
    pub(super) root: &'a Path,
    pub(super) sysfs: &'a Sysfs,
    /// The volumes' disks.
    pub(super) disks: BTreeMap<String, VolumeId>,
    pub(super) mounts: &'a [Mount],
}

/// A way down, as far as it was followed.
#[derive(Default)]
struct Way {
    backing: Backing,
    /// The devices between the start and here.
    above: Vec<String>,
    /// Every device that was followed: what lies below it is counted.
    seen: BTreeSet<String>,
}

impl Way {
    fn layer(&mut self, is_first: bool, layer: impl FnOnce() -> String) {
        if is_first {
            self.backing.layers.push(layer());
        }
    }
}

impl Walk<'_> {
    /// What the devices lie on together.
    pub(super) fn backing(&self, names: &[String]) -> Backing {
        let mut way = Way::default();
        for (n, name) in names.iter().enumerate() {
            self.descend(name, &mut way, n == 0);
        }
        way.backing
    }

    /// Follows one device down. The layers of the first way stand for all; each way's disks count.
    fn descend(&self, name: &str, way: &mut Way, is_first: bool) {
        // A volume is where the way ends, even if it is a loop device itself.
        if let Some(volume) = self.disks.get(name) {
            way.backing.volumes.insert(volume.clone());
            return;
        }
        if way.above.len() == MOST_LAYERS || way.above.iter().any(|above| above == name) {
            way.backing.other_disks.insert(name.to_owned());
            return;
        }
        if !way.seen.insert(name.to_owned()) {
            return;
        }
        way.above.push(name.to_owned());
        match self.below(name) {
            Below::Nothing => {
                way.backing.other_disks.insert(name.to_owned());
            }
            Below::Disk { disk, partition } => {
                way.layer(is_first, || format!("partition {partition}"));
                self.descend(&disk, way, is_first);
            }
            Below::Devices { layer, names } => {
                if let Some(layer) = layer {
                    way.layer(is_first, || layer);
                }
                for (n, below) in names.iter().enumerate() {
                    self.descend(below, way, is_first && n == 0);
                }
            }
            Below::File(file) => {
                way.layer(is_first, || "loop".to_owned());
                match written_below(self.root, self.mounts, &file) {
                    Some(mount) => {
                        way.backing.outer.insert(mount.device);
                        for below in self.devices_of(mount) {
                            self.descend(&below, way, false);
                        }
                    }
                    None => {
                        way.backing.other_disks.insert(name.to_owned());
                    }
                }
            }
        }
        way.above.pop();
    }

    fn devices_of(&self, mount: &Mount) -> Vec<String> {
        if mount.fs_type != "btrfs" {
            return self.sysfs.name(mount.device).into_iter().collect();
        }
        let member = self.device_name(&mount.source);
        let of_member =
            |(_, names): &(String, Vec<String>)| member.as_ref().is_some_and(|m| names.contains(m));
        self.sysfs.btrfs().into_iter().find(of_member).map(|(_, names)| names).unwrap_or_default()
    }

    /// The kernel's name of the device that a path in `/dev` leads to.
    pub(super) fn device_name(&self, source: &Path) -> Option<String> {
        let mut path = source.strip_prefix("/").ok().map(|path| self.root.join(path))?;
        for _ in 0..4 {
            let Ok(link) = fs::read_link(&path) else { break };
            path = path.parent()?.join(link);
        }
        last_component(&path)
    }

    /// What a device lies on. A loop device may have another device for a file.
    pub(super) fn below(&self, name: &str) -> Below {
        match self.sysfs.below(name) {
            Below::File(file) if file.starts_with("/dev") => match self.device_name(&file) {
                Some(below) if self.sysfs.has(&below) => {
                    Below::Devices { layer: Some("loop".to_owned()), names: vec![below] }
                }
                _ => Below::File(file),
            },
            below => below,
        }
    }

    /// The swap devices and files in use.
    pub(super) fn swaps(&self) -> Vec<PathBuf> {
        let table = fs::read(self.root.join("proc/swaps")).unwrap_or_default();
        let lines = table.split(|&byte| byte == b'\n').skip(1);
        let fields = lines.filter_map(|line| line.split(|&byte| byte == b' ' || byte == b'\t').next());
        fields.filter(|path| path.starts_with(b"/")).map(mountinfo::unescape).collect()
    }

    /// The volumes that a file lies on.
    pub(super) fn volumes_of_file(&self, path: &Path) -> Option<BTreeSet<VolumeId>> {
        let mount = written_below(self.root, self.mounts, path)?;
        let volumes = self.backing(&self.devices_of(mount)).volumes;
        (!volumes.is_empty()).then_some(volumes)
    }

    /// What udev's database says of a device.
    pub(super) fn udev(&self, device: DeviceNumber, property: &str) -> Option<String> {
        sysfs::text(&self.root.join(format!("run/udev/data/b{device}")))?
            .lines()
            .find_map(|line| line.strip_prefix("E:")?.strip_prefix(property)?.strip_prefix('='))
            .map(str::to_owned)
    }
}
