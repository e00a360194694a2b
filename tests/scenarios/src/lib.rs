//! What the scenario tests share: a region of their own each, and the means to disturb it.
//!
//! A scenario is named after what a promise of the design says, starts a fleet of its own, drives the real
//! functions and the real helper through it, and looks at the outcome from outside: at the kernel, at the
//! records of the region, at the snapshots' bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod disturb;
mod guards;
mod left_behind;
mod operator;
mod orders;
mod region;
mod requirements;
mod restored;
mod specs;

pub use disturb::{Hit, Victim};
pub use left_behind::left_behind;
pub use region::{Region, Snapshot};
pub use requirements::program;
pub use restored::PairWriter;
pub use specs::{ONE_INSTANCE, PROMPT, REPLICAS, TWO_INSTANCES, daily};
