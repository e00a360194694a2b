//! Why something was not mounted.

use super::options::OptionsError;
use super::record::RecordsError;
use crate::hooks::HookError;
use crate::programs::ProgramError;
use crate::volumes::InventoryError;
use rustix::io::Errno;
use std::path::PathBuf;
use stillframe_wire::VolumeId;

/// Why something was not mounted. Nothing was changed then, unless the words say so.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The volume did not appear.
    #[error("volume {volume} did not appear within {seconds} s; is it attached to this instance?")]
    NotAttached {
        /// Which.
        volume: VolumeId,
        /// How long it was waited for.
        seconds: u64,
    },
    /// There is no such partition.
    #[error("{device} has no partition {partition}; it has {found}")]
    NoPartition {
        /// The disk.
        device: String,
        /// Which was asked for.
        partition: u32,
        /// What there is.
        found: String,
    },
    /// More than one file system could be meant.
    #[error("{device} holds several file systems ({found}); say which `partition`")]
    Several {
        /// The disk.
        device: String,
        /// The devices.
        found: String,
    },
    /// Its parts were not put together.
    #[error("{device} holds {signature}, which nobody has assembled; it is not mounted by itself")]
    NotAssembled {
        /// The device.
        device: String,
        /// What `blkid` calls it.
        signature: String,
    },
    /// A set of which parts are missing.
    #[error(
        "{device} is a part of {set}, of which only {found} of {wanted} parts are here; it is not started \
         without the others"
    )]
    Incomplete {
        /// The device.
        device: String,
        /// The set.
        set: String,
        /// Of how many parts it is made.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The parts of a set could not be put together.
    #[error("failed to assemble the {what} of {device}: {why}")]
    Assemble {
        /// The device.
        device: String,
        /// `volume group` or `array`.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A set's copy that is to keep its UUID.
    #[error(
        "{device} has the same UUID as {original}, and a {signature} cannot be used with that; \
         `\"duplicate\": \"new-uuid\"` gives it another"
    )]
    SetBeside {
        /// The device.
        device: String,
        /// The other.
        original: String,
        /// What `blkid` calls it.
        signature: String,
    },
    /// There is no file system.
    #[error(
        "{device} holds no file system, and the order does not say that it was made blank (`\"blank\": true`)"
    )]
    Unformatted {
        /// The device.
        device: String,
    },
    /// It was to be blank, and is not.
    #[error("{device} was to be formatted and is not blank: it carries {found}; nothing was written to it")]
    NotBlank {
        /// The device.
        device: String,
        /// What was found.
        found: String,
    },
    /// The type is none that can be mounted here.
    #[error("{device} holds {found}, which is no file system that is mounted here (ext2/3/4, xfs, btrfs)")]
    UnknownType {
        /// The device.
        device: String,
        /// What `blkid` calls it.
        found: String,
    },
    /// The type is another than the order says.
    #[error("{device} holds {found}, and the order says {wanted}")]
    OtherType {
        /// The device.
        device: String,
        /// What `blkid` calls it.
        found: String,
        /// What the order says.
        wanted: String,
    },
    /// More than one signature.
    #[error("{device} carries the signatures of several file systems; wipefs shows them")]
    Ambiguous {
        /// The device.
        device: String,
    },
    /// Something else holds the device.
    #[error("{device} is in use ({by}) and not mounted where it could be seen")]
    InUse {
        /// The device.
        device: String,
        /// By whom, as far as known.
        by: String,
    },
    /// A copy of something that is here too.
    #[error("{device} has the same UUID as {original}, and the order says not to mount it then")]
    Duplicate {
        /// The device.
        device: String,
        /// The other.
        original: String,
    },
    /// A copy that cannot be given another UUID.
    #[error("{device} has the same UUID as {original}, and cannot be given another: {why}")]
    NoNewUuid {
        /// The device.
        device: String,
        /// The other.
        original: String,
        /// Why.
        why: String,
    },
    /// The mount point is no directory, or the way there is none.
    #[error("mount point {path}: {at} is no directory")]
    NotADirectory {
        /// The mount point.
        path: PathBuf,
        /// Where it ends.
        at: PathBuf,
    },
    /// The way to the mount point is a symbolic link.
    #[error("mount point {path}: {at} is a symbolic link; name the directory that it leads to")]
    Link {
        /// The mount point.
        path: PathBuf,
        /// The link.
        at: PathBuf,
    },
    /// The kernel's own.
    #[error("mount point {path}: {at} is the kernel's, no place for a volume")]
    Kernel {
        /// The mount point.
        path: PathBuf,
        /// Which.
        at: &'static str,
    },
    /// There is something in it.
    #[error("mount point {path} is not empty (it holds {found:?}); `\"over_non_empty\": true` covers that")]
    NotEmpty {
        /// The mount point.
        path: PathBuf,
        /// One of its entries.
        found: String,
    },
    /// Something else is mounted there.
    #[error("{source_} is mounted at {path} already")]
    Taken {
        /// The mount point.
        path: PathBuf,
        /// What is there.
        source_: PathBuf,
    },
    /// The mount point cannot be made or looked at.
    #[error("failed to {verb} {path}")]
    Place {
        /// What was tried.
        verb: &'static str,
        /// Of what.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No such user or group.
    #[error("{kind} {name:?} does not exist on this instance")]
    NoSuchName {
        /// `user` or `group`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// An option that makes no sense here.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The device cannot be read.
    #[error("failed to read {device}")]
    Read {
        /// Which.
        device: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program failed.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The check found what it may not repair by itself.
    #[error("the check of {device} ended with code {code} and asks for a person: {words}")]
    Check {
        /// The device.
        device: String,
        /// The exit code of `e2fsck`.
        code: i32,
        /// What it said.
        words: String,
    },
    /// The kernel did not mount it.
    #[error(
        "failed to mount {device} at {path} as {kind} with options {options:?} (journalctl -k says more)"
    )]
    Mount {
        /// The device.
        device: String,
        /// Where.
        path: PathBuf,
        /// The type.
        kind: &'static str,
        /// The options.
        options: String,
        /// Why.
        source: Errno,
    },
    /// Another process mounts the same volume.
    #[error("another stillframe-helper is at work on {volume}")]
    Busy {
        /// Which.
        volume: VolumeId,
    },
    /// The time is over.
    #[error("the time for this mount ({seconds} s, `timeout_s`) is over")]
    TooLong {
        /// The limit.
        seconds: u64,
    },
    /// A hook.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// A record.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// The machine.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}
