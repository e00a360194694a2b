//! Freeze, copy, restore, verify: a cut made inside the helper's freeze, and as the control one that nobody
//! froze for, under the same load. Both are attached to a new guest as volumes made from snapshots would
//! be, assembled, mounted and read.

use super::{MAX_FREEZE, nothing_left, nothing_stuck};
use crate::freeze::{freeze, order};
use crate::lab::{Lab, Logs, Workshop, volume};
use crate::shown::Shown;
use crate::stacks::{STACKS, Stack, assemble};
use crate::workload::examine::Copy;
use anyhow::{Context, ensure};
use fleet::verify::Journal;
use std::time::Instant;
use stillframe_wire::{Exit, Verdict, VolumeId};
use vm::disk::Disk;
use vm::guest::Cut;

/// A cut, and what it owes.
#[derive(Debug)]
pub(crate) struct Evidence {
    cut: Cut,
    logs: Vec<Logs>,
}

/// A copy of everything that nobody froze for.
pub(crate) fn unfrozen(lab: &Lab, workshop: &Workshop) -> anyhow::Result<Evidence> {
    let disks: Vec<&Disk> = lab.disks.iter().collect();
    let cut = lab.guest.cut(&disks, &workshop.folder("unfrozen")?)?;
    Ok(Evidence { cut, logs: logs(lab)? })
}

/// The same inside a freeze.
pub(crate) fn frozen(lab: &Lab, workshop: &Workshop, shown: &mut Shown) -> anyhow::Result<Evidence> {
    let disks: Vec<&Disk> = lab.disks.iter().collect();
    let folder = workshop.folder("frozen")?;
    let order = order(&lab.volumes(), MAX_FREEZE)?;
    let began = Instant::now();
    let outcome = freeze(&lab.guest, &order, "", |frozen| {
        let layout = |mount: &str| {
            let said = frozen.filesystems.iter().find(|fs| fs.mount_point == mount)?;
            Some(format!(
                "{} on {}",
                said.layout,
                said.volumes.iter().map(VolumeId::as_str).collect::<Vec<_>>().join("+")
            ))
        };
        let layouts: Vec<Option<String>> = STACKS.iter().map(|stack| layout(&stack.mount())).collect();
        Ok((lab.guest.cut(&disks, &folder)?, layouts))
    })?;
    let took = began.elapsed();
    let said = outcome.said();
    let report = outcome.report.with_context(|| said.clone())?;
    let is_consistent =
        outcome.done.code == Some(i32::from(Exit::Done.code())) && report.verdict == Verdict::Consistent;
    let phases = &report.phases;
    let ms = |us: u64| us / 1_000;
    let evidence = format!(
        "{said}; flush {} ms, prime {}, freeze {}, thaw {}, window {}",
        ms(phases.flush_us),
        ms(phases.prime_us),
        ms(phases.freeze_us),
        ms(phases.thaw_us),
        ms(phases.window_us)
    );
    shown.claim("a freeze of all stacks is consistent", is_consistent, evidence, Some(took));
    let frozen = report.snapshots.iter().filter(|snapshot| snapshot.frozen).count();
    let all = frozen == disks.len() && report.filesystems.len() == STACKS.len();
    let evidence = format!("{frozen} of {} volumes, {} file systems", disks.len(), report.filesystems.len());
    shown.claim("every snapshot was frozen", all, evidence, None);
    let (cut, layouts) = outcome.at_frozen.context("the helper never said FROZEN")?;
    for (stack, layout) in STACKS.iter().zip(layouts) {
        let on: Vec<String> = lab.some(stack.volumes).iter().map(ToString::to_string).collect();
        let holds = layout.as_ref().is_some_and(|layout| layout.ends_with(&format!(" on {}", on.join("+"))));
        let claim =
            format!("{} on {} is known to lie on {} volumes", stack.fs.as_str(), stack.layout, on.len());
        shown.claim(claim, holds, layout.unwrap_or_default(), None);
    }
    nothing_stuck(lab, shown, "after the freeze")?;
    nothing_left(lab, shown, "after the freeze")?;
    Ok(Evidence { cut, logs: logs(lab)? })
}

fn logs(lab: &Lab) -> anyhow::Result<Vec<Logs>> {
    STACKS.iter().map(|stack| lab.logs(stack.name)).collect()
}

/// What was found on one restored file system.
struct Restored {
    stack: &'static Stack,
    copy: Copy,
    synced: Count,
    written: Count,
}

/// Records owed, and those of them that are missing.
struct Count {
    owed: usize,
    lost: usize,
}

impl Restored {
    fn evidence(&self) -> String {
        let Self { copy, synced, written, .. } = self;
        format!(
            "{}; lost {} of {} synced, {} of {} written",
            copy.evidence, synced.lost, synced.owed, written.lost, written.owed
        )
    }
}

/// Every frozen copy needs no recovery and has every record.
pub(crate) fn verify_frozen(
    workshop: &Workshop,
    evidence: &Evidence,
    shown: &mut Shown,
) -> anyhow::Result<()> {
    for restored in restore(workshop, "restored", 'b', evidence)? {
        let Restored { stack, copy, synced, written } = &restored;
        let holds = copy.journal == Journal::Clean && synced.lost == 0 && written.lost == 0;
        let whole = holds && synced.owed > 0 && written.owed > 0;
        let claim = format!("restored, {} on {}", stack.fs.as_str(), stack.layout);
        shown.claim(claim, whole, restored.evidence(), None);
    }
    Ok(())
}

/// The unfrozen ones have what was synced, as after a power cut, and show that the check above can fail.
pub(crate) fn verify_unfrozen(
    workshop: &Workshop,
    evidence: &Evidence,
    shown: &mut Shown,
) -> anyhow::Result<()> {
    let found = restore(workshop, "control", 'c', evidence)?;
    for restored in &found {
        let Restored { stack, synced, .. } = restored;
        let claim = format!("control, {} on {}: crash-consistent", stack.fs.as_str(), stack.layout);
        shown.claim(claim, synced.lost == 0, restored.evidence(), None);
    }
    let dirty = found.iter().filter(|restored| restored.copy.journal == Journal::Dirty).count();
    let lossy = found.iter().filter(|restored| restored.written.lost > 0).count();
    let evidence = format!("{dirty} of {} journals dirty, {lossy} lost what was written", found.len());
    shown.claim("control: the check can fail", dirty > 0 && lossy > 0, evidence, None);
    Ok(())
}

/// Attaches the copies under new ids to a guest that has never seen the originals.
fn restore(
    workshop: &Workshop,
    name: &str,
    kind: char,
    Evidence { cut, logs }: &Evidence,
) -> anyhow::Result<Vec<Restored>> {
    let disks: Vec<Disk> = cut
        .disks
        .iter()
        .enumerate()
        .map(|(n, disk)| Ok(disk.as_volume(volume(kind, n)?)))
        .collect::<anyhow::Result<_>>()?;
    let volumes: Vec<_> = disks.iter().map(|disk| disk.volume.clone()).collect();
    let guest = workshop.boot(name, &disks)?;
    guest.run(&assemble(&volumes))?;
    ensure!(logs.len() == STACKS.len(), "there are {} logs", logs.len());
    STACKS
        .iter()
        .zip(logs)
        .map(|(stack, logs)| {
            let (device, fs, mount) = (stack.device, stack.fs.as_str(), stack.mount());
            let text =
                guest.run(&format!("/opt/vm examine --device '{device}' --fs {fs} --mount {mount}"))?;
            let copy: Copy = serde_json::from_str(&text)?;
            let count = |promises: &fleet::writer::Promises, found: &[u64]| {
                let owed: Vec<u64> = promises.owed(cut.begun_ns, cut.ended_ns).collect();
                let lost = owed.iter().filter(|sequence| found.binary_search(sequence).is_err()).count();
                Count { owed: owed.len(), lost }
            };
            let (synced, written) = (count(&logs.synced, &copy.synced), count(&logs.written, &copy.written));
            Ok(Restored { stack, copy, synced, written })
        })
        .collect()
}
