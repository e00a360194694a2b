//! Pre-warm: reads a restored volume through once, since EBS fetches each block from the snapshot when it is
//! first touched. Many requests in flight, at a bounded rate, files that matter first; what was read is
//! noted, so that it goes on there when it is started again. It only reads.

mod at_once;
mod pace;
mod passed;
mod progress;

use crate::clock::Boottime;
use crate::say;
use crate::sys::Reads;
use pace::Pace;
use passed::Passed;
use progress::Progress;
use rustix::fs::{Advice, OFlags, fadvise};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// Reads past the page cache begin and end at multiples of this, in memory and on the disk.
const ALIGN: usize = 4096;
/// How often progress is told, and noted.
const NOTE_EVERY: Duration = Duration::from_secs(1);

/// How to read.
#[derive(Debug, Clone)]
pub struct Options {
    /// The device.
    pub device: PathBuf,
    /// What it is, so that the notes of another are not taken for its own: a volume id, or its path.
    pub identity: String,
    /// Requests in flight.
    pub depth: usize,
    /// Bytes of one request; a multiple of 4,096.
    pub block: usize,
    /// Bytes per second at most.
    pub rate: Option<u64>,
    /// Where it is noted how far it came.
    pub state: Option<PathBuf>,
    /// Files on a file system of the device, to be read before all else.
    pub first: Vec<PathBuf>,
}

/// How it went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Warmed {
    /// The device.
    pub device: PathBuf,
    /// Its size, bytes.
    pub size: u64,
    /// Where this run began, bytes: what lies before was read earlier.
    pub resumed_at: u64,
    /// What was read of it now, bytes.
    pub read: u64,
    /// What was read of the files that came first, bytes.
    pub read_first: u64,
    /// How long the device took, milliseconds.
    pub ms: u64,
    /// The same as a speed.
    pub mib_per_s: f64,
    /// Places that could not be read.
    pub failed: Vec<String>,
}

/// It could not begin.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// The device cannot be opened.
    #[error("failed to open {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nobody would know how far it came.
    #[error("failed to write {path}")]
    State {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It makes no sense.
    #[error("{0}")]
    Options(String),
}

/// How far an earlier run came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Notes {
    identity: String,
    size: u64,
    done: u64,
}

/// Reads the device through.
///
/// # Errors
/// It cannot be opened. What cannot be read of it is told in the result, and the rest is read.
pub fn warm(options: &Options) -> Result<Warmed, WarmError> {
    if options.block == 0 || !options.block.is_multiple_of(ALIGN) {
        return Err(WarmError::Options(format!(
            "a block of {} bytes is no multiple of {ALIGN}",
            options.block
        )));
    }
    let (file, size) = open(&options.device)?;
    let start = options.state.as_deref().map_or(0, |state| resume_at(state, &options.identity, size));
    let start = start / options.block as u64 * options.block as u64;
    if let Some(state) = &options.state {
        note(state, options, size, start)?;
    }
    let pace = Pace::new(options.rate);
    let mut failed = Vec::new();
    let read_first = read_files(options, &pace, &mut failed);
    let mut reads = at_once::prepare(&file, options);
    let began = Boottime::now();
    let read = read_device(&file, size, start, options, &pace, reads.as_mut(), &mut failed);
    let took = Boottime::now().since(began);
    if failed.is_empty()
        && let Some(state) = &options.state
    {
        note(state, options, size, size)?;
    }
    Ok(Warmed {
        device: options.device.clone(),
        size,
        resumed_at: start,
        read,
        read_first,
        ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        mib_per_s: progress::mib(read) / took.as_secs_f64().max(1e-6),
        failed,
    })
}

fn open(path: &Path) -> Result<(File, u64), WarmError> {
    let failed = |source| WarmError::Open { path: path.to_owned(), source };
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or(0);
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(direct)
        .open(path)
        // A file system without direct reads.
        .or_else(|_| File::open(path))
        .map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok((file, size))
}

/// Reads the device: by the kernel's asynchronous reads, else by as many threads as requests may be in flight.
fn read_device(
    file: &File,
    size: u64,
    start: u64,
    options: &Options,
    pace: &Pace,
    reads: Option<&mut Reads<'_>>,
    failed: &mut Vec<String>,
) -> u64 {
    let passed = Passed::new(start, size, options.block as u64);
    if let Some(reads) = reads {
        let errors = at_once::read(reads, file, size, start, options, pace, &passed);
        let read = (size - start).saturating_sub(errors.len() as u64 * options.block as u64);
        failed.extend(errors);
        return read;
    }
    let errors = Mutex::new(Vec::new());
    let mut progress = Progress::new(start, size);
    let (at_work, all_over) = channel::<()>();
    std::thread::scope(|scope| {
        for _ in 0..options.depth.max(1) {
            let at_work = at_work.clone();
            let (passed, errors) = (&passed, &errors);
            scope.spawn(move || {
                let mut buffer = Buffer::new(options.block);
                while let Some(at) = passed.next() {
                    pace.wait((size - at).min(options.block as u64));
                    if let Err(error) = buffer.read(file, at, size) {
                        let told = format!("{} at byte {at}: {error}", options.device.display());
                        errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(told);
                    }
                    passed.done(at);
                }
                drop(at_work);
            });
        }
        drop(at_work);
        // Progress is this thread's, and its notes never name what was not read.
        while let Err(RecvTimeoutError::Timeout) = all_over.recv_timeout(NOTE_EVERY) {
            let below = passed.below();
            if let Some(line) = progress.line(below) {
                say(&line);
            }
            let has_failed = !errors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).is_empty();
            if let Some(state) = &options.state
                && !has_failed
                && let Err(error) = note(state, options, size, below)
            {
                say(&crate::describe(&error));
            }
        }
    });
    let errors = errors.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let read = (size - start).saturating_sub(errors.len() as u64 * options.block as u64);
    failed.extend(errors);
    read
}

/// Reads the files that come first, as many at once as requests may be in flight.
fn read_files(options: &Options, pace: &Pace, failed: &mut Vec<String>) -> u64 {
    let rest = Mutex::new(options.first.iter());
    let sums = Mutex::new((0, Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..options.depth.clamp(1, options.first.len().max(1)) {
            scope.spawn(|| {
                let mut buffer = Buffer::new(options.block);
                loop {
                    let next = rest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
                    let Some(path) = next else { break };
                    let read = read_file(path, &mut buffer, pace);
                    let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    match read {
                        Ok(bytes) => sums.0 += bytes,
                        Err(error) => sums.1.push(crate::describe(&error)),
                    }
                }
            });
        }
    });
    let (read, errors) = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.extend(errors);
    read
}

fn read_file(path: &Path, buffer: &mut Buffer, pace: &Pace) -> Result<u64, WarmError> {
    let (file, size) = open(path)?;
    // What is in memory already would not be read from the volume.
    let _ = fadvise(&file, 0, None, Advice::DontNeed);
    let mut at = 0;
    while at < size {
        let part = buffer.length as u64;
        pace.wait(part.min(size - at));
        let failed = |source| WarmError::Open { path: path.to_owned(), source };
        buffer.read(&file, at, size).map_err(failed)?;
        at += part;
    }
    Ok(size)
}

/// Memory that begins where a direct read wants it to.
struct Buffer {
    memory: Vec<u8>,
    offset: usize,
    length: usize,
}

impl Buffer {
    fn new(length: usize) -> Self {
        let memory = vec![0; length + ALIGN];
        let offset = memory.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self { memory, offset, length }
    }

    /// Reads one block at `at`, less at the end.
    fn read(&mut self, file: &File, at: u64, size: u64) -> std::io::Result<()> {
        let wanted = usize::try_from(size - at).unwrap_or(self.length).min(self.length);
        // A direct read may ask for more than there is, not for a part of a sector.
        let mut done = 0;
        while done < wanted {
            let part = self.memory.get_mut(self.offset + done..self.offset + self.length).unwrap_or_default();
            match file.read_at(part, at + done as u64) {
                Ok(0) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => done += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn resume_at(state: &Path, identity: &str, size: u64) -> u64 {
    let Ok(text) = std::fs::read(state) else { return 0 };
    match serde_json::from_slice::<Notes>(&text) {
        Ok(notes) if notes.identity == identity && notes.size == size => notes.done.min(size),
        // Another volume's, or a volume that has grown: all of it is read.
        _ => 0,
    }
}

fn note(state: &Path, options: &Options, size: u64, done: u64) -> Result<(), WarmError> {
    let notes = Notes { identity: options.identity.clone(), size, done };
    let write = || -> std::io::Result<()> {
        if let Some(folder) = state.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let new = state.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&notes)?)?;
        std::fs::rename(&new, state)
    };
    write().map_err(|source| WarmError::State { path: state.to_owned(), source })
}

#[cfg(test)]
#[path = "warm_tests.rs"]
mod tests;
