//! Finding the processes of one region, to look at and end exactly those.

use std::fs;
use std::time::{Duration, Instant};

/// A process, held by its id and start time so that a reused id is never hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    started: u64,
}

impl Process {
    /// No process: for a search that is over without one.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { pid: 0, started: 0 }
    }

    /// The process with this id, if there is one.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    /// Its name: what it last gave to `prctl(PR_SET_NAME)`.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// The root directory that it sees.
    #[must_use]
    pub fn root(&self) -> std::path::PathBuf {
        std::path::Path::new("/proc").join(self.pid.to_string()).join("root")
    }

    /// Whether it still runs (a zombie does not).
    #[must_use]
    pub fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started) && state(self.pid) != Some('Z')
    }

    /// Sends a signal, if it still is the same process.
    pub fn signal(&self, number: i32) {
        if start_time(self.pid) == Some(self.started)
            && let Some(pid) = rustix::process::Pid::from_raw(self.pid)
            && let Some(signal) = rustix::process::Signal::from_named_raw(number)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// The fields of `/proc/PID/stat` after the name, which may itself hold blanks and brackets.
fn stat(pid: i32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, tail) = stat.rsplit_once(')')?;
    Some(tail.split_whitespace().map(str::to_owned).collect())
}

fn state(pid: i32) -> Option<char> {
    stat(pid)?.first()?.chars().next()
}

fn start_time(pid: i32) -> Option<u64> {
    stat(pid)?.get(19)?.parse().ok()
}

fn pids() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Every process whose environment names the endpoint and whose name satisfies the test.
#[must_use]
pub fn of_endpoint(endpoint: &str, wanted: impl Fn(&str) -> bool) -> Vec<Process> {
    pids()
        .into_iter()
        .filter_map(Process::find)
        .filter(|process| process.name().is_some_and(|name| wanted(&name)))
        .filter(|process| {
            fs::read(format!("/proc/{}/environ", process.pid))
                .is_ok_and(|environ| String::from_utf8_lossy(&environ).contains(endpoint))
        })
        .collect()
}

/// Every process below the given one.
#[must_use]
pub fn below(parent: i32) -> Vec<Process> {
    let parents: Vec<(i32, i32)> =
        pids().into_iter().filter_map(|pid| Some((pid, stat(pid)?.get(1)?.parse().ok()?))).collect();
    let mut found = vec![parent];
    let mut at = 0;
    while let Some(&above) = found.get(at) {
        found.extend(parents.iter().filter(|(_, p)| *p == above).map(|(pid, _)| *pid));
        at += 1;
    }
    found.into_iter().skip(1).filter_map(Process::find).collect()
}

/// Polls closely until the condition gives something or the time is over.
pub fn poll<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if Instant::now() > end {
            return None;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
