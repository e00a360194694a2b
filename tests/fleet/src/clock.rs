//! The fleet's clock: the system's plus an offset that only grows. Days pass by moving the offset.
//!
//! Records (start times, expiries, CloudTrail) carry this time. Latencies, deadlines and timeouts never
//! do: they are measured on the machine's own clock.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use std::sync::atomic::{AtomicI64, Ordering};

/// The clock of one region.
#[derive(Debug, Default)]
pub struct Clock {
    offset_s: AtomicI64,
}

impl Clock {
    /// What time it is in the region.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        let real = system_now();
        real.checked_add_signed(TimeDelta::seconds(self.offset_s())).unwrap_or(real)
    }

    /// How far ahead of the system it is, seconds.
    #[must_use]
    pub fn offset_s(&self) -> i64 {
        self.offset_s.load(Ordering::Relaxed)
    }

    /// Lets time pass. Returns the new offset, seconds.
    pub fn advance(&self, seconds: u32) -> i64 {
        let seconds = i64::from(seconds);
        self.offset_s.fetch_add(seconds, Ordering::Relaxed) + seconds
    }
}

/// What time it is on the machine: for what programs compare with the machine's clock themselves.
#[must_use]
pub fn system_now() -> DateTime<Utc> {
    stillframe_lambda::timer::system_now().into()
}

/// A time as EC2 writes it: RFC 3339 with milliseconds.
#[must_use]
pub fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// A time as the JSON services write it: seconds since 1970 with a fraction.
#[must_use]
pub fn epoch(time: DateTime<Utc>) -> serde_json::Value {
    // Milliseconds of this century are far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let seconds = time.timestamp_millis() as f64 / 1_000.0;
    serde_json::json!(seconds)
}
