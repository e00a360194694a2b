//! Writers that measure how long a write can stand still: one thread per mount, one byte at a time.

use crate::boottime::now_ns;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Anything shorter is scheduling, not a stall.
const NOTICEABLE: Duration = Duration::from_millis(2);

/// One write that took long.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    /// When it was asked for, nanoseconds since boot.
    pub from_ns: u64,
    /// When it returned, the same.
    pub to_ns: u64,
}

impl Stall {
    /// How long it took.
    #[must_use]
    pub fn length(&self) -> Duration {
        Duration::from_nanos(self.to_ns.saturating_sub(self.from_ns))
    }

    /// Whether the write stood still at that instant, nanoseconds since boot.
    #[must_use]
    pub fn spans(&self, at_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&at_ns)
    }
}

/// How long a write may go on standing after the watch was told to end: longer than any freeze may last.
const PATIENCE: Duration = Duration::from_secs(45);

/// Watches one or more directories until it is asked what it saw.
#[derive(Debug)]
pub struct StallWatch {
    stop: Arc<AtomicBool>,
    writers: Vec<Writer>,
}

#[derive(Debug)]
struct Writer {
    thread: JoinHandle<Vec<Stall>>,
    /// When its latest write was asked for, nanoseconds since boot.
    asked_ns: Arc<AtomicU64>,
}

impl StallWatch {
    /// Starts to write into a file of its own in each of the directories.
    ///
    /// # Errors
    /// A directory cannot be written to at all.
    pub fn start<P: AsRef<Path>>(directories: &[P]) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writers = Vec::new();
        for directory in directories {
            let file = File::create(directory.as_ref().join(format!(".stall-{}", std::process::id())))?;
            let asked_ns = Arc::new(AtomicU64::new(0));
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked_ns));
            writers.push(Writer { thread: thread::spawn(move || watch(&file, &asked, &stop)), asked_ns });
        }
        Ok(Self { stop, writers })
    }

    /// Stops and returns every stall of every directory. A write that stands still for good is returned as
    /// a stall until now, and its thread left behind.
    #[must_use]
    pub fn finish(mut self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        let end = Instant::now() + PATIENCE;
        let mut stalls = Vec::new();
        for writer in std::mem::take(&mut self.writers) {
            while !writer.thread.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_micros(200));
            }
            if writer.thread.is_finished() {
                stalls.extend(writer.thread.join().unwrap_or_default());
            } else {
                stalls.push(Stall { from_ns: writer.asked_ns.load(Ordering::Relaxed), to_ns: now_ns() });
            }
        }
        stalls
    }
}

/// Nobody asks any more: the writers end by themselves.
impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn watch(file: &File, asked_ns: &AtomicU64, stop: &AtomicBool) -> Vec<Stall> {
    let mut stalls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let from_ns = now_ns();
        asked_ns.store(from_ns, Ordering::Relaxed);
        // A full or shut-down disk is the business of the test that made it so.
        let _ = file.write_at(b"x", 0);
        let stall = Stall { from_ns, to_ns: now_ns() };
        if stall.length() > NOTICEABLE {
            stalls.push(stall);
        }
        thread::sleep(Duration::from_micros(500));
    }
    stalls
}
