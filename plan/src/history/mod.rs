//! What the tags of old snapshots tell: which belong together, and what they are backups of.

mod grouping;
mod keys;
mod layouts;
mod lineage;
mod numbers;
mod restore_point;

pub(crate) use grouping::Grouping;
pub use grouping::restore_points;
pub(crate) use lineage::History;
pub use lineage::{Lineage, LineageKey, lineages};
pub(crate) use numbers::Numbers;
pub use restore_point::{Member, RestorePoint, Target};
