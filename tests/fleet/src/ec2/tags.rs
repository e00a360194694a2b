//! `CreateTags`, `DeleteTags`, and the rules that tags keep everywhere.

use super::ids;
use super::inventory::{Inventory, Tags};
use super::query::Query;
use super::xml::{Element, done};
use crate::api_error::ApiError;

/// Most tags of a resource.
pub const MOST: usize = 50;
const MOST_RESOURCES: usize = 1_000;

/// Refuses tags that no resource may have, and a key that comes twice.
pub fn check(tags: &[(String, String)]) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::new("InvalidParameterValue", message));
    for (n, (key, value)) in tags.iter().enumerate() {
        if key.starts_with("aws:") {
            return invalid(format!("Tag keys starting with 'aws:' are reserved for internal use: '{key}'"));
        }
        if key.is_empty() || key.chars().count() > 128 {
            return invalid(format!("Tag key exceeds the maximum length of 128 characters: '{key}'"));
        }
        if value.chars().count() > 256 {
            return invalid(format!("Tag value exceeds the maximum length of 256 characters: '{value}'"));
        }
        if tags.iter().take(n).any(|(earlier, _)| earlier == key) {
            return invalid(format!("Duplicate tag key '{key}' specified."));
        }
    }
    Ok(())
}

/// Refuses more tags than a resource may have.
pub fn check_count(tags: &Tags) -> Result<(), ApiError> {
    if tags.keys().filter(|key| !key.starts_with("aws:")).count() > MOST {
        return Err(ApiError::new("TagLimitExceeded", format!("The maximum number of tags is {MOST}.")));
    }
    Ok(())
}

/// `CreateTags`: all or nothing.
pub fn create(inventory: &mut Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let resources = resources(inventory, &mut query)?;
    let tags = query.tags("Tag")?;
    super::finish(query)?;
    if tags.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter Tag"));
    }
    check(&tags)?;
    for id in &resources {
        let mut after = inventory.tags_of(id).cloned().unwrap_or_default();
        after.extend(tags.iter().cloned());
        check_count(&after)?;
    }
    for id in &resources {
        if let Some(existing) = inventory.tags_of_mut(id) {
            existing.extend(tags.iter().cloned());
        }
    }
    Ok(done())
}

/// `DeleteTags`: without tags, all of them; a tag with a value only when it has that value.
pub fn delete(inventory: &mut Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let resources = resources(inventory, &mut query)?;
    let tags = query.tags("Tag")?;
    super::finish(query)?;
    for id in &resources {
        let Some(existing) = inventory.tags_of_mut(id) else { continue };
        existing.retain(|key, value| {
            let deleted = |(k, v): &(String, String)| k == key && (v.is_empty() || v == value);
            !(tags.is_empty() || tags.iter().any(deleted))
        });
    }
    Ok(done())
}

fn resources(inventory: &Inventory, query: &mut Query) -> Result<Vec<String>, ApiError> {
    let resources = query.list("ResourceId");
    if resources.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter ResourceId"));
    }
    if resources.len() > MOST_RESOURCES {
        return Err(ApiError::new(
            "InvalidParameterValue",
            format!("At most {MOST_RESOURCES} resources can be tagged in one request."),
        ));
    }
    resources.iter().try_for_each(|id| ids::known_resource(inventory, id))?;
    Ok(resources)
}

impl Inventory {
    /// The tags of an instance, a volume or a snapshot, if there is one of the id.
    #[must_use]
    pub fn tags_of(&self, id: &str) -> Option<&Tags> {
        let instance = || self.instances.get(id).map(|instance| &instance.tags);
        let volume = || self.volumes.get(id).map(|volume| &volume.tags);
        let snapshot = || self.snapshots.get(id).map(|snapshot| &snapshot.tags);
        instance().or_else(volume).or_else(snapshot)
    }

    fn tags_of_mut(&mut self, id: &str) -> Option<&mut Tags> {
        if let Some(instance) = self.instances.get_mut(id) {
            Some(&mut instance.tags)
        } else if let Some(volume) = self.volumes.get_mut(id) {
            Some(&mut volume.tags)
        } else {
            self.snapshots.get_mut(id).map(|snapshot| &mut snapshot.tags)
        }
    }
}

#[cfg(test)]
#[path = "tags_tests.rs"]
mod tests;
