//! How far it is, how fast, and how long it will take.

use crate::clock::Boottime;
use std::time::Duration;

/// Tells of it when it is due, less often the longer it takes.
#[derive(Debug)]
pub(super) struct Progress {
    start: u64,
    size: u64,
    began: Boottime,
    told: Boottime,
}

/// How often a line is written, after the first minute.
const LINE_EVERY: Duration = Duration::from_secs(30);

pub(super) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

impl Progress {
    pub(super) fn new(start: u64, size: u64) -> Self {
        let now = Boottime::now();
        Self { start, size, began: now, told: now }
    }

    /// A line for the operator, when it is time for one.
    pub(super) fn line(&mut self, done: u64) -> Option<String> {
        let now = Boottime::now();
        let took = now.since(self.began);
        let every = if took < Duration::from_secs(60) { Duration::from_secs(5) } else { LINE_EVERY };
        if now.since(self.told) < every {
            return None;
        }
        self.told = now;
        Some(words(self.start, self.size, done, took))
    }
}

fn words(start: u64, size: u64, done: u64, took: Duration) -> String {
    let speed = mib(done.saturating_sub(start)) / took.as_secs_f64().max(1e-6);
    let left = mib(size.saturating_sub(done)) / speed.max(1e-6);
    let share = if size == 0 { 100.0 } else { done as f64 / size as f64 * 100.0 };
    let left = if speed < 1e-3 {
        "no estimate yet".to_owned()
    } else if left < 90.0 {
        format!("{left:.0} s left")
    } else {
        format!("{:.0} min left", left / 60.0)
    };
    format!("{:.0} of {:.0} MiB read ({share:.0} %), {speed:.0} MiB/s, {left}", mib(done), mib(size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_counts_only_what_this_run_has_read() {
        let mib = |n: u64| n << 20;
        let line = words(mib(500), mib(1000), mib(600), Duration::from_secs(10));
        assert_eq!(line, "600 of 1000 MiB read (60 %), 10 MiB/s, 40 s left");
        assert!(words(0, mib(100), 0, Duration::from_secs(5)).ends_with("no estimate yet"));
        assert!(words(0, mib(100_000), mib(1000), Duration::from_secs(100)).ends_with("165 min left"));
    }
}
