//! The guardian as the worker sees it: forked before any thread, told each deadline before the first
//! file system is frozen under it, and told at the end that nothing is frozen. What it does is in
//! `watch`.

use super::expedite::Expedite;
use super::ledger::Ledger;
use super::watch::{ARMED, DONE, WATCH, Watch};
use crate::run_dir::RunDir;
use crate::sys;
use crate::volumes::Kept;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, waitpid};
use std::io::Read;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long the guardian may take to answer. Nothing is frozen while the worker waits.
const PATIENCE: Duration = Duration::from_secs(2);

/// There is no guardian, or none that answers: nothing may be frozen.
#[derive(Debug, thiserror::Error)]
pub enum GuardianError {
    /// It could not be started.
    #[error("failed to start the guardian")]
    Start(#[source] std::io::Error),
    /// It does not say that it watches.
    #[error("the guardian did not answer within {} s", PATIENCE.as_secs())]
    Silent,
    /// It is gone.
    #[error("the guardian died")]
    Lost,
}

/// The guardian, forked and watching.
#[derive(Debug)]
pub struct Guardian {
    pid: Pid,
    pidfd: OwnedFd,
    control: UnixStream,
}

impl Guardian {
    /// Forks the guardian and waits until it watches. This process must have one thread.
    ///
    /// # Errors
    /// It did not start, or does not answer.
    pub fn fork(
        kept: &[Kept],
        ledger: Ledger,
        run_dir: &RunDir,
        expedite: Option<&Expedite>,
    ) -> Result<Self, GuardianError> {
        let start = GuardianError::Start;
        let worker = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| start(error.into()))?;
        let (ours, control) = UnixStream::pair().map_err(start)?;
        // Each side drops the other's end, or it would never see the other die.
        let watch = move || Watch { kept, ledger, run_dir, expedite, control, worker }.run();
        let (pid, ours) = sys::fork(ours, watch).map_err(start)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| start(error.into()))?;
        ours.set_read_timeout(Some(PATIENCE)).map_err(start)?;
        let mut word = [0];
        match (&ours).read(&mut word) {
            Ok(1) if word == [ARMED] => Ok(Self { pid, pidfd, control: ours }),
            Ok(_) => Err(GuardianError::Lost),
            Err(_) => Err(GuardianError::Silent),
        }
    }

    /// Goes over to the runtime, which must be running.
    ///
    /// # Errors
    /// The runtime does not take the socket.
    pub fn attach(self) -> Result<Attached, GuardianError> {
        self.control.set_nonblocking(true).map_err(GuardianError::Start)?;
        let control = tokio::net::UnixStream::from_std(self.control).map_err(GuardianError::Start)?;
        Ok(Attached { pid: self.pid, pidfd: self.pidfd, control })
    }
}

/// The guardian, within the runtime.
#[derive(Debug)]
pub struct Attached {
    pid: Pid,
    pidfd: OwnedFd,
    control: tokio::net::UnixStream,
}

impl Attached {
    /// The guardian's process id.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Has the guardian watch for the deadline that is in the ledger.
    ///
    /// # Errors
    /// It does not confirm: nothing may be frozen.
    pub async fn watch(&self) -> Result<(), GuardianError> {
        self.control.try_write(&[WATCH]).map_err(|_| GuardianError::Lost)?;
        match tokio::time::timeout(PATIENCE, self.word()).await {
            Ok(Some(WATCH)) => Ok(()),
            Ok(_) => Err(GuardianError::Lost),
            Err(_) => Err(GuardianError::Silent),
        }
    }

    /// Returns when the guardian is dead.
    pub async fn lost(&self) {
        // Unasked, it says nothing.
        while self.word().await.is_some() {}
    }

    async fn word(&self) -> Option<u8> {
        loop {
            self.control.readable().await.ok()?;
            let mut word = [0];
            match self.control.try_read(&mut word) {
                Ok(1) => return word.first().copied(),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                _ => return None,
            }
        }
    }

    /// Tells the guardian that nothing is frozen, and waits for its end.
    pub fn dismiss(&self) {
        let _ = self.control.try_write(&[DONE]);
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
        if !matches!(poll(&mut polled, Some(&patience)), Ok(1)) {
            // Stopped, or stuck: it has nothing left to do.
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        }
        let _ = waitpid(Some(self.pid), WaitOptions::empty());
    }
}
