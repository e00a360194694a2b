//! From volume ids to file systems: what is attached, what lies on it, where it is mounted. Reads the
//! machine below a root directory and decides; it changes nothing, and freezes nothing.

mod by_id;
mod inventory;
mod kept;
pub mod mountinfo;
mod namespaces;
mod sysfs;
mod targets;

pub use inventory::{FileSystem, Inventory, InventoryError, read_mounts};
pub use kept::{Kept, OpenError};
pub use targets::{ResolveError, Target, resolve};

/// Types that have no freeze in the kernel: FIFREEZE answers EOPNOTSUPP. Another type is tried.
const WITHOUT_FREEZE: [&str; 9] =
    ["vfat", "msdos", "exfat", "ntfs3", "iso9660", "udf", "squashfs", "erofs", "minix"];

/// Whether the kernel is known to have no freeze for the type.
#[must_use]
pub fn is_without_freeze(fs_type: &str) -> bool {
    WITHOUT_FREEZE.contains(&fs_type)
}
