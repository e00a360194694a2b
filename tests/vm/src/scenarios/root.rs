//! The root file system: left alone unless the order insists; frozen and thawed when it does.

use super::{MAX_FREEZE, nothing_stuck};
use crate::freeze::{freeze, order};
use crate::lab::{Lab, ON_ROOT, Workshop};
use crate::shown::Shown;
use crate::workload::probe::Write;
use anyhow::Context;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};
use stillframe_wire::{Exit, FileSystemVerdict, Report, Verdict};
use vm::image::PARTITION_OFFSET;

/// By how much a write that hangs is told from a slow one.
const HANGS: Duration = Duration::from_millis(700);

/// A volume beside the root's.
const OTHER: usize = 7;

pub(crate) fn left_alone(lab: &Lab, shown: &mut Shown) -> anyhow::Result<()> {
    let mut volumes = lab.some(&[OTHER]);
    volumes.push(lab.guest.root.volume.clone());
    let order = order(&volumes, MAX_FREEZE)?;
    let on_root = [ON_ROOT.to_owned()];
    let outcome = freeze(&lab.guest, &order, "", |_| {
        Ok(lab.probe(&on_root, Duration::from_secs(5))?.first().copied())
    })?;
    let write = outcome.at_frozen.flatten();
    let taken = matches!(write, Some(Write::Done(_)));
    shown.claim("/ takes writes while others are frozen", taken, format!("{write:?}"), None);
    let said = outcome.said();
    let report = outcome.report.with_context(|| said.clone())?;
    let snapshot = |n: usize| {
        let volume = volumes.get(n)?;
        report.snapshots.iter().find(|snapshot| snapshot.volume == *volume).map(|snapshot| snapshot.frozen)
    };
    let holds = outcome.done.code == Some(i32::from(Exit::Done.code()))
        && verdict_of_root(&report) == Some(FileSystemVerdict::Root)
        && snapshot(0) == Some(true)
        && snapshot(1) == Some(false);
    let evidence =
        format!("{said}; / is {:?}, its snapshot frozen: {:?}", verdict_of_root(&report), snapshot(1));
    shown.claim("/ is left alone and reported so", holds, evidence, None);
    Ok(())
}

pub(crate) fn frozen(lab: &Lab, workshop: &Workshop, shown: &mut Shown) -> anyhow::Result<()> {
    let mut order = order(std::slice::from_ref(&lab.guest.root.volume), MAX_FREEZE)?;
    order.freeze_root = true;
    let before = lab.guest.cut(&[&lab.guest.root], &workshop.folder("root-unfrozen")?)?;
    let on_root = [ON_ROOT.to_owned()];
    let folder = workshop.folder("root-frozen")?;
    let began = Instant::now();
    let outcome = freeze(&lab.guest, &order, "", |_| {
        let write = lab.probe(&on_root, HANGS)?.first().copied();
        Ok((write, lab.guest.cut(&[&lab.guest.root], &folder)?))
    })?;
    let took = began.elapsed();
    let said = outcome.said();
    let report = outcome.report.with_context(|| said.clone())?;
    let (write, cut) = outcome.at_frozen.context("the helper never said FROZEN")?;
    shown.claim("freeze_root: / takes no write", write == Some(Write::Hangs), format!("{write:?}"), None);
    let holds = outcome.done.code == Some(i32::from(Exit::Done.code()))
        && report.verdict == Verdict::Consistent
        && verdict_of_root(&report) == Some(FileSystemVerdict::Frozen)
        && report.snapshots.iter().all(|snapshot| snapshot.frozen);
    let evidence = format!("{said}; window {} ms", report.phases.window_us / 1_000);
    shown.claim("freeze_root: the report arrives, consistent", holds, evidence, Some(took));
    let recovery = |cut: &vm::guest::Cut| {
        let disk = cut.disks.first().context("nothing was copied")?;
        needs_recovery(&disk.image).context("failed to read the root's copy")
    };
    let (control, copy) = (recovery(&before)?, recovery(&cut)?);
    let evidence = format!("needs_recovery: {copy} frozen, {control} unfrozen");
    shown.claim("freeze_root: the copy of / needs no recovery", !copy && control, evidence, None);
    nothing_stuck(lab, shown, "after freeze_root")
}

fn verdict_of_root(report: &Report) -> Option<FileSystemVerdict> {
    report.filesystems.iter().find(|fs| fs.mount_point == "/").map(|fs| fs.verdict)
}

/// The flag of the root partition's ext4: `s_feature_incompat` of its super block.
fn needs_recovery(disk: &Path) -> std::io::Result<bool> {
    const NEEDS_RECOVERY: u32 = 0x4;
    let mut bytes = [0; 4];
    File::open(disk)?.read_exact_at(&mut bytes, PARTITION_OFFSET + 1024 + 0x60)?;
    Ok(u32::from_le_bytes(bytes) & NEEDS_RECOVERY != 0)
}
