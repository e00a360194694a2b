//! Storage tiers: `ModifySnapshotTier`. Archiving is done at once; EBS takes a day or three.

use super::ids;
use super::inventory::{Inventory, SnapshotState};
use super::query::{Query, invalid};
use super::xml::{Element, text};
use crate::api_error::ApiError;
use crate::clock::iso;
use chrono::{DateTime, Utc};

/// `ModifySnapshotTier`.
pub fn modify(
    inventory: &mut Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let id = query.required("SnapshotId")?;
    if let Some(other) = query.take("StorageTier").filter(|tier| tier != "archive") {
        return Err(invalid("StorageTier", &other));
    }
    super::finish(query)?;
    ids::SNAPSHOT.check(&id, |id| inventory.has_snapshot(id))?;
    let completed = inventory.snapshots.get(&id).is_some_and(|s| s.state(now) == SnapshotState::Completed);
    if !completed || inventory.archived.contains(&id) {
        let message = format!("Snapshot {id} is not completed, or archived already.");
        return Err(ApiError::new("IncorrectState", message));
    }
    // One of an image that may be used has to be at hand.
    if let Some(image) = inventory.image_of(&id).filter(|image| !image.disabled) {
        return Err(super::snapshots::in_use(&id, &image.id));
    }
    inventory.archived.insert(id.clone());
    Ok(vec![text("snapshotId", id), text("tieringStartTime", iso(now))])
}

impl Inventory {
    /// The tier that a snapshot is in.
    pub fn tier(&self, snapshot: &str) -> &'static str {
        if self.archived.contains(snapshot) { "archive" } else { "standard" }
    }
}

#[cfg(test)]
#[path = "tiers_tests.rs"]
mod tests;
