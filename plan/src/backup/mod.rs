//! What to back up now, and how: the plan of one run, decided to the last id.

mod place;
mod plan;
mod plan_text;
mod planner;
mod progress;
mod reason;
mod set_tags;

pub use plan::*;
pub use planner::plan;
pub use reason::*;
