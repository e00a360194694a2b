//! The checksumming writer: a program that keeps a volume busy and can prove later what it was promised.
//!
//! It appends records, has each one put on the disk with `fdatasync`, and only then acknowledges it in a
//! log *outside* the volume, with the time. So whoever has a copy of the volume and the time at which it
//! was made can tell which records must be in it. Besides, it makes, renames and removes files, and can
//! write in bulk without syncing.
//!
//! It runs inside an instance as `fleet writer`, dies with the fleet and never touches anything but its
//! directory.

mod append;
mod bulk;
mod log;
pub mod record;
mod segments;

pub use log::{Entry, Log, Promises, Stall};
pub use segments::{Found, read_all};

use rustix::process::{Signal, set_parent_process_death_signal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Its directory on a volume, below the mount point.
pub const DIR: &str = "stillframe-writer";

/// How it writes; the command line of `fleet writer`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it writes; made if it is missing.
    #[arg(long)]
    pub dir: PathBuf,
    /// Pause between two records, microseconds.
    #[arg(long, default_value_t = 2_000)]
    pub pause_us: u64,
    /// Unsynced bulk writes besides, megabytes a second.
    #[arg(long, default_value_t = 0)]
    pub bulk_mb_s: u64,
    /// Keeps a removed file open now and then, which ext4 marks in the file system.
    #[arg(long)]
    pub orphans: bool,
}

/// Writes until it is killed, or until it fails: the log is stdout.
///
/// # Errors
/// The directory cannot be used, or a write fails; the log's last line says so, too.
pub fn run(args: &Args) -> std::io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let log = Arc::new(Log::new(std::io::stdout()));
    let outcome = write(args, &log);
    if let Err(error) = &outcome {
        log.note(&Entry::Failed(error.to_string()))?;
    }
    outcome
}

fn write(args: &Args, log: &Arc<Log<std::io::Stdout>>) -> std::io::Result<()> {
    std::fs::create_dir_all(&args.dir)?;
    if args.bulk_mb_s > 0 {
        let (dir, log, rate) = (args.dir.clone(), Arc::clone(log), args.bulk_mb_s);
        std::thread::Builder::new().name("bulk".to_owned()).spawn(move || {
            if let Err(error) = bulk::write(&dir, rate, &log) {
                let _ = log.note(&Entry::Failed(format!("bulk: {error}")));
            }
        })?;
    }
    append::write(&args.dir, Duration::from_micros(args.pause_us), args.orphans, log)
}
