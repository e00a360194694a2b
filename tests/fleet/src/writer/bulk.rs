//! Bulk writes: one file, overwritten again and again at a set rate and never synced, so that there is
//! always something dirty to flush.

use super::append::timed;
use super::log::Log;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const CHUNK: u64 = 1_000_000;
/// The file takes at most a quarter of the room that there was, and no more than this.
const LARGEST: u64 = 512 << 20;

/// Writes until something fails.
pub(super) fn write<W: Write>(dir: &Path, mb_s: u64, log: &Log<W>) -> io::Result<()> {
    let disk = rustix::fs::statvfs(dir)?;
    let size = LARGEST.min(disk.f_bavail.saturating_mul(disk.f_frsize) / 4).max(CHUNK);
    let file = File::options().write(true).create(true).truncate(false).open(dir.join("bulk"))?;
    let mut chunk = vec![0u8; usize::try_from(CHUNK).unwrap_or_default()];
    let pause = Duration::from_secs(1) / u32::try_from(mb_s.max(1)).unwrap_or(u32::MAX);
    let mut next = Instant::now();
    for round in 0u64.. {
        // Something new in every page, so that nothing can be left out as unchanged.
        chunk.iter_mut().step_by(4096).for_each(|byte| *byte = byte.wrapping_add(1));
        let at = round.wrapping_mul(CHUNK) % (size / CHUNK).max(1).wrapping_mul(CHUNK);
        timed("bulk", log, || file.write_all_at(&chunk, at))?;
        // After a stall the lost time is not made up for: a burst would be another load than asked for.
        next = (next + pause).max(Instant::now());
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
