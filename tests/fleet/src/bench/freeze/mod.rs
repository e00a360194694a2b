//! `fleet bench freeze`: how long writers stand still, against the shortest that is possible: one Invoke
//! and one CreateSnapshots, as slow as the region was told to make them.
//!
//! Each cell of the matrix (type of file system, number of them, kind of disk) is one fleet under one
//! load, on which the ways to take a backup are run in turn, ours between any two of the others. The
//! load on every volume: buffered writes, a loop of small writes with fdatasync (the checksumming writer),
//! and the writer that is measured, one byte at a time.
//!
//! The disks are loop devices on files that lie on the host's file system as they are, every block
//! written, and snapshots note the instant of the cut without copying: EBS has one layer, and copies
//! elsewhere. With `--clones` they are the ones of tests and demo, whose every write after a snapshot
//! goes to a new place through two file systems.

mod cell;
mod figures;
mod print;
mod seen;
mod ways;

use super::{BenchError, next_day, start};
use crate::disks::limit;
use cell::{Cell, Disk};
use figures::{CellFigures, Scale};
use seen::Mounts;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use ways::{Ways, turns};

/// What every way has to pay.
const INVOKE_MS: u64 = 15;
const CREATE_SNAPSHOTS_MS: u64 = 400;
const LIMIT_MS: u64 = INVOKE_MS + CREATE_SNAPSHOTS_MS;

/// How long the load runs before each turn: so much is dirty then, whatever came before.
const SETTLE: Duration = Duration::from_secs(2);

/// The command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Rounds that count; one turn more warms up. Ours has three turns in each, the others one.
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
    /// Types of file systems.
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["ext4", "xfs", "btrfs"])]
    pub fs: Vec<cell::Fs>,
    /// How many file systems of that type the instance has.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub count: Vec<u8>,
    /// Disks as fast as this machine makes them, or limited to what a gp3 volume begins with.
    #[arg(long, value_enum, default_value_t = cell::Disks::All)]
    pub disk: cell::Disks,
    /// Buffered writes, megabytes a second, split between all file systems.
    #[arg(long, default_value_t = 48)]
    pub bulk_mb_s: u64,
    /// Where the images lie instead of the temporary directory; `/dev/shm` is in memory.
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Snapshots are clones, as in tests and demo.
    #[arg(long)]
    pub clones: bool,
    /// Prints one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the benchmark and prints it.
///
/// # Errors
/// It could not be run to its end.
pub fn run(options: &Options) -> Result<(), BenchError> {
    let mut disks = options.disk.kinds();
    if let Some(reason) = limit::missing()
        && disks.contains(&Disk::Gp3)
    {
        eprintln!("SKIPPED: the limited disk: {reason}");
        disks.retain(|disk| *disk != Disk::Gp3);
    }
    let mut cells = Vec::new();
    for disk in disks {
        for fs in &options.fs {
            for count in &options.count {
                let figures = measure(&Cell { fs: *fs, count: (*count).max(1), disk }, options)?;
                if !options.json {
                    print::cell(&figures);
                }
                cells.push(figures);
            }
        }
    }
    let scales = Scale::of(&cells);
    if options.json {
        println!("{}", json!({"limit_ms": LIMIT_MS, "cells": cells, "scale": scales}));
    } else {
        print::scales(&scales);
        print::marks(&cells, &scales);
    }
    Ok(())
}

/// One cell: a fleet, and the ways in turn.
fn measure(cell: &Cell, options: &Options) -> Result<CellFigures, BenchError> {
    let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let fleet = start(&cell.spec(options.bulk_mb_s, options.clones), &dir)?;
    let client = fleet.client();
    let mounts = Mounts::open(&fleet)?;
    let ways = Ways::prepare(client, &mounts)?;
    let mut figures = CellFigures::new(cell, LIMIT_MS);
    // The first turn is cold: functions start, the key is made. It is not counted.
    for (n, way) in turns(options.runs).enumerate() {
        next_day(client)?;
        let idle = mounts.watch_idle(SETTLE)?;
        let watch = mounts.watch()?;
        let taken = ways.take(way)?;
        if !taken.frozen {
            figures.add_failed(way);
            continue;
        }
        let seen = watch.finish(client, &taken)?;
        if n > 0 {
            figures.add_idle(idle);
            figures.add(way, &seen, &taken);
        }
        ways.forget(way, &taken)?;
    }
    figures.finish();
    Ok(figures)
}
