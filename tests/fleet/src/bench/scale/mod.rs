//! `fleet bench scale`: one firing over a fleet of ten thousand instances, on the fleet's own clock, with AWS's
//! published token buckets and faults at random.
//!
//! It shows that no volume is left without a restore point and none has two, how the time it takes compares
//! with what the buckets allow, and what it costs in calls; and beside it what a tool does that takes the
//! volumes one by one. All in virtual time, see [`crate::simulation`]: nothing depends on this machine. The
//! function's memory is that of a process of its own and measured by itself.

mod account;
mod figures;
mod memory;
mod naive;

use crate::buckets;
use crate::simulation::{self, Simulation};
use account::Account;
use figures::{Figures, Marks};
use serde_json::json;
use std::time::{Duration, Instant};
use stillframe_lambda::timer;

/// What to run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Instances.
    #[arg(long, default_value_t = 10_000)]
    pub instances: usize,
    /// Volumes of each.
    #[arg(long, default_value_t = 4)]
    pub volumes_per_instance: usize,
    /// Snapshots that there are of them already; by default ten of each volume.
    #[arg(long)]
    pub snapshots: Option<usize>,
    /// Calls that go wrong, percent: throttled, 5xx, an answer lost after the effect, the signal function
    /// killed.
    #[arg(long, default_value_t = 1.0)]
    pub faults: f64,
    /// Where the random numbers start.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Leaves out the tool that takes volumes one by one.
    #[arg(long)]
    pub alone: bool,
    /// Leaves out the function's memory, which is measured on the machine's own time.
    #[arg(long)]
    pub without_memory: bool,
    /// Prints one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// How often the schedule fires: an unfinished slot is finished by the next firing.
const FIRES_EVERY: Duration = Duration::from_secs(3_600);
/// Firings after which what is not done is called lost.
const MOST_FIRINGS: u32 = 3;

/// Runs it; whether every mark was kept.
///
/// # Errors
/// It could not be run.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    let account = Account::of(options);
    let began = Instant::now();
    // Before the simulation: a process has one clock, and this is the machine's.
    let memory_mib = if options.without_memory { None } else { Some(memory::measure(&account)?) };
    let mut spec = account.spec();
    spec.throttle = buckets::published();
    spec.function.timeout_s = 900;
    spec.function.retry_delays_ms = [60_000, 120_000];
    let (ours, naive) = simulation::run(&spec, async |simulation| {
        account.fill(&simulation.region);
        let ours = fire(&simulation, &account, options).await;
        let naive = if options.alone { None } else { Some(naive::run(&simulation, &account).await) };
        (ours, naive)
    })?;
    let figures = Figures { memory_mib, naive, machine_s: began.elapsed().as_secs_f64(), ..ours };
    let marks = Marks::of(&figures);
    if options.json {
        println!("{}", json!({"bench": "scale", "figures": figures, "kept": marks.kept()}));
    } else {
        print!("{}", figures.table());
        print!("{marks}");
    }
    Ok(marks.kept())
}

async fn fire(simulation: &Simulation, account: &Account, options: &Options) -> Figures {
    let region = &simulation.region;
    region.faults.by_chance(options.faults / 100.0, options.seed);
    let (began, mut firings) = (timer::now(), 0);
    let event = account.policy();
    let mut found;
    let makespan = loop {
        firings += 1;
        let fired = timer::now();
        if let Err(error) = simulation.line.invoke(None, "backup", &event, true).await {
            tracing::error!(%error, "the schedule could not fire");
        }
        while region.under_way() != Default::default() {
            timer::sleep(Duration::from_secs(1)).await;
        }
        let makespan = timer::now().duration_since(began);
        found = account.judge(region);
        if found.without == 0 || firings == MOST_FIRINGS {
            break makespan;
        }
        timer::sleep(FIRES_EVERY.saturating_sub(timer::now().duration_since(fired))).await;
    };
    let figures = Figures::of(region, account, found, makespan, firings);
    // What comes after has none.
    region.faults.by_chance(0.0, options.seed);
    figures
}
