//! What is told of a policy's snapshots. Data only; `explain` decides it.

use crate::explain::Until;
use crate::observed::{Consistency, SnapshotState};
use crate::prune::{DeleteReason, Hold, KeepReason};
use crate::retention::{Keep, Rule};
use crate::warning::Warning;
use crate::{RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;

/// Why each snapshot of a policy is kept or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The policy's name.
    pub policy: String,
    /// The time of the look, on which everything rests.
    pub now: DateTime<Utc>,
    /// The rules of the policy.
    pub keep: Keep,
    /// Those that they are compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_instead: Option<Keep>,
    /// What is assumed wherever it says until when.
    pub assumption: String,
    /// Everything in numbers, that which is left out too.
    pub totals: ExplainTotals,
    /// Why nothing but failed sets would be deleted in the next run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// The same with the other rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_instead: Option<Hold>,
    /// Volumes whose own rules cannot be read, so that the policy's hold.
    pub warnings: Vec<Warning>,
    /// Whether there are more snapshots than these.
    pub truncated: bool,
    /// The snapshots by lineage, in each the newest first.
    pub snapshots: Vec<Explained>,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// What it is a backup of.
    pub lineage: String,
    /// The volume.
    pub volume: VolumeId,
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The run that made it.
    pub run: RunId,
    /// The instant of its restore point.
    pub instant: DateTime<Utc>,
    /// Its label.
    pub label: Consistency,
    /// How far it has got.
    pub state: SnapshotState,
    /// Whether it counts as good.
    pub good: bool,
    /// Whether the rules for it are those of its volume's own tag.
    pub own_rules: bool,
    /// What becomes of it.
    pub decision: Decision,
    /// What would become of it by the other rules, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instead: Option<Instead>,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It is kept.
    Keep {
        /// By all of these.
        by: Vec<By>,
        /// So long.
        until: Until,
    },
    /// The next run deletes it.
    Delete {
        /// Why.
        reason: DeleteReason,
        /// Whether it does not after all, since the brake holds.
        held: bool,
    },
}

/// What keeps a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// A rule that counts.
    Rule {
        /// The rule.
        rule: Rule,
        /// How many it has kept with this one, from the newest.
        number: u32,
        /// How many it keeps.
        of: u32,
        /// Whether only because it is the oldest and the rule has room.
        oldest: bool,
    },
    /// The rule `within`.
    Within {
        /// Its span.
        span: String,
    },
    /// The policy's `min`.
    Min {
        /// Which of the good ones it is, from the newest.
        number: u32,
        /// How many stay.
        of: u32,
    },
    /// A guard, a pause, or that it is not finished.
    Because(KeepReason),
    /// Its restore point is kept as a whole, for this volume.
    With {
        /// The volume.
        volume: VolumeId,
    },
}

/// What other rules would make of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instead {
    /// The difference in a word.
    pub change: Change,
    /// What would become of it.
    pub decision: Decision,
}

/// A difference between two sets of rules; what matters most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The other rules delete what those of the policy keep.
    Deletes,
    /// They keep what those of the policy delete.
    Spares,
    /// They keep it not as long.
    Shorter,
    /// They keep it longer.
    Longer,
    /// They keep it, as long, for other reasons.
    OtherReason,
}

/// An explanation in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ExplainTotals {
    /// Snapshots of the policy.
    pub snapshots: usize,
    /// Those that are kept.
    pub kept: usize,
    /// Those that the next run deletes.
    pub deleted: usize,
    /// Those that it would delete, did the brake not hold.
    pub held: usize,
    /// By the other rules: those that these delete and the policy's keep.
    pub instead_deletes: usize,
    /// By the other rules: those that these keep and the policy's delete.
    pub instead_spares: usize,
    /// By the other rules: those that are kept not as long.
    pub instead_shorter: usize,
    /// By the other rules: those that are kept longer.
    pub instead_longer: usize,
}

impl ExplainTotals {
    pub(super) fn of(snapshots: &[Explained]) -> Self {
        let mut totals = Self { snapshots: snapshots.len(), ..Self::default() };
        for one in snapshots {
            match one.decision {
                Decision::Keep { .. } => totals.kept += 1,
                Decision::Delete { held: false, .. } => totals.deleted += 1,
                Decision::Delete { held: true, .. } => totals.held += 1,
            }
            match one.instead.as_ref().map(|instead| instead.change) {
                Some(Change::Deletes) => totals.instead_deletes += 1,
                Some(Change::Spares) => totals.instead_spares += 1,
                Some(Change::Shorter) => totals.instead_shorter += 1,
                Some(Change::Longer) => totals.instead_longer += 1,
                Some(Change::OtherReason) | None => {}
            }
        }
        totals
    }
}

impl Explanation {
    /// Leaves snapshots out until the others take no more than so many bytes as JSON, and says so. What the
    /// other rules change stays before what is deleted, and that before what is kept; of each the newest.
    #[must_use]
    pub fn fitting(mut self, bytes: usize) -> Self {
        let urgency = |one: &Explained| {
            let change = one.instead.as_ref().map_or(Change::OtherReason, |instead| instead.change);
            (change, matches!(one.decision, Decision::Keep { .. }), std::cmp::Reverse(one.instant))
        };
        let warnings = crate::room::fit(&mut self.warnings, bytes / 10, |_| ());
        self.truncated |= crate::room::fit(&mut self.snapshots, bytes - bytes / 10, urgency) || warnings;
        self
    }
}

impl Decision {
    pub(super) fn until(&self) -> Option<Until> {
        match self {
            Self::Keep { until, .. } => Some(*until),
            Self::Delete { .. } => None,
        }
    }
}
