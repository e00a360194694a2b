//! What Stillframe decides: which volumes to back up now and how ([`plan`]), what may be claimed of the
//! snapshots afterwards ([`settle`]), which of the old ones to delete ([`prune`]), what is done to bring
//! volumes back ([`restore`]). It also tells operators why and for how long a snapshot is kept ([`explain`]),
//! and how each lineage stands ([`status`]).
//!
//! Pure: policy and observation in, decision with its reasons out. This crate has no clock, no random
//! numbers, no environment, no files, no network and no AWS; its `clippy.toml` sees to that.

// What goes in.
mod event;
mod observed;
mod policy;
mod retention;

// What the tags of old snapshots tell.
mod history;

// What comes out.
mod backup;
mod copies;
mod dry_run;
mod explain;
mod prune;
mod restore;
mod settle;
mod status;
mod warning;

mod room;
mod text;
#[cfg(test)]
mod world;

pub use backup::*;
pub use copies::*;
pub use dry_run::{DryRun, dry_run};
pub use event::{Action, Continuation, Event};
pub use explain::*;
pub use history::{
    Lineage, LineageKey, Member as PointMember, RestorePoint, Target, lineages, restore_points,
};
pub use observed::*;
pub use policy::{CopyTo, Every, MAX_FREEZE_MS, OnFailure, Policy, PolicyError, Selection, Slot};
pub use prune::*;
pub use restore::*;
pub use retention::{Keep, KeepTagError, KeptBy, Match, Rule, Within, retain};
pub use room::fitting_lines;
pub use settle::*;
pub use status::*;
pub use warning::{CopyProblem, Warning};
