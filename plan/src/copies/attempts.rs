//! What has become of the copies that were made so far, by their sources.

use crate::SnapshotId;
use crate::copies::Destination;
use crate::copies::destination::source_of;
use crate::observed::{Observed, Snapshot, SnapshotState};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// What has become of the copy of one snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    /// None was made.
    None,
    /// The latest failed.
    Failed {
        /// When it was begun.
        begun_at: DateTime<Utc>,
    },
    /// One is being made, or is in the Recycle Bin.
    InFlight,
    /// It is complete.
    There,
}

/// The copies by their sources.
pub(super) struct Attempts<'a> {
    by_source: BTreeMap<&'a str, BTreeMap<&'a SnapshotId, &'a Snapshot>>,
    begun: &'a BTreeSet<SnapshotId>,
}

impl<'a> Attempts<'a> {
    pub(super) fn of(there: &'a Observed, seen: &'a Destination) -> Self {
        let mut by_source: BTreeMap<&str, BTreeMap<&SnapshotId, &Snapshot>> = BTreeMap::new();
        for copy in &there.snapshots {
            let Some(source) = source_of(copy) else { continue };
            by_source.entry(source).or_default().insert(&copy.id, copy);
        }
        Self { by_source, begun: &seen.begun }
    }

    pub(super) fn at(&self, source: &SnapshotId) -> Attempt {
        let copies = self.by_source.get(source.as_str());
        let copies = || copies.into_iter().flat_map(BTreeMap::values);
        let failed_at =
            copies().filter(|copy| copy.state == SnapshotState::Error).map(|copy| copy.started_at).max();
        if copies().any(|copy| copy.state == SnapshotState::Completed) {
            Attempt::There
        } else if copies().any(|copy| copy.state != SnapshotState::Error) {
            Attempt::InFlight
        } else if let Some(begun_at) = failed_at {
            Attempt::Failed { begun_at }
        } else if self.begun.contains(source) {
            Attempt::InFlight
        } else {
            Attempt::None
        }
    }

    /// Failed copies that nobody needs to see any more: those before the latest attempt at the same
    /// snapshot, and those older than a day.
    pub(super) fn clean_up(&self, now: DateTime<Utc>) -> impl Iterator<Item = SnapshotId> {
        self.by_source.values().flat_map(move |copies| {
            let latest = copies.values().map(|copy| (copy.started_at, &copy.id)).max();
            let failed = copies.values().filter(|copy| copy.state == SnapshotState::Error);
            let stale = failed.filter(move |copy| {
                Some((copy.started_at, &copy.id)) != latest || now - copy.started_at > TimeDelta::days(1)
            });
            stale.map(|copy| copy.id.clone())
        })
    }
}
