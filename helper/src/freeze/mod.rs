//! The freeze: from a work order to a report. [`state`] is the protocol, [`worker`] executes it,
//! [`guardian`] and its `watch` see to it that nothing stays frozen, and this file does what comes
//! before: it reads the order, finds the file systems, and refuses what cannot be done.

mod around;
mod ask;
pub mod expedite;
pub mod flush;
pub mod guardian;
pub mod ledger;
mod probe;
mod report;
pub mod state;
pub mod threads;
mod watch;
mod words;
pub mod worker;

use crate::clock::Boottime;
use crate::hooks::HookError;
use crate::run_dir::{Holder, Lease, Leased, RunDir, RunDirError};
use crate::third_line::ThirdLine;
use crate::volumes::{self, Inventory, InventoryError, Judgement, Kept, OpenError, ResolveError, Target};
use crate::{describe, say, sys, thaw};
use around::Around;
use expedite::Expedite;
use flush::Approach;
use guardian::{Guardian, GuardianError};
use ledger::Ledger;
pub use probe::without_writes;
use rustix::process::{Pid, getpid};
use std::ffi::CStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stillframe_wire::{
    FileSystemReport, IdError, InstanceId, OrderError, Reason, Report, Verdict, VolumeId, VolumeNote,
    WorkOrder,
};
use worker::Worker;

/// Why nothing was frozen, found out before the protocol begins.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The order cannot be read, or is for another instance.
    #[error("failed to accept the work order: {0}")]
    Order(#[from] OrderError),
    /// The agent says that this is an instance whose id is none.
    #[error("failed to read AWS_SSM_INSTANCE_ID")]
    Instance(#[from] IdError),
    /// The lock, or a lease left behind.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// Something that an earlier run left frozen could not be thawed.
    #[error("failed to thaw what an earlier run left frozen: {0}; run stillframe-helper thaw")]
    LeftFrozen(String),
    /// The machine cannot be read.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// The order does not fit the machine.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A mount point cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Nothing to do.
    #[error("none of the order's volumes holds a mounted file system that can be frozen")]
    NothingToFreeze {
        /// What they hold instead.
        notes: Vec<VolumeNote>,
        /// The file systems that are left alone, and why.
        filesystems: Vec<FileSystemReport>,
    },
    /// A file system takes no writes.
    #[error("the file system at {0} takes no writes: another process has frozen it, or its disk hangs")]
    Foreign(String),
    /// A hook may not be run.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// There would be nobody to watch.
    #[error(transparent)]
    Guardian(#[from] GuardianError),
    /// The system gave no thread, descriptor or memory.
    #[error("failed to prepare the freeze")]
    System(#[from] std::io::Error),
}

impl PrepareError {
    /// What the report calls it.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Order(_) | Self::Instance(_) => Reason::BadOrder,
            Self::RunDir(RunDirError::Busy) => Reason::Busy,
            Self::Resolve(ResolveError::NotAttached { .. }) => Reason::VolumeMissing,
            Self::Resolve(_) => Reason::SpansOtherVolume,
            Self::NothingToFreeze { .. } => Reason::NothingToFreeze,
            Self::Foreign(_) => Reason::ForeignFreeze,
            Self::Hook(_) => Reason::HookFailed,
            Self::Guardian(GuardianError::Lost | GuardianError::Silent) => Reason::GuardianLost,
            Self::RunDir(_) | Self::LeftFrozen(_) | Self::Inventory(_) | Self::Open(_) => Reason::Internal,
            Self::Guardian(GuardianError::Start(_)) | Self::System(_) => Reason::Internal,
        }
    }

    /// An order that cannot be right here is refused; anything else may be right another time.
    fn verdict(&self) -> Verdict {
        match self {
            Self::Order(_) | Self::Instance(_) | Self::Resolve(_) => Verdict::Refused,
            _ => Verdict::NotFrozen,
        }
    }
}

/// Everything that the protocol works on, ready before anything is frozen.
#[derive(Debug)]
pub struct Prepared {
    /// The order.
    pub order: WorkOrder,
    /// The same as it came, for the signal function to verify.
    pub token: String,
    /// Every file system on the ordered volumes.
    pub targets: Vec<Target>,
    /// A handle on each, in the same order.
    pub kept: Arc<[Kept]>,
    /// Which of them are to be frozen, by number.
    pub members: Vec<usize>,
    /// What else lies on the ordered volumes.
    pub notes: Vec<VolumeNote>,
    /// What guardian and worker share.
    pub ledger: Ledger,
    /// The lock, held.
    pub run_dir: RunDir,
    /// The machine's grace periods, when the order asks to expedite them.
    pub expedite: Option<Expedite>,
    /// How far it goes.
    pub approach: Approach,
    /// The hooks before and after.
    pub around: Around,
}

impl Prepared {
    /// Whether nothing is to be frozen.
    fn is_rehearsal(&self) -> bool {
        self.approach == Approach::Rehearsal
    }

    /// Where target `n` is mounted, for a message.
    fn mount_point(&self, n: usize) -> String {
        self.kept.get(n).map_or_else(String::new, |kept| kept.mount_point.display().to_string())
    }

    /// The level of each member.
    fn levels(&self) -> Vec<usize> {
        let level = |n: &usize| self.targets.get(*n).map_or(0, |target| target.level);
        self.members.iter().map(level).collect()
    }

    /// What may be frozen from now on, by this process, watched by `guardian`.
    fn lease(&self, guardian: Pid, now: Boottime) -> Lease {
        let holder = |pid: Pid| {
            let pid = pid.as_raw_nonzero().get();
            Holder::of(pid).unwrap_or(Holder { pid, started: 0 })
        };
        let leased = |n: &usize| {
            let (target, kept) = (self.targets.get(*n)?, self.kept.get(*n)?);
            Some(Leased {
                mount_point: kept.mount_point.clone(),
                device: target.device.to_string(),
                uuid: kept.uuid.clone(),
            })
        };
        // A prime and a freeze, each with the whole time, and the guardian's last try.
        let until = now.after(Duration::from_millis(2 * self.order.max_freeze_ms + 1_000));
        Lease {
            run: self.order.run.as_str().to_owned(),
            worker: holder(getpid()),
            guardian: holder(guardian),
            until_ms: until.nanos() / 1_000_000,
            filesystems: self.members.iter().filter_map(leased).collect(),
            expedited: self.expedite.is_some(),
        }
    }
}

/// Carries out an order; one for a rehearsal only up to the first freeze, whatever the `approach`. `here` is
/// the instance's id as the SSM agent gives it. `publish` is given the report once: at the end, or at the
/// deadline when a FIFREEZE hangs then, for the guardian kills this process before such a call returns.
///
/// Must be called while this process has one thread: it forks.
#[must_use]
pub fn run(token: &str, here: Option<&str>, approach: Approach, publish: &dyn Fn(&Report)) -> Report {
    let began = Boottime::now();
    set_phase(c"sf:resolve");
    sys::use_one_arena();
    let order = match read_order(token, here) {
        Ok(order) => order,
        Err(error) => {
            let report = refused(None, error);
            publish(&report);
            return report;
        }
    };
    let freeze = || -> Result<Report, PrepareError> {
        let signals = sys::EndSignals::hold()?;
        let prepared = prepare(order.clone(), token, approach)?;
        let guardian =
            Guardian::fork(&prepared.kept, prepared.ledger, &prepared.run_dir, prepared.expedite.as_ref())?;
        let third_line = if prepared.is_rehearsal() { None } else { ThirdLine::start() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let resolve_us = Boottime::now().micros_since(began);
        Ok(runtime.block_on(async {
            Worker::new(prepared, guardian, third_line, signals, resolve_us, publish)?.run().await
        })?)
    };
    freeze().unwrap_or_else(|error| {
        let report = refused(Some(&order), error);
        publish(&report);
        report
    })
}

fn read_order(token: &str, here: Option<&str>) -> Result<WorkOrder, PrepareError> {
    let order = WorkOrder::read_unverified(token)?;
    if let Some(here) = here {
        order.for_instance(&InstanceId::new(here)?)?;
    }
    Ok(order)
}

/// Finds, opens and locks all that the freeze needs.
fn prepare(order: WorkOrder, token: &str, approach: Approach) -> Result<Prepared, PrepareError> {
    let run_dir = RunDir::open()?;
    run_dir.lock_patiently()?;
    let left = thaw::undo_lease(&run_dir)?;
    if let Some(failed) = left.failed.first() {
        return Err(PrepareError::LeftFrozen(failed.to_string()));
    }
    let inventory = Inventory::read(Path::new("/"))?;
    let volumes: Vec<VolumeId> = order.volumes.iter().map(|volume| volume.id.clone()).collect();
    let targets = volumes::resolve(&inventory, &volumes)?;
    let notes = volumes::notes(&inventory, &volumes, order.freeze_root);
    let members: Vec<usize> = targets
        .iter()
        .enumerate()
        .filter(|(_, target)| volumes::judge_target(target, order.freeze_root) == Judgement::Freezable)
        .map(|(n, _)| n)
        .collect();
    if members.is_empty() {
        let left_alone = targets.iter().map(|target| report::left_alone(target, order.freeze_root));
        return Err(PrepareError::NothingToFreeze { notes, filesystems: left_alone.collect() });
    }
    let kept: Arc<[Kept]> = targets.iter().map(Kept::open).collect::<Result<Vec<_>, _>>()?.into();
    let approach = if order.rehearse { Approach::Rehearsal } else { approach };
    let rehearsal = approach == Approach::Rehearsal;
    let around = Around::find(Path::new("/"), &order, &targets, &kept, &members, rehearsal)?;
    let stuck = without_writes(&kept)?;
    if let Some(stuck) = stuck.iter().find_map(|n| kept.get(*n)) {
        return Err(PrepareError::Foreign(stuck.mount_point.display().to_string()));
    }
    let expedite = if order.expedite_rcu { expedited() } else { None };
    let ledger = Ledger::share(targets.len())?;
    let token = token.to_owned();
    Ok(Prepared { order, token, targets, kept, members, notes, ledger, run_dir, expedite, approach, around })
}

/// The grace periods' setting. A kernel without it freezes a little more slowly, and as safely.
fn expedited() -> Option<Expedite> {
    Expedite::open().unwrap_or_else(|error| {
        say(&format!("failed to open the setting that expedites grace periods: {error}; going on without"));
        None
    })
}

fn refused(order: Option<&WorkOrder>, error: PrepareError) -> Report {
    let mut report = Report::new(error.verdict());
    report.run = order.map(|order| order.run.clone());
    report.instance = order.map(|order| order.instance.clone());
    report.reason = Some(error.reason());
    report.error = Some(describe(&error));
    say(&describe(&error));
    if let PrepareError::NothingToFreeze { notes, filesystems } = error {
        report.volumes = notes;
        report.filesystems = filesystems;
    }
    report
}

/// Shows the phase as the process's name, in `ps` and `top`.
fn set_phase(name: &CStr) {
    let _ = rustix::thread::set_name(name);
}
