//! A dry run for people: one line for each volume that says what a run would make of it and which of its
//! snapshots it would delete.

use crate::backup::{Plan, SkipReason};
use crate::observed::Observed;
use crate::prune::{Judged, Prune, Verdict};
use crate::text::table;
use crate::{SnapshotId, VolumeId};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most snapshots that a line names.
const NAMED: usize = 3;

/// What a run would do, by volume.
#[derive(Debug)]
pub struct DryRun<'a> {
    plan: &'a Plan,
    prune: &'a Prune<'a>,
    lines: BTreeMap<&'a str, Line<'a>>,
}

/// One volume's line.
#[derive(Debug, Default)]
struct Line<'a> {
    instance: Option<String>,
    device: Option<String>,
    size_gib: Option<u64>,
    /// What becomes of its slot; nothing of a volume that is gone or not selected.
    slot: Option<String>,
    /// Its snapshots that would be deleted.
    deleted: Vec<&'a SnapshotId>,
    /// How many more would be, did the brake not hold.
    held: usize,
}

/// Puts plan and pruning together.
#[must_use]
pub fn dry_run<'a>(plan: &'a Plan, prune: &'a Prune<'a>, observed: &'a Observed) -> DryRun<'a> {
    let mut lines: BTreeMap<&str, Line<'_>> = BTreeMap::new();
    let mut create = |instance: Option<String>, volume: &'a VolumeId, device: String, how: String| {
        let device = Some(device).filter(|device| !device.is_empty());
        let slot = Some(format!("would create: {how}"));
        lines.insert(volume.as_str(), Line { instance, device, slot, ..Line::default() });
    };
    let orders = plan.orders.iter().map(|order| (&order.call, "freeze".to_owned()));
    for (call, how) in orders.chain(plan.sets.iter().map(|set| (&set.call, set.way.to_string()))) {
        for volume in &call.volumes {
            let boot = if volume.boot { " (boot)" } else { "" };
            let device = format!("{}{boot}", volume.device);
            create(Some(call.instance.to_string()), &volume.id, device, how.clone());
        }
    }
    for direct in &plan.volumes {
        let instance = direct.instance.as_ref().map(ToString::to_string);
        let how = format!("by itself, {}", direct.way);
        create(instance, &direct.volume, direct.device.clone(), how);
    }
    for skipped in &plan.skipped {
        let line = lines.entry(skipped.volume.as_str()).or_default();
        line.instance = skipped.instance.as_ref().map(ToString::to_string);
        line.slot = Some(match &skipped.reason {
            SkipReason::Done { snapshot, label, .. } => format!("already has {snapshot} ({label})"),
            SkipReason::InProgress { snapshot, .. } => format!("already has {snapshot} (pending)"),
            reason => format!("skip: {reason}"),
        });
    }
    let doomed = || prune.points.iter().filter(|point| matches!(point.verdict, Verdict::Delete(_)));
    let ids: BTreeSet<&SnapshotId> = doomed().flat_map(|point| point.snapshots.iter().copied()).collect();
    let seen = observed.snapshots.iter().filter(|snapshot| ids.contains(&snapshot.id));
    let volumes: BTreeMap<&SnapshotId, &str> =
        seen.map(|snapshot| (&snapshot.id, snapshot.origin())).collect();
    for point in doomed() {
        for snapshot in &point.snapshots {
            let Some(volume) = volumes.get(snapshot) else { continue };
            let line = lines.entry(volume).or_default();
            if prune.deletes(point) { line.deleted.push(snapshot) } else { line.held += 1 }
        }
    }
    for volume in &observed.volumes {
        let Some(line) = lines.get_mut(volume.id.as_str()) else { continue };
        line.size_gib = Some(volume.size_gib);
        let attachment = volume.current_attachment();
        line.device = line.device.take().or_else(|| Some(attachment?.device.clone()));
    }
    DryRun { plan, prune, lines }
}

impl Line<'_> {
    fn pruning(&self) -> String {
        let named: Vec<&str> = self.deleted.iter().take(NAMED).map(|snapshot| snapshot.as_str()).collect();
        let mut text = match self.deleted.len() {
            0 => String::new(),
            count if count > NAMED => format!("would delete {count}: {}, ...", named.join(", ")),
            count => format!("would delete {count}: {}", named.join(", ")),
        };
        if self.held > 0 {
            let and = if text.is_empty() { "" } else { "; " };
            text.push_str(&format!("{and}would delete {}, but held", self.held));
        }
        text
    }
}

impl fmt::Display for DryRun<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan;
        let dash = || "-".to_owned();
        writeln!(
            f,
            "policy {}, slot {}, asks for {}, run {}, dry run",
            plan.policy, plan.slot, plan.consistency, plan.run
        )?;
        let rows: Vec<[String; 6]> = self
            .lines
            .iter()
            .map(|(volume, line)| {
                [
                    (*volume).to_owned(),
                    line.instance.clone().unwrap_or_else(dash),
                    line.device.clone().unwrap_or_else(dash),
                    line.size_gib.map_or_else(dash, |size| format!("{size} GiB")),
                    line.slot.clone().unwrap_or_else(|| "not backed up any more".to_owned()),
                    line.pruning(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            writeln!(f, "{}", table(["volume", "instance", "device", "size", "slot", "pruning"], rows))?;
        }
        let of_note = self.prune.table(Judged::is_of_note);
        if !of_note.is_empty() {
            writeln!(f, "not good, or kept though no rule keeps them:\n{of_note}")?;
        }
        for unsettled in &plan.unsettled {
            let count = unsettled.snapshots.len();
            writeln!(
                f,
                "settle first: {count} snapshots of {} from run {}",
                unsettled.target, unsettled.run
            )?;
        }
        let mut warnings: Vec<String> = Vec::new();
        for warning in plan.warnings.iter().chain(&self.prune.warnings).map(ToString::to_string) {
            if !warnings.contains(&warning) {
                writeln!(f, "warning: {warning}")?;
                warnings.push(warning);
            }
        }
        for paused in &self.prune.paused {
            writeln!(f, "pruning pauses for {}: {}", paused.volume, paused.reason)?;
        }
        if let Some(hold) = &self.prune.hold {
            writeln!(f, "held: {hold}")?;
        }
        let (planned, pruned) = (plan.brief(), self.prune.brief());
        writeln!(
            f,
            "{} volumes selected: {} would be made by freeze, {} directly, {} have theirs, {} skipped",
            planned.selected, planned.by_order, planned.direct, planned.done, planned.skipped
        )?;
        write!(
            f,
            "{} restore points, {} good: {} would be deleted, {} held",
            pruned.points, pruned.good, pruned.deleted, pruned.held
        )
    }
}

#[cfg(test)]
#[path = "dry_run_tests.rs"]
mod tests;
