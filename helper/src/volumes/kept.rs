//! The one handle per file system that is kept from before the freeze until after the thaw: after an
//! XFS has shut down, a new `open` of its mount point fails, and only a kept handle can thaw it.
//! Read-only: closing a writable one on a frozen XFS blocks.

use super::mountinfo::DeviceNumber;
use super::targets::Target;
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;
use std::path::PathBuf;

/// A handle on a target file system, known to lie on it.
#[derive(Debug)]
pub struct Kept {
    fd: OwnedFd,
    /// The mount through which it was opened.
    pub mount_point: PathBuf,
    /// The file system's UUID, where one could be read.
    pub uuid: Option<String>,
}

/// No handle could be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// None of the mount points can be opened.
    #[error("failed to open {mount_point}")]
    Open {
        /// The last one tried.
        mount_point: PathBuf,
        /// Why.
        source: Errno,
    },
    /// Something else is mounted over each of its mount points.
    #[error("failed to reach the file system at {mount_point}: another one is mounted over it")]
    Covered {
        /// The last one tried.
        mount_point: PathBuf,
    },
}

impl Kept {
    /// Opens the first of the target's mounts that leads to its file system.
    ///
    /// # Errors
    /// None does.
    pub fn open(target: &Target) -> Result<Self, OpenError> {
        let mut error = OpenError::Covered { mount_point: target.mount_point().to_owned() };
        for mount in &target.mounts {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
            let fd = match open(mount.path(), flags, Mode::empty()) {
                Ok(fd) => fd,
                Err(source) => {
                    error = OpenError::Open { mount_point: mount.mount_point.clone(), source };
                    continue;
                }
            };
            if !leads_to(fd.as_fd(), mount.id, target) {
                error = OpenError::Covered { mount_point: mount.mount_point.clone() };
                continue;
            }
            let uuid = sys::filesystem_uuid(fd.as_fd()).map(hyphenated).or_else(|| target.uuid.clone());
            return Ok(Self { fd, mount_point: mount.mount_point.clone(), uuid });
        }
        Err(error)
    }
}

impl AsFd for Kept {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Whether the handle lies on the mount that mountinfo told of. A kernel before 5.8 gives no mount
/// number; there the device decides, which btrfs shows differently per subvolume.
fn leads_to(fd: BorrowedFd<'_>, mount_id: u64, target: &Target) -> bool {
    let wanted = StatxFlags::MNT_ID | StatxFlags::TYPE;
    let Ok(found) = statx(fd, "", AtFlags::EMPTY_PATH, wanted) else { return false };
    if StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        return found.stx_mnt_id == mount_id;
    }
    let device = DeviceNumber { major: found.stx_dev_major, minor: found.stx_dev_minor };
    target.fs_type == "btrfs" || device == target.device
}

fn hyphenated(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (n, byte) in uuid.iter().enumerate() {
        if [4, 6, 8, 10].contains(&n) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_written_as_blkid_writes_it() {
        let uuid =
            [0xad, 0xc1, 0x16, 0x22, 0x17, 0xd0, 0x47, 0xf6, 0xb0, 0xb8, 0x8d, 0x39, 0xc3, 0xc7, 0x65, 0x47];
        assert_eq!(hyphenated(uuid), "adc11622-17d0-47f6-b0b8-8d39c3c76547");
    }
}
