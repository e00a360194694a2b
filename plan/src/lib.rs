//! What Stillframe decides: which volumes to back up now and how ([`plan`]), what may be claimed of the
//! snapshots afterwards ([`settle`]), which of the old ones to delete ([`prune`]).
//!
//! Pure: policy and observation in, decision with its reasons out. This crate has no clock, no random
//! numbers, no environment, no files, no network and no AWS; its `clippy.toml` sees to that.

mod born;
mod consistency;
mod evidence;
mod grouping;
mod ids;
mod keep;
mod kept_by;
pub mod layout;
mod layouts;
mod lineage;
mod numbers;
mod observed;
mod overrides;
mod place;
mod plan;
mod plan_text;
mod planner;
mod policy;
mod progress;
mod prune;
mod reason;
mod restore_point;
mod retention;
mod select;
mod set_tags;
mod settle;
mod settlement;
mod shared_tags;
mod slot;
pub mod tags;
mod text;
mod verdict;
#[cfg(test)]
mod world;

pub use consistency::Consistency;
pub use evidence::*;
pub use grouping::restore_points;
pub use ids::{InstanceId, RunId, SnapshotId, VolumeId};
pub use keep::{Keep, KeepTagError, Within};
pub use kept_by::{KeptBy, Match, Rule};
pub use lineage::{Lineage, LineageKey, lineages};
pub use observed::*;
pub use plan::*;
pub use planner::plan;
pub use policy::{MAX_FREEZE_MS, OnFailure, Policy, PolicyError};
pub use prune::prune;
pub use reason::*;
pub use restore_point::{Member as PointMember, RestorePoint, Target};
pub use retention::retain;
pub use select::Selection;
pub use settle::{MOST_ATTEMPTS, settle};
pub use settlement::*;
pub use shared_tags::{SharedTags, Words};
pub use slot::{Every, Slot};
pub use tags::Tags;
pub use verdict::*;
