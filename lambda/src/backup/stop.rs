//! Why a run ends before its end.

use super::deadline::Deadline;
use crate::{aws::CallError, signing_key::KeyError};

/// What stops a run.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A continuation has to go on.
    #[error("the invocation's time is nearly up")]
    OutOfTime,
    /// A step without which the run cannot go on.
    #[error("failed to {step}: {cause}")]
    Call {
        /// The step.
        step: &'static str,
        /// What the call gave.
        cause: CallError,
    },
    /// No order can be signed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl Stop {
    /// For `map_err`: the step that failed.
    pub fn at(step: &'static str) -> impl Fn(CallError) -> Self {
        move |cause| Self::Call { step, cause }
    }
}

impl Deadline {
    /// Whether there is time to go on.
    ///
    /// # Errors
    /// [`Stop::OutOfTime`].
    pub fn check(&self) -> Result<(), Stop> {
        if self.is_near() { Err(Stop::OutOfTime) } else { Ok(()) }
    }
}
