//! What is decided of a destination: what to copy now, what not and why, which copies go. Data only.

use crate::history::Target;
use crate::prune::Prune;
use crate::tags::Tags;
use crate::warning::Warning;
use crate::{RunId, SnapshotId, VolumeId};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::fmt;

/// The decision for one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copies<'a> {
    /// The policy's name.
    pub policy: String,
    /// The destination.
    pub region: String,
    /// What to copy now, in this order.
    pub start: Vec<CopySet>,
    /// Copies that are on their way to the region, whoever began them.
    pub in_flight: usize,
    /// Good restore points that are there whole.
    pub there: usize,
    /// Snapshots of others that are on their way.
    pub under_way: usize,
    /// Snapshots that are to be copied when others have arrived.
    pub later: usize,
    /// Good restore points that the destination's rules would not keep.
    pub unwanted: usize,
    /// Snapshots whose copy failed a moment ago: it is tried again later.
    pub failed_lately: Vec<SnapshotId>,
    /// Sets of which some copies are there and the others cannot be made.
    pub cannot_be_finished: Vec<Unfinishable>,
    /// Tags that do not fit on a copy.
    pub warnings: Vec<Warning>,
    /// Copies that failed and are to be deleted.
    pub clean_up: Vec<SnapshotId>,
    /// The verdicts on the copies that are there.
    pub prune: Prune<'a>,
}

impl Default for Copies<'_> {
    fn default() -> Self {
        Self {
            policy: String::new(),
            region: String::new(),
            start: Vec::new(),
            in_flight: 0,
            there: 0,
            under_way: 0,
            later: 0,
            unwanted: 0,
            failed_lately: Vec::new(),
            cannot_be_finished: Vec::new(),
            warnings: Vec::new(),
            clean_up: Vec::new(),
            prune: Prune {
                policy: String::new(),
                hold: None,
                paused: Vec::new(),
                warnings: Vec::new(),
                points: Vec::new(),
            },
        }
    }
}

/// What is to be copied of one restore point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopySet {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant.
    pub started_at: DateTime<Utc>,
    /// Its snapshots that are not there yet.
    pub members: Vec<CopyMember>,
}

/// One snapshot to be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CopyMember {
    /// The snapshot.
    pub snapshot: SnapshotId,
    /// The volume that it is of.
    pub volume: VolumeId,
    /// The tags that the copy is born with.
    pub tags: Tags,
    /// The copy's description.
    pub description: String,
}

/// A restore point that is half there for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unfinishable {
    /// The run that made it.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant.
    pub started_at: DateTime<Utc>,
}

impl fmt::Display for Unfinishable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the restore point of {} of {} was copied in part only, and the rest of its snapshots is gone",
            self.target,
            self.started_at.format("%Y-%m-%dT%H:%MZ")
        )
    }
}

impl fmt::Display for Copies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "copies in {}", self.region)?;
        let rows: Vec<[String; 4]> = self
            .start
            .iter()
            .flat_map(|set| set.members.iter().map(move |member| (set, member)))
            .map(|(set, member)| {
                [
                    set.started_at.format("%Y-%m-%dT%H:%MZ").to_string(),
                    set.target.to_string(),
                    member.volume.to_string(),
                    member.snapshot.to_string(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            writeln!(f, "{}", crate::text::table(["instant", "of", "volume", "to copy"], rows))?;
        }
        for lost in &self.cannot_be_finished {
            writeln!(f, "{lost}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        let start: usize = self.start.iter().map(|set| set.members.len()).sum();
        writeln!(
            f,
            "{} restore points there, {} snapshots on their way, {start} to copy now, {} later, {} whose copy \
             failed lately; {} restore points are beyond the rules there",
            self.there,
            self.under_way,
            self.later,
            self.failed_lately.len(),
            self.unwanted
        )?;
        self.prune.fmt(f)
    }
}
