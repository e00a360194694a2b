//! Images: the bytes of volumes and snapshots as files, made, formatted and cloned.

use super::step::{run_program, step};
use super::vault::sparse_file;
use crate::machine::MachineError;
use crate::spec::FsType;
use rustix::fs::ioctl_ficlone;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes a blank image.
///
/// # Errors
/// It exists, or there is no room.
pub fn create(path: &Path, size_mib: u64) -> Result<(), MachineError> {
    sparse_file(path, size_mib << 20).map(drop)
}

/// Makes a blank image whose every block is written: what is written later finds its place on the host's
/// disk allocated and initialised, as on a disk of one's own.
///
/// # Errors
/// It exists, or there is no room.
pub fn write_out(path: &Path, size_mib: u64) -> Result<(), MachineError> {
    let write = || -> std::io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(path)?;
        let zeros = vec![0u8; 1 << 20];
        (0..size_mib).try_for_each(|_| file.write_all(&zeros))?;
        file.sync_all()
    };
    write().map_err(step(format!("write {} with {size_mib} MiB", path.display())))
}

/// Formats an image that is all zeros; so nothing has to be zeroed or discarded, now or later.
///
/// # Errors
/// The `mkfs` of its type fails.
pub fn format(path: &Path, fs: FsType) -> Result<(), MachineError> {
    let mut command = match fs {
        FsType::None => return Ok(()),
        FsType::Ext4 => {
            let mut command = Command::new("mke2fs");
            command.args(["-q", "-F", "-t", "ext4", "-E", "assume_storage_prezeroed=1,nodiscard"]);
            command
        }
        FsType::Xfs => {
            let mut command = Command::new("mkfs.xfs");
            command.args(["-q", "-K"]);
            command
        }
        FsType::Btrfs => {
            let mut command = Command::new("mkfs.btrfs");
            command.args(["-q", "-K"]);
            command
        }
    };
    run_program(command.arg(path), &path.display().to_string())
}

/// A clone that is about to be made: everything that can be opened is open, so that the clone itself is
/// one system call. Without [`PendingClone::keep`] the new file goes away again.
#[derive(Debug)]
pub struct PendingClone {
    from: File,
    to: File,
    path: Option<PathBuf>,
}

impl PendingClone {
    /// Opens the source and makes the empty target.
    ///
    /// # Errors
    /// The source is missing, or the target is there already.
    pub fn prepare(from: &Path, to: &Path) -> Result<Self, MachineError> {
        let source = File::open(from).map_err(step(format!("open {}", from.display())))?;
        let target = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(to)
            .map_err(step(format!("make {}", to.display())))?;
        Ok(Self { from: source, to: target, path: Some(to.to_owned()) })
    }

    /// Clones: the target has the source's bytes of one instant.
    ///
    /// # Errors
    /// As `FICLONE` of ioctl_ficlone(2).
    pub fn clone_now(&self) -> rustix::io::Result<()> {
        ioctl_ficlone(&self.to, &self.from)
    }

    /// Makes the target as large as this, if it is smaller.
    ///
    /// # Errors
    /// There is no room.
    pub fn grow(&self, size_mib: u64) -> std::io::Result<()> {
        let size = size_mib << 20;
        if self.to.metadata()?.len() < size { self.to.set_len(size) } else { Ok(()) }
    }

    /// Lets the target stay.
    pub fn keep(mut self) {
        self.path = None;
    }
}

impl Drop for PendingClone {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}
