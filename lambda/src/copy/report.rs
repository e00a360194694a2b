//! What was done about copies, for the result of a run.

use crate::backup::{Note, RunReport};
use serde::Serialize;
use std::collections::BTreeSet;
use stillframe_plan::{Copies, CopyMember, SnapshotId};

/// The copies in one region.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct CopiedTo {
    /// The region.
    pub region: String,
    /// Copies that were begun.
    pub started: Vec<StartedCopy>,
    /// Good restore points that are there whole.
    pub there: usize,
    /// Snapshots of others that are on their way.
    pub under_way: usize,
    /// Snapshots that are to be copied when others have arrived.
    pub later: usize,
    /// Copies that were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pruned: Vec<String>,
    /// How many deletions EC2 has agreed to there: some may still be to be seen.
    #[serde(skip)]
    pub deletions_agreed: usize,
    /// Why pruning held back there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prune: Vec<Note>,
}

/// A copy that was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StartedCopy {
    /// The volume.
    pub volume: String,
    /// Its snapshot.
    pub source: String,
    /// The copy.
    pub copy: String,
}

impl StartedCopy {
    pub(super) fn of(member: &CopyMember, copy: &SnapshotId) -> Self {
        Self {
            volume: member.volume.to_string(),
            source: member.snapshot.to_string(),
            copy: copy.to_string(),
        }
    }
}

impl CopiedTo {
    pub(super) fn of(region: &str) -> Self {
        Self { region: region.to_owned(), ..Self::default() }
    }

    /// Whether anything was done.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        !self.started.is_empty() || self.deletions_agreed > 0
    }

    /// Takes over how things stand by the last look. Those that EC2 does not copy are told already.
    pub(super) fn decided(
        &mut self,
        decided: &Copies<'_>,
        refused: &BTreeSet<SnapshotId>,
        report: &mut RunReport,
    ) {
        let waiting = decided.start.iter().flat_map(|set| &set.members);
        let waiting = waiting.filter(|member| !refused.contains(&member.snapshot)).count();
        self.there = decided.there;
        self.under_way = decided.under_way;
        self.later = decided.later + waiting;
        let about = |text: String| format!("copies in {}: {text}", decided.region);
        for source in &decided.failed_lately {
            let message = about(format!("the copy of {source} failed; it is made again after an hour"));
            report.failures.push(Note::new("copy-failed", message));
        }
        for lost in &decided.cannot_be_finished {
            report.warnings.push(Note::new("copy-cannot-be-finished", about(lost.to_string())));
        }
        for warning in decided.warnings.iter().chain(&decided.prune.warnings) {
            report.warnings.push(Note::new("copy-tags", about(warning.to_string())));
        }
    }
}
