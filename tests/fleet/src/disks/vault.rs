//! A place whose files can be cloned in an instant (reflinks): the work directory itself where its file
//! system can do that, else an XFS of its own in a sparse file, mounted where every program of the host
//! can read the snapshots.

use super::loop_device::LoopDevice;
use super::step::{run_program, step};
use crate::machine::MachineError;
use rustix::fs::ioctl_ficlone;
use rustix::mount::{MountFlags, UnmountFlags};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Its name in the directory of its fleet.
pub const IMAGE: &str = "vault.img";

/// Size of the vault, sparse; less where the disk has less room.
const SIZE: u64 = 64 << 30;
/// An XFS wants 300 MiB, and a region some room.
const LEAST: u64 = 2 << 30;
/// Room is given out in pieces of 256 blocks, 1 MiB. A clone costs time per piece: with the default, images
/// of a few snapshots' age took 200 ms to clone, with this 5 ms.
const MKFS: [&str; 6] = ["-q", "-K", "-m", "reflink=1", "-d", "extszinherit=256,cowextsize=256"];
/// How long the vault may stay in use by the last ones to leave it.
const PATIENCE: Duration = Duration::from_secs(2);

/// The directory `images` of a work directory; unmounted on drop where it was mounted.
#[derive(Debug)]
pub struct Vault {
    mounted: Option<PathBuf>,
}

impl Vault {
    /// Makes `images` in the work directory.
    ///
    /// # Errors
    /// The disk is too small, or no XFS can be made or mounted.
    pub fn create(work_dir: &Path) -> Result<Self, MachineError> {
        let images = work_dir.join("images");
        fs::create_dir(&images).map_err(step(format!("make {}", images.display())))?;
        if can_clone(work_dir) {
            return Ok(Self { mounted: None });
        }
        let image = work_dir.join(IMAGE);
        let file = sparse_file(&image, room(work_dir)?)?;
        run_program(Command::new("mkfs.xfs").args(MKFS).arg(&image), "the vault for images")?;
        let device = LoopDevice::bind(&file, "the vault for images")?;
        rustix::mount::mount(device.path(), &images, c"xfs", MountFlags::NOATIME, None)
            .map_err(step(format!("mount the vault for images on {}", images.display())))?;
        Ok(Self { mounted: Some(images) })
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        if let Some(images) = &self.mounted
            && let Err(error) = unmount_for_sure(images)
        {
            tracing::warn!(dir = %images.display(), %error, "failed to unmount the vault for images");
        }
    }
}

/// Unmounts, waiting a while for the last users to leave.
///
/// # Errors
/// `EBUSY`: they did not.
pub(super) fn unmount_or_wait(mount_point: &Path) -> rustix::io::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match rustix::mount::unmount(mount_point, UnmountFlags::NOFOLLOW) {
            Err(rustix::io::Errno::BUSY) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Unmounts; if it stays in use the kernel does so as soon as the last user leaves.
pub(super) fn unmount_for_sure(mount_point: &Path) -> rustix::io::Result<()> {
    match unmount_or_wait(mount_point) {
        Err(rustix::io::Errno::BUSY) => {
            rustix::mount::unmount(mount_point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        }
        other => other,
    }
}

fn can_clone(dir: &Path) -> bool {
    let attempt = || -> std::io::Result<()> {
        let (from, to) = (tempfile::tempfile_in(dir)?, tempfile::tempfile_in(dir)?);
        from.set_len(4096)?;
        Ok(ioctl_ficlone(&to, &from)?)
    };
    attempt().is_ok()
}

fn room(dir: &Path) -> Result<u64, MachineError> {
    let disk = rustix::fs::statvfs(dir).map_err(step(format!("ask for the room in {}", dir.display())))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let size = SIZE.min(free / 10 * 9);
    if size < LEAST {
        let full = std::io::Error::new(
            std::io::ErrorKind::StorageFull,
            format!("{} has {} MiB free, {} are needed", dir.display(), free >> 20, LEAST >> 20),
        );
        return Err(step("make the vault for images")(full));
    }
    Ok(size)
}

pub(super) fn sparse_file(path: &Path, size: u64) -> Result<File, MachineError> {
    let make = || -> std::io::Result<File> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size)?;
        Ok(file)
    };
    make().map_err(step(format!("make {} with {} MiB", path.display(), size >> 20)))
}
