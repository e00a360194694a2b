//! The one place that measures how long something takes and that waits: the machine's monotonic clock and
//! tokio's timer.
//!
//! A simulation may put a clock of its own in their place, before anything has asked for the time: then
//! hours of a large fleet pass in minutes, and what the functions do in them is what they do in
//! production. Nothing in production does so, and nothing else here knows of it.

use std::{
    future::Future,
    pin::Pin,
    sync::OnceLock,
    time::{Duration, Instant, SystemTime},
};

/// A wait.
pub type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A clock that somebody else moves.
pub trait Timekeeper: Send + Sync {
    /// How much time has passed since it was put in place.
    fn passed(&self) -> Duration;
    /// Waits until so much more has.
    fn wait(&self, duration: Duration) -> Wait;
}

struct Simulation {
    keeper: Box<dyn Timekeeper>,
    began: Instant,
    began_at: SystemTime,
}

static SIMULATION: OnceLock<Simulation> = OnceLock::new();

/// Puts a clock in place for the rest of the process's life. `false` when there is one already.
pub fn simulate(keeper: impl Timekeeper + 'static) -> bool {
    let simulation =
        Simulation { keeper: Box::new(keeper), began: Instant::now(), began_at: SystemTime::now() };
    SIMULATION.set(simulation).is_ok()
}

/// Now, for measuring.
#[must_use]
pub fn now() -> Instant {
    match SIMULATION.get() {
        None => Instant::now(),
        Some(simulation) => simulation.began + simulation.keeper.passed(),
    }
}

/// Now, for dating.
#[must_use]
pub fn system_now() -> SystemTime {
    match SIMULATION.get() {
        None => SystemTime::now(),
        Some(simulation) => simulation.began_at + simulation.keeper.passed(),
    }
}

/// Waits.
pub async fn sleep(duration: Duration) {
    match SIMULATION.get() {
        None => tokio::time::sleep(duration).await,
        Some(simulation) => simulation.keeper.wait(duration).await,
    }
}

/// Waits for something, but not longer than that: `None` when it took longer.
pub async fn within<F: Future>(limit: Duration, work: F) -> Option<F::Output> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = sleep(limit) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_simulation_it_is_the_machines_time() {
        let (before, now, after) = (Instant::now(), now(), Instant::now());
        assert!(before <= now && now <= after);
        assert_eq!(within(Duration::from_secs(60), async { 7 }).await, Some(7));
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<u8>()).await, None);
    }
}
