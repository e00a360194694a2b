//! A file system without a place in any tree: mounted, reachable through one directory and gone when that
//! directory is closed. Nothing of it shows in a mount table, and nothing can be left behind.

use super::step::step;
use crate::machine::MachineError;
use crate::sys;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, open_tree,
};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a mount of a btrfs is tried again, and after what pause.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// Mounts a btrfs of which nothing old is remembered.
///
/// btrfs remembers on which device it last saw a file system, also after that was unmounted, and a loop
/// device's number soon belongs to another one. It then mounts that one's bytes (EINVAL: "superblock fsid
/// doesn't match"), or takes the new copy for an older one (EEXIST). What it remembers of a number is
/// forgotten here and when the device is let go of; another thread may have it remember again at this very
/// instant, so it is tried again for a while. What is wrong with the bytes stays so.
fn mount_btrfs(
    device: &Path,
    mount: impl Fn() -> rustix::io::Result<Detached>,
) -> rustix::io::Result<Detached> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        forget(device);
        match mount() {
            Err(Errno::EXIST | Errno::INVAL) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            other => return other,
        }
    }
}

/// Has btrfs forget what it saw on a device that is not mounted. Best effort: a mount tells if it matters.
pub(super) fn forget(device: &Path) {
    if let Ok(control) = File::open("/dev/btrfs-control") {
        let _ = sys::btrfs_forget(control, device);
    }
}

/// The root directory of a file system that is kept alive by it.
///
/// As long as it exists a freeze can be undone through it, whatever becomes of the mounts.
#[derive(Debug)]
pub struct Detached(OwnedFd);

impl Detached {
    /// Mounts a device; an existing mount of it elsewhere is joined, also while it is frozen.
    ///
    /// # Errors
    /// The device has no file system of this type, or it cannot be mounted.
    pub fn mount(device: &Path, fs: &str, flags: &[&str]) -> Result<Self, MachineError> {
        let mount = || -> rustix::io::Result<Self> {
            let context = fsopen(fs, FsOpenFlags::FSOPEN_CLOEXEC)?;
            fsconfig_set_string(context.as_fd(), "source", device)?;
            for flag in flags {
                fsconfig_set_flag(context.as_fd(), *flag)?;
            }
            fsconfig_create(context.as_fd())?;
            let tree = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
            Self::root_of(&tree)
        };
        if fs == "btrfs" { mount_btrfs(device, mount) } else { mount() }
            .map_err(step(format!("mount {} as {fs}", device.display())))
    }

    /// Keeps the file system that is mounted at a place of the calling thread's namespace. The mount
    /// itself stays free to be unmounted.
    ///
    /// # Errors
    /// Nothing is there.
    pub fn clone_of(mount_point: &Path) -> rustix::io::Result<Self> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        Self::root_of(&open_tree(CWD, mount_point, flags)?)
    }

    fn root_of(tree: &OwnedFd) -> rustix::io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(tree, ".", flags, Mode::empty())?))
    }

    /// Thaws it; `true` if it was frozen.
    ///
    /// # Errors
    /// As ioctl(2), except that a file system that is not frozen is none.
    pub fn thaw(&self) -> rustix::io::Result<bool> {
        match sys::thaw(&self.0) {
            Ok(()) => Ok(true),
            Err(Errno::INVAL) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A path to its root, good in this process while the value lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
