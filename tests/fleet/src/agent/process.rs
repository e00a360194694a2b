//! A script's process from its start to its end: both outputs read, the deadline kept, the group killed
//! when it is out of time or cancelled.
//!
//! As in the agent, the end is the end of the process *and* of everything that holds one of its outputs.

use super::capture::Capture;
use crate::machine::{ScriptEnd, ScriptResult};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, kill_process_group, pidfd_open, waitpid};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::time::Instant;

const STDOUT_CHARS: usize = 24_000;
const STDERR_CHARS: usize = 8_000;

/// A script's process that nobody has reaped yet.
pub(super) struct Process {
    leader: Pid,
    ended: OwnedFd,
    stdout: Capture<Pipe>,
    stderr: Capture<Pipe>,
}

impl Process {
    /// Takes a child that leads a process group of its own and prints into pipes.
    pub(super) fn of(child: &mut Child) -> io::Result<Self> {
        let missing = || io::Error::other("the process has no pipe");
        let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
        let stdout = Pipe::new(child.stdout.take().ok_or_else(missing)?)?;
        let stderr = Pipe::new(child.stderr.take().ok_or_else(missing)?)?;
        Ok(Self {
            leader,
            ended: pidfd_open(leader, PidfdFlags::empty())?,
            stdout: Capture::new(stdout, STDOUT_CHARS),
            stderr: Capture::new(stderr, STDERR_CHARS),
        })
    }

    /// The number of its group.
    pub(super) fn group(&self) -> i32 {
        self.leader.as_raw_nonzero().get()
    }

    /// Waits until it ends, is cancelled or out of time; in the last two cases kills its group.
    pub(super) fn supervise(mut self, cancel: &OwnedFd, deadline: Instant) -> ScriptResult {
        let end = match self.wait_for_end(cancel, deadline) {
            None => ScriptEnd::Exited(reap(self.leader)),
            Some(cut) => {
                // The leader is not reaped yet, so its number still names this group and no other.
                let _ = kill_process_group(self.leader, Signal::KILL);
                reap(self.leader);
                cut
            }
        };
        ScriptResult { end, stdout: self.stdout.text(), stderr: self.stderr.text() }
    }

    /// Until the process has ended and both outputs are at their end; or why it has to be cut short.
    fn wait_for_end(&mut self, cancel: &OwnedFd, deadline: Instant) -> Option<ScriptEnd> {
        let mut running = true;
        while running || self.stdout.source().is_some() || self.stderr.source().is_some() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(ScriptEnd::TimedOut);
            }
            let mut watched = vec![PollFd::new(cancel, PollFlags::IN)];
            if running {
                watched.push(PollFd::new(&self.ended, PollFlags::IN));
            }
            for pipe in [self.stdout.source(), self.stderr.source()].into_iter().flatten() {
                watched.push(PollFd::new(pipe, PollFlags::IN));
            }
            let timeout = rustix::time::Timespec::try_from(left).ok();
            let _ = poll(&mut watched, timeout.as_ref());
            let mut ready = watched.iter().map(|fd| !fd.revents().is_empty());
            if ready.next() == Some(true) {
                return Some(ScriptEnd::Killed);
            }
            running = running && ready.next() != Some(true);
            drop(watched);
            self.stdout.drain();
            self.stderr.drain();
        }
        None
    }
}

/// Waits for the leader, which ends soon: it has ended, or was sent SIGKILL.
fn reap(leader: Pid) -> i32 {
    match waitpid(Some(leader), WaitOptions::empty()) {
        Ok(Some((_, status))) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code,
            (None, Some(signal)) => 128 + signal,
            (None, None) => -1,
        },
        _ => -1,
    }
}

/// One end of a pipe that does not block.
#[derive(Debug)]
struct Pipe(fs::File);

impl Pipe {
    fn new(pipe: impl Into<OwnedFd>) -> io::Result<Self> {
        let fd = pipe.into();
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(fs::File::from(fd)))
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
