//! Undoing a freeze that nobody undid: thaws what the lease in `/run/stillframe` names. Needs no order,
//! no configuration, no network, and no memory of the freeze.

use crate::clock::Boottime;
use crate::run_dir::{Holder, Lease, Leased, RunDir, RunDirError};
use crate::volumes::mountinfo::Mount;
use crate::volumes::read_mounts;
use crate::{describe, grace_periods, sys, third_line};
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, open, statx};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;
use stillframe_wire::Exit;

/// How long all thaws together may take. One that hangs longer waits for something else.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often one file system is thawed at most: kernels that count freezes need it more than once.
const MOST_THAWS: usize = 16;

/// What came of it: the JSON document on stdout.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Thawed {
    /// The run whose lease it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Were frozen, and are no longer.
    pub thawed: Vec<PathBuf>,
    /// Were not frozen.
    pub not_frozen: Vec<PathBuf>,
    /// May be frozen still.
    pub failed: Vec<Failed>,
    /// Why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A file system that may be frozen still.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Failed {
    /// Where it was mounted.
    pub mount_point: PathBuf,
    /// What is wrong, and what to do.
    pub error: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.mount_point.display(), self.error)
    }
}

/// `stillframe-helper thaw`. A freeze that is under way and in time is left alone, unless `force`.
#[must_use]
pub fn run(force: bool) -> (Thawed, Exit) {
    match thaw(force) {
        Ok(Found::UnderWay(thawed)) if thawed.error.is_some() => (thawed, Exit::Refused),
        Ok(Found::UnderWay(thawed) | Found::Over(thawed)) if thawed.failed.is_empty() => (thawed, Exit::Done),
        Ok(Found::UnderWay(thawed) | Found::Over(thawed)) => (thawed, Exit::ThawUncertain),
        Err(error) => (Thawed { error: Some(describe(&error)), ..Thawed::default() }, Exit::ThawUncertain),
    }
}

/// The same, started by the timer of that name: leaves a freeze that is in time alone without a word, and
/// ends the timer when nothing is left to undo.
#[must_use]
pub fn run_as_third_line(timer: &str) -> (Thawed, Exit) {
    match thaw(false) {
        Ok(Found::UnderWay(_)) => (Thawed::default(), Exit::Done),
        Ok(Found::Over(thawed)) if thawed.failed.is_empty() => {
            third_line::stop(timer);
            (thawed, Exit::Done)
        }
        Ok(Found::Over(thawed)) => (thawed, Exit::ThawUncertain),
        Err(error) => (Thawed { error: Some(describe(&error)), ..Thawed::default() }, Exit::ThawUncertain),
    }
}

/// How things stood.
enum Found {
    /// A freeze is under way, and was left alone or thawed by force.
    UnderWay(Thawed),
    /// Nobody freezes any more.
    Over(Thawed),
}

fn thaw(force: bool) -> Result<Found, RunDirError> {
    let run_dir = RunDir::open()?;
    match run_dir.lock() {
        Ok(()) => return undo_lease(&run_dir).map(Found::Over),
        Err(RunDirError::Busy) => {}
        Err(error) => return Err(error),
    }
    // Worker or guardian lives. Before its lease it has frozen nothing, and it thaws in time by
    // itself, unless both are stopped or stuck.
    let Some(lease) = run_dir.lease()? else { return Ok(Found::UnderWay(Thawed::default())) };
    let left_ms = lease.until_ms.saturating_sub(Boottime::now().nanos() / 1_000_000);
    if left_ms > 0 && !force {
        let error = format!(
            "the freeze of run {} is under way and ends by itself within {left_ms} ms; --force thaws now",
            lease.run
        );
        return Ok(Found::UnderWay(Thawed { run: Some(lease.run), error: Some(error), ..Thawed::default() }));
    }
    if left_ms == 0 {
        // It would have thawed long ago. What is stuck must not freeze again after us.
        kill(lease.worker);
        kill(lease.guardian);
    }
    let thawed = thaw_lease(&lease);
    if thawed.failed.is_empty() && run_dir.lock().is_ok() {
        run_dir.remove_lease()?;
        return Ok(Found::Over(thawed));
    }
    Ok(Found::UnderWay(thawed))
}

/// Thaws what a lease whose holder is gone names, and removes it. The caller holds the lock.
///
/// # Errors
/// The lease cannot be read or removed.
pub fn undo_lease(run_dir: &RunDir) -> Result<Thawed, RunDirError> {
    let Some(lease) = run_dir.lease()? else { return Ok(Thawed::default()) };
    let thawed = thaw_lease(&lease);
    if thawed.failed.is_empty() {
        run_dir.remove_lease()?;
    }
    Ok(thawed)
}

fn kill(holder: Holder) {
    // The descriptor is taken first: if the start time is still the same then, it is that process.
    let Some(pid) = Pid::from_raw(holder.pid) else { return };
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    if holder.is_alive() {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

/// A thread per file system: one that hangs holds up no other.
fn thaw_lease(lease: &Lease) -> Thawed {
    if lease.expedited {
        // A machine that stays expedited is slower, not wrong; what is frozen comes first.
        let _ = grace_periods::take_back();
    }
    let mounts = read_mounts(Path::new("/")).unwrap_or_default();
    let mut outcome = Thawed { run: Some(lease.run.clone()), ..Thawed::default() };
    let mut pending: Vec<&Leased> = lease.filesystems.iter().collect();
    let mut threads = Vec::with_capacity(pending.len());
    let (sender, answers) = channel();
    for (n, leased) in lease.filesystems.iter().enumerate() {
        let sender = sender.clone();
        let of_it: Vec<Mount> = mounts.iter().filter(|mount| leased.is(mount.device)).cloned().collect();
        threads.push(std::thread::spawn(move || sender.send((n, thaw_one(&of_it)))));
    }
    drop(sender);
    let limit = Boottime::now().after(PATIENCE);
    while let Ok((n, result)) = answers.recv_timeout(limit.since(Boottime::now())) {
        let Some(leased) = lease.filesystems.get(n) else { continue };
        pending.retain(|other| *other != leased);
        let mount_point = leased.mount_point.clone();
        match result {
            Ok(true) => outcome.thawed.push(mount_point),
            Ok(false) => outcome.not_frozen.push(mount_point),
            Err(error) => outcome.failed.push(Failed { mount_point, error }),
        }
    }
    if pending.is_empty() {
        // A freeze that undoes a lease forks next, which only a single thread may.
        threads.into_iter().for_each(|thread| drop(thread.join()));
    }
    for leased in pending {
        let error = format!("the thaw did not return within {} s; its disk may hang", PATIENCE.as_secs());
        outcome.failed.push(Failed { mount_point: leased.mount_point.clone(), error });
    }
    outcome
}

/// Thaws one file system through any of its mounts. Whether it was frozen.
fn thaw_one(mounts: &[Mount]) -> Result<bool, String> {
    if mounts.is_empty() {
        return Err(
            "it is not mounted here any more; mount its device again and repeat this, or reboot".into()
        );
    }
    let mut error = String::new();
    for mount in mounts {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = match open(mount.path(), flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(errno) => {
                error = format!("failed to open it: {errno}");
                continue;
            }
        };
        let lies_there = statx(&fd, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).is_ok_and(|found| {
            !StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID)
                || found.stx_mnt_id == mount.id
        });
        if !lies_there {
            error = "another file system is mounted over it; unmount that and repeat this".to_owned();
            continue;
        }
        let mut was_frozen = false;
        for _ in 0..MOST_THAWS {
            match sys::thaw(fd.as_fd()) {
                Ok(()) => was_frozen = true,
                Err(Errno::INVAL) => return Ok(was_frozen),
                Err(errno) => {
                    error = format!("failed to thaw it: {errno}");
                    break;
                }
            }
        }
    }
    Err(error)
}
