//! `fleet bench`: measurements that anyone can repeat. Each prints a table, and `--json` one line.

#![allow(clippy::indexing_slicing, reason = "a missing key of a JSON value reads as null")]

pub mod freeze;
pub mod functions;
pub mod kill;
pub mod labels;
pub mod restore;
pub mod scale;

use crate::client::{Client, ClientError};
use crate::outside;
use crate::process::{FleetProcess, StartError};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Why a benchmark could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// This machine lacks what the benchmark measures.
    #[error("this benchmark cannot run here: {0}")]
    Missing(String),
    /// A file or process of the benchmark's own.
    #[error("failed to {step}")]
    Io {
        /// What was tried.
        step: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// No region.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The region did not answer as it should.
    #[error("failed to {step}")]
    Region {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: ClientError,
    },
    /// Something did not come about in time.
    #[error("waited {0} s for {1}")]
    Waited(u64, &'static str),
}

fn io(step: impl Into<String>) -> impl FnOnce(std::io::Error) -> BenchError {
    let step = step.into();
    move |source| BenchError::Io { step, source }
}

fn region(step: &'static str) -> impl Fn(ClientError) -> BenchError {
    move |source| BenchError::Region { step, source }
}

fn start(spec: &str, dir: &Path) -> Result<FleetProcess, BenchError> {
    if let Some(missing) = crate::disks::missing() {
        return Err(BenchError::Missing(missing));
    }
    let program = std::env::current_exe().map_err(io("find this program's own path"))?;
    let fleet = FleetProcess::start_in(&program, spec, dir)?;
    wait(20, "records of every writer", || {
        let instances = fleet.client().state().map_err(region("read the mounts"))?;
        Ok(outside::written_to(&outside::paths(fleet.pid(), &instances)))
    })?;
    Ok(fleet)
}

fn wait(
    seconds: u64,
    what: &'static str,
    mut condition: impl FnMut() -> Result<bool, BenchError>,
) -> Result<(), BenchError> {
    let end = Instant::now() + Duration::from_secs(seconds);
    while !condition()? {
        if Instant::now() > end {
            return Err(BenchError::Waited(seconds, what));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The policy that the benchmarks run; few snapshots are kept, so that the disk stays small.
fn policy() -> Value {
    json!({
        "policy": "daily", "every": "day", "select": {"tag:stillframe": "daily"},
        "consistency": "filesystem", "on_failure": "crash", "keep": {"last": 2}
    })
}

/// A day later, with every snapshot complete, the same policy makes a new restore point.
fn next_day(client: &Client) -> Result<(), BenchError> {
    client.advance(86_400).map_err(region("move the clock"))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
