//! The hooks around a freeze: `pre-snapshots` once and `pre-snapshot` for each file system before the first
//! ioctl, `post-snapshot` and `post-snapshots` after the last thaw, in the opposite order. Whatever runs
//! before is undone after, however the freeze went; while anything is frozen, or may be, no hook runs.

use crate::clock::Boottime;
use crate::hooks::{Event, Facts, HookError, Hooks};
use crate::volumes::sysfs::Sysfs;
use crate::volumes::{Kept, Target};
use rustix::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use stillframe_wire::{RanHook, Report, Verdict, VolumeId, WorkOrder};

/// How long all hooks before a freeze may take together. It comes out of what an order leaves for everything
/// before the freeze.
pub(super) const BEFORE: Duration = Duration::from_secs(60);
/// How long all hooks after it may take together.
const AFTER: Duration = Duration::from_secs(60);

/// The hooks of one freeze.
#[derive(Debug, Clone)]
pub struct Around {
    hooks: Hooks,
    /// Whether there is any.
    any: bool,
    whole: Facts,
    each: Vec<(Facts, Vec<VolumeId>)>,
}

/// How the hooks before a freeze went.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) ran: Vec<RanHook>,
    pub(super) failed: Option<HookError>,
}

/// Hooks under way, in a thread of their own. Dropped, they are ended.
#[derive(Debug)]
pub(super) struct Running {
    thread: Option<std::thread::JoinHandle<Before>>,
    over: tokio::sync::oneshot::Receiver<()>,
    /// The running hook is killed when this closes.
    _end: UnixStream,
}

impl Around {
    /// The hooks of the machine at `root`, looked at and not yet run.
    ///
    /// # Errors
    /// One may not be run: then nothing is frozen.
    pub(super) fn find(
        root: &Path,
        order: &WorkOrder,
        targets: &[Target],
        kept: &[Kept],
        members: &[usize],
        rehearsal: bool,
    ) -> Result<Self, HookError> {
        let hooks = Hooks::new(root, order.hooks);
        let events = [Event::PreSnapshots, Event::PreSnapshot, Event::PostSnapshot, Event::PostSnapshots];
        let mut any = false;
        for event in events {
            any |= !hooks.of(event)?.is_empty();
        }
        let ordered: Vec<&str> = order.volumes.iter().map(|volume| volume.id.as_str()).collect();
        let whole = Facts::default()
            .with("RUN", order.run.as_str())
            .with("INSTANCE", order.instance.as_str())
            .with("POLICY", order.policy.as_str())
            .with("SLOT", order.slot.as_str())
            .with("VOLUME", ordered.join(" "));
        let whole = if rehearsal { whole.with("REHEARSAL", "yes") } else { whole };
        let sysfs = Sysfs::new(root);
        let fact = |n: &usize| {
            let (target, kept) = (targets.get(*n)?, kept.get(*n)?);
            let ids: Vec<&str> = target.volumes.iter().map(VolumeId::as_str).collect();
            let mut facts = whole
                .clone()
                .with("VOLUME", ids.join(" "))
                .with("MOUNT_POINT", kept.mount_point.to_string_lossy())
                .with("FILE_SYSTEM", target.fs_type.as_str());
            if let Some(name) = sysfs.name(target.device) {
                facts = facts.with("DEVICE", format!("/dev/{name}"));
            }
            if let Some(uuid) = &kept.uuid {
                facts = facts.with("UUID", uuid);
            }
            Some((facts, target.volumes.clone()))
        };
        let each = members.iter().filter_map(fact).collect();
        Ok(Self { hooks, any, whole, each })
    }

    /// Whether there is anything to run, before or after.
    pub(super) fn is_any(&self) -> bool {
        self.any
    }

    /// Starts the hooks that come before.
    ///
    /// # Errors
    /// No thread or descriptor is left.
    pub(super) fn start(&self) -> std::io::Result<Running> {
        let (end, ended) = UnixStream::pair()?;
        let (tell, over) = tokio::sync::oneshot::channel();
        let around =
            Self { hooks: self.hooks.clone().unless(Arc::new(OwnedFd::from(ended))), ..self.clone() };
        let thread = std::thread::Builder::new().name("sf:hooks".to_owned()).spawn(move || {
            let before = around.before(Boottime::now().after(BEFORE));
            let _ = tell.send(());
            before
        })?;
        Ok(Running { thread: Some(thread), over, _end: end })
    }

    fn before(&self, until: Boottime) -> Before {
        let mut ran = Vec::new();
        let mut done = self.hooks.before(Event::PreSnapshots, &self.whole, until, &mut ran);
        for (facts, _) in &self.each {
            done = done.and_then(|()| self.hooks.before(Event::PreSnapshot, facts, until, &mut ran));
        }
        Before { ran, failed: done.err() }
    }

    /// Runs the hooks that come after, which learn what the report says. What ran, and what failed.
    pub(super) fn after(&self, report: &Report) -> (Vec<RanHook>, Vec<String>) {
        let until = Boottime::now().after(AFTER);
        let mut ran = Vec::new();
        let mut failed = Vec::new();
        for (facts, volumes) in self.each.iter().rev() {
            let facts = told(facts.clone(), report, |volume| volumes.contains(volume));
            failed.extend(self.hooks.after(Event::PostSnapshot, &facts, until, &mut ran));
        }
        let facts = told(self.whole.clone(), report, |_| true);
        failed.extend(self.hooks.after(Event::PostSnapshots, &facts, until, &mut ran));
        (ran, failed)
    }
}

/// The outcome, in a hook's words: `done`, `rehearsed`, or `failed` with the reason.
fn told(facts: Facts, report: &Report, is_its: impl Fn(&VolumeId) -> bool) -> Facts {
    let its = report.snapshots.iter().filter(|snapshot| is_its(&snapshot.volume));
    let ids: Vec<&str> = its.map(|snapshot| snapshot.snapshot.as_str()).collect();
    let facts = facts.with("SNAPSHOT", ids.join(" "));
    match report.verdict {
        Verdict::Consistent => facts.ended(None),
        Verdict::Rehearsed => facts.with("OUTCOME", "rehearsed"),
        _ => {
            let reason = report.reason.and_then(|reason| serde_json::to_value(reason).ok());
            let reason = reason.as_ref().and_then(|reason| reason.as_str()).unwrap_or("internal");
            facts.ended(Some(report.error.as_deref().unwrap_or(reason))).with("REASON", reason)
        }
    }
}

impl Running {
    /// Returns when the hooks are over.
    pub(super) async fn over(&mut self) {
        let _ = (&mut self.over).await;
    }

    /// What came of them; those that still run are ended. Nothing when their thread died.
    pub(super) fn take(mut self) -> Option<Before> {
        let thread = self.thread.take();
        drop(self);
        thread?.join().ok()
    }
}
