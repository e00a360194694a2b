//! How fast calls may follow each other: a token bucket whose rate finds out what the account allows.
//!
//! EC2 takes 5 `CreateSnapshots` a second after a burst of 100, and an order that is throttled is throttled
//! while somebody is frozen. So it begins below that rate, with half of that burst, since the account may
//! have other users. While nothing is throttled the rate rises slowly to just below EC2's; each time
//! something is, it falls by a third. (Additive increase, multiplicative decrease: what several such users
//! of one bucket come to is a fair share each.)
//!
//! Each of AWS's buckets has a pace of its own: what SSM says of `SendCommand` tells nothing of EC2's
//! snapshots. A throttled `SendCommand` freezes nobody, so its pace tries more and recovers sooner.

use crate::timer;
use std::time::{Duration, Instant};

/// What a throttled call leaves of the rate.
const FALL: f64 = 0.7;
/// Throttled calls that follow each other within this are one event: they were sent at one rate.
const ONE_EVENT: Duration = Duration::from_secs(5);

/// What a pace may be, calls a second.
#[derive(Debug, Clone, Copy)]
struct Range {
    least: f64,
    first: f64,
    most: f64,
    /// How much faster it gets in a second, at most.
    rise: f64,
}

/// Nor does it get faster by more than such a part of itself: what others leave little of is not overrun.
const MOST_RISE: f64 = 1.0 / 120.0;

/// For a bucket of 5 a second: from the first rate to the most takes a minute or so.
const FIVE_A_SECOND: Range = Range { least: 0.2, first: 4.0, most: 4.9, rise: 1.0 / 60.0 };
/// For SSM's commands, whose bucket nobody publishes.
const COMMANDS: Range = Range { least: 0.2, first: 10.0, most: 20.0, rise: 0.1 };

/// What an order takes its tokens from: one for its cut, and one for each time that it is sent.
#[derive(Debug)]
pub struct Paces {
    /// Of the calls that make snapshots.
    pub cuts: Pace,
    /// Of `SendCommand`.
    pub commands: Pace,
}

impl Paces {
    /// Full ones.
    #[must_use]
    pub fn full() -> Self {
        Self { cuts: Pace::of_cuts(), commands: Pace::of_commands() }
    }
}

/// The bucket.
#[derive(Debug)]
pub struct Pace {
    capacity: f64,
    range: Range,
    rate: f64,
    tokens: f64,
    counted_at: Instant,
    fell_at: Option<Instant>,
}

impl Pace {
    /// A full bucket.
    fn new(capacity: u32, range: Range, now: Instant) -> Self {
        let capacity = f64::from(capacity);
        Self { capacity, range, rate: range.first, tokens: capacity, counted_at: now, fell_at: None }
    }

    /// For calls that make snapshots: every order and every direct call takes a token.
    #[must_use]
    pub fn of_cuts() -> Self {
        Self::new(50, FIVE_A_SECOND, timer::now())
    }

    /// For orders' way to their instances.
    #[must_use]
    pub fn of_commands() -> Self {
        Self::new(10, COMMANDS, timer::now())
    }

    /// For deletions, which have a bucket of the same size.
    #[must_use]
    pub fn of_deletions() -> Self {
        Self::of_cuts()
    }

    /// For copies to another region, whose bucket is half as deep.
    #[must_use]
    pub fn of_copies() -> Self {
        Self::new(25, FIVE_A_SECOND, timer::now())
    }

    /// Takes a token, waiting for it if need be.
    pub async fn token(&mut self) {
        let wait = self.take(timer::now());
        if !wait.is_zero() {
            timer::sleep(wait).await;
        }
    }

    /// Something that a token was taken for was throttled.
    pub fn throttled(&mut self) {
        self.fall(timer::now());
    }

    /// Takes a token at `now`; returns after how long it may be used.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.counted_at = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.capacity) - 1.0;
        // Idle time proves nothing: it only rises while tokens are being used.
        let rise = self.range.rise.min(self.rate * MOST_RISE);
        self.rate = (self.rate + passed.min(ONE_EVENT.as_secs_f64()) * rise).min(self.range.most);
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.rate) }
    }

    /// The bucket behind it is empty: so is this one, and it fills more slowly.
    fn fall(&mut self, now: Instant) {
        if self.fell_at.is_some_and(|fell| now.saturating_duration_since(fell) < ONE_EVENT) {
            return;
        }
        self.fell_at = Some(now);
        self.rate = (self.rate * FALL).max(self.range.least);
        self.tokens = self.tokens.min(0.0);
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
