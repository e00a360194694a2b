//! Sets: what LVM or md made of one or more volumes. udev usually puts them together by itself; what it left
//! lying, this does. Beside its original, whose UUIDs it has, a copy is given others of its own first, since
//! neither LVM nor md takes both. A set that is not whole is refused, never started without a part.

use super::device::Device;
use super::signature::Signature;
use super::{MountError, grow, lvm, md};
use crate::clock::Boottime;
use crate::volumes::sysfs::{Below, Sysfs};
use std::path::{Path, PathBuf};
use stillframe_wire::{Duplicate, MountSpec};

/// What `blkid` calls the parts.
const LVM: &str = "LVM2_member";
const MD: &str = "linux_raid_member";
/// Devices that hold no volume of anybody's, and are not looked at.
const NO_DISKS: [&str; 4] = ["ram", "zram", "sr", "fd"];
/// More layers than this are a loop in what we read.
const MOST_LAYERS: usize = 8;

/// A device that is a part of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Its name in the kernel.
    pub(super) name: String,
    /// What it carries.
    pub(super) signature: Signature,
}

impl Part {
    /// Its file.
    pub(super) fn path(&self, root: &Path) -> PathBuf {
        root.join("dev").join(&self.name)
    }

    /// Its file, for people.
    pub(super) fn shown(&self) -> String {
        format!("/dev/{}", self.name)
    }
}

/// Whether that is what something else is assembled from.
pub(super) fn is_part(kind: &str) -> bool {
    kind.ends_with("_member") || kind == "crypto_LUKS"
}

/// Puts the parts together. What was changed on them, if anything: a copy beside its original has new UUIDs.
///
/// # Errors
/// They are not whole, the order does not want a copy beside its original, nobody knows what they are, or the
/// programs fail. Nothing was written then.
pub(super) fn assemble(
    root: &Path,
    spec: &MountSpec,
    parts: &[Part],
    until: Boottime,
) -> Result<Option<String>, MountError> {
    let kind = |part: &Part| part.signature.kind.clone().unwrap_or_default();
    let Some(first) = parts.first() else { return Ok(None) };
    let of_kind: Vec<Part> = parts.iter().filter(|part| kind(part) == kind(first)).cloned().collect();
    match kind(first).as_str() {
        LVM => lvm::assemble(root, spec, &of_kind, until),
        MD => md::assemble(root, spec, &of_kind, until),
        other => Err(MountError::NotAssembled { device: first.shown(), signature: other.to_owned() }),
    }
}

/// Another device with the UUID of one of these: the part's original, or another copy.
pub(super) fn twin(root: &Path, parts: &[Part], until: Boottime) -> Option<String> {
    let sysfs = Sysfs::new(root);
    let others = sysfs.names().into_iter().filter(|name| {
        parts.iter().all(|part| part.name != *name)
            && !NO_DISKS.iter().any(|kind| name.starts_with(kind))
            && sysfs.size(name).is_some_and(|size| size > 0)
    });
    let is_twin = |name: &String| {
        let found = Signature::of(&root.join("dev").join(name), until);
        found.is_ok_and(|found| {
            found.uuid.is_some()
                && parts
                    .iter()
                    .any(|part| (&part.signature.kind, &part.signature.uuid) == (&found.kind, &found.uuid))
        })
    };
    others.into_iter().find(is_twin).map(|name| format!("/dev/{name}"))
}

/// Whether a copy beside that original may be given UUIDs of its own.
///
/// # Errors
/// The order says otherwise.
pub(super) fn may_change(spec: &MountSpec, part: &Part, original: &str) -> Result<(), MountError> {
    let (device, original) = (part.shown(), original.to_owned());
    match spec.duplicate {
        Duplicate::NewUuid => Ok(()),
        Duplicate::Refuse => Err(MountError::Duplicate { device, original }),
        Duplicate::Nouuid => {
            let signature = part.signature.words();
            Err(MountError::SetBeside { device, original, signature })
        }
    }
}

/// A name for a copy that no other has: the original's, and the volume's id.
pub(super) fn name_of_copy(name: &str, spec: &MountSpec) -> String {
    let id = spec.volumes.first().map_or("", |volume| volume.as_str());
    let id = id.strip_prefix("vol-").unwrap_or(id);
    if name.is_empty() { id.to_owned() } else { format!("{name}_{id}") }
}

/// Grows all that lies under the file system into larger volumes, from below: partitions, physical volumes
/// and logical ones, arrays. What to warn of.
pub(super) fn grow(root: &Path, device: &Device, until: Boottime) -> Vec<String> {
    let mut warnings = Vec::new();
    for name in &device.names {
        grow_under(root, name, 0, until, &mut warnings);
    }
    warnings
}

fn grow_under(root: &Path, name: &str, depth: usize, until: Boottime, warnings: &mut Vec<String>) {
    match Sysfs::new(root).below(name) {
        Below::Disk { .. } => warnings.extend(grow::partition(root, name, until)),
        Below::Devices { layer, names } if depth < MOST_LAYERS => {
            for below in names {
                grow_under(root, &below, depth + 1, until, warnings);
            }
            match layer.as_deref().and_then(|layer| layer.split_once(' ')) {
                Some(("lvm", volume)) => warnings.extend(lvm::grow(volume, until)),
                Some(("md", array)) => warnings.extend(md::grow(root, array, until)),
                _ => {}
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_wire::{MountPoint, VolumeId};

    fn part() -> Part {
        let signature = Signature { kind: Some(LVM.to_owned()), uuid: Some("u".to_owned()), table: None };
        Part { name: "nvme1n1".to_owned(), signature }
    }

    fn spec(duplicate: Duplicate) -> MountSpec {
        let volume = VolumeId::new("vol-0123456789abcdef0").unwrap();
        MountSpec { duplicate, ..MountSpec::new(volume, MountPoint::new("/a").unwrap()) }
    }

    #[test]
    fn a_copy_is_named_after_its_original_and_its_volume() {
        let spec = spec(Duplicate::NewUuid);
        assert_eq!(name_of_copy("pool", &spec), "pool_0123456789abcdef0");
        assert_eq!(name_of_copy("", &spec), "0123456789abcdef0");
    }

    #[test]
    fn a_copy_is_changed_only_when_the_order_lets_it() {
        let may = |duplicate| may_change(&spec(duplicate), &part(), "/dev/nvme0n1");
        assert!(may(Duplicate::NewUuid).is_ok());
        for (duplicate, word) in [(Duplicate::Refuse, "not to mount it"), (Duplicate::Nouuid, "LVM2_member")]
        {
            let error = may(duplicate).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("/dev/nvme0n1"), "{error}");
        }
    }
}
