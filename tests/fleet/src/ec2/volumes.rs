//! `CreateVolume`, `AttachVolume`, `DetachVolume`, `DeleteVolume`: the rules and records. The machines act
//! between a check and its record; a volume that is being worked on is held by nobody else, because the
//! record changes first where a second caller could get in between.

use super::ids;
use super::inventory::{Attachment, InstanceState, Inventory, SnapshotState, Volume, gib};
use super::query::{Query, invalid};
use super::tags;
use crate::api_error::ApiError;
use crate::machine::NewVolume;
use crate::random;
use chrono::{DateTime, Utc};

/// What `CreateVolume` asks for.
#[derive(Debug, Clone)]
pub struct Creation {
    zone: String,
    size_gib: Option<u64>,
    snapshot: Option<String>,
    volume_type: String,
    performance: [Option<u64>; 3],
    kms_key: Option<String>,
    tags: Vec<(String, String)>,
    client_token: Option<String>,
    dry_run: bool,
}

/// What comes of it.
#[derive(Debug)]
pub enum Created {
    /// A volume that the machines have to make.
    New(NewVolume),
    /// The volume that the same request made before.
    Before(String),
}

impl Creation {
    /// Reads the request.
    pub fn read(mut query: Query) -> Result<Self, ApiError> {
        // Performance is accepted; a loop device has the speed that it has.
        let mut number = |name| query.number(name);
        let performance = [number("Iops")?, number("Throughput")?, number("VolumeInitializationRate")?];
        query.flag("Encrypted")?;
        let creation = Self {
            zone: query.required("AvailabilityZone")?,
            size_gib: query.number("Size")?,
            snapshot: query.take("SnapshotId"),
            volume_type: query.take("VolumeType").unwrap_or_else(|| "gp2".to_owned()),
            performance,
            kms_key: query.take("KmsKeyId"),
            tags: query.tag_specification("volume")?,
            client_token: query.take("ClientToken"),
            dry_run: query.flag("DryRun")?,
        };
        query.finish()?;
        tags::check(&creation.tags)?;
        Ok(creation)
    }

    /// What must be the same when a client token comes again.
    fn fingerprint(&self) -> String {
        let Self { zone, size_gib, snapshot, volume_type, performance, kms_key, tags, .. } = self;
        format!("{:?}", (zone, size_gib, snapshot, volume_type, performance, kms_key, tags))
    }
}

impl Inventory {
    /// Checks a creation and writes the volume down.
    pub fn create_volume(&mut self, creation: Creation, now: DateTime<Utc>) -> Result<Created, ApiError> {
        super::allow_unless_dry_run(creation.dry_run)?;
        let fingerprint = creation.fingerprint();
        if let Some(token) = &creation.client_token
            && let Some((asked, volume)) = self.client_tokens.get(token)
        {
            if *asked != fingerprint {
                return Err(ApiError::new(
                    "IdempotentParameterMismatch",
                    "The client token was used before with other parameters.",
                ));
            }
            return Ok(Created::Before(volume.clone()));
        }
        if creation.zone != self.zone {
            return Err(ApiError::new(
                "InvalidZone.NotFound",
                format!("The zone '{}' does not exist.", creation.zone),
            ));
        }
        let size_mib = self.size_of_new(&creation, now)?;
        let id = random::id("vol");
        if let Some(token) = creation.client_token {
            self.client_tokens.insert(token, (fingerprint, id.clone()));
        }
        let volume = Volume {
            id: id.clone(),
            tags: creation.tags.into_iter().collect(),
            size_mib,
            volume_type: creation.volume_type,
            created_at: now,
            from: creation.snapshot.clone(),
            attachment: None,
            last_cut_at: None,
            snapshots: Default::default(),
        };
        self.volumes.insert(id.clone(), volume);
        Ok(Created::New(NewVolume { id, size_mib, from: creation.snapshot }))
    }

    fn size_of_new(&self, creation: &Creation, now: DateTime<Utc>) -> Result<u64, ApiError> {
        let Some(id) = &creation.snapshot else {
            return match creation.size_gib {
                Some(gib) if (1..=65_536).contains(&gib) => Ok(gib * 1_024),
                Some(gib) => Err(invalid("Size", &gib.to_string())),
                None => Err(ApiError::new("MissingParameter", "Size or SnapshotId must be given")),
            };
        };
        ids::SNAPSHOT.check(id, |id| self.snapshots.get(id).is_some_and(|snapshot| !snapshot.deleted))?;
        let Some(snapshot) = self.snapshots.get(id) else { return Err(ids::SNAPSHOT.not_found(id)) };
        if self.archived.contains(id) {
            return Err(ApiError::new("IncorrectState", format!("Snapshot {id} is archived.")));
        }
        if snapshot.state(now) != SnapshotState::Completed {
            return Err(ApiError::new("IncorrectState", format!("Snapshot {id} is not completed.")));
        }
        match creation.size_gib {
            // The spec counts in MiB: the snapshot's own size is kept where no larger one is asked for.
            None => Ok(snapshot.size_mib),
            Some(asked) if asked == gib(snapshot.size_mib) => Ok(snapshot.size_mib),
            Some(asked) if asked > gib(snapshot.size_mib) && asked <= 65_536 => Ok(asked * 1_024),
            Some(asked) => Err(ApiError::new(
                "InvalidParameterValue",
                format!("Volume of {asked}GiB is smaller than snapshot '{id}'."),
            )),
        }
    }

    /// Takes a volume back out that the machines could not make.
    pub fn forget_volume(&mut self, id: &str) {
        self.volumes.remove(id);
        self.client_tokens.retain(|_, (_, volume)| volume != id);
    }

    /// Checks an attachment and writes it down.
    pub fn attach(
        &mut self,
        volume: &str,
        instance: &str,
        device: &str,
        now: DateTime<Utc>,
    ) -> Result<Attachment, ApiError> {
        ids::VOLUME.check(volume, |id| self.volumes.contains_key(id))?;
        ids::INSTANCE.check(instance, |id| self.instances.contains_key(id))?;
        if !device.starts_with("/dev/sd") && !device.starts_with("/dev/xvd") {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
                ),
            ));
        }
        if self.attached(instance).any(|(_, attachment)| attachment.device == device) {
            return Err(ApiError::new(
                "InvalidParameterValue",
                format!(
                    "Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
                ),
            ));
        }
        let (Some(record), Some(host)) = (self.volumes.get_mut(volume), self.instances.get_mut(instance))
        else {
            return Err(ids::VOLUME.not_found(volume));
        };
        if let Some(there) = &record.attachment {
            return Err(ApiError::new(
                "VolumeInUse",
                format!("{volume} is already attached to an instance: {}", there.instance),
            ));
        }
        if !matches!(host.state, InstanceState::Running | InstanceState::Stopped) {
            return Err(ApiError::new(
                "IncorrectInstanceState",
                format!("Instance '{instance}' is neither running nor stopped."),
            ));
        }
        let attachment = Attachment {
            instance: instance.to_owned(),
            device: device.to_owned(),
            since: now,
            root: device == host.root_device,
            delete_on_termination: false,
        };
        host.volumes.insert(volume.to_owned());
        record.attachment = Some(attachment.clone());
        Ok(attachment)
    }

    /// Checks that a volume may be detached: it is attached, there if an instance is named, and not
    /// under a running instance's root.
    pub fn detachable(&self, volume: &str, instance: Option<&str>) -> Result<Attachment, ApiError> {
        ids::VOLUME.check(volume, |id| self.volumes.contains_key(id))?;
        let attachment = self.volumes.get(volume).and_then(|volume| volume.attachment.clone());
        let Some(attachment) = attachment else {
            return Err(ApiError::new(
                "IncorrectState",
                format!("Volume '{volume}' is in the 'available' state."),
            ));
        };
        if instance.is_some_and(|instance| instance != attachment.instance) {
            return Err(ApiError::new(
                "InvalidAttachment.NotFound",
                format!("The volume '{volume}' is not attached to that instance."),
            ));
        }
        let running = self
            .instances
            .get(&attachment.instance)
            .is_some_and(|instance| instance.state == InstanceState::Running);
        if attachment.root && running {
            return Err(ApiError::new(
                "OperationNotPermitted",
                format!("Unable to detach root volume '{volume}' from instance '{}'", attachment.instance),
            ));
        }
        Ok(attachment)
    }

    /// Writes down that a volume is attached nowhere.
    pub fn detached(&mut self, volume: &str) {
        if let Some(record) = self.volumes.get_mut(volume)
            && let Some(attachment) = record.attachment.take()
            && let Some(host) = self.instances.get_mut(&attachment.instance)
        {
            host.volumes.remove(volume);
        }
    }

    /// Checks that a volume may be deleted and forgets it.
    pub fn delete_volume(&mut self, id: &str) -> Result<(), ApiError> {
        ids::VOLUME.check(id, |id| self.volumes.contains_key(id))?;
        if let Some(there) = self.volumes.get(id).and_then(|volume| volume.attachment.as_ref()) {
            return Err(ApiError::new(
                "VolumeInUse",
                format!("Volume {id} is currently attached to {}", there.instance),
            ));
        }
        self.volumes.remove(id);
        Ok(())
    }
}

#[cfg(test)]
#[path = "volumes_tests.rs"]
mod tests;
