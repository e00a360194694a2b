//! From volume ids to file systems, and what else lies on the volumes.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, unreachable_pub)]

mod described;
mod machine;
mod orders;
mod stacks;
