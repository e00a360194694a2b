//! Other people's programs that decide what we decide, driven so that the decisions can be compared.

mod restic;

pub use restic::{Decision, Restic, Version};
