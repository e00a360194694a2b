//! The third line, for the case that worker and guardian die together: a transient systemd timer that
//! starts `stillframe-helper thaw` every second until the freeze is over. It lives in a control group of
//! its own, knows nothing of the run, and ends itself when nothing is left to undo.
//!
//! Best effort: where there is no systemd, or it refuses, the next start of the helper and the backup
//! function's `Stillframe-Thaw` are what is left, and the report says so.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Exists where systemd runs (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";
/// How long systemd may take to start a timer. Nothing is frozen while the worker waits.
const PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// The timer, being started or running.
#[derive(Debug)]
pub struct ThirdLine {
    unit: String,
    starting: Option<Child>,
    runs: bool,
}

impl ThirdLine {
    /// Asks systemd for the timer, and does not wait for it. Nothing where there is no systemd.
    #[must_use]
    pub fn start() -> Option<Self> {
        if !Path::new(SYSTEMD).is_dir() {
            return None;
        }
        let program = std::env::current_exe().ok()?;
        let unit = format!("stillframe-thaw-{}", std::process::id());
        let starting = quiet("systemd-run")
            .args(["--quiet", "--collect", "--unit", &unit])
            .args(["--description", "Thaws what a Stillframe freeze leaves frozen"])
            .args(["--on-active=1s", "--on-unit-active=1s", "--timer-property=AccuracySec=50ms"])
            // What is frozen may be where the journal lies.
            .args(["--property=StandardOutput=null", "--property=StandardError=kmsg"])
            .args(["--property=LogLevelMax=warning", "--property=OOMScoreAdjust=-1000"])
            .arg(program)
            .args(["thaw", "--third-line", &unit])
            .spawn()
            .ok()?;
        Some(Self { unit, starting: Some(starting), runs: false })
    }

    /// Whether the timer runs; waits until systemd has said so.
    pub fn runs(&mut self) -> bool {
        if let Some(mut starting) = self.starting.take() {
            self.runs = ended_well(&mut starting);
        }
        self.runs
    }

    /// Ends the timer, and does not wait for it.
    pub fn stop(mut self) {
        if self.runs() {
            stop(&self.unit);
        }
    }
}

/// Asks systemd to end the timer of that name, and does not wait for it.
pub fn stop(unit: &str) {
    let stopping = quiet("systemctl").args(["stop", "--no-block", &format!("{unit}.timer")]).spawn();
    if let Ok(mut stopping) = stopping {
        let _ = ended_well(&mut stopping);
    }
}

fn quiet(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_remove("SSM_order");
    command
}

/// Whether the process ends with success, and in time; it is not waited for longer.
fn ended_well(child: &mut Child) -> bool {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) else { return false };
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    let ended = matches!(poll(&mut polled, Some(&PATIENCE)), Ok(1));
    ended && child.try_wait().is_ok_and(|status| status.is_some_and(|status| status.success()))
}
