//! Machines with real disks, on real loop devices and file systems. Needs root; where that is missing the
//! tests say so and pass, or fail under `STILLFRAME_REQUIRE=1`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

mod frozen;
mod instances;
mod left_behind;
mod limits;
mod scripts;
mod snapshots;
mod support;
mod volumes;
