//! `/run/stillframe`: the lock that lets one freeze run per instance, and the lease that says what may
//! be frozen, for whoever has to thaw it when nobody is left. On tmpfs, so it ends with the boot.

use crate::clock::Boottime;
use crate::volumes::mountinfo::DeviceNumber;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, open, openat, renameat, unlinkat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

const FOLDER: &str = "/run/stillframe";
const LOCK: &str = "lock";
const LEASE: &str = "lease.json";
const NEW_LEASE: &str = "lease.json.new";

/// How long to wait for the lock at most, and how long between two tries.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Something about the folder did not work.
#[derive(Debug, thiserror::Error)]
pub enum RunDirError {
    /// It cannot be made.
    #[error("failed to make {FOLDER}")]
    Make(#[source] std::io::Error),
    /// It cannot be opened.
    #[error("failed to open {FOLDER}/{LOCK}")]
    Open(#[source] Errno),
    /// It cannot be locked, for another reason than that it is locked.
    #[error("failed to lock {FOLDER}/{LOCK}")]
    Lock(#[source] Errno),
    /// Somebody else holds the lock.
    #[error("another freeze runs on this instance (it holds {FOLDER}/{LOCK})")]
    Busy,
    /// The lease cannot be written.
    #[error("failed to write {FOLDER}/{LEASE}")]
    WriteLease(#[source] std::io::Error),
    /// The lease cannot be read.
    #[error("failed to read {FOLDER}/{LEASE}")]
    ReadLease(#[source] std::io::Error),
    /// The lease is not of the shape that this helper writes.
    #[error("failed to understand {FOLDER}/{LEASE}; thaw by hand with fsfreeze --unfreeze, then remove it")]
    Malformed(#[source] serde_json::Error),
    /// The lease cannot be removed.
    #[error("failed to remove {FOLDER}/{LEASE}")]
    RemoveLease(#[source] Errno),
}

/// What may be frozen, by whom, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run.
    pub run: String,
    /// The process that freezes.
    pub worker: Holder,
    /// The process that watches it.
    pub guardian: Holder,
    /// When both have failed if anything is frozen still: milliseconds since boot.
    pub until_ms: u64,
    /// What may be frozen.
    pub filesystems: Vec<Leased>,
    /// Whether the machine's grace periods may be expedited, to be taken back.
    #[serde(default)]
    pub expedited: bool,
}

/// A process. Its start time tells it from a later one with its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its number.
    pub pid: i32,
    /// When it started, clock ticks since boot.
    pub started: u64,
}

/// One file system of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leased {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its super block, `259:2`.
    pub device: String,
    /// Its UUID, for a person who must find it after an unmount.
    #[serde(default)]
    pub uuid: Option<String>,
}

impl Holder {
    /// The process of that number, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the start time is the 20th field after it.
        let after_name = stat.rsplit_once(") ")?.1;
        Some(Self { pid, started: after_name.split(' ').nth(19)?.parse().ok()? })
    }

    /// Whether that very process still exists.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }
}

impl Leased {
    /// Whether a super block is the one of the lease.
    #[must_use]
    pub fn is(&self, device: DeviceNumber) -> bool {
        DeviceNumber::parse(&self.device) == Some(device)
    }
}

/// The folder, opened. Its lock is held until this process and every one that it forked have closed
/// it.
#[derive(Debug)]
pub struct RunDir {
    folder: OwnedFd,
    lock: OwnedFd,
}

impl RunDir {
    /// Whether any freeze has run since the machine was booted.
    #[must_use]
    pub fn exists() -> bool {
        std::path::Path::new(FOLDER).exists()
    }

    /// Makes the folder where it is missing, and opens it. Does not lock it.
    ///
    /// # Errors
    /// Neither root nor the folder's owner.
    pub fn open() -> Result<Self, RunDirError> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(FOLDER).map_err(RunDirError::Make)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = open(FOLDER, flags | OFlags::DIRECTORY, Mode::empty()).map_err(RunDirError::Open)?;
        let mode = Mode::RUSR | Mode::WUSR;
        let lock = openat(&folder, LOCK, flags | OFlags::CREATE, mode).map_err(RunDirError::Open)?;
        Ok(Self { folder, lock })
    }

    /// Takes the lock.
    ///
    /// # Errors
    /// [`RunDirError::Busy`] while a freeze runs: its worker or its guardian lives.
    pub fn lock(&self) -> Result<(), RunDirError> {
        match flock(&self.lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(()),
            Err(Errno::WOULDBLOCK) => Err(RunDirError::Busy),
            Err(error) => Err(RunDirError::Lock(error)),
        }
    }

    /// Takes the lock, waiting a little for it: `stillframe-helper thaw` holds it for a moment when it looks
    /// whether there is anything to undo.
    ///
    /// # Errors
    /// As [`RunDir::lock`].
    pub fn lock_patiently(&self) -> Result<(), RunDirError> {
        let limit = Boottime::now().after(LOCK_PATIENCE);
        loop {
            match self.lock() {
                Err(RunDirError::Busy) if Boottime::now() < limit => std::thread::sleep(LOCK_PAUSE),
                other => return other,
            }
        }
    }

    /// Writes the lease, whole or not at all.
    ///
    /// # Errors
    /// `/run` is full or read-only.
    pub fn write_lease(&self, lease: &Lease) -> Result<(), RunDirError> {
        let text = serde_json::to_vec(lease).map_err(|error| RunDirError::WriteLease(error.into()))?;
        let write = || -> std::io::Result<()> {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
            let mut file = File::from(openat(&self.folder, NEW_LEASE, flags, Mode::RUSR | Mode::WUSR)?);
            file.write_all(&text)?;
            renameat(&self.folder, NEW_LEASE, &self.folder, LEASE)?;
            Ok(())
        };
        write().map_err(RunDirError::WriteLease)
    }

    /// The lease, if there is one.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub fn lease(&self) -> Result<Option<Lease>, RunDirError> {
        let file = match openat(&self.folder, LEASE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(RunDirError::ReadLease(error.into())),
        };
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text).map_err(RunDirError::ReadLease)?;
        serde_json::from_slice(&text).map(Some).map_err(RunDirError::Malformed)
    }

    /// Takes the lease away; none is fine.
    ///
    /// # Errors
    /// `/run` is read-only.
    pub fn remove_lease(&self) -> Result<(), RunDirError> {
        match unlinkat(&self.folder, LEASE, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(RunDirError::RemoveLease(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_number() {
        let me = Holder::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.is_alive());
        assert!(!Holder { started: me.started + 1, ..me }.is_alive());
        assert!(!Holder { pid: -1, started: 0 }.is_alive());
    }
}
