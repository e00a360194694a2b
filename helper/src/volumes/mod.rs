//! From volume ids to file systems: what is attached, what lies on it, where it is mounted. Reads the
//! machine below a root directory and decides; it changes nothing, and freezes nothing.

mod by_id;
mod essentials;
mod filesystem;
mod inventory;
mod judge;
mod kept;
pub mod mountinfo;
mod namespaces;
mod notes;
mod occupants;
mod places;
pub mod sysfs;
mod targets;
mod walk;
mod writers;

pub use by_id::attached;
pub use filesystem::{Backing, Essential, FileSystem, Held};
pub use inventory::{Inventory, InventoryError, read_mounts};
pub use judge::{Judgement, WhyNot, judge, judge_target};
pub use kept::{Kept, OpenError};
pub use notes::{note_sentence, notes};
pub use occupants::{Occupant, Occupies};
pub use targets::{ResolveError, Target, resolve};
