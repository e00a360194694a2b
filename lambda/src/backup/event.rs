//! What of an event is about going on. The event itself is read by the plan.

pub use stillframe_plan::{Action, Continuation, Event};

/// Most continuations of one run: a guard against a run that invokes itself for ever. In each invocation's
/// 810 s EC2 takes some 4,000 `CreateSnapshots` or deletions, so this is room for 80,000 of either.
pub const MOST_HOPS: u32 = 20;
