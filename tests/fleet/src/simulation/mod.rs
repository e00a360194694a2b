//! A region on a clock of its own, in one process and on one thread: hours of a large fleet pass in minutes.
//!
//! The functions are the real ones, started in this process instead of as programs, behind the real SDK whose
//! requests are handed to the region's router instead of a socket. Helpers are those of [`crate::diskless`].
//! Everything that waits or measures goes through `stillframe_lambda::timer`, where a [`VirtualTime`] stands
//! in for the machine's: when nothing in the process has work left, it jumps to the next wait. So no figure
//! in virtual time depends on this machine, nor on what else runs on it; what a function computes takes no
//! virtual time, and is to be measured by itself.

mod host;
mod line;
mod time;

pub use host::{Ended, Host};
pub use line::{Line, Lost, Refused};
pub use time::VirtualTime;

use crate::diskless::Diskless;
use crate::latency::UnknownOperation;
use crate::region::Region;
use crate::server;
use crate::spec::Spec;
use std::future::Future;
use std::io;
use std::sync::Arc;
use stillframe_lambda::timer;
use tokio::task::LocalSet;

/// Why there is no simulation.
#[derive(Debug, thiserror::Error)]
pub enum SimulationError {
    /// The process has one already; its clock cannot be set back.
    #[error("this process has run a simulation already")]
    Second,
    /// No runtime.
    #[error("failed to start the runtime")]
    Runtime(#[from] io::Error),
    /// The spec names an operation that does not exist.
    #[error(transparent)]
    Latency(#[from] UnknownOperation),
}

/// A region on its own clock.
pub struct Simulation {
    /// The region.
    pub region: Arc<Region>,
    /// The way to it.
    pub line: Line,
    /// Its clock.
    pub time: VirtualTime,
}

/// Runs `work` in a simulation of this spec, on this thread.
///
/// # Errors
/// It cannot be set up.
pub fn run<T, F: Future<Output = T>>(
    spec: &Spec,
    work: impl FnOnce(Simulation) -> F,
) -> Result<T, SimulationError> {
    let time = VirtualTime::default();
    if !timer::simulate(time.clone()) {
        return Err(SimulationError::Second);
    }
    let idle = time.clone();
    // No timer and no I/O of tokio's: whatever would wait for the machine's time panics.
    let runtime =
        tokio::runtime::Builder::new_current_thread().on_thread_park(move || idle.idle()).build()?;
    let machines = Arc::new(Diskless::new(spec));
    let mounts = machines.mounts();
    let region = Arc::new(Region::new(spec, "http://region.invalid", machines, None)?);
    let line = Line::new(server::router(Arc::clone(&region)));
    let (host, jobs) = Host::new(line.clone(), mounts);
    // A region that was made a moment ago has none.
    let _ = region.functions.host.set(host);
    let simulation = Simulation { region: Arc::clone(&region), line, time };
    Ok(LocalSet::new().block_on(&runtime, async move {
        let serving = tokio::task::spawn_local(jobs.serve(region));
        let outcome = work(simulation).await;
        serving.abort();
        outcome
    }))
}
