//! Where snapshots go that are deleted: the Recycle Bin, if a rule holds them, and for a moment nowhere yet,
//! when deletions are slow to be seen. `ListSnapshotsInRecycleBin`, `RestoreSnapshotFromRecycleBin`; rules
//! and slowness are set by control endpoints.

use super::describe;
use super::filter::Describable;
use super::ids;
use super::inventory::{Inventory, Snapshot, Tags};
use super::paging::Selection;
use super::query::Query;
use super::render;
use super::seen::Seen;
use super::xml::{Element, text};
use crate::api_error::ApiError;
use crate::clock::iso;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;

/// The bin, and what is not gone yet.
#[derive(Debug, Default)]
pub struct Bin {
    /// The rule for what is deleted from now on; one, for the whole region.
    pub rule: Option<Rule>,
    /// How long a deleted snapshot can still be seen.
    pub seen_for: TimeDelta,
    held: BTreeMap<String, Held>,
    lingering: BTreeMap<String, (Snapshot, DateTime<Utc>)>,
}

/// A retention rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// How long it holds a snapshot.
    pub retain: TimeDelta,
    /// Only those with this tag, else every one.
    pub tag: Option<(String, String)>,
}

/// A snapshot in the bin.
#[derive(Debug, Clone)]
struct Held {
    snapshot: Snapshot,
    entered_at: DateTime<Utc>,
    exits_at: DateTime<Utc>,
}

/// What becomes of a deleted snapshot's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {
    /// They go.
    Gone,
    /// The bin holds them. When its time is up they lie there until the region ends, seen by nobody.
    Held,
}

impl Bin {
    /// Takes a deleted snapshot.
    pub fn put(&mut self, snapshot: Snapshot, now: DateTime<Utc>) -> Bytes {
        if now < now + self.seen_for {
            self.lingering.insert(snapshot.id.clone(), (snapshot.clone(), now + self.seen_for));
        }
        let matches =
            |rule: &&Rule| rule.tag.as_ref().is_none_or(|(key, value)| snapshot.tags.get(key) == Some(value));
        match self.rule.as_ref().filter(matches).map(|rule| now + rule.retain) {
            Some(exits_at) => {
                self.held.insert(snapshot.id.clone(), Held { snapshot, entered_at: now, exits_at });
                Bytes::Held
            }
            None => Bytes::Gone,
        }
    }

    /// Deleted snapshots that can still be seen.
    pub fn lingering(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Snapshot> {
        self.lingering.values().filter(move |(_, until)| now < *until).map(|(snapshot, _)| snapshot)
    }

    fn held(&self, now: DateTime<Utc>) -> impl Iterator<Item = &Held> {
        self.held.values().filter(move |held| now < held.exits_at)
    }
}

/// `ListSnapshotsInRecycleBin`.
pub fn list(inventory: &Inventory, mut query: Query, now: DateTime<Utc>) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "SnapshotId", &[])?;
    super::finish(query)?;
    let all = describe::seen(inventory.bin.held(now), inventory, now);
    ids::known(&selection.ids, &ids::SNAPSHOT, |id| all.iter().any(|held| held.id() == id))?;
    let page = selection.page("SnapshotId", all.iter());
    Ok(describe::answer("snapshotSet", page, |held| {
        vec![
            text("snapshotId", held.id()),
            text("volumeId", &held.record.snapshot.volume),
            text("description", &held.record.snapshot.description),
            text("recycleBinEnterTime", iso(held.record.entered_at)),
            text("recycleBinExitTime", iso(held.record.exits_at)),
        ]
    }))
}

/// `RestoreSnapshotFromRecycleBin`.
pub fn restore(
    inventory: &mut Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let id = query.required("SnapshotId")?;
    super::finish(query)?;
    ids::SNAPSHOT.check(&id, |id| inventory.bin.held(now).any(|held| held.snapshot.id == id))?;
    let Some(held) = inventory.bin.held.remove(&id) else { return Err(ids::SNAPSHOT.not_found(&id)) };
    inventory.bin.lingering.remove(&id);
    let answer = render::snapshot(inventory, &held.snapshot, "status", now);
    inventory.add_snapshot(held.snapshot);
    Ok(answer)
}

impl Describable for Seen<'_, Held> {
    fn id(&self) -> &str {
        &self.record.snapshot.id
    }

    fn tags(&self) -> &Tags {
        &self.record.snapshot.tags
    }

    fn values(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

#[cfg(test)]
#[path = "bin_tests.rs"]
mod tests;
