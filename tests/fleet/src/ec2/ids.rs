//! Ids in requests: malformed and unknown ones are refused with the codes that EC2 has for each kind.

use super::inventory::Inventory;
use crate::api_error::ApiError;

/// One kind of id.
#[derive(Debug)]
pub struct Kind {
    prefix: &'static str,
    noun: &'static str,
    not_found: &'static str,
    malformed: &'static str,
}

/// Of an instance.
pub const INSTANCE: Kind = Kind {
    prefix: "i-",
    noun: "instance ID",
    not_found: "InvalidInstanceID.NotFound",
    malformed: "InvalidInstanceID.Malformed",
};

/// Of a volume.
pub const VOLUME: Kind = Kind {
    prefix: "vol-",
    noun: "volume",
    not_found: "InvalidVolume.NotFound",
    malformed: "InvalidVolumeID.Malformed",
};

/// Of a snapshot.
pub const SNAPSHOT: Kind = Kind {
    prefix: "snap-",
    noun: "snapshot",
    not_found: "InvalidSnapshot.NotFound",
    malformed: "InvalidSnapshotID.Malformed",
};

/// Of an image.
pub const IMAGE: Kind = Kind {
    prefix: "ami-",
    noun: "image id",
    not_found: "InvalidAMIID.NotFound",
    malformed: "InvalidAMIID.Malformed",
};

impl Kind {
    /// Whether an id looks like one of this kind.
    pub fn fits(&self, id: &str) -> bool {
        id.strip_prefix(self.prefix).is_some_and(|tail| {
            (8..=32).contains(&tail.len()) && tail.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }

    /// The error for an id that nothing has.
    pub fn not_found(&self, id: &str) -> ApiError {
        ApiError::new(self.not_found, format!("The {} '{id}' does not exist.", self.noun))
    }

    /// Refuses an id that is malformed or that nothing has.
    pub fn check(&self, id: &str, exists: impl Fn(&str) -> bool) -> Result<(), ApiError> {
        if !self.fits(id) {
            Err(ApiError::new(self.malformed, format!("Invalid id: \"{id}\"")))
        } else if !exists(id) {
            Err(self.not_found(id))
        } else {
            Ok(())
        }
    }
}

/// Refuses the first id that is malformed or unknown.
pub fn known(ids: &[String], kind: &Kind, exists: impl Fn(&str) -> bool) -> Result<(), ApiError> {
    ids.iter().try_for_each(|id| kind.check(id, &exists))
}

/// Refuses an id of no kind that the region has, or of a resource that is not there.
pub fn known_resource(inventory: &Inventory, id: &str) -> Result<(), ApiError> {
    if INSTANCE.fits(id) {
        INSTANCE.check(id, |id| inventory.instances.contains_key(id))
    } else if VOLUME.fits(id) {
        VOLUME.check(id, |id| inventory.volumes.contains_key(id))
    } else if SNAPSHOT.fits(id) {
        SNAPSHOT.check(id, |id| inventory.has_snapshot(id))
    } else {
        Err(ApiError::new("InvalidID", format!("The ID '{id}' is not valid")))
    }
}
