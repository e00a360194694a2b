//! What the doctor looks at. Reads, and asks the signal function when it is named; judges nothing.

use crate::run_dir::{RunDir, RunDirError};
use crate::signal::{SignalError, Signaller};
use crate::volumes::{Inventory, Judgement, Kept, Target, judge, notes, resolve};
use crate::{describe, freeze, say};
use rustix::fs::statfs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use stillframe_wire::{Answer, Ready, RefusalReason, Signal, VolumeId, VolumeNote};

/// `CAP_SYS_ADMIN` (capability.h): what FIFREEZE asks for.
const CAP_SYS_ADMIN: u32 = 21;
/// `TMPFS_MAGIC` (statfs(2)).
const TMPFS: i64 = 0x0102_1994;
/// The agent's process, as long as a process name may be.
const SSM_AGENT: &str = "amazon-ssm-agen";
/// The longest that a function may take to say that it is there.
const ANSWER: Duration = Duration::from_secs(30);

/// Everything that was looked at.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The kernel's version, `6.1.0-18-cloud-amd64`.
    pub kernel: Option<String>,
    /// Whether this process may freeze.
    pub may_freeze: Option<bool>,
    /// Whether systemd runs, for the third line.
    pub has_systemd: bool,
    /// Whether the SSM agent runs.
    pub has_agent: bool,
    /// Whether `/run` is in memory, so that it takes writes whatever is frozen.
    pub run_is_in_memory: Option<bool>,
    /// Whether a freeze is under way, or was left behind.
    pub lock: LockSeen,
    /// Whether an EBS volume was recognised.
    pub has_volumes: bool,
    /// What lies on the volumes besides mounted file systems.
    pub notes: Vec<VolumeNote>,
    /// File systems on volumes.
    pub mounts: Vec<MountSeen>,
    /// What could not be read at all.
    pub unreadable: Option<String>,
    /// The signal function, when one was named.
    pub function: Option<FunctionSeen>,
}

/// The state of lock and lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LockSeen {
    /// Nothing is under way.
    #[default]
    Free,
    /// A freeze is under way.
    Busy,
    /// A run of that name left its lease: something may be frozen.
    Left(String),
    /// It cannot be told.
    Unknown(String),
}

/// One mounted file system on a volume.
#[derive(Debug, Clone)]
pub struct MountSeen {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Its type, and what lies between it and its volumes.
    pub layout: String,
    /// The volumes that it lies on.
    pub volumes: Vec<VolumeId>,
    /// What a freeze would do with it, unless a policy says `freeze_root`.
    pub judgement: Judgement,
    /// Whether it takes writes now; nothing when that was not tried.
    pub takes_writes: Option<bool>,
}

/// How the signal function answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FunctionSeen {
    /// It answered: region, credentials, rights and network are in order.
    Answers,
    /// It did not, or something else did.
    Fails(String),
}

/// Looks at the machine whose root directory is `root`, and asks `function` whether it is there. Must be
/// called while this process has one thread: it forks to try the file systems.
#[must_use]
pub fn look(root: &Path, function: Option<&str>) -> Seen {
    let text = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let mut seen = Seen {
        kernel: text("proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        may_freeze: text("proc/self/status").as_deref().and_then(may_freeze),
        has_systemd: root.join("run/systemd/system").is_dir(),
        has_agent: has_agent(root),
        run_is_in_memory: statfs(root.join("run"))
            .ok()
            .map(|run| i128::from(run.f_type) == i128::from(TMPFS)),
        lock: lock(),
        ..Seen::default()
    };
    match Inventory::read(root) {
        Ok(inventory) => read_mounts(&inventory, &mut seen),
        Err(error) => seen.unreadable = Some(describe(&error)),
    }
    seen.function = function.map(ask);
    seen
}

fn may_freeze(status: &str) -> Option<bool> {
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let bits = u64::from_str_radix(effective.trim(), 16).ok()?;
    Some(bits & (1 << CAP_SYS_ADMIN) != 0)
}

fn has_agent(root: &Path) -> bool {
    let Ok(processes) = std::fs::read_dir(root.join("proc")) else { return false };
    let name = |process: &Path| std::fs::read_to_string(process.join("comm")).ok();
    processes.flatten().any(|process| name(&process.path()).is_some_and(|name| name.trim() == SSM_AGENT))
}

fn lock() -> LockSeen {
    let look = || -> Result<LockSeen, RunDirError> {
        if !RunDir::exists() {
            return Ok(LockSeen::Free);
        }
        let run_dir = RunDir::open()?;
        match run_dir.lock() {
            Ok(()) => Ok(run_dir.lease()?.map_or(LockSeen::Free, |lease| LockSeen::Left(lease.run))),
            Err(RunDirError::Busy) => Ok(LockSeen::Busy),
            Err(error) => Err(error),
        }
    };
    look().unwrap_or_else(|error| LockSeen::Unknown(describe(&error)))
}

fn read_mounts(inventory: &Inventory, seen: &mut Seen) {
    let all: Vec<VolumeId> = inventory.volumes.keys().cloned().collect();
    seen.has_volumes = !all.is_empty();
    seen.notes = notes(inventory, &all, false);
    let on_volumes = inventory.filesystems.iter().filter(|fs| !fs.backing.volumes.is_empty());
    seen.mounts = on_volumes
        .map(|fs| MountSeen {
            mount_point: fs.mounts.first().map(|mount| mount.mount_point.clone()).unwrap_or_default(),
            layout: format!("{} on {}", fs.fs_type, fs.backing.layout()),
            volumes: fs.backing.volumes.iter().cloned().collect(),
            judgement: judge(fs, false),
            takes_writes: None,
        })
        .collect();
    // While a freeze is under way, that one would be found.
    if seen.lock == LockSeen::Busy {
        return;
    }
    let Ok(targets) = resolve(inventory, &all) else { return };
    match try_writes(&targets) {
        Ok(tried) => {
            for (mount_point, takes_writes) in tried {
                let same = |mount: &&mut MountSeen| mount.mount_point == mount_point;
                if let Some(mount) = seen.mounts.iter_mut().find(same) {
                    mount.takes_writes = Some(takes_writes);
                }
            }
        }
        Err(error) => say(&format!("failed to try whether the file systems take writes: {error}")),
    }
}

fn try_writes(targets: &[Target]) -> std::io::Result<Vec<(PathBuf, bool)>> {
    let kept: Vec<Kept> = targets.iter().filter_map(|target| Kept::open(target).ok()).collect();
    let stuck = freeze::without_writes(&kept)?;
    Ok(kept.iter().enumerate().map(|(n, kept)| (kept.mount_point.clone(), !stuck.contains(&n))).collect())
}

/// A READY whose order is none: the function refuses it, and could only do so by being there.
fn ask(function: &str) -> FunctionSeen {
    let signal = Signal::Ready(Ready { order: String::new(), filesystems: Vec::new(), rehearse: true });
    let asked = async {
        let signaller = Signaller::connect(function, ANSWER).await?;
        signaller.send(&signal, ANSWER).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer: Result<Answer, SignalError> = match runtime {
        Ok(runtime) => runtime.block_on(asked),
        Err(error) => return FunctionSeen::Fails(describe(&error)),
    };
    match answer {
        Ok(Answer::Refused(refusal)) if refusal.reason == RefusalReason::Malformed => FunctionSeen::Answers,
        Ok(Answer::Refused(refusal)) => {
            FunctionSeen::Fails(format!("it refused ({}): {}", refusal.reason.as_str(), refusal.message))
        }
        Ok(_) => FunctionSeen::Fails("it accepted an order that is none".to_owned()),
        Err(error) => FunctionSeen::Fails(describe(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_to_freeze_is_read_from_the_effective_set() {
        assert_eq!(may_freeze("Name:\tx\nCapEff:\t000001ffffffffff\n"), Some(true));
        assert_eq!(may_freeze("CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000000\n"), Some(false));
        assert_eq!(may_freeze("CapEff:\tnone\n"), None);
        assert_eq!(may_freeze(""), None);
    }
}
