//! What pruning comes to: a verdict for each restore point, with its reasons. Data only; `prune`
//! decides it.

use crate::history::Target;
use crate::retention::KeptBy;
use crate::warning::Warning;
use crate::{RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt;

/// The verdicts on a policy's restore points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prune<'a> {
    /// The policy's name.
    pub policy: String,
    /// Why nothing but failed sets is deleted, whatever the verdicts.
    pub hold: Option<Hold>,
    /// Living volumes for whose lineage restore points are kept that the rules would delete.
    pub paused: Vec<Paused>,
    /// Volumes whose own rules cannot be read, so that the policy's hold.
    pub warnings: Vec<Warning>,
    /// Every restore point of the policy, newest first.
    pub points: Vec<Judged<'a>>,
}

/// Why a policy's restore points are all kept for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// It is not known which of them an image uses or a lock holds.
    GuardsUnseen {
        /// Restore points that would be deleted.
        deletions: usize,
        /// What stood in the way of the look.
        cause: String,
    },
    /// More would be deleted in one run than looks right.
    Brake {
        /// Restore points that would be deleted.
        deletions: usize,
        /// How many may be in one run.
        limit: usize,
        /// How many there are.
        points: usize,
    },
}

/// A volume for which pruning pauses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Paused {
    /// The volume.
    pub volume: VolumeId,
    /// Why.
    pub reason: PauseReason,
}

/// Why pruning pauses for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PauseReason {
    /// It lives, and its newest good restore point is older than two slots.
    Overdue {
        /// Its instant.
        newest_good: DateTime<Utc>,
    },
    /// It lives, has restore points for longer than two slots, and none of them is good.
    NeverGood,
}

/// One restore point and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged<'a> {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant.
    pub started_at: DateTime<Utc>,
    /// Its snapshots.
    pub snapshots: Vec<&'a SnapshotId>,
    /// Whether it counts as good for each volume that it holds.
    pub good: bool,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// What becomes of a restore point, which is kept or deleted as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is kept: for these volumes, for these reasons.
    Keep(Vec<(VolumeId, KeepReason)>),
    /// No lineage needs it.
    Delete(DeleteReason),
}

/// Why a restore point is kept for a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepReason {
    /// Good, and rules of `keep` keep it.
    Rules(KeptBy),
    /// One of the fewest good ones that the policy's `min` leaves.
    Min {
        /// 1 for the newest.
        rank: u32,
    },
    /// Not good, but no good one is newer.
    NoNewerGood,
    /// A snapshot of it is not complete yet.
    Unfinished,
    /// A snapshot of it is in the Recycle Bin.
    RecycleBin,
    /// It has failed, less than a day ago.
    FailedLately,
    /// No rule keeps it, but pruning pauses for the lineage.
    Paused(PauseReason),
    /// No rule keeps it, but a snapshot of it is locked.
    Locked,
    /// No rule keeps it, but an image uses a snapshot of it.
    UsedByImage,
    /// No rule keeps it, but a snapshot of it is archived.
    Archived,
}

/// Why a restore point is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeleteReason {
    /// It failed more than a day ago and holds nothing.
    Failed,
    /// Not good, and a good one is newer.
    Superseded,
    /// Good, but older than those that the rules keep.
    Outlived,
}

/// Pruning in numbers, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PruneBrief {
    /// Restore points of the policy.
    pub points: usize,
    /// Those that are good.
    pub good: usize,
    /// Those that are deleted now.
    pub deleted: usize,
    /// Those that would be, were it not for the hold.
    pub held: usize,
    /// Volumes for which pruning pauses.
    pub paused: usize,
}

impl<'a> Prune<'a> {
    /// The restore points to delete now, newest first.
    pub fn deletions(&self) -> impl Iterator<Item = &Judged<'a>> {
        self.points.iter().filter(|point| self.deletes(point))
    }

    /// Whether one of its restore points is to be deleted now.
    #[must_use]
    pub fn deletes(&self, point: &Judged<'_>) -> bool {
        match point.verdict {
            // It holds no data: neither hold is about such.
            Verdict::Delete(DeleteReason::Failed) => true,
            Verdict::Delete(DeleteReason::Superseded | DeleteReason::Outlived) => self.hold.is_none(),
            Verdict::Keep(_) => false,
        }
    }

    /// Some of the restore points, a line for each, newest first; empty if none is wanted.
    #[must_use]
    pub fn table(&self, wanted: impl Fn(&Judged<'a>) -> bool) -> String {
        let rows: Vec<[String; 5]> = self
            .points
            .iter()
            .filter(|point| wanted(point))
            .map(|point| {
                [
                    point.started_at.format("%Y-%m-%dT%H:%MZ").to_string(),
                    point.target.to_string(),
                    point.snapshots.len().to_string(),
                    if point.good { "good" } else { "lesser" }.to_owned(),
                    point.verdict.to_string(),
                ]
            })
            .collect();
        if rows.is_empty() {
            return String::new();
        }
        crate::text::table(["instant", "of", "snapshots", "state", "verdict"], rows)
    }

    /// Pruning in numbers.
    #[must_use]
    pub fn brief(&self) -> PruneBrief {
        let doomed = self.points.iter().filter(|point| matches!(point.verdict, Verdict::Delete(_))).count();
        let deleted = self.deletions().count();
        PruneBrief {
            points: self.points.len(),
            good: self.points.iter().filter(|point| point.good).count(),
            deleted,
            held: doomed - deleted,
            paused: self.paused.len(),
        }
    }
}

impl Judged<'_> {
    /// Whether it is none of those that come and go by the rules: it is not good, or it is kept though no rule
    /// keeps it.
    #[must_use]
    pub fn is_of_note(&self) -> bool {
        let by_rule = |reason: &KeepReason| matches!(reason, KeepReason::Rules(_) | KeepReason::Min { .. });
        let kept_by_none = match &self.verdict {
            Verdict::Keep(kept) => !kept.iter().any(|(_, reason)| by_rule(reason)),
            Verdict::Delete(_) => false,
        };
        !self.good || kept_by_none
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GuardsUnseen { deletions, cause } => write!(
                f,
                "{deletions} restore points would be deleted, but what images use and locks hold could not be \
                 looked up: none is; {cause}"
            ),
            Self::Brake { deletions, limit, points } => write!(
                f,
                "{deletions} of {points} restore points would be deleted, more than {limit} in one run: none is; \
                 look at the plan and run it once with \"allow_mass_delete\": true"
            ),
        }
    }
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overdue { newest_good } => {
                write!(f, "overdue, newest good is of {}", newest_good.format("%Y-%m-%dT%H:%MZ"))
            }
            Self::NeverGood => f.write_str("no good restore point"),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rules(kept_by) => kept_by.fmt(f),
            Self::Min { rank } => write!(f, "min {rank}"),
            Self::NoNewerGood => f.write_str("no newer good one"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::RecycleBin => f.write_str("in the Recycle Bin"),
            Self::FailedLately => f.write_str("failed lately"),
            Self::Paused(reason) => reason.fmt(f),
            Self::Locked => f.write_str("locked"),
            Self::UsedByImage => f.write_str("used by an image"),
            Self::Archived => f.write_str("archived"),
        }
    }
}

impl fmt::Display for DeleteReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Superseded => "a newer one is good",
            Self::Outlived => "beyond the rules",
        })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete(reason) => write!(f, "delete: {reason}"),
            Self::Keep(kept) => {
                let mut reasons: Vec<KeepReason> = kept.iter().map(|(_, reason)| *reason).collect();
                reasons.sort_unstable();
                reasons.dedup();
                let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
                write!(f, "keep: {}", reasons.join(", "))
            }
        }
    }
}

impl fmt::Display for Prune<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table(|_| true);
        if !table.is_empty() {
            writeln!(f, "{table}")?;
        }
        for paused in &self.paused {
            writeln!(f, "paused for {}: {}", paused.volume, paused.reason)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if let Some(hold) = &self.hold {
            writeln!(f, "held: {hold}")?;
        }
        let brief = self.brief();
        write!(f, "{} restore points, {} good, {} deleted", brief.points, brief.good, brief.deleted)
    }
}
