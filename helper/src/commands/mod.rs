//! The command lines that are more than a call: what they take, and what they print.

pub mod mount;
pub mod unmount;
pub mod warm;

use std::io::Write;
use stillframe_wire::{IdError, MountPoint, MountPointError, VolumeId};

/// Prints a document to stdout, which may be closed.
///
/// # Errors
/// It is.
pub fn print(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A volume id on the command line.
///
/// # Errors
/// It is none.
pub fn volume(text: &str) -> Result<VolumeId, IdError> {
    VolumeId::new(text)
}

/// A mount point on the command line.
///
/// # Errors
/// It is none.
pub fn mount_point(text: &str) -> Result<MountPoint, MountPointError> {
    MountPoint::new(text)
}
