//! The rate: each request takes a turn, and turns come as often as the rate allows.

use crate::clock::Boottime;
use std::sync::Mutex;
use std::time::Duration;

/// Hands out turns to all threads.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<u64>,
    next: Mutex<Boottime>,
}

impl Pace {
    /// So many bytes per second; without a rate, nobody waits.
    pub(super) fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), next: Mutex::new(Boottime::now()) }
    }

    /// Waits for the turn of a request of that size.
    pub(super) fn wait(&self, bytes: u64) {
        let Some(rate) = self.rate else { return };
        let now = Boottime::now();
        let turn = {
            let mut next = self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let turn = turn(now, *next);
            *next = turn.after(cost(bytes, rate));
            turn
        };
        let left = turn.since(now);
        if !left.is_zero() {
            std::thread::sleep(left);
        }
    }
}

/// What was not used is lost: a pause is not followed by a burst.
fn turn(now: Boottime, next: Boottime) -> Boottime {
    next.max(now)
}

fn cost(bytes: u64, rate: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / rate as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_as_often_as_the_rate_allows_and_never_in_a_burst() {
        let at = |ms: u64| Boottime::from_nanos(ms * 1_000_000);
        assert_eq!(cost(1 << 20, 4 << 20), Duration::from_millis(250));
        assert_eq!((turn(at(5), at(9)), turn(at(9), at(5))), (at(9), at(9)));
    }
}
