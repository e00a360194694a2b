//! Which processes have block devices open for writing: a database on a raw volume, a copy under way. Reads
//! `/proc` below a root directory.

use super::mountinfo::{DeviceNumber, Mount};
use super::sysfs::entries;
use rustix::fs::{AtFlags, CWD, FileType, StatxFlags, statx};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A device that a process has open for writing.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Writer {
    pub(super) device: DeviceNumber,
    /// The process's name and number.
    pub(super) process: String,
}

/// Every one.
pub(super) fn of_devices(root: &Path, mounts: &[Mount]) -> Vec<Writer> {
    let types: BTreeMap<u64, &str> = mounts.iter().map(|mount| (mount.id, mount.fs_type.as_str())).collect();
    let mut writers = Vec::new();
    for pid in entries(&root.join("proc")) {
        if !pid.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let process = root.join("proc").join(&pid);
        let mut devices: Vec<DeviceNumber> = entries(&process.join("fd"))
            .iter()
            .filter_map(|fd| written_device(&process, fd, &types))
            .collect();
        devices.sort_unstable();
        devices.dedup();
        if devices.is_empty() {
            continue;
        }
        let name = super::sysfs::text(&process.join("comm")).unwrap_or_default();
        let process = format!("{name} ({pid})");
        writers.extend(devices.into_iter().map(|device| Writer { device, process: process.clone() }));
    }
    writers
}

fn written_device(process: &Path, fd: &str, types: &BTreeMap<u64, &str>) -> Option<DeviceNumber> {
    let path = process.join("fd").join(fd);
    // The link's own mode says how the file was opened.
    if std::fs::symlink_metadata(&path).ok()?.permissions().mode() & 0o200 == 0 {
        return None;
    }
    // Sockets, pipes and the like have no path.
    if !std::fs::read_link(&path).ok()?.is_absolute() {
        return None;
    }
    // A file on a network or FUSE file system is no device, and asking about it may hang.
    let info = std::fs::read_to_string(process.join("fdinfo").join(fd)).ok()?;
    let mount: u64 = info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()?;
    let is_local = types.get(&mount).is_none_or(|fs_type| is_local(fs_type));
    if !is_local {
        return None;
    }
    let found = statx(CWD, &path, AtFlags::STATX_DONT_SYNC, StatxFlags::TYPE).ok()?;
    let is_block = FileType::from_raw_mode(found.stx_mode.into()) == FileType::BlockDevice;
    is_block.then_some(DeviceNumber { major: found.stx_rdev_major, minor: found.stx_rdev_minor })
}

/// Whether a file system of that type can hold a device node and answers without anybody's help.
fn is_local(fs_type: &str) -> bool {
    !["nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "lustre", "gfs", "ocfs", "gpfs", "beegfs"]
        .iter()
        .any(|remote| fs_type.starts_with(remote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_this_process_writes_is_no_device_and_a_network_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let _file = std::fs::File::create(folder.path().join("x")).unwrap();
        let me = format!("({})", std::process::id());
        assert!(of_devices(Path::new("/"), &[]).iter().all(|writer| !writer.process.ends_with(&me)));
        assert!(is_local("devtmpfs") && is_local("overlay"));
        assert!(!is_local("nfs4") && !is_local("fuse.sshfs") && !is_local("fuseblk"));
    }
}
