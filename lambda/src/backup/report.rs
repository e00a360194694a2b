//! The result of a run: one JSON document, the function's answer.

use crate::copy::CopiedTo;
use serde::Serialize;
use stillframe_plan::Consistency;
use stillframe_wire::{Flush, Phases, Report as HelperReport};

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Something was done.
    #[default]
    Done,
    /// The slot is finished already, or nothing is selected.
    NothingToDo,
    /// Planned only.
    DryRun,
    /// Everything was done up to the first freeze.
    Rehearsed,
    /// Another run of the policy is under way.
    LeaseHeld,
    /// Time was nearly up; a continuation goes on.
    Continued,
    /// A step failed; the next firing goes on.
    Failed,
}

/// The whole result.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RunReport {
    /// The policy.
    pub policy: String,
    /// The slot.
    pub slot: String,
    /// The run.
    pub run: String,
    /// How it ended.
    pub status: Status,
    /// What there is now of this slot that this run made or settled.
    pub restore_points: Vec<RestorePoint>,
    /// Selected volumes that got none, by intention.
    pub skipped: Vec<Skipped>,
    /// Instances and volumes that got none, or less than asked.
    pub failures: Vec<Note>,
    /// What somebody should look at.
    pub warnings: Vec<Note>,
    /// Snapshots that were deleted, and are gone.
    pub pruned: Vec<String>,
    /// How many deletions EC2 has agreed to: some may still be to be seen.
    #[serde(skip)]
    pub deletions_agreed: usize,
    /// Why prune held back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prune: Vec<Note>,
    /// What was done about copies in other regions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<CopiedTo>,
    /// How each instance did in a rehearsal.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rehearsals: Vec<Rehearsed>,
    /// The plan as text, of a dry run or a rehearsal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

/// The snapshots of one instance (or of one detached volume) from one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestorePoint {
    /// The instance; null for a detached volume.
    pub instance: Option<String>,
    /// The run that made it.
    pub run: String,
    /// The lowest label among its snapshots.
    pub label: Consistency,
    /// Its snapshots.
    pub snapshots: Vec<PointSnapshot>,
    /// How long each phase took on the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<Phases>,
    /// What the flush achieved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush: Option<Flush>,
}

/// One snapshot of a restore point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointSnapshot {
    /// The volume.
    pub volume: String,
    /// The snapshot.
    pub snapshot: String,
    /// Its label.
    pub label: Consistency,
    /// Where the volume's file system was mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mount_point: Option<String>,
    /// Its type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fs_type: Option<String>,
    /// How long it was frozen, microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen_us: Option<u64>,
    /// Why it was not promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What an instance did in a rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Rehearsed {
    /// The instance.
    pub instance: String,
    /// The helper's own report: how long the flush and READY took, how much was to be written, and for each
    /// file system whether it would be frozen, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<HelperReport>,
}

/// A volume that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// The volume.
    pub volume: String,
    /// The instance that it is attached to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Why, in one word.
    pub reason: String,
    /// Why, in one sentence.
    pub message: String,
}

/// Something to be told, with the instance that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// What, in one word.
    pub reason: String,
    /// What, in one sentence.
    pub message: String,
}

/// Most entries of each list in the function's answer, of which Lambda takes 6 MB.
const MOST_TOLD: usize = 2_000;

impl RunReport {
    /// Leaves out what would make the answer too long, and says so. What failed is told before what was
    /// merely skipped, each list on its own.
    pub fn shorten(&mut self) {
        let mut left_out = Vec::new();
        let mut cut = |what: &str, count: usize| {
            if count > MOST_TOLD {
                left_out.push(format!("{MOST_TOLD} of {count} {what}"));
            }
        };
        cut("restore points", self.restore_points.len());
        cut("skipped volumes", self.skipped.len());
        cut("failures", self.failures.len());
        cut("warnings", self.warnings.len());
        cut("deleted snapshots", self.pruned.len());
        cut("notes on pruning", self.prune.len());
        cut("rehearsals", self.rehearsals.len());
        self.restore_points.truncate(MOST_TOLD);
        self.skipped.truncate(MOST_TOLD);
        self.failures.truncate(MOST_TOLD);
        self.warnings.truncate(MOST_TOLD);
        self.pruned.truncate(MOST_TOLD);
        self.prune.truncate(MOST_TOLD);
        self.rehearsals.truncate(MOST_TOLD);
        if !left_out.is_empty() {
            let message = format!("this report tells of {} only", left_out.join(", "));
            self.warnings.push(Note::new("shortened", message));
        }
    }

    /// How a run ended that came to its end.
    #[must_use]
    pub fn how_it_ended(&self) -> Status {
        let nothing_went = self.deletions_agreed == 0 && !self.copies.iter().any(CopiedTo::has_changed);
        match (self.restore_points.is_empty(), self.failures.is_empty(), nothing_went) {
            (true, false, _) => Status::Failed,
            (true, true, true) => Status::NothingToDo,
            _ => Status::Done,
        }
    }

    /// Restore points that are less than the policy asks for.
    #[must_use]
    pub fn fallbacks(&self, asked: Consistency) -> usize {
        self.restore_points
            .iter()
            .filter(|point| point.snapshots.iter().all(|snapshot| snapshot.label < asked))
            .count()
    }

    /// How long each file system was frozen, milliseconds.
    #[must_use]
    pub fn frozen_ms(&self) -> Vec<f64> {
        self.restore_points
            .iter()
            .flat_map(|point| &point.snapshots)
            .filter_map(|snapshot| snapshot.frozen_us)
            .map(|us| f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0)
            .collect()
    }
}

impl Note {
    /// A note about no instance in particular.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { instance: None, reason: reason.into(), message: message.into() }
    }

    /// A note about an instance.
    pub fn about(instance: impl Into<String>, reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { instance: Some(instance.into()), reason: reason.into(), message: message.into() }
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
