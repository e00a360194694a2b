//! What is done to a file system before it is mounted: made on a blank volume, or checked with its journal
//! replayed; and the mount itself.

use super::MountError;
use super::device::Device;
use super::options::Options;
use super::signature::{Signature, not_blank};
use crate::clock::Boottime;
use crate::programs::{self, ProgramError};
use rustix::io::Errno;
use std::ffi::CString;
use std::path::Path;
use stillframe_wire::{FileSystemKind, MountSpec};

/// What `e2fsck` ends with when the file system is in order now: a sum of errors corrected (1) and a reboot
/// asked for (2), which is for a mounted root. From 4 on something was not corrected, or not even tried.
pub(super) const IN_ORDER: [i32; 4] = [0, 1, 2, 3];

/// What is on the device, seen with the order's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A file system of that type.
    FileSystem(FileSystemKind),
    /// Nothing at all, and the order has one of that type made.
    Blank(FileSystemKind),
}

/// Compares what is on the device with what the order says. Nothing is formatted that carries anything.
///
/// # Errors
/// They do not fit.
pub(super) fn judge(device: &Device, spec: &MountSpec, until: Boottime) -> Result<Content, MountError> {
    let shown = || device.shown();
    let found = &device.signature;
    if found.is_none() {
        let Some(wanted) = spec.file_system.filter(|_| spec.blank) else {
            return Err(MountError::Unformatted { device: shown() });
        };
        return match not_blank(&device.path(), device.size(), until)? {
            Some(found) => Err(MountError::NotBlank { device: shown(), found }),
            None => Ok(Content::Blank(wanted)),
        };
    }
    let kind = found.kind.as_deref().and_then(FileSystemKind::named);
    match (kind, spec.file_system) {
        (Some(kind), None) => Ok(Content::FileSystem(kind)),
        (Some(kind), Some(wanted)) if kind == wanted => Ok(Content::FileSystem(kind)),
        // What blkid calls an ext2 may have been mounted as ext4, and be recorded so.
        (Some(kind), Some(wanted)) if is_ext(kind) && is_ext(wanted) => Ok(Content::FileSystem(wanted)),
        _ if spec.blank => Err(MountError::NotBlank { device: shown(), found: found.words() }),
        (Some(_), Some(wanted)) => Err(MountError::OtherType {
            device: shown(),
            found: found.words(),
            wanted: wanted.name().to_owned(),
        }),
        (None, _) => Err(MountError::UnknownType { device: shown(), found: found.words() }),
    }
}

pub(super) fn is_ext(kind: FileSystemKind) -> bool {
    matches!(kind, FileSystemKind::Ext2 | FileSystemKind::Ext3 | FileSystemKind::Ext4)
}

/// Makes a file system on a device that [`judge`] found blank. That was before the hooks ran, and `mkfs` alone
/// is no guard: without a terminal `mke2fs` overwrites whatever it finds. So the device is looked at once more,
/// with nobody else holding it, right before.
///
/// # Errors
/// It is not blank any more, or in use, or `mkfs` fails. Nothing was written in the first two cases.
pub(super) fn make(device: &Device, kind: FileSystemKind, until: Boottime) -> Result<Signature, MountError> {
    if let Some(by) = device.held_by()? {
        return Err(MountError::InUse { device: device.shown(), by });
    }
    if let Some(found) = not_blank(&device.path(), device.size(), until)? {
        return Err(MountError::NotBlank { device: device.shown(), found });
    }
    let mut mkfs = programs::program(&format!("mkfs.{kind}"));
    mkfs.arg("-q").arg(device.path());
    programs::run(&mut mkfs, until)?.ended_with(&[0])?;
    Signature::of(&device.path(), until)
}

/// Checks a file system that is not mounted, and replays its journal. XFS and btrfs do both when they are
/// mounted. What to warn of, if anything.
///
/// # Errors
/// It finds what it may not repair by itself.
pub(super) fn check(
    device: &Device,
    kind: FileSystemKind,
    until: Boottime,
) -> Result<Option<String>, MountError> {
    if !is_ext(kind) {
        return Ok(None);
    }
    let ran = match programs::run(programs::program("e2fsck").arg("-p").arg(device.path()), until) {
        Ok(ran) => ran,
        // The kernel replays the journal, too.
        Err(error @ ProgramError::Start { .. }) => {
            return Ok(Some(format!("{}: mounted without a check", crate::describe(&error))));
        }
        Err(error) => return Err(error.into()),
    };
    match ran.code() {
        Some(0) => Ok(None),
        Some(code) if IN_ORDER.contains(&code) => {
            Ok(Some(format!("the check of {} corrected it: {}", device.shown(), ran.words())))
        }
        Some(code) => Err(MountError::Check { device: device.shown(), code, words: ran.words() }),
        None => Err(ran.failure().into()),
    }
}

/// Mounts it.
///
/// # Errors
/// The kernel does not.
pub(super) fn mount(
    device: &Device,
    kind: FileSystemKind,
    options: &Options,
    target: &Path,
) -> Result<(), Errno> {
    let mut options = options.clone();
    for other in device.paths().skip(1) {
        // The kernel need not have been told of the other members by udev.
        options = options.and(&format!("device={}", other.display()));
    }
    let data = CString::new(options.data).map_err(|_| Errno::INVAL)?;
    let data = (!data.as_bytes().is_empty()).then_some(data.as_c_str());
    rustix::mount::mount(device.path(), target, kind.name(), options.flags, data)
}
