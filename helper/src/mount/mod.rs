//! Mounting: from a volume's id to a mounted file system, now and at every boot. A process of its own does
//! each mount ([`one`]), so that one that hangs in the kernel holds up no other ([`together`]); what was
//! mounted is recorded ([`record`]), and mounted again at boot without AWS.
//!
//! It destroys nothing: a file system is made only on a volume that the order calls blank and that carries
//! nothing ([`signature`]), and nothing is mounted over what is not empty unless the order says so.

mod device;
mod duplicate;
mod error;
mod file_system;
mod grow;
mod holders;
mod lvm;
mod md;
mod nesting;
mod one;
mod options;
mod place;
mod record;
mod sets;
mod signature;
mod together;
mod unmount;

pub use error::MountError;
pub use nesting::parents;
pub use one::{Context, Task, one};
pub use record::{FOLDER as RECORDS, Record, Records, RecordsError};
pub use together::{boot, mount};
pub use unmount::{Wanted, unmount};
