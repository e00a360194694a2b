//! The kernel's log: the only place to write to that no freeze can block. For the guardian, whose standard
//! streams are closed, and for what must be known even if nobody reads a report.

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};

/// The log, opened before anything is frozen.
#[derive(Debug)]
pub struct KernelLog(Option<OwnedFd>);

impl KernelLog {
    /// Opens it. Where it cannot be written (a container), nothing is said.
    #[must_use]
    pub fn open() -> Self {
        Self(open("/dev/kmsg", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).ok())
    }

    /// Writes one line, as a warning.
    pub fn warn(&self, line: &str) {
        if let Some(log) = &self.0 {
            // One write is one message; `<4>` is its severity (syslog(2)).
            let _ = rustix::io::write(log, format!("<4>stillframe-helper: {line}\n").as_bytes());
        }
    }
}
