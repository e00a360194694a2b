//! `CreateSnapshots`, `CreateSnapshot`, `DeleteSnapshot`: the rules. Three steps, so that the bytes can be
//! cut between the second and the third: read the request, reserve (every check, ids, limits), record.

use super::bin::Bytes;
use super::ids;
use super::inventory::{Inventory, Snapshot, SnapshotState, Tags, Volume};
use super::query::Query;
use super::tags;
use crate::api_error::ApiError;
use crate::machine::CutRequest;
use crate::random;
use chrono::{DateTime, TimeDelta, Utc};

/// Most volumes that a set may leave out by id.
const MOST_EXCLUSIONS: usize = 40;
/// Least time between two snapshots of one volume.
const REST: TimeDelta = TimeDelta::seconds(15);

/// What `CreateSnapshots` or `CreateSnapshot` asks for.
#[derive(Debug, Clone)]
pub struct Request {
    of: Of,
    tags: Vec<(String, String)>,
    copy_volume_tags: bool,
    description: String,
    dry_run: bool,
}

#[derive(Debug, Clone)]
enum Of {
    Instance { id: String, exclude_boot: bool, exclude: Vec<String> },
    Volume(String),
}

/// Snapshots that may be cut now.
#[derive(Debug, Clone)]
pub struct Reservation {
    set: Vec<(CutRequest, Tags, u64)>,
    is_set: bool,
    description: String,
}

impl Request {
    /// Reads `CreateSnapshots`.
    pub fn of_instance(mut query: Query) -> Result<Self, ApiError> {
        let exclude = query.list("InstanceSpecification.ExcludeDataVolumeId");
        if exclude.len() > MOST_EXCLUSIONS {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "At most {MOST_EXCLUSIONS} data volumes can be excluded, {} are given.",
                    exclude.len()
                ),
            ));
        }
        let of = Of::Instance {
            id: query.required("InstanceSpecification.InstanceId")?,
            exclude_boot: query.flag("InstanceSpecification.ExcludeBootVolume")?,
            exclude,
        };
        let copy_volume_tags = match query.take("CopyTagsFromSource").as_deref() {
            None => false,
            Some("volume") => true,
            Some(other) => return Err(super::query::invalid("CopyTagsFromSource", other)),
        };
        Self::rest(query, of, copy_volume_tags)
    }

    /// Reads `CreateSnapshot`.
    pub fn of_volume(mut query: Query) -> Result<Self, ApiError> {
        let of = Of::Volume(query.required("VolumeId")?);
        Self::rest(query, of, false)
    }

    fn rest(mut query: Query, of: Of, copy_volume_tags: bool) -> Result<Self, ApiError> {
        let request = Self {
            of,
            tags: query.tag_specification("snapshot")?,
            copy_volume_tags,
            description: query.take("Description").unwrap_or_default(),
            dry_run: query.flag("DryRun")?,
        };
        query.finish()?;
        tags::check(&request.tags)?;
        Ok(request)
    }

    /// The instance that a set is of.
    pub fn instance(&self) -> Option<&str> {
        match &self.of {
            Of::Instance { id, .. } => Some(id),
            Of::Volume(_) => None,
        }
    }
}

impl Inventory {
    /// Checks everything that EC2 checks and starts the volumes' 15 seconds. Nothing is recorded yet.
    pub fn reserve(&mut self, request: &Request, now: DateTime<Utc>) -> Result<Reservation, ApiError> {
        super::allow_unless_dry_run(request.dry_run)?;
        let volumes = match &request.of {
            Of::Volume(id) => {
                ids::VOLUME.check(id, |id| self.volumes.contains_key(id))?;
                vec![id.clone()]
            }
            Of::Instance { id, exclude_boot, exclude } => self.members(id, *exclude_boot, exclude)?,
        };
        let mut set = Vec::new();
        for id in &volumes {
            let Some(volume) = self.volumes.get(id) else { continue };
            self.check_limits(volume, now)?;
            let cut = CutRequest { volume: id.clone(), snapshot: random::id("snap") };
            set.push((cut, request.tags_for(volume)?, volume.size_mib));
        }
        for id in &volumes {
            if let Some(volume) = self.volumes.get_mut(id) {
                volume.last_cut_at = Some(now);
            }
        }
        Ok(Reservation {
            set,
            is_set: request.instance().is_some(),
            description: request.description.clone(),
        })
    }

    /// Writes down snapshots whose bytes were cut at `now`: one start time for all.
    pub fn record(&mut self, reservation: Reservation, now: DateTime<Utc>) -> Vec<Snapshot> {
        let kind = if reservation.is_set { "set" } else { "one" };
        let made_by = format!("{kind}:{}", random::uuid());
        let made: Vec<Snapshot> = reservation
            .set
            .into_iter()
            .map(|(cut, tags, size_mib)| Snapshot {
                id: cut.snapshot,
                tags,
                volume: cut.volume,
                size_mib,
                started_at: now,
                completes_at: now.checked_add_signed(self.completes_after).unwrap_or(now),
                key: None,
                description: reservation.description.clone(),
                made_by: made_by.clone(),
                announced: false,
                forced: None,
                deleted: false,
            })
            .collect();
        made.iter().for_each(|snapshot| self.add_snapshot(snapshot.clone()));
        made
    }

    /// `DeleteSnapshot`; what becomes of its bytes. A pending one goes on counting against its volume's
    /// limit, and no rule of the Recycle Bin holds it.
    pub fn delete_snapshot(&mut self, id: &str, now: DateTime<Utc>) -> Result<Bytes, ApiError> {
        ids::SNAPSHOT.check(id, |id| self.has_snapshot(id))?;
        if let Some(image) = self.image_of(id) {
            return Err(in_use(id, &image.id));
        }
        self.check_unlocked(id, now)?;
        match self.snapshots.get_mut(id) {
            Some(snapshot) if snapshot.state(now) == SnapshotState::Pending => {
                snapshot.deleted = true;
                Ok(Bytes::Gone)
            }
            _ => {
                self.locks.remove(id);
                let deleted = self.snapshots.remove(id);
                Ok(deleted.map_or(Bytes::Gone, |snapshot| self.bin.put(snapshot, now)))
            }
        }
    }

    /// The volumes of a set: all that are attached but those left out.
    fn members(&self, id: &str, exclude_boot: bool, exclude: &[String]) -> Result<Vec<String>, ApiError> {
        ids::INSTANCE.check(id, |id| self.instances.contains_key(id))?;
        for excluded in exclude {
            let attached = self.attached(id).find(|(volume, _)| volume.id == *excluded);
            match attached {
                None => {
                    return Err(ApiError::new(
                        "InvalidParameterValue",
                        format!("The volume '{excluded}' is not attached to the instance '{id}'."),
                    ));
                }
                Some((_, attachment)) if attachment.root => {
                    return Err(ApiError::new(
                        "InvalidParameterValue",
                        format!(
                            "The boot volume '{excluded}' cannot be in ExcludeDataVolumeIds; use ExcludeBootVolume."
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        let members: Vec<String> = self
            .attached(id)
            .filter(|(volume, attachment)| !(exclude_boot && attachment.root || exclude.contains(&volume.id)))
            .map(|(volume, _)| volume.id.clone())
            .collect();
        if members.is_empty() {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!("No volume of the instance '{id}' is left to be snapshotted."),
            ));
        }
        Ok(members)
    }

    /// Five snapshots of a volume may be pending, one of a magnetic one; failed ones count.
    fn check_limits(&self, volume: &Volume, now: DateTime<Utc>) -> Result<(), ApiError> {
        let most = if matches!(volume.volume_type.as_str(), "st1" | "sc1") { 1 } else { 5 };
        let unfinished = volume
            .snapshots
            .iter()
            .filter_map(|id| self.snapshots.get(id))
            .filter(|s| s.state(now) != SnapshotState::Completed)
            .count();
        if unfinished >= most {
            return Err(ApiError::new(
                "ConcurrentSnapshotLimitExceeded",
                format!("Maximum allowed in-progress snapshots for a single volume exceeded: {}.", volume.id),
            ));
        }
        if volume.last_cut_at.is_some_and(|last| now - last < REST) {
            return Err(ApiError::new(
                "SnapshotCreationPerVolumeRateExceeded",
                format!(
                    "The maximum per volume CreateSnapshot request rate has been exceeded for {}. Use an \
                     increasing or variable sleep interval between requests.",
                    volume.id
                ),
            ));
        }
        Ok(())
    }
}

/// The refusal to touch what an image uses.
pub fn in_use(snapshot: &str, image: &str) -> ApiError {
    let message = format!("The snapshot {snapshot} is currently in use by {image}");
    ApiError::new("InvalidSnapshot.InUse", message)
}

impl Request {
    fn tags_for(&self, volume: &Volume) -> Result<Tags, ApiError> {
        let mut all: Vec<(String, String)> = self.tags.clone();
        if self.copy_volume_tags {
            let own = volume.tags.iter().filter(|(key, _)| !key.starts_with("aws:"));
            all.extend(own.map(|(key, value)| (key.clone(), value.clone())));
        }
        tags::check(&all)?;
        let tags: Tags = all.into_iter().collect();
        tags::check_count(&tags)?;
        Ok(tags)
    }
}

impl Reservation {
    /// What the machines have to cut.
    pub fn cuts(&self) -> Vec<CutRequest> {
        self.set.iter().map(|(cut, _, _)| cut.clone()).collect()
    }
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
