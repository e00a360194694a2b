//! Waiting: short pauses at first, longer ones later, and an end.

use std::time::{Duration, Instant, SystemTime};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What is kept in hand to tell how far it came.
const RESERVE: Duration = Duration::from_secs(10);

/// When the function has to be done.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// From Lambda's deadline.
    #[must_use]
    pub fn at(ends: SystemTime) -> Self {
        let total = ends.duration_since(SystemTime::now()).unwrap_or_default();
        Self(Instant::now() + total.saturating_sub(RESERVE.min(total / 4)))
    }

    /// Begins to wait for something.
    #[must_use]
    pub fn patience(self) -> Patience {
        Patience { ends: self.0, pause: FIRST_PAUSE }
    }
}

/// One wait.
#[derive(Debug)]
pub struct Patience {
    ends: Instant,
    pause: Duration,
}

impl Patience {
    /// Waits for the next look; `false` when there is no time for one.
    pub async fn look_again(&mut self) -> bool {
        let left = self.ends.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 3 / 2).min(LONGEST_PAUSE);
        true
    }
}
