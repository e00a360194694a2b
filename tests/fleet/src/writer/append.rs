//! The loop of synced records, with the life of a busy directory around it.

use super::log::{Entry, Log, Stall};
use super::record::Record;
use super::segments;
use crate::boottime::now_ns;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// A segment of this size is followed by the next.
const SEGMENT_BYTES: u64 = 256 * 1024;
/// So many are kept.
const SEGMENTS: u64 = 16;
/// Every so many records small files are made, renamed and removed.
const FILES_EVERY: u64 = 16;
/// So many of them exist at a time.
const FILES: u64 = 64;
/// An unlinked file is held open for so many records.
const ORPHAN_FOR: u64 = 256;
/// What takes longer is logged.
const STALL_NS: u64 = 1_000_000;

/// Writes records until something fails.
pub(super) fn write<W: Write>(dir: &Path, pause: Duration, orphans: bool, log: &Log<W>) -> io::Result<()> {
    let mut sequence = segments::read_all(dir)?.sequences.last().copied().unwrap_or_default();
    let mut segment = Segment::after_the_last(dir, log)?;
    let mut orphan = None;
    loop {
        sequence += 1;
        if segment.bytes >= SEGMENT_BYTES {
            segment = timed("segment", log, || Segment::next(dir, segment.number + 1, sequence, log))?;
        }
        timed("record", log, || segment.append(sequence))?;
        log.note(&Entry::Acknowledged(sequence, now_ns()))?;
        if sequence.is_multiple_of(FILES_EVERY) {
            timed("files", log, || touch_files(dir, sequence / FILES_EVERY))?;
        }
        if orphans && sequence.is_multiple_of(ORPHAN_FOR) {
            orphan.replace(unlinked(dir)?);
        }
        std::thread::sleep(pause);
    }
}

/// Does something and logs it if it took long.
pub(super) fn timed<W: Write, T>(
    operation: &str,
    log: &Log<W>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let from_ns = now_ns();
    let done = work()?;
    let to_ns = now_ns();
    if to_ns.saturating_sub(from_ns) > STALL_NS {
        log.note(&Entry::Stalled(Stall { operation: operation.to_owned(), from_ns, to_ns }))?;
    }
    Ok(done)
}

struct Segment {
    number: u64,
    bytes: u64,
    file: File,
}

impl Segment {
    /// The first one of this process. What an earlier one left is kept as it is.
    fn after_the_last<W: Write>(dir: &Path, log: &Log<W>) -> io::Result<Self> {
        let last = segments::list(dir)?.last().copied().unwrap_or_default();
        let found = segments::read_all(dir)?;
        Self::next(dir, last + 1, found.sequences.last().copied().unwrap_or_default() + 1, log)
    }

    /// Makes a segment under another name, renames it and has the name put on the disk; removes the one
    /// that is too old, after announcing it.
    fn next<W: Write>(dir: &Path, number: u64, first: u64, log: &Log<W>) -> io::Result<Self> {
        let draft = dir.join("segment.tmp");
        let file = File::options().append(true).create(true).open(&draft)?;
        fs::rename(&draft, segments::path(dir, number))?;
        File::open(dir)?.sync_all()?;
        for old in segments::list(dir)?.into_iter().filter(|old| old + SEGMENTS <= number) {
            let kept = first_sequence(&segments::path(dir, old + 1))?;
            log.note(&Entry::Trimmed(kept.unwrap_or(first), now_ns()))?;
            fs::remove_file(segments::path(dir, old))?;
        }
        Ok(Self { number, bytes: 0, file })
    }

    fn append(&mut self, sequence: u64) -> io::Result<()> {
        let bytes = Record { sequence, time_ns: now_ns() }.encode();
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn first_sequence(segment: &Path) -> io::Result<Option<u64>> {
    Ok(Record::decode(&fs::read(segment)?).map(|(record, _)| record.sequence))
}

/// Makes one file, renames it over an older one.
fn touch_files(dir: &Path, round: u64) -> io::Result<()> {
    let files = dir.join("files");
    fs::create_dir_all(&files)?;
    let draft = files.join("draft");
    fs::write(&draft, round.to_string())?;
    fs::rename(&draft, files.join(format!("note-{}", round % FILES)))?;
    if round.is_multiple_of(7) {
        match fs::remove_file(files.join(format!("note-{}", (round / 7) % FILES))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn unlinked(dir: &Path) -> io::Result<File> {
    let path = dir.join("orphan");
    let mut file = File::create(&path)?;
    file.write_all(&[7; 8192])?;
    fs::remove_file(&path)?;
    Ok(file)
}
