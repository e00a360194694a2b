//! `CopySnapshot`: the rules. Asked for in the region of the copy; the source lies in another one, or in the
//! same. As with cuts the bytes are copied between the reservation and the record.

use super::ids;
use super::inventory::{Inventory, Snapshot, SnapshotState, Tags};
use super::query::Query;
use super::tags;
use crate::api_error::ApiError;
use crate::random;
use chrono::{DateTime, Utc};

/// The volume that every copy is said to be of.
pub const ANY_VOLUME: &str = "vol-ffffffff";
/// Copies that may be on their way to a region.
pub const MOST_IN_FLIGHT: usize = 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// The region of the source.
    pub source_region: String,
    /// The source.
    pub source: String,
    tags: Tags,
    description: String,
    encrypted: bool,
    key: Option<String>,
    presigned_url: Option<String>,
    dry_run: bool,
}

/// A copy that may be made now.
#[derive(Debug, Clone)]
pub struct Reservation {
    /// The id of the copy.
    pub id: String,
    /// The source as it is.
    pub source: Snapshot,
    fails: bool,
}

impl Request {
    /// Reads the request.
    pub fn read(mut query: Query) -> Result<Self, ApiError> {
        query.take("DestinationRegion");
        let given = query.tag_specification("snapshot")?;
        tags::check(&given)?;
        let tags: Tags = given.into_iter().collect();
        tags::check_count(&tags)?;
        let request = Self {
            source_region: query.required("SourceRegion")?,
            source: query.required("SourceSnapshotId")?,
            tags,
            description: query.take("Description").unwrap_or_default(),
            encrypted: query.flag("Encrypted")?,
            key: query.take("KmsKeyId"),
            presigned_url: query.take("PresignedUrl"),
            dry_run: query.flag("DryRun")?,
        };
        query.finish()?;
        if request.key.is_some() && !request.encrypted {
            let message = "The parameter KmsKeyId requires the parameter Encrypted to be set.";
            return Err(ApiError::new("InvalidParameterDependency", message));
        }
        Ok(request)
    }

    /// What EC2 finds wrong with the URL only when it has begun.
    fn is_signed(&self, destination: &str) -> bool {
        let Some(url) = &self.presigned_url else { return true };
        let wanted = [
            "Action=CopySnapshot".to_owned(),
            format!("SourceRegion={}", self.source_region),
            format!("SourceSnapshotId={}", self.source),
            format!("DestinationRegion={destination}"),
            format!("%2F{}%2Fec2%2Faws4_request", self.source_region),
            "X-Amz-Signature=".to_owned(),
        ];
        wanted.iter().all(|part| url.contains(part.as_str()))
    }
}

/// Checks everything that EC2 checks. `from` is the region of the source, `to` that of the copy, which is
/// called `destination`.
pub fn reserve(
    request: &Request,
    from: &Inventory,
    to: Option<&Inventory>,
    destination: &str,
    now: DateTime<Utc>,
) -> Result<Reservation, ApiError> {
    super::allow_unless_dry_run(request.dry_run)?;
    let visible = |id: &str| from.snapshots.get(id).is_some_and(|snapshot| !snapshot.deleted);
    ids::SNAPSHOT.check(&request.source, visible)?;
    let source =
        from.snapshots.get(&request.source).ok_or_else(|| ids::SNAPSHOT.not_found(&request.source))?;
    if source.state(now) != SnapshotState::Completed {
        let message = format!("The snapshot '{}' is not in the 'completed' state.", request.source);
        return Err(ApiError::new("IncorrectState", message));
    }
    if source.key.is_some() && request.presigned_url.is_none() {
        let message = "The request must contain the parameter PresignedUrl";
        return Err(ApiError::new("MissingParameter", message));
    }
    let pending = |one: &&Snapshot| one.volume == ANY_VOLUME && one.state(now) == SnapshotState::Pending;
    if to.unwrap_or(from).snapshots.values().filter(pending).count() >= MOST_IN_FLIGHT {
        let message = format!(
            "Too many snapshot copies in progress. The limit is {MOST_IN_FLIGHT} for this destination region."
        );
        return Err(ApiError::new("ResourceLimitExceeded", message));
    }
    let fails = !request.is_signed(destination);
    Ok(Reservation { id: random::id("snap"), source: source.clone(), fails })
}

impl Inventory {
    /// Writes down a copy that was begun `now`.
    pub fn record_copy(&mut self, request: Request, reservation: Reservation, now: DateTime<Utc>) {
        let default_key = || (request.encrypted || reservation.source.key.is_some()).then(default_key);
        let copy = Snapshot {
            id: reservation.id.clone(),
            tags: request.tags,
            volume: ANY_VOLUME.to_owned(),
            size_mib: reservation.source.size_mib,
            started_at: now,
            completes_at: now.checked_add_signed(self.copy_completes_after).unwrap_or(now),
            key: request.key.or_else(default_key),
            description: request.description,
            made_by: format!("copy:{}:{}", request.source_region, request.source),
            announced: false,
            forced: reservation.fails.then_some(SnapshotState::Error),
            deleted: false,
        };
        self.snapshots.insert(reservation.id, copy);
    }
}

fn default_key() -> String {
    "alias/aws/ebs".to_owned()
}

#[cfg(test)]
#[path = "copies_tests.rs"]
mod tests;
