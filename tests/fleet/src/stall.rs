//! Writers that measure how long a write can stand still: one thread per mount, one byte at a time.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

/// Watches one or more directories until it is asked what it saw.
#[derive(Debug)]
pub struct StallWatch {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<Stall>>>,
}

impl StallWatch {
    /// Starts to write into a file of its own in each of the directories.
    ///
    /// # Errors
    /// A directory cannot be written to at all.
    pub fn start<P: AsRef<Path>>(directories: &[P]) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for directory in directories {
            let file = File::create(directory.as_ref().join(format!(".stall-{}", std::process::id())))?;
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || watch(&file, &stop)));
        }
        Ok(Self { stop, threads })
    }

    /// Stops and returns every stall of every directory. Waits for a write that still stands.
    #[must_use]
    pub fn finish(self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().unwrap_or_default()).collect()
    }
}

fn watch(file: &File, stop: &AtomicBool) -> Vec<Stall> {
    let mut stalls = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let from = Instant::now();
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
