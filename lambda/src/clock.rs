//! The one place that asks what day it is: the system's time plus an offset.
//!
//! The offset comes from the environment variable `STILLFRAME_CLOCK_OFFSET_S` (whole seconds, may be
//! negative, absent in production). The embedded test region sets it so that days can pass in a test.
//! It moves what day it is, never how long anything may take: deadlines are `Instant`s, or the system
//! time that Lambda gives.

use crate::timer;
use chrono::{DateTime, TimeDelta, Utc};

/// Name of the variable that holds the offset.
pub const OFFSET_VARIABLE: &str = "STILLFRAME_CLOCK_OFFSET_S";

/// The clock of this process.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    offset: TimeDelta,
}

impl Clock {
    /// The clock with this offset, as the variable gives it.
    ///
    /// # Errors
    /// The text is not a number of seconds.
    pub fn new(offset: Option<&str>) -> Result<Self, BadOffset> {
        let Some(text) = offset else { return Ok(Self { offset: TimeDelta::zero() }) };
        text.trim()
            .parse()
            .ok()
            .and_then(TimeDelta::try_seconds)
            .map(|offset| Self { offset })
            .ok_or_else(|| BadOffset { text: text.to_owned() })
    }

    /// What time it is.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        DateTime::<Utc>::from(timer::system_now())
            .checked_add_signed(self.offset)
            .unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The same in whole seconds since 1970, as work orders count.
    #[must_use]
    pub fn now_s(&self) -> u64 {
        u64::try_from(self.now().timestamp()).unwrap_or(0)
    }
}

/// An offset that is no number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{OFFSET_VARIABLE} is {text:?}, which is not a whole number of seconds")]
pub struct BadOffset {
    text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_moves_the_time() {
        let now = Clock::new(None).unwrap().now();
        let later = Clock::new(Some("86400")).unwrap().now();
        let earlier = Clock::new(Some("-60")).unwrap().now();
        assert!((later - now - TimeDelta::days(1)).abs() < TimeDelta::seconds(5));
        assert!((now - earlier - TimeDelta::seconds(60)).abs() < TimeDelta::seconds(5));
    }

    #[test]
    fn an_offset_that_is_no_number_is_an_error_that_shows_it() {
        for text in ["", "1h", "9223372036854775807"] {
            assert!(Clock::new(Some(text)).unwrap_err().to_string().contains(&format!("{text:?}")));
        }
    }
}
