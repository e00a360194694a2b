//! A copy beside its original: the two have the same UUID, and XFS and btrfs (before Linux 6.7) do not mount
//! both. The copy gets a UUID of its own, or is mounted with the one that it has; the original is not
//! touched. ext4 does not mind.

use super::MountError;
use super::device::Device;
use super::file_system::mount;
use super::options::Options;
use super::signature::Signature;
use crate::clock::Boottime;
use crate::programs;
use crate::volumes::attached;
use crate::volumes::mountinfo::Mount;
use crate::volumes::sysfs::Sysfs;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, unmount};
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_wire::{Duplicate, FileSystemKind};

/// How long something may keep the unmount of the scratch mount back: udev looks at what is new.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// The device that has the same UUID, mounted or attached, if there is one.
pub(super) fn original(
    root: &Path,
    device: &Device,
    kind: FileSystemKind,
    mounts: &[Mount],
    until: Boottime,
) -> Option<String> {
    let uuid = device.signature.uuid.as_deref()?;
    let sysfs = Sysfs::new(root);
    let others = |name: &String| !device.names.contains(name);
    if kind == FileSystemKind::Btrfs {
        // The kernel's own list; what is mounted under a temporary UUID is no obstacle.
        let alive = sysfs.btrfs().into_iter().find(|(fsid, _)| fsid == uuid);
        if let Some(name) = alive.and_then(|(_, names)| names.into_iter().find(others)) {
            return Some(format!("/dev/{name}"));
        }
    }
    let of_kind = mounts.iter().filter(|mount| mount.fs_type == kind.name());
    let mut names: Vec<String> = of_kind.filter_map(|mount| sysfs.name(mount.device)).collect();
    for (_, disk) in attached(root) {
        names.extend(sysfs.partitions(&disk).into_iter().map(|(_, name)| name));
        names.push(disk);
    }
    names.sort();
    names.dedup();
    let has_it = |name: &String| {
        let found = Signature::of(&root.join("dev").join(name), until);
        found.is_ok_and(|found| {
            found.uuid.as_deref() == Some(uuid) && found.kind.as_deref() == Some(kind.name())
        })
    };
    names.into_iter().filter(others).find(has_it).map(|name| format!("/dev/{name}"))
}

/// Does what the order says with a copy: the options to mount it with, and whether it has a new UUID.
///
/// # Errors
/// The order says not to mount it, or it cannot be given a new UUID.
pub(super) fn settle(
    root: &Path,
    device: &Device,
    kind: FileSystemKind,
    wish: Duplicate,
    options: Options,
    original: String,
    until: Boottime,
) -> Result<(Options, bool), MountError> {
    let nouuid = |options: Options| {
        if kind == FileSystemKind::Xfs { options.and("nouuid") } else { options }
    };
    match wish {
        Duplicate::Refuse => Err(MountError::Duplicate { device: device.shown(), original }),
        Duplicate::Nouuid => Ok((nouuid(options), false)),
        // A read-only mount changes nothing.
        Duplicate::NewUuid if options.is_read_only() => Ok((nouuid(options), false)),
        Duplicate::NewUuid => {
            let why = |why: String| MountError::NoNewUuid {
                device: device.shown(),
                original: original.clone(),
                why,
            };
            match kind {
                FileSystemKind::Xfs => {
                    let replay = Options { flags: MountFlags::empty(), data: "nouuid".to_owned() };
                    replay_log(root, device, kind, &replay)
                        .map_err(|error| why(format!("its log cannot be recovered: {error}")))?;
                    let mut admin = programs::program("xfs_admin");
                    admin.args(["-U", "generate"]).arg(device.path());
                    programs::run(&mut admin, until)?.ended_with(&[0]).map_err(|e| why(e.to_string()))?;
                }
                FileSystemKind::Btrfs if device.names.len() > 1 => {
                    return Err(why("it lies on several devices".to_owned()));
                }
                FileSystemKind::Btrfs => {
                    let tune = || {
                        let mut tune = programs::program("btrfstune");
                        tune.args(["-f", "-m"]).arg(device.path());
                        programs::run(&mut tune, until).and_then(|ran| ran.ended_with(&[0]))
                    };
                    if tune().is_err() {
                        // Its log tree is to be replayed first, which needs a kernel that mounts both.
                        let replay = Options { flags: MountFlags::empty(), data: String::new() };
                        replay_log(root, device, kind, &replay)
                            .map_err(|error| why(format!("this kernel does not mount both: {error}")))?;
                        tune().map_err(|error| why(error.to_string()))?;
                    }
                }
                _ => return Ok((options, false)),
            }
            Ok((options, true))
        }
    }
}

/// Mounts it where nobody looks, and unmounts it.
fn replay_log(
    root: &Path,
    device: &Device,
    kind: FileSystemKind,
    options: &Options,
) -> Result<(), std::io::Error> {
    use std::os::unix::fs::DirBuilderExt;
    let scratch: PathBuf = root.join(format!("run/stillframe/scratch-{}", std::process::id()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&scratch)?;
    let options = Options {
        flags: options.flags | MountFlags::NODEV | MountFlags::NOSUID | MountFlags::NOEXEC,
        data: options.data.clone(),
    };
    let done = mount(device, kind, &options, &scratch).map_err(std::io::Error::from).and_then(|()| {
        let limit = Boottime::now().after(PATIENCE);
        loop {
            match unmount(&scratch, UnmountFlags::NOFOLLOW) {
                Err(Errno::BUSY) if Boottime::now() < limit => std::thread::sleep(PAUSE),
                other => return Ok(other?),
            }
        }
    });
    let removed = std::fs::remove_dir(&scratch);
    done.and(removed)
}
