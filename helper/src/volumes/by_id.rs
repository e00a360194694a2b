//! Which disk is which EBS volume: by the NVMe serial number, which the volume itself gives, and by
//! the link in `/dev/disk/by-id` for a disk that has none.

use super::sysfs::{Sysfs, entries, last_component};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use stillframe_wire::VolumeId;

/// How udev names the link of an EBS volume, before the serial number.
const LINK: &str = "nvme-Amazon_Elastic_Block_Store_";

/// Every attached volume and the name of its disk.
#[must_use]
pub fn attached(root: &Path) -> BTreeMap<VolumeId, String> {
    let sysfs = Sysfs::new(root);
    let serials = sysfs.serials();
    let mut disks: BTreeMap<VolumeId, String> = BTreeMap::new();
    for link in entries(&root.join("dev/disk/by-id")) {
        let Some(volume) = link.strip_prefix(LINK).and_then(volume_of) else { continue };
        let Ok(target) = fs::read_link(root.join("dev/disk/by-id").join(&link)) else { continue };
        let Some(disk) = last_component(&target) else { continue };
        // A link can outlive its disk; the disk that has a serial number tells for itself.
        if sysfs.has(&disk) && !serials.iter().any(|(_, with_serial)| *with_serial == disk) {
            disks.insert(volume, disk);
        }
    }
    for (serial, disk) in serials {
        if let Some(volume) = volume_of(&serial) {
            disks.insert(volume, disk);
        }
    }
    disks
}

/// `vol0123...` of a serial number or a link, as a volume id. A link to a partition is none.
fn volume_of(serial: &str) -> Option<VolumeId> {
    // udev links each namespace again with its number: `vol0123_1`.
    let serial = serial.strip_suffix("_1").unwrap_or(serial);
    VolumeId::new(format!("vol-{}", serial.strip_prefix("vol")?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_volumes_are_taken() {
        let id = |text| volume_of(text).map(String::from);
        assert_eq!(id("vol0f000000000000001").as_deref(), Some("vol-0f000000000000001"));
        assert_eq!(id("vol0f000000000000001_1").as_deref(), Some("vol-0f000000000000001"));
        for text in ["vol0f000000000000001-part1", "AWS22C0D5B7A6", "vol", "", "vol-0f000000000000001"] {
            assert_eq!(id(text), None, "{text}");
        }
    }
}
