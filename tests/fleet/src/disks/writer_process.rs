//! A writer that runs on a volume of an instance.

use super::namespace::Namespace;
use super::step::step;
use super::tree::FLEET;
use crate::machine::MachineError;
use crate::writer::DIR;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

/// How a writer writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriterPlan {
    /// Unsynced bulk writes, megabytes a second.
    pub bulk_mb_s: u64,
    /// Pause between two records, microseconds.
    pub pause_us: u64,
    /// Whether it holds removed files open.
    pub orphans: bool,
    /// Its log, on the host.
    pub log: PathBuf,
}

/// The process. It ends with this value, or with the fleet.
#[derive(Debug)]
pub struct WriterProcess {
    process: OwnedFd,
    waiting: Option<JoinHandle<()>>,
}

impl WriterProcess {
    /// Starts one on what is mounted there inside.
    ///
    /// # Errors
    /// Its log cannot be opened, or it cannot be started.
    pub fn start(namespace: &Namespace, mount_point: &Path, plan: &WriterPlan) -> Result<Self, MachineError> {
        let failed = || step(format!("start the writer on {}", mount_point.display()));
        let log = File::options().append(true).create(true).open(&plan.log).map_err(failed())?;
        let mut command = Command::new(FLEET);
        command.arg("writer").arg("--dir").arg(mount_point.join(DIR));
        command.args(["--bulk-mb-s", &plan.bulk_mb_s.to_string()]);
        command.args(["--pause-us", &plan.pause_us.to_string()]);
        if plan.orphans {
            command.arg("--orphans");
        }
        command.env_clear().stdin(Stdio::null()).stdout(log).stderr(Stdio::null());
        let (tell, started) = std::sync::mpsc::channel();
        let what = format!("writer on {}", mount_point.display());
        // The thread that starts it stays to the end: the writer dies with it.
        let waiting = namespace.spawn("writer", move || match spawn(command) {
            Ok((child, process)) => {
                let _ = tell.send(Ok(process));
                wait(child, &what);
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        })?;
        let ended = |_| io::Error::other("its thread ended early");
        let process = started.recv().map_err(ended).and_then(|outcome| outcome).map_err(failed())?;
        Ok(Self { process, waiting: Some(waiting) })
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        let _ = pidfd_send_signal(&self.process, Signal::KILL);
        if let Some(waiting) = self.waiting.take() {
            let _ = waiting.join();
        }
    }
}

fn spawn(mut command: Command) -> io::Result<(Child, OwnedFd)> {
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process = pid.ok_or(rustix::io::Errno::SRCH).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    match process {
        Ok(process) => Ok((child, process)),
        Err(errno) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(errno.into())
        }
    }
}

/// A writer that fails is no reason to end the region: its log says why, and a check of a snapshot sees it.
fn wait(mut child: Child, what: &str) {
    match child.wait() {
        Ok(status) if status.code().is_some() => tracing::warn!(%status, "the {what} ended by itself"),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "failed to wait for the {what}"),
    }
}
