//! `fleet bench freeze`: how long writers stand still, against the shortest that is possible: one Invoke
//! and one CreateSnapshots, as slow as the region was told to make them.
//!
//! Load on every volume: buffered writes at 100 MB/s, a loop of small writes with fdatasync (the
//! checksumming writer), and the writer that is measured, one byte at a time.

use super::{BenchError, io, median, next_day, policy, region, start};
use crate::client::Client;
use crate::disks::CutRecord;
use crate::outside;
use crate::stall::{Stall, StallWatch};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

const INVOKE_MS: u64 = 15;
const CREATE_SNAPSHOTS_MS: u64 = 400;
const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// The parts of the window in the helper's report, and what goes before it.
const PHASES: [&str; 6] = ["flush_us", "prime_us", "freeze_us", "sync_us", "signal_us", "thaw_us"];

/// What was measured.
#[derive(Debug, Serialize)]
struct Measured {
    runs: usize,
    dir: PathBuf,
    limit_ms: u64,
    window_ms: Spread,
    stall_ms: Spread,
    flush_stall_ms: Spread,
    phases_ms: Vec<(&'static str, Spread)>,
    not_consistent: usize,
}

#[derive(Debug, Serialize)]
struct Spread {
    median: f64,
    worst: f64,
    median_ratio: f64,
    worst_ratio: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>, limit: f64) -> Self {
        let median = median(&mut values);
        let worst = values.last().copied().unwrap_or_default();
        let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
        Self {
            median: round(median),
            worst: round(worst),
            median_ratio: round(median / limit),
            worst_ratio: round(worst / limit),
        }
    }
}

fn spec(bulk_mb_s: u64) -> String {
    let mut spec = format!(
        "[latency_ms]\nInvoke = {INVOKE_MS}\nCreateSnapshots = {CREATE_SNAPSHOTS_MS}\n\n\
         [[instance]]\nid = \"i-0aaaaaaaaaaaaaaa1\"\n"
    );
    for (n, fs) in FILE_SYSTEMS.iter().enumerate() {
        let device = char::from(b'f' + u8::try_from(n).unwrap_or_default());
        spec += &format!(
            "[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa0{n}\"\ndevice = \"/dev/sd{device}\"\n\
             size_mib = 2048\nfs = \"{fs}\"\nmount = \"/srv/{fs}\"\ntags = {{ stillframe = \"daily\" }}\n\
             writer = true\nwriter_bulk_mb_s = {bulk_mb_s}\n"
        );
    }
    spec
}

/// Runs the benchmark, with the images in `dir`, and prints it.
///
/// # Errors
/// It could not be run to its end.
pub fn run(runs: usize, bulk_mb_s: u64, dir: &Path, as_json: bool) -> Result<(), BenchError> {
    let limit_ms = INVOKE_MS + CREATE_SNAPSHOTS_MS;
    let fleet = start(&spec(bulk_mb_s), dir)?;
    let client = fleet.client();
    let (mut windows, mut stalls, mut flushes) = (Vec::new(), Vec::new(), Vec::new());
    let mut phases = PHASES.map(|_| Vec::new());
    let mut not_consistent = 0;
    // The first run is cold: functions start, the key is made. It is not counted.
    for run in 0..=runs {
        let mounts = outside::paths(fleet.pid(), &client.state().map_err(region("read the mounts"))?);
        let watch = StallWatch::start(&mounts).map_err(io("write to the mounts"))?;
        let summary = client.invoke("backup", &policy()).map_err(region("run the backup function"))?;
        let seen = watch.finish();
        next_day(client)?;
        let Some(window_us) =
            summary["restore_points"][0]["phases"]["window_us"].as_u64().filter(|&us| us > 0)
        else {
            not_consistent += 1;
            eprintln!("run {run} was not frozen: {summary}");
            continue;
        };
        if run == 0 {
            continue;
        }
        let (in_window, before) = split(&seen, &cuts(client, &summary)?);
        for (phase, all) in PHASES.iter().zip(&mut phases) {
            all.push(
                summary["restore_points"][0]["phases"][phase].as_u64().unwrap_or_default() as f64 / 1_000.0,
            );
        }
        windows.push(window_us as f64 / 1_000.0);
        stalls.push(in_window.as_secs_f64() * 1_000.0);
        flushes.push(before.as_secs_f64() * 1_000.0);
    }
    let limit = limit_ms as f64;
    let measured = Measured {
        runs: windows.len(),
        dir: dir.to_owned(),
        limit_ms,
        window_ms: Spread::of(windows, limit),
        stall_ms: Spread::of(stalls, limit),
        flush_stall_ms: Spread::of(flushes, limit),
        phases_ms: PHASES.into_iter().zip(phases).map(|(name, all)| (name, Spread::of(all, limit))).collect(),
        not_consistent,
    };
    if as_json {
        println!("{}", json!(measured));
    } else {
        print(&measured, bulk_mb_s);
    }
    Ok(())
}

/// The longest stall of the window, and the longest of anything else (the flush competes for the disk).
///
/// A stall belongs to the window when it spans the instant at which a volume was copied.
fn split(stalls: &[Stall], cuts: &[u64]) -> (Duration, Duration) {
    let longest = |of_window: bool| {
        let some = stalls.iter().filter(|stall| cuts.iter().any(|&cut| stall.spans(cut)) == of_window);
        some.map(Stall::length).max().unwrap_or_default()
    };
    (longest(true), longest(false))
}

/// When the snapshots of a summary were copied, nanoseconds since boot.
fn cuts(client: &Client, summary: &Value) -> Result<Vec<u64>, BenchError> {
    let files = client.snapshot_files().map_err(region("find the snapshots' files"))?;
    let made = summary["restore_points"][0]["snapshots"].as_array().into_iter().flatten();
    let made = made.filter_map(|snapshot| files.get(snapshot["snapshot"].as_str()?));
    made.map(|file| {
        CutRecord::read(&file.path).map(|cut| cut.begun_ns).map_err(io("read the record of a cut"))
    })
    .collect()
}

fn print(measured: &Measured, bulk_mb_s: u64) {
    println!(
        "{} runs, {} MB/s of buffered writes and an fdatasync loop on each of {:?}, images in {}; limit {} ms\n",
        measured.runs,
        bulk_mb_s,
        FILE_SYSTEMS,
        measured.dir.display(),
        measured.limit_ms
    );
    println!("{:<28} {:>10} {:>8} {:>10} {:>8}", "", "median ms", "ratio", "worst ms", "ratio");
    for (name, spread) in [
        ("window (helper's report)", &measured.window_ms),
        ("longest stall of a writer", &measured.stall_ms),
        ("longest stall outside it", &measured.flush_stall_ms),
    ]
    .into_iter()
    .chain(measured.phases_ms.iter().map(|(name, spread)| (*name, spread)))
    {
        println!(
            "{name:<28} {:>10.1} {:>8.3} {:>10.1} {:>8.3}",
            spread.median, spread.median_ratio, spread.worst, spread.worst_ratio
        );
    }
    if measured.not_consistent > 0 {
        println!("{} runs did not freeze", measured.not_consistent);
    }
}
