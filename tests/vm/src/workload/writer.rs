//! Two streams of records on one file system: the fleet's writer, which has every record put on the disk
//! before it says so, and one that only writes. A copy made while frozen owes both; a crash-consistent one
//! owes the first alone. So the second tells the two apart.

use fleet::boottime::now_ns;
use fleet::writer::record::Record;
use fleet::writer::{self, Entry, Log};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below the mount point: what was synced.
pub const SYNCED: &str = "synced";
/// What was only written.
pub const WRITTEN: &str = "written";

/// Emulated processors are slow, and the helper is to get its share.
const PAUSE: Duration = Duration::from_millis(40);

/// The command line of `vm writer`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The mount point.
    #[arg(long)]
    mount: PathBuf,
    /// Where the second stream's log goes, outside of the mount point. The first one's is stdout.
    #[arg(long)]
    log: PathBuf,
}

/// Writes until it is killed or fails.
///
/// # Errors
/// A write fails.
pub fn run(args: &Args) -> io::Result<()> {
    let dir = args.mount.join(WRITTEN);
    fs::create_dir_all(&dir)?;
    let log = Log::new(File::create(&args.log)?);
    std::thread::spawn(move || {
        if let Err(error) = write(&dir, &log) {
            let _ = log.note(&Entry::Failed(error.to_string()));
        }
    });
    let pause_us = u64::try_from(PAUSE.as_micros()).unwrap_or(u64::MAX);
    writer::run(&writer::Args { dir: args.mount.join(SYNCED), pause_us, bulk_mb_s: 0, orphans: false })
}

/// Nothing here is ever synced.
fn write(dir: &Path, log: &Log<File>) -> io::Result<()> {
    let mut file = File::create(dir.join("segment-00000001.log"))?;
    for sequence in 1.. {
        file.write_all(&Record { sequence, time_ns: now_ns() }.encode())?;
        log.note(&Entry::Acknowledged(sequence, now_ns()))?;
        std::thread::sleep(PAUSE / 2);
    }
    Ok(())
}
