//! What is to be restored onto an instance: a JSON object, as Snaptastic read it from the user data, and
//! what has come to it since. `user_data` finds it there; this module reads and checks it, nothing more.
//!
//! ```json
//! {"role": "db", "cluster": "a", "environment": "prod",
//!  "volumes": [{"device": "/dev/sdf", "mount_point": "/srv/pg", "size": 200, "file_system": "xfs"}]}
//! ```
//! An unknown field is ignored. A wrong one gives one error that names it and its value.

mod read;
mod user_data;
mod volume;

pub use user_data::{NoSpec, UserData};
pub use volume::{VolumeShape, VolumeSpec, VolumeType};

use crate::restore::DeviceWish;
use crate::tags::{self, Tags};
use crate::{Consistency, InstanceId, RunId};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys whose values say what to restore, unless the spec names others in `filter_tags`.
pub const FILTER_TAGS: [&str; 3] = ["role", "cluster", "environment"];
/// Size of a blank volume of which the spec gives none, GiB. Snaptastic's.
pub const BLANK_GIB: u64 = 5;
/// File system of a blank volume of which the spec gives none. Snaptastic's.
pub const BLANK_FILE_SYSTEM: &str = "xfs";

/// What is to be restored, checked. Field names are those of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Spec {
    /// Tag keys that say what a snapshot is of. A set is of this spec's lineage when it has the same value
    /// for each of them, or none where the spec has none.
    #[serde(default = "read::filter_tags", deserialize_with = "read::tag_keys")]
    pub filter_tags: Vec<String>,
    /// The values of those that the spec gives, each as a field of its own at the top (`"role": "db"`). For
    /// the others the instance's own tags count.
    #[serde(skip)]
    pub filter: Tags,
    /// Only sets of this policy.
    #[serde(default)]
    pub policy: Option<String>,
    /// Only sets of this instance, whatever its tags.
    #[serde(default)]
    pub from_instance: Option<InstanceId>,
    /// This set and no other.
    #[serde(default)]
    pub run: Option<RunId>,
    /// What to mount where. Empty: all that the set holds, where it was.
    #[serde(default)]
    pub volumes: Vec<VolumeSpec>,
    /// Whether blank volumes are made where no set can be used: a first boot.
    #[serde(default)]
    pub blank: bool,
    /// Whether each mount point may come from another set.
    #[serde(default)]
    pub mixed: bool,
    /// Nothing younger than this.
    #[serde(default, deserialize_with = "read::instant")]
    pub at: Option<DateTime<Utc>>,
    /// Nothing less consistent than this.
    #[serde(default = "read::crash", deserialize_with = "read::consistency")]
    pub consistency: Consistency,
    /// What holds for each volume that says nothing else: the fields of [`VolumeShape`] at the top.
    #[serde(skip)]
    pub shape: VolumeShape,
    /// Tags for every volume, besides those of the volume that it is a copy of.
    #[serde(default, deserialize_with = "read::extra_tags")]
    pub tags: Tags,
}

/// A spec that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A field is of the wrong type or out of range.
    #[error("failed to read the restore spec: field `{field}`: {cause}")]
    Field {
        /// Path of the field, dots between the parts.
        field: String,
        /// What is wrong with it, its value included.
        cause: String,
    },
    /// It is not a JSON object, or a field is missing.
    #[error("failed to read the restore spec: {cause}")]
    Document {
        /// What is wrong with it.
        cause: String,
    },
}

impl Spec {
    /// Reads the JSON of an event, of a parameter, or of user data.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn read(document: &Value) -> Result<Self, SpecError> {
        let Some(fields) = document.as_object() else {
            return Err(SpecError::Document { cause: format!("{document} is not a JSON object") });
        };
        let mut spec: Self = deserialize(document)?;
        spec.shape = deserialize(document)?;
        for key in &spec.filter_tags {
            match fields.get(key) {
                None | Some(Value::Null) => {}
                Some(Value::String(value)) => {
                    tags::check_value(key, value)
                        .map_err(|error| SpecError::Field { field: key.clone(), cause: error.to_string() })?;
                    spec.filter.insert(key.clone(), value.clone());
                }
                Some(other) => {
                    let cause = format!("{other} is the value of a tag, which is a string");
                    return Err(SpecError::Field { field: key.clone(), cause });
                }
            }
        }
        spec.shape.check("").and_then(|()| spec.check_volumes())?;
        Ok(spec)
    }

    /// The same from text.
    ///
    /// # Errors
    /// It is no JSON, or as [`Spec::read`].
    pub fn read_text(text: &[u8]) -> Result<Self, SpecError> {
        let document =
            serde_json::from_slice(text).map_err(|error| SpecError::Document { cause: error.to_string() })?;
        Self::read(&document)
    }

    /// Whether it names one point in the past: what is attached now is then no answer to it.
    #[must_use]
    pub fn names_a_point(&self) -> bool {
        self.at.is_some() || self.run.is_some()
    }

    /// Whether a volume may be blank where no set holds its mount point.
    #[must_use]
    pub fn may_be_blank(&self, volume: &VolumeSpec) -> bool {
        volume.blank.unwrap_or(self.blank)
    }

    /// Whether an object has a field that only a spec has: user data may be JSON of somebody else's.
    fn is_known_by(fields: &serde_json::Map<String, Value>) -> bool {
        ["volumes", "filter_tags", "from_instance", "blank"]
            .iter()
            .chain(&FILTER_TAGS)
            .any(|key| fields.contains_key(*key))
    }

    fn check_volumes(&self) -> Result<(), SpecError> {
        let mut mounts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut devices: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, volume) in self.volumes.iter().enumerate() {
            let of = |name: &str| format!("volumes[{at}].{name}");
            volume.shape.check(&format!("volumes[{at}]."))?;
            if let Some(earlier) = mounts.insert(&volume.mount_point, at) {
                let cause = format!("{:?} is that of volumes[{earlier}] too", volume.mount_point);
                return Err(SpecError::Field { field: of("mount_point"), cause });
            }
            let place = volume.device.as_ref().filter(|wish| wish.is_binding()).map(DeviceWish::place);
            if let Some(earlier) = place.and_then(|place| devices.insert(place, at)) {
                let name = volume.device.as_ref().map_or("", DeviceWish::as_str);
                let cause = format!("{name:?} is that of volumes[{earlier}] too");
                return Err(SpecError::Field { field: of("device"), cause });
            }
        }
        Ok(())
    }
}

fn deserialize<T: serde::de::DeserializeOwned>(document: &Value) -> Result<T, SpecError> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner().to_string();
        if field == "." { SpecError::Document { cause } } else { SpecError::Field { field, cause } }
    })
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
