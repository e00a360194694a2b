//! The part of the SSM agent that touches the machine: running a script the way `aws:runShellScript` does.
//!
//! Documents, parameters and steps are the region's business; what arrives here is the text to run.

mod capture;
mod process;
mod script;

pub use script::{Agent, start};
