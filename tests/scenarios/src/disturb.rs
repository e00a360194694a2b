//! Ways to disturb a run at a chosen instant: ending the helper in a phase, freezing from outside.

use crate::region::Region;
use fleet::boottime::now_ns;
use fleet::processes::{self, Process};
use fleet::stall::{Stall, StallWatch};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The process that freezes.
    Worker,
    /// The process that watches it.
    Guardian,
    /// The process group, by SSM's CancelCommand.
    CancelledBySsm,
}

/// What a hit did.
#[derive(Debug)]
pub struct Hit {
    /// How long after it the last writer went on; zero when none stood still.
    pub writable_after: Duration,
}

const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;

impl Region {
    /// Runs `run` and kills the victim when the helper shows the phase. `None` when the run ended before
    /// it could be hit.
    pub fn kill_helper_at<T: Send>(
        &self,
        phase: &str,
        victim: Victim,
        run: impl FnOnce() -> T + Send,
    ) -> Option<Hit> {
        let watch = StallWatch::start(&self.mounts_from_outside()).expect("the mounts can be written to");
        let hit_at = thread::scope(|scope| {
            let run = scope.spawn(run);
            let worker = processes::poll(Duration::from_secs(20), || {
                let found = processes::of_endpoint(self.endpoint(), |name| {
                    name.starts_with("sf:") && name != "sf:guardian"
                });
                found.first().copied().or_else(|| run.is_finished().then_some(NOBODY))
            })
            .filter(|&worker| worker != NOBODY)?;
            // From here on only its name is read, as often as possible.
            let end = Instant::now() + Duration::from_secs(40);
            let in_phase = loop {
                match worker.name() {
                    Some(name) if name == phase => break true,
                    Some(name) if name.starts_with("sf:") && Instant::now() < end => std::hint::spin_loop(),
                    _ => break false,
                }
            };
            if !in_phase {
                return None;
            }
            match victim {
                Victim::Worker => worker.signal(SIGKILL),
                Victim::Guardian => {
                    let guardian = processes::of_endpoint(self.endpoint(), |name| name == "sf:guardian")
                        .first()
                        .copied();
                    guardian.expect("a helper in its window has a guardian").signal(SIGKILL);
                }
                Victim::CancelledBySsm => self.cancel_commands(),
            }
            let at_ns = now_ns();
            if victim == Victim::Worker {
                processes::poll(Duration::from_secs(40), || (!worker.alive()).then_some(()))?;
            }
            Some(at_ns)
        });
        let stalls = watch.finish();
        let hit_at = hit_at?;
        let writable_after = stalls
            .iter()
            .filter(|stall| stall.spans(hit_at) || stall.spans(hit_at + 20_000_000))
            .map(|stall| Duration::from_nanos(stall.to_ns.saturating_sub(hit_at)))
            .max()
            .unwrap_or_default();
        Some(Hit { writable_after })
    }

    /// Runs `run` and has worker and guardian of one instance die together while they hold it frozen. How
    /// long after that the last of the instance's writers went on, and whether `run` was still under way then.
    pub fn kill_both_on<T: Send>(&self, instance: &str, run: impl FnOnce() -> T + Send) -> (Duration, bool) {
        let is_there = |process: &Process| {
            std::fs::read(format!("/proc/{}/environ", process.pid))
                .is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(instance))
        };
        let find = |name: &str| {
            let found = processes::of_endpoint(self.endpoint(), |its| its == name);
            found.into_iter().find(is_there)
        };
        // Open before the freeze: making a file would wait for the thaw.
        let files: Vec<File> = self
            .mounts_of(instance)
            .iter()
            .map(|mount| File::create(mount.join(".thaw-probe")).expect("the mounts can be written to"))
            .collect();
        thread::scope(|scope| {
            let run = scope.spawn(run);
            let worker =
                processes::poll(Duration::from_secs(30), || find("sf:frozen")).expect("it is frozen");
            let guardian = find("sf:guardian").expect("a frozen instance has a guardian");
            // Neither may act for the other in between.
            for signal in [SIGSTOP, SIGKILL] {
                guardian.signal(signal);
                worker.signal(signal);
            }
            let killed_ns = now_ns();
            for file in &files {
                file.write_at(b"x", 0).expect("a write gets through in the end");
            }
            let thawed_after = Duration::from_nanos(now_ns().saturating_sub(killed_ns));
            let under_way = !run.is_finished();
            let _ = run.join();
            (thawed_after, under_way)
        })
    }

    /// Runs `run` and thaws a mount as soon as the helper shows that it is frozen, as another tool would.
    /// Whether there was something to thaw.
    pub fn thaw_in_window<T: Send>(&self, mount_point: &str, run: impl FnOnce() -> T + Send) -> (bool, T) {
        let path = self.mount_from_outside(mount_point);
        thread::scope(|scope| {
            let run = scope.spawn(run);
            let frozen = processes::poll(Duration::from_secs(30), || {
                processes::of_endpoint(self.endpoint(), |name| name == "sf:frozen").first().copied()
            });
            let thawed = frozen.is_some()
                && Command::new("fsfreeze")
                    .arg("-u")
                    .arg(&path)
                    .status()
                    .is_ok_and(|status| status.success());
            (thawed, run.join().expect("the run ends"))
        })
    }

    /// The longest time that a small write stood still on any mount while `run` ran.
    pub fn longest_stall_during(&self, run: impl FnOnce()) -> Duration {
        let watch = StallWatch::start(&self.mounts_from_outside()).expect("the mounts can be written to");
        run();
        watch.finish().iter().map(Stall::length).max().unwrap_or_default()
    }

    /// Freezes a mount from outside while `run` runs, as another tool would. Thawed in any case.
    ///
    /// # Panics
    /// It cannot be frozen, or was thawed by somebody else in between.
    pub fn freeze_from_outside(&self, mount_point: &str, run: impl FnOnce()) {
        let path = self.mount_from_outside(mount_point);
        let frozen = ForeignFreeze::new(path);
        run();
        assert!(frozen.thaw(), "somebody thawed {mount_point}, which was not theirs to thaw");
    }

    /// Freezes a mount from outside and leaves it so: for tests of what cleans up.
    pub fn freeze_and_forget(&self, mount_point: &str) {
        let status = Command::new("fsfreeze").arg("-f").arg(self.mount_from_outside(mount_point)).status();
        assert!(status.expect("fsfreeze starts").success());
    }
}

const NOBODY: Process = Process::nobody();

/// A freeze with an independent thaw armed, in case the test dies.
struct ForeignFreeze {
    path: PathBuf,
    rescue: Child,
}

impl ForeignFreeze {
    fn new(path: PathBuf) -> Self {
        let rescue = Command::new("sh")
            .args(["-c", "sleep 60; exec fsfreeze -u \"$0\""])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        let frozen = Command::new("fsfreeze").arg("-f").arg(&path).status().expect("fsfreeze starts");
        assert!(frozen.success(), "freeze {path:?}");
        Self { path, rescue }
    }

    /// Whether the thaw was ours to do.
    fn thaw(&self) -> bool {
        Command::new("fsfreeze")
            .arg("-u")
            .arg(&self.path)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

impl Drop for ForeignFreeze {
    fn drop(&mut self) {
        self.thaw();
        let _ = self.rescue.kill();
        let _ = self.rescue.wait();
    }
}
