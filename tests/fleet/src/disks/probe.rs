//! Whether a file system is frozen, found out the only honest way: something writes to it.
//!
//! The writing is done by a disposable program inside the instance. If its write waits for a thaw it is
//! left behind; it ends by itself after the thaw. Nothing of the fleet's own process ever writes to a
//! volume.

use super::namespace::Namespace;
use super::step::step;
use super::tree::FLEET;
use crate::boottime::now_ns;
use crate::machine::MachineError;
use crate::sync::lock;
use crate::writer::{Entry, Log, Promises, Stall};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The file that is written to, at the root of a file system.
const FILE: &str = ".fleet-probe";
/// A write that waits this long waits, whatever for.
const PATIENCE: Duration = Duration::from_secs(2);
/// The kernel's function that a writer to a frozen file system sleeps in.
const WAITS_IN: &str = "percpu_rwsem_wait";
/// Seen there so many times in a row, a millisecond apart: other things wait there, too, for an instant.
const SEEN: u32 = 3;
const WATCH_PAUSE_MS: i64 = 1;

/// The command line of `fleet probe`.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The file to write one byte to.
    pub file: PathBuf,
    /// Writes again and again until stdin ends, and prints every write that took longer than this.
    #[arg(long, value_name = "MICROSECONDS")]
    pub watch_above_us: Option<u64>,
}

/// What `fleet probe` does.
///
/// # Errors
/// The file cannot be written to.
pub fn run(args: &Args) -> io::Result<()> {
    let file = File::options().write(true).create(true).truncate(false).open(&args.file)?;
    let Some(above_us) = args.watch_above_us else { return file.write_all_at(b".", 0) };
    let log = Log::new(io::stdout());
    let stdin = io::stdin();
    let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: WATCH_PAUSE_MS * 1_000_000 };
    loop {
        let from_ns = now_ns();
        file.write_all_at(b".", 0)?;
        let to_ns = now_ns();
        if to_ns.saturating_sub(from_ns) > above_us.saturating_mul(1_000) {
            log.note(&Entry::Stalled(Stall { operation: "probe".to_owned(), from_ns, to_ns }))?;
        }
        if poll(&mut [PollFd::new(&stdin, PollFlags::IN)], Some(&pause)).is_ok_and(|ready| ready > 0) {
            return Ok(());
        }
    }
}

/// Asks whether file systems are frozen, and remembers who still waits for an answer.
#[derive(Debug, Default)]
pub struct Probes {
    waiting: Mutex<Vec<(u32, Child)>>,
}

impl Probes {
    /// Whether a write to the file system on this loop device, mounted there inside, waits.
    ///
    /// # Errors
    /// The write could not be tried.
    pub fn frozen(
        &self,
        namespace: &Namespace,
        device: u32,
        mount_point: &Path,
    ) -> Result<bool, MachineError> {
        let failed = || step(format!("write to {}", mount_point.display()));
        let file = mount_point.join(FILE);
        let mut child = match self.who_waits(device) {
            Some(child) => child,
            None => {
                let spawn = move || {
                    Command::new(FLEET)
                        .arg("probe")
                        .arg(file)
                        .env_clear()
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                };
                namespace.enter("probe", spawn)?.map_err(failed())?
            }
        };
        let waits = judge(&mut child).map_err(failed())?;
        if waits {
            lock(&self.waiting).push((device, child));
        }
        Ok(waits)
    }

    /// One that was left behind and has not been seen to end.
    fn who_waits(&self, device: u32) -> Option<Child> {
        let mut waiting = lock(&self.waiting);
        let place = waiting.iter().position(|(on, _)| *on == device)?;
        Some(waiting.swap_remove(place).1)
    }

    /// Reaps those that have ended; `true` once nobody waits any more.
    pub fn all_ended(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        waiting.retain_mut(|(_, child)| matches!(child.try_wait(), Ok(None)));
        waiting.is_empty()
    }
}

/// Whether the child waits for a thaw; otherwise it has ended, and its write with it.
fn judge(child: &mut Child) -> io::Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    let sleeps_in = format!("/proc/{}/wchan", child.id());
    let mut seen = 0;
    loop {
        // A write that is refused, as on a read-only mount, does not wait either.
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        let there = fs::read_to_string(&sleeps_in).is_ok_and(|function| function == WAITS_IN);
        seen = if there { seen + 1 } else { 0 };
        if seen >= SEEN || Instant::now() >= deadline {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A program that writes to a file system every millisecond and notes when that took long. It ends with
/// this value, or with the fleet: its stdin does.
#[derive(Debug)]
pub struct Watch {
    child: Child,
}

impl Watch {
    /// Starts one on what is mounted there inside; writes that take longer than `above` are noted.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(namespace: &Namespace, mount_point: &Path, above: Duration) -> Result<Self, MachineError> {
        let failed = step(format!("watch {}", mount_point.display()));
        let file = mount_point.join(FILE);
        let start = move || {
            Command::new(FLEET)
                .args(["probe", "--watch-above-us", &above.as_micros().to_string()])
                .arg(file)
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
        };
        Ok(Self { child: namespace.enter("watch", start)?.map_err(failed)? })
    }

    /// Ends it, after a write that waits now, and tells what it noted.
    ///
    /// # Errors
    /// What it noted cannot be read.
    pub fn finish(mut self) -> io::Result<Vec<Stall>> {
        drop(self.child.stdin.take());
        let mut noted = String::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_string(&mut noted)?;
        }
        Ok(Promises::read(&noted).stalls)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Without stdin it ends by itself; killed it is gone even if it never came to read that.
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
