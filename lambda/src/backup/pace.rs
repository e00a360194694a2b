//! How fast calls may follow each other: a token bucket whose rate finds out what the account allows.
//!
//! EC2 takes 5 `CreateSnapshots` a second after a burst of 100, and an order that is throttled is throttled
//! while somebody is frozen. So it begins below that rate, with half of that burst, since the account may
//! have other users. While nothing is throttled the rate rises slowly to just below EC2's; each time
//! something is, it falls by a third. (Additive increase, multiplicative decrease: what several such users
//! of one bucket come to is a fair share each.)

use crate::timer;
use std::time::{Duration, Instant};

/// How much faster it gets in a second, calls a second: the whole way takes a minute or so.
const RISE: f64 = 1.0 / 60.0;
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
        Self::new(50, Range { least: 0.2, first: 4.0, most: 4.9 }, timer::now())
    }

    /// For deletions, which have a bucket of the same size.
    #[must_use]
    pub fn of_deletions() -> Self {
        Self::of_cuts()
    }

    /// For copies to another region, whose bucket is half as deep.
    #[must_use]
    pub fn of_copies() -> Self {
        Self::new(25, Range { least: 0.2, first: 4.0, most: 4.9 }, timer::now())
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
        self.rate = (self.rate + passed.min(ONE_EVENT.as_secs_f64()) * RISE).min(self.range.most);
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
mod tests {
    use super::*;

    const RANGE: Range = Range { least: 0.2, first: 4.0, most: 4.9 };

    /// A bucket of EC2's, with some tokens for others.
    struct Ec2 {
        tokens: f64,
        per_second: f64,
        at: Instant,
    }

    impl Ec2 {
        fn takes(&mut self, now: Instant) -> bool {
            self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(100.0);
            self.at = now;
            let taken = self.tokens >= 1.0;
            if taken {
                self.tokens -= 1.0;
            }
            taken
        }
    }

    /// Calls for so long; how many were taken, and how many throttled.
    fn call_for(pace: &mut Pace, ec2: &mut Ec2, mut now: Instant, seconds: u64) -> (u32, u32) {
        let (end, mut taken, mut throttled) = (now + Duration::from_secs(seconds), 0, 0);
        while now < end {
            now += pace.take(now) + Duration::from_millis(1);
            if ec2.takes(now) {
                taken += 1;
            } else {
                throttled += 1;
                pace.fall(now);
            }
        }
        (taken, throttled)
    }

    #[test]
    fn a_burst_is_free_and_then_tokens_come_at_the_rate() {
        let start = Instant::now();
        let mut pace = Pace::new(3, Range { least: 1.0, first: 2.0, most: 2.0 }, start);
        let waits: Vec<u128> = (0..5).map(|_| pace.take(start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1_000]);
        // The waits ended a second ago: two more tokens have come.
        let later = start + Duration::from_secs(2);
        assert_eq!(pace.take(later), Duration::ZERO);
        assert_eq!(pace.take(later), Duration::ZERO);
        assert_eq!(pace.take(later).as_millis(), 500);
    }

    #[test]
    fn no_more_than_the_burst_is_saved_up() {
        let start = Instant::now();
        let mut pace = Pace::new(2, RANGE, start);
        let later = start + Duration::from_secs(3_600);
        let waits: Vec<bool> = (0..3).map(|_| pace.take(later).is_zero()).collect();
        assert_eq!(waits, [true, true, false]);
    }

    #[test]
    fn with_the_account_to_itself_it_is_never_throttled_and_comes_close_to_what_there_is() {
        let start = Instant::now();
        let mut ec2 = Ec2 { tokens: 100.0, per_second: 5.0, at: start };
        let (taken, throttled) = call_for(&mut Pace::new(50, RANGE, start), &mut ec2, start, 1_000);
        assert_eq!(throttled, 0);
        assert!(taken > 4_800, "{taken} of 5,100");
    }

    #[test]
    fn beside_other_users_it_falls_below_what_they_leave_and_rises_when_they_are_gone() {
        let start = Instant::now();
        let mut pace = Pace::new(50, RANGE, start);
        let mut ec2 = Ec2 { tokens: 10.0, per_second: 2.0, at: start };
        let (taken, throttled) = call_for(&mut pace, &mut ec2, start, 1_000);
        assert!(taken > 1_500, "{taken} of 2,000");
        assert!(throttled * 10 < taken, "{throttled} throttled, {taken} taken");
        ec2.per_second = 5.0;
        let later = start + Duration::from_secs(1_010);
        let (_, throttled) = call_for(&mut pace, &mut ec2, later, 300);
        assert!((throttled, pace.rate) == (0, RANGE.most), "{throttled} throttled, {} a second", pace.rate);
    }

    #[test]
    fn a_handful_of_throttled_calls_at_once_is_one_event() {
        let start = Instant::now();
        let mut pace = Pace::new(50, RANGE, start);
        for ms in [0, 100, 4_000] {
            pace.fall(start + Duration::from_millis(ms));
        }
        assert!((pace.rate - 2.8).abs() < 1e-9, "{}", pace.rate);
        pace.fall(start + Duration::from_secs(6));
        assert!((pace.rate - 1.96).abs() < 1e-9, "{}", pace.rate);
        (0..100).for_each(|n| pace.fall(start + Duration::from_secs(20 + n * 6)));
        assert!((pace.rate - RANGE.least).abs() < 1e-9, "{}", pace.rate);
    }
}
