//! What pruning comes to: a verdict for each restore point, with its reasons. Data only; `prune`
//! decides it.

use crate::restore_point::Target;
use crate::{RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt;

/// The verdicts on a policy's restore points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prune {
    /// The policy's name.
    pub policy: String,
    /// Why nothing but failed sets is deleted, whatever the verdicts.
    pub hold: Option<Hold>,
    /// Volumes for whose sake restore points are kept that the rules would delete.
    pub paused: Vec<Paused>,
    /// Every restore point of the policy, newest first.
    pub points: Vec<Judged>,
}

/// Why a policy's restore points are all kept for now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// The policy has rules that this version does not decide by. `last` alone would delete what they
    /// keep.
    UndecidedRules {
        /// Their names.
        rules: Vec<String>,
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
    /// It has rules of its own (`stillframe:keep`), which this version does not decide by.
    OwnRules,
}

/// One restore point and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant.
    pub started_at: DateTime<Utc>,
    /// Its snapshots.
    pub snapshots: Vec<SnapshotId>,
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
    /// No volume needs it.
    Delete(DeleteReason),
}

/// Why a volume needs a restore point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeepReason {
    /// One of the newest good ones that `keep.last` asks for.
    Last {
        /// 1 for the newest.
        rank: u32,
    },
    /// One of the fewest good ones that the policy's `min` leaves.
    Min {
        /// 1 for the newest.
        rank: u32,
    },
    /// Not good, but no good one is newer.
    NoNewerGood,
    /// A snapshot of it is not complete yet, or is in the recycle bin.
    Unfinished,
    /// A snapshot of it is archived.
    Archived,
    /// It has failed, less than a day ago.
    FailedLately,
    /// Pruning pauses for the volume.
    Paused(PauseReason),
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

impl Prune {
    /// The restore points to delete now, newest first.
    pub fn deletions(&self) -> impl Iterator<Item = &Judged> {
        self.points.iter().filter(|point| match point.verdict {
            // It holds no data: neither hold is about such.
            Verdict::Delete(DeleteReason::Failed) => true,
            Verdict::Delete(DeleteReason::Superseded | DeleteReason::Outlived) => self.hold.is_none(),
            Verdict::Keep(_) => false,
        })
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

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndecidedRules { rules } => write!(
                f,
                "this version decides by keep.last alone, the policy also has {}: all restore points are kept",
                rules.join(", ")
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
            Self::OwnRules => f.write_str("has rules of its own"),
        }
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last { rank } => write!(f, "last {rank}"),
            Self::Min { rank } => write!(f, "min {rank}"),
            Self::NoNewerGood => f.write_str("no newer good one"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Archived => f.write_str("archived"),
            Self::FailedLately => f.write_str("failed lately"),
            Self::Paused(reason) => reason.fmt(f),
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

impl fmt::Display for Prune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 5]> = self
            .points
            .iter()
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
        if !rows.is_empty() {
            writeln!(f, "{}", crate::text::table(["instant", "of", "snapshots", "state", "verdict"], rows))?;
        }
        for paused in &self.paused {
            writeln!(f, "paused for {}: {}", paused.volume, paused.reason)?;
        }
        if let Some(hold) = &self.hold {
            writeln!(f, "held: {hold}")?;
        }
        let brief = self.brief();
        write!(f, "{} restore points, {} good, {} deleted", brief.points, brief.good, brief.deleted)
    }
}
