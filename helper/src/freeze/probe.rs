//! Whether a file system takes writes now, found out without changing it: somebody else's freeze is
//! seen before anything is done, and a later intent of ours cannot be mistaken for theirs (`ledger`).
//!
//! The probe is an `unlink` of a name longer than any file system allows. The kernel asks for the right
//! to write first, which waits while the file system is frozen, and refuses the name then. It runs in
//! a disposable process that holds nothing else, because a process that waits so cannot be killed.

use crate::clock::Boottime;
use crate::sys;
use crate::volumes::Kept;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, unlinkat};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};
use std::time::Duration;

/// A file system that takes no write for so long is frozen, or its disk hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longer than any file system's names (255 bytes): nothing can be unlinked by accident.
const NO_NAME: [u8; 300] = [b'x'; 300];

/// Which of the file systems, by number, took no write. Must run before this process has threads.
///
/// # Errors
/// No process could be started.
pub fn without_writes(kept: &[Kept]) -> std::io::Result<Vec<usize>> {
    let mut pending = Vec::with_capacity(kept.len());
    for (n, kept) in kept.iter().enumerate() {
        let (pid, ()) = sys::fork((), || probe(kept.as_fd()))?;
        pending.push(Probe { n, pid, pidfd: pidfd_open(pid, PidfdFlags::empty())? });
    }
    let limit = Boottime::now().after(PATIENCE);
    while !pending.is_empty() {
        let left = limit.since(Boottime::now());
        if left.is_zero() {
            break;
        }
        let mut polled: Vec<PollFd<'_>> =
            pending.iter().map(|probe| PollFd::new(&probe.pidfd, PollFlags::IN)).collect();
        let left = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(0),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut polled, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        pending.retain(|probe| !matches!(waitpid(Some(probe.pid), WaitOptions::NOHANG), Ok(Some(_))));
    }
    for probe in &pending {
        // It ends when the file system is thawed; nobody waits for it.
        let _ = pidfd_send_signal(&probe.pidfd, Signal::KILL);
    }
    Ok(pending.into_iter().map(|probe| probe.n).collect())
}

/// A probe that has not ended yet.
struct Probe {
    n: usize,
    pid: Pid,
    pidfd: OwnedFd,
}

fn probe(fd: BorrowedFd<'_>) -> u8 {
    // Whoever waits for the helper's standard streams to close must not wait for a probe.
    sys::leave_standard_streams();
    sys::close_all_but(fd);
    let _ = rustix::process::setsid();
    let _ = unlinkat(fd, &NO_NAME[..], AtFlags::empty());
    0
}
