//! Writers that measure how long a write can stand still: one thread per mount, one byte at a time.

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
    /// When it was asked for.
    pub from: Instant,
    /// When it returned.
    pub to: Instant,
}

impl Stall {
    /// How long it took.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.to - self.from
    }
}

/// How long a write may go on standing after the watch was told to end: longer than any freeze may last.
const PATIENCE: Duration = Duration::from_secs(45);

/// Watches one or more directories until it is asked what it saw.
#[derive(Debug)]
pub struct StallWatch {
    began: Instant,
    stop: Arc<AtomicBool>,
    writers: Vec<Writer>,
}

#[derive(Debug)]
struct Writer {
    thread: JoinHandle<Vec<Stall>>,
    /// When its latest write was asked for, microseconds after the watch began.
    asked_us: Arc<AtomicU64>,
}

impl StallWatch {
    /// Starts to write into a file of its own in each of the directories.
    ///
    /// # Errors
    /// A directory cannot be written to at all.
    pub fn start<P: AsRef<Path>>(directories: &[P]) -> io::Result<Self> {
        let (began, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let mut writers = Vec::new();
        for directory in directories {
            let file = File::create(directory.as_ref().join(format!(".stall-{}", std::process::id())))?;
            let asked_us = Arc::new(AtomicU64::new(0));
            let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked_us));
            writers.push(Writer { thread: thread::spawn(move || watch(&file, began, &asked, &stop)), asked_us });
        }
        Ok(Self { began, stop, writers })
    }

    /// Stops and returns every stall of every directory. A write that stands still for good is returned as
    /// a stall until now, and its thread left behind.
    #[must_use]
    pub fn finish(self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        let end = Instant::now() + PATIENCE;
        let mut stalls = Vec::new();
        for writer in self.writers {
            while !writer.thread.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_micros(200));
            }
            if writer.thread.is_finished() {
                stalls.extend(writer.thread.join().unwrap_or_default());
            } else {
                let asked = Duration::from_micros(writer.asked_us.load(Ordering::Relaxed));
                stalls.push(Stall { from: self.began + asked, to: Instant::now() });
            }
        }
        stalls
    }
}

fn watch(file: &File, began: Instant, asked_us: &AtomicU64, stop: &AtomicBool) -> Vec<Stall> {
    let mut stalls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let from = Instant::now();
        let asked = u64::try_from((from - began).as_micros()).unwrap_or(u64::MAX);
        asked_us.store(asked, Ordering::Relaxed);
        // A full or shut-down disk is the business of the test that made it so.
        let _ = file.write_at(b"x", 0);
        let to = Instant::now();
        if to - from > NOTICEABLE {
            stalls.push(Stall { from, to });
        }
        thread::sleep(Duration::from_micros(500));
    }
    stalls
}
