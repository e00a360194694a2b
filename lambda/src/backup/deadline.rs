//! How long this invocation may still work. Made once from the deadline that Lambda gives, and
//! monotonic from then on: neither the clock's offset nor a step of the system time moves it.

use crate::timer;
use std::time::{Duration, Instant, SystemTime};

/// What is kept in hand for handing over, unless the whole is short.
const RESERVE: Duration = Duration::from_secs(90);

/// The end of the invocation, and when to hand over before it.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    ends: Instant,
    hand_over: Instant,
}

impl Deadline {
    /// From Lambda's deadline.
    #[must_use]
    pub fn at(ends: SystemTime) -> Self {
        Self::after(ends.duration_since(timer::system_now()).unwrap_or_default(), timer::now())
    }

    fn after(total: Duration, now: Instant) -> Self {
        let ends = now + total;
        Self { ends, hand_over: ends - RESERVE.min(total / 3) }
    }

    /// A little of what is kept in hand, for orders that are about to end.
    #[must_use]
    pub fn a_moment_more(self) -> Self {
        let reserve = self.ends.saturating_duration_since(self.hand_over);
        Self { hand_over: self.hand_over + reserve / 4, ..self }
    }

    /// Until Lambda ends the process.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.ends.saturating_duration_since(timer::now())
    }

    /// Until the run should be handed to a continuation.
    #[must_use]
    pub fn working_time(&self) -> Duration {
        self.hand_over.saturating_duration_since(timer::now())
    }

    /// Whether it is time to hand over.
    #[must_use]
    pub fn is_near(&self) -> bool {
        self.working_time().is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_seconds_are_kept_in_hand_or_a_third_of_a_short_time() {
        let now = Instant::now();
        let reserve = |total| {
            let deadline = Deadline::after(Duration::from_secs(total), now);
            (deadline.ends - deadline.hand_over).as_secs()
        };
        assert_eq!(reserve(900), 90);
        assert_eq!(reserve(270), 90);
        assert_eq!(reserve(30), 10);
        assert_eq!(reserve(0), 0);
    }

    #[test]
    fn a_deadline_that_has_passed_leaves_nothing() {
        let deadline = Deadline::at(SystemTime::UNIX_EPOCH);
        assert!(deadline.is_near());
        assert_eq!(deadline.remaining(), Duration::ZERO);
    }
}
