//! What Stillframe decides: which volumes to back up now and how ([`plan`]), what may be claimed of the
//! snapshots afterwards ([`settle`]), which of the old ones to delete ([`prune`]).
//!
//! Pure: policy and observation in, decision with its reasons out. This crate has no clock, no random
//! numbers, no environment, no files, no network and no AWS; its `clippy.toml` sees to that.

// What goes in.
mod observed;
mod policy;
mod retention;

// What the tags of old snapshots tell.
mod history;

// What comes out.
mod backup;
mod prune;
mod settle;
mod warning;

mod text;
#[cfg(test)]
mod world;

pub use backup::*;
pub use history::{
    Lineage, LineageKey, Member as PointMember, RestorePoint, Target, lineages, restore_points,
};
pub use observed::*;
pub use policy::{Every, MAX_FREEZE_MS, OnFailure, Policy, PolicyError, Selection, Slot};
pub use prune::*;
pub use retention::{Keep, KeepTagError, KeptBy, Match, Rule, Within, retain};
pub use settle::*;
pub use warning::{CopyProblem, Warning};
