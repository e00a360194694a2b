//! The helpers of a region as they start, and the instants at which their processes die: seen from outside,
//! in `/proc` and through pidfds.

use super::calls::{Call, Calls};
use crate::boottime::now_ns;
use crate::processes::Process;
use crate::sys;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// A process that does not become a helper in this time is none.
const BECOMES: Duration = Duration::from_secs(2);

/// One process of a helper.
#[derive(Debug)]
pub struct Part {
    /// The process.
    pub process: Process,
    /// What its threads were seen to wait in.
    pub calls: Calls,
    handle: OwnedFd,
    died_ns: AtomicU64,
}

impl Part {
    fn of(pid: i32) -> Option<Self> {
        let process = Process::find(pid)?;
        let handle = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        process.alive().then(|| Self { process, calls: Calls::default(), handle, died_ns: AtomicU64::new(0) })
    }

    /// Looks at what it waits in until it is gone, while its helper freezes or thaws.
    pub fn observe_calls(&self, of: &Helper) {
        let freezes = || {
            let phase = of.phase();
            phase.is_empty() || matches!(phase.as_str(), "sf:prime" | "sf:freeze" | "sf:frozen" | "sf:thaw")
        };
        self.calls.observe(self.process.pid, || self.died_ns().is_some(), freezes);
    }

    /// Waits until every thread of it is gone, and notes when that was.
    pub fn wait_for_death(&self) {
        sys::run_first();
        while let Err(rustix::io::Errno::INTR) = poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], None) {
        }
        self.died_ns.store(now_ns(), SeqCst);
    }

    /// When it died, nanoseconds since boot; nothing while it lives.
    #[must_use]
    pub fn died_ns(&self) -> Option<u64> {
        Some(self.died_ns.load(SeqCst)).filter(|at| *at > 0)
    }
}

/// One helper.
#[derive(Debug)]
pub struct Helper {
    /// Its instance.
    pub instance: String,
    /// The work order that it was given.
    pub order: String,
    /// The process that freezes.
    pub worker: Part,
    /// The process group that SSM kills.
    pub group: i32,
    /// The process that watches it, once there is one.
    pub guardian: OnceLock<Part>,
    name: File,
}

impl Helper {
    /// What both processes were seen to wait in.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        let mut all = self.worker.calls.all();
        all.extend(self.guardian.get().iter().flat_map(|guardian| guardian.calls.all()));
        all
    }

    /// The phase that the worker shows; empty once it is gone.
    #[must_use]
    pub fn phase(&self) -> String {
        let mut name = [0; 32];
        let read = self.name.read_at(&mut name, 0).unwrap_or(0);
        String::from_utf8_lossy(name.get(..read).unwrap_or_default()).trim_end().to_owned()
    }
}

/// Looks for helpers below a fleet.
#[derive(Debug)]
pub struct Scan {
    /// The fleet and its children: a helper's parent is the shell that the agent has started, or the agent.
    agents: BTreeSet<i32>,
    fleet: i32,
    /// Looked at and of no interest, or known.
    settled: BTreeSet<i32>,
    undecided: BTreeMap<i32, Instant>,
    workers: BTreeSet<i32>,
}

/// What a look has found.
#[derive(Debug)]
pub enum Found {
    /// A helper whose worker has begun.
    Helper(Helper),
    /// The guardian of the worker with this number.
    Guardian(i32, Part),
}

impl Scan {
    /// Looks below the fleet with this number.
    #[must_use]
    pub fn below(fleet: i32) -> Self {
        Self {
            agents: BTreeSet::from([fleet]),
            fleet,
            settled: BTreeSet::new(),
            undecided: BTreeMap::new(),
            workers: BTreeSet::new(),
        }
    }

    /// What is new since the last look.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn look(&mut self) -> io::Result<Vec<Found>> {
        let pids: BTreeSet<i32> = fs::read_dir("/proc")?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        for known in [&mut self.settled, &mut self.agents, &mut self.workers] {
            known.retain(|pid| pids.contains(pid));
        }
        self.undecided.retain(|pid, _| pids.contains(pid));
        let mut found = Vec::new();
        for pid in pids.difference(&self.settled).copied().collect::<Vec<_>>() {
            let since = *self.undecided.entry(pid).or_insert_with(Instant::now);
            let decided = match self.judge(pid) {
                Judged::Undecided => since.elapsed() > BECOMES,
                Judged::Other => true,
                Judged::Found(one) => {
                    found.push(one);
                    true
                }
            };
            if decided {
                self.undecided.remove(&pid);
                self.settled.insert(pid);
            }
        }
        Ok(found)
    }

    fn judge(&mut self, pid: i32) -> Judged {
        let Some(stat) = Stat::of(pid) else { return Judged::Other };
        if stat.parent == self.fleet {
            self.agents.insert(pid);
        }
        if self.agents.contains(&stat.parent) {
            if !stat.name.starts_with("sf:") {
                return Judged::Undecided;
            }
            let Some(helper) = helper(pid, stat.group) else { return Judged::Other };
            self.workers.insert(pid);
            return Judged::Found(Found::Helper(helper));
        }
        if self.workers.contains(&stat.parent) {
            return match Part::of(pid) {
                Some(part) if stat.name == "sf:guardian" => Judged::Found(Found::Guardian(stat.parent, part)),
                _ => Judged::Undecided,
            };
        }
        Judged::Other
    }
}

enum Judged {
    Undecided,
    Other,
    Found(Found),
}

/// What is needed of `/proc/PID/stat`.
struct Stat {
    name: String,
    parent: i32,
    group: i32,
}

impl Stat {
    fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(") ")?;
        let (_, name) = head.split_once('(')?;
        let mut fields = tail.split(' ').skip(1).map(str::parse);
        Some(Self { name: name.to_owned(), parent: fields.next()?.ok()?, group: fields.next()?.ok()? })
    }
}

fn helper(pid: i32, group: i32) -> Option<Helper> {
    let worker = Part::of(pid)?;
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment);
    let variable = |name: &str| {
        let one = environment.split('\0').find_map(|one| one.strip_prefix(name)?.strip_prefix('='));
        one.map(str::to_owned)
    };
    Some(Helper {
        instance: variable("AWS_SSM_INSTANCE_ID")?,
        order: variable("SSM_order").unwrap_or_default(),
        worker,
        group,
        guardian: OnceLock::new(),
        name: File::open(format!("/proc/{pid}/comm")).ok()?,
    })
}
