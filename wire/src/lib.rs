//! The words that the functions and the helper share: the signed [`WorkOrder`], the helper's
//! [`Signal`], the signal function's [`Answer`], the helper's [`Report`] and its exit codes; and a restore's
//! [`MountOrder`] with the [`MountReport`] that answers it.
//!
//! Everything here is JSON with two rules: an unknown field is ignored, a missing or malformed one
//! is an error that names it. This crate knows no clock, no network and no AWS: the time at which
//! an order expires is an argument.

mod answer;
mod exit;
mod ids;
mod json;
mod mount;
mod order;
mod report;
mod signal;

pub use answer::{Answer, Cut, CutSnapshot, ReadyAnswer, Refusal, RefusalReason};
pub use exit::Exit;
pub use ids::{IdError, InstanceId, RunId, SnapshotId, VolumeId};
pub use json::JsonError;
pub use mount::{
    Duplicate, FileSystemKind, MAX_MOUNT_TIMEOUT_S, MountOrder, MountOutcome, MountPoint, MountPointError,
    MountReport, MountSpec, Mounted, RanHook,
};
pub use order::{AUDIENCE, MAX_FREEZE_MS, OrderError, OrderedVolume, SigningKey, WorkOrder};
pub use report::{
    FileSystemReport, FileSystemVerdict, Flush, Holds, Phases, REPORT_LIMIT, Reason, Report, SnapshotReport,
    ThirdLine, Verdict, VolumeNote,
};
pub use signal::{FileSystem, Frozen, Ready, Signal};

/// Version of every document in this crate.
pub const VERSION: u32 = 1;
