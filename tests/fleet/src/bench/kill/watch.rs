//! Whether a file system takes writes, asked from outside and without a write: the name of a file to unlink
//! that is longer than any can be. The kernel asks for the right to write before it looks at the name, and
//! that is what waits while the file system is frozen; nothing else does, no journal and no disk. So how long
//! the question takes is how long the file system was frozen, and what the asking thread waited for a
//! processor.

use crate::boottime::now_ns;
use crate::sync::lock;
use crate::sys;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Mode, OFlags, open, unlinkat};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pause between two questions. It adds to what a freeze may have lasted at most.
const PAUSE: Duration = Duration::from_millis(2);
/// What is shorter is not told.
const NOTICEABLE_NS: u64 = 3_000_000;
/// In a directory of its own, so that nobody else's wait is waited for.
const DIR: &str = ".kill-watch";

/// A time in which a question was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stall {
    /// When the question before was answered: then it was not frozen.
    pub since_ns: u64,
    /// When this one was asked.
    pub from_ns: u64,
    /// When it was answered.
    pub to_ns: u64,
}

impl Stall {
    /// Longer than it can have been frozen, nanoseconds.
    #[must_use]
    pub fn at_most_ns(&self) -> u64 {
        self.to_ns.saturating_sub(self.since_ns)
    }

    /// Whether it may have been frozen at that instant.
    #[must_use]
    pub fn may_span(&self, at_ns: u64) -> bool {
        (self.since_ns..=self.to_ns).contains(&at_ns)
    }

    /// Whether it was frozen from the one instant to the other.
    #[must_use]
    pub fn surely_spans(&self, from_ns: u64, to_ns: u64) -> bool {
        self.from_ns <= from_ns && to_ns <= self.to_ns
    }
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answered_ns: AtomicU64,
    read_only: AtomicBool,
    stalls: Mutex<Vec<Stall>>,
}

/// Asks one file system, or only the clock, until it is dropped.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    dir: Option<Arc<OwnedFd>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Watches the file system that is mounted there.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn of(mount_point: &Path) -> std::io::Result<Self> {
        let dir = mount_point.join(DIR);
        std::fs::create_dir_all(&dir)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self::start(Some(open(&dir, flags, Mode::empty())?))
    }

    /// Watches whether this machine runs the watches in time: a question that nobody has to answer.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn of_the_machine() -> std::io::Result<Self> {
        Self::start(None)
    }

    fn start(dir: Option<OwnedFd>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let dir = dir.map(Arc::new);
        let thread = std::thread::Builder::new().name("kill-watch".to_owned()).spawn({
            let (shared, dir) = (Arc::clone(&shared), dir.clone());
            move || watch(&shared, dir.as_deref())
        })?;
        Ok(Self { shared, dir, thread: Some(thread) })
    }

    /// When it last had an answer.
    #[must_use]
    pub fn answered_ns(&self) -> u64 {
        self.shared.answered_ns.load(SeqCst)
    }

    /// Whether the file system has become read-only, as one does that has met an error. Nobody waits for a
    /// thaw of such a one: nothing is written to it, frozen or not.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.shared.read_only.load(SeqCst)
    }

    /// What it has seen since it was asked last.
    #[must_use]
    pub fn take(&self) -> Vec<Stall> {
        std::mem::take(&mut *lock(&self.shared.stalls))
    }

    /// A handle on the file system.
    #[must_use]
    pub fn handle(&self) -> Option<BorrowedFd<'_>> {
        self.dir.as_ref().map(|dir| dir.as_fd())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(shared: &Shared, dir: Option<&OwnedFd>) {
    sys::run_first();
    let name = CString::new([b'x'; 300]).unwrap_or_default();
    let mut since_ns = now_ns();
    while !shared.stop.load(SeqCst) {
        let asked_ns = now_ns();
        std::thread::sleep(PAUSE);
        // Of the machine alone the pause itself is the question.
        let from_ns = if dir.is_some() { now_ns() } else { asked_ns };
        if let Some(dir) = dir {
            shared.read_only.store(ask(dir.as_fd(), &name) == Err(Errno::ROFS), SeqCst);
        }
        let to_ns = now_ns();
        if to_ns.saturating_sub(from_ns) > NOTICEABLE_NS {
            lock(&shared.stalls).push(Stall { since_ns, from_ns, to_ns });
        }
        since_ns = to_ns;
        shared.answered_ns.store(to_ns, SeqCst);
    }
}

/// Refused in any case; what counts is when.
fn ask(dir: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<()> {
    unlinkat(dir, name, AtFlags::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_wide_for_blame_and_narrow_for_proof() {
        let stall = Stall { since_ns: 10, from_ns: 20, to_ns: 90 };
        assert_eq!(stall.at_most_ns(), 80);
        assert!(stall.may_span(10) && stall.may_span(90) && !stall.may_span(9));
        assert!(stall.surely_spans(20, 90) && !stall.surely_spans(19, 90) && !stall.surely_spans(20, 91));
    }
}
