//! The clock that writers, cuts and checks share: nanoseconds since the machine started, suspension
//! included. It cannot be set, so that "before the cut" means before.

use rustix::time::{ClockId, clock_gettime};

/// Now.
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or_default())
}
