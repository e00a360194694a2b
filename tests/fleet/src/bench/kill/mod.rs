//! `fleet bench kill`: freezes under load, each hit at a random instant by whatever can happen to one, and
//! after each the promises checked from outside: nothing frozen longer than `max_freeze` + 100 ms, nor 100 ms
//! after the worker's death; no label beyond the truth; no process and no freeze left.
//!
//! Seed and number of a freeze give what happens to it and in which region; when exactly a process is hit
//! depends on the machine, too.

mod calls;
mod disturb;
mod figures;
mod helpers;
mod inside;
mod judge;
mod looks;
mod plan;
mod running;
mod site;
mod stage;
mod watch;

use super::BenchError;
use crate::sync::lock;
use fastrand::Rng;
use figures::Figures;
use plan::Plan;
use serde_json::json;
use site::INSTANCES;
use stage::{Round, Stage};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

/// Regions at a time: some wait for their backup functions while another one freezes.
const LANES: usize = 3;
/// A region is left after so many rounds: its writers' logs and SSM's records grow.
const ROUNDS: usize = 20;
const PER_STAGE: usize = ROUNDS * INSTANCES;
/// A region is also left when its images hold so many bytes: on a slow machine a round takes longer, and its
/// writers do not pause. Three such regions leave room in memory, which is where images may lie.
const MOST_HELD: u64 = 4 << 30;

/// Runs the campaign and prints it; whether every promise was kept and the check could have failed.
///
/// # Errors
/// It could not be run to its end.
pub fn run(runs: usize, seed: u64, dir: &Path, as_json: bool) -> Result<bool, BenchError> {
    let began = Instant::now();
    let figures = Mutex::new(Figures { seed, ..Figures::default() });
    let stages = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    // A short campaign is shared by the lanes, too.
    let per_stage = PER_STAGE.min(runs.div_ceil(LANES).next_multiple_of(INSTANCES));
    std::thread::scope(|scope| {
        let lane = || -> Result<(), BenchError> {
            while !failed.load(SeqCst) {
                let first = stages.fetch_add(1, SeqCst) * per_stage;
                if first >= runs {
                    break;
                }
                let numbers = first..(first + per_stage).min(runs);
                act(numbers, seed, dir, &figures, as_json).inspect_err(|_| failed.store(true, SeqCst))?;
            }
            Ok(())
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let panicked = |_| Err(BenchError::Missing("a lane of the campaign panicked".to_owned()));
        lanes.into_iter().try_for_each(|lane| lane.join().unwrap_or_else(panicked))
    })?;
    let mut figures = std::mem::take(&mut *lock(&figures));
    figures.took_s = began.elapsed().as_secs();
    if as_json {
        println!("{}", json!(figures));
    } else {
        figures.print();
    }
    Ok(figures.violations.is_empty() && figures.provable())
}

/// The freezes with these numbers, in a region of their own.
fn act(
    numbers: std::ops::Range<usize>,
    seed: u64,
    dir: &Path,
    figures: &Mutex<Figures>,
    as_json: bool,
) -> Result<(), BenchError> {
    let mut random = Rng::with_seed(seed.wrapping_mul(31).wrapping_add(numbers.start as u64));
    let mut stage = Stage::set(&mut random, dir)?;
    let plans: Vec<Plan> = numbers.map(|number| Plan::of(seed, number)).collect();
    for plans in plans.chunks(INSTANCES) {
        if stage.holds(dir) > MOST_HELD {
            drop(stage);
            stage = Stage::set(&mut random, dir)?;
        }
        let round = stage.round(plans, random.u64(1_000..=1_500))?;
        let stuck = round.stuck;
        let mut figures = lock(figures);
        add(&mut figures, round);
        if !as_json && figures.freezes % (5 * INSTANCES) < INSTANCES {
            eprintln!("{} freezes, {} violations", figures.freezes, figures.violations.len());
        }
        if stuck {
            break;
        }
    }
    Ok(())
}

fn add(figures: &mut Figures, round: Round) {
    let before = figures.violations.len();
    for (seen, outcome) in round.freezes {
        let judgement = judge::judge(&seen);
        figures.add(&seen, &outcome, judgement);
    }
    figures.crash_read += round.crash_read;
    figures.crash_dirty += round.crash_dirty;
    figures.violations.extend(round.violations);
    // At once, too: a campaign takes a while, and may be ended before it is over.
    for violation in figures.violations.iter().skip(before) {
        eprintln!("VIOLATION {violation}");
    }
}
