//! A token bucket: EC2 takes 5 `CreateSnapshots` a second after a burst of 100, and an order that is
//! throttled is throttled while somebody is frozen. Every order and every direct call takes a token.

use std::time::{Duration, Instant};

/// The bucket.
#[derive(Debug)]
pub struct Pace {
    capacity: f64,
    per_second: f64,
    tokens: f64,
    counted_at: Instant,
}

impl Pace {
    /// A full bucket.
    #[must_use]
    pub fn new(capacity: u32, per_second: f64, now: Instant) -> Self {
        Self { capacity: f64::from(capacity), per_second, tokens: f64::from(capacity), counted_at: now }
    }

    /// For calls that make snapshots: half of EC2's burst and less than its rate, since the account may
    /// have other users.
    #[must_use]
    pub fn of_cuts() -> Self {
        Self::new(50, 4.0, Instant::now())
    }

    /// For deletions, which have a bucket of the same size.
    #[must_use]
    pub fn of_deletions() -> Self {
        Self::new(50, 4.0, Instant::now())
    }

    /// Takes a token, waiting for it if need be.
    pub async fn token(&mut self) {
        let wait = self.take(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a token at `now`; returns after how long it may be used.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.counted_at = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity) - 1.0;
        if self.tokens >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.tokens / self.per_second)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_comes_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(3, 4.0, start);
        let waits: Vec<u128> = (0..5).map(|_| pace.take(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 250, 500]);
        // The two that were taken in advance are paid back first.
        assert_eq!(pace.take(start + Duration::from_millis(500)).as_millis(), 250);
        assert_eq!(pace.take(start + Duration::from_secs(60)).as_millis(), 0);
    }
}
