//! What a restore asks the helper for, and what the helper answers: a [`MountOrder`] on its way to the
//! instance, a [`MountReport`] on its way back. The order is no permission: who may run the helper as root
//! may mount; so it is not signed.

mod order;
mod report;

pub use order::{
    Duplicate, FileSystemKind, MAX_MOUNT_TIMEOUT_S, MountOrder, MountPoint, MountPointError, MountSpec,
};
pub use report::{MountOutcome, MountReport, Mounted, RanHook};
