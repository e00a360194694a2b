//! A policy: what to back up, how often, how consistent, how long to keep. It is the JSON that a
//! schedule hands to the backup function; this module reads and checks it, nothing more.
//!
//! An unknown field is ignored. A missing or wrong one gives one error that names it and its value.

mod copy_to;
pub(crate) mod overrides;
pub(crate) mod reading;
mod select;
mod selected;
mod slot;

pub use copy_to::CopyTo;
pub use select::Selection;
pub(crate) use selected::Selected;
pub use slot::{Every, Slot};

use crate::Consistency;
use crate::retention::Keep;
use crate::tags::{self, Tags};
use chrono_tz::Tz;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest freeze that a policy may allow, milliseconds (promise 1).
pub const MAX_FREEZE_MS: u64 = 30_000;

/// A policy, checked. Field names are those of the JSON, but for `policy`, which is its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name: 1 to 64 letters, digits, `_`, `.` and `-`, since it becomes part of a tag, of a run id
    /// and of a parameter's path.
    #[serde(rename = "policy", deserialize_with = "name")]
    pub name: String,
    /// How long a slot is.
    #[serde(default)]
    pub every: Every,
    /// The time zone whose calendar the slots follow.
    #[serde(default = "utc", deserialize_with = "timezone", serialize_with = "timezone_name")]
    pub timezone: Tz,
    /// Which volumes.
    pub select: Selection,
    /// What a snapshot has to be to count as good.
    #[serde(default = "filesystem", deserialize_with = "consistency")]
    pub consistency: Consistency,
    /// What to do where that cannot be had.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// Longest time that a file system may stay frozen, milliseconds, 1 to [`MAX_FREEZE_MS`].
    #[serde(default = "ten_seconds", deserialize_with = "freeze_time")]
    pub max_freeze_ms: u64,
    /// Whether `/` is frozen too.
    #[serde(default)]
    pub freeze_root: bool,
    /// Whether the kernel's grace periods are expedited during the freeze, a setting of the whole machine,
    /// instead of priming.
    #[serde(default)]
    pub expedite_rcu: bool,
    /// What to keep.
    pub keep: Keep,
    /// Fewest good restore points that prune leaves of a lineage, at least 1.
    #[serde(default = "one", deserialize_with = "at_least_one")]
    pub min: u32,
    /// Tags that say what a volume is, across replacements.
    #[serde(default = "lineage_keys", deserialize_with = "lineage")]
    pub lineage: Vec<String>,
    /// Tags for every snapshot, besides Stillframe's own.
    #[serde(default, deserialize_with = "extra_tags")]
    pub tags: Tags,
    /// Description of every snapshot; empty for one that names policy and slot.
    #[serde(default, deserialize_with = "description")]
    pub description: String,
    /// Regions that good restore points are copied to.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "copy_to::list")]
    pub copy_to: Vec<CopyTo>,
    /// Plan only.
    #[serde(default)]
    pub dry_run: bool,
    /// Have every instance do all that comes before the first freeze, whether or not the slot is finished;
    /// nothing is frozen, made or deleted.
    #[serde(default)]
    pub rehearse: bool,
    /// Lift prune's brake for this run.
    #[serde(default)]
    pub allow_mass_delete: bool,
}

/// What to do with a volume whose snapshot cannot be made as consistent as asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Take what can be had: a crash-consistent snapshot, which then finishes the slot.
    #[default]
    Crash,
    /// Take none, report a failure, and try again at the next firing.
    Skip,
}

/// A policy that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A field is of the wrong type or out of range.
    #[error("failed to read the policy: field `{field}`: {cause}")]
    Field {
        /// Path of the field, dots between the parts.
        field: String,
        /// What is wrong with it, its value included.
        cause: String,
    },
    /// It is not a JSON object, or a field is missing.
    #[error("failed to read the policy: {cause}")]
    Document {
        /// What is wrong with it.
        cause: String,
    },
}

impl Policy {
    /// Reads the JSON of a schedule's input.
    ///
    /// # Errors
    /// The first field that is missing or wrong.
    pub fn read(event: &serde_json::Value) -> Result<Self, PolicyError> {
        if !event.is_object() {
            return Err(PolicyError::Document { cause: format!("{event} is not a JSON object") });
        }
        let policy: Self = reading::read(event, "")?;
        policy.check_tag_room()?;
        Ok(policy)
    }

    /// The same from text.
    ///
    /// # Errors
    /// It is no JSON, or as [`Policy::read`].
    pub fn read_text(text: &[u8]) -> Result<Self, PolicyError> {
        Self::read(&reading::json(text)?)
    }

    /// Whether a snapshot with this label counts as good under this policy.
    #[must_use]
    pub fn is_satisfied_by(&self, label: Consistency) -> bool {
        label >= self.consistency
    }

    /// Whether a crash-consistent snapshot may stand in for what the policy asks.
    #[must_use]
    pub fn takes_crash(&self) -> bool {
        self.consistency == Consistency::Crash || self.on_failure == OnFailure::Crash
    }

    /// So that a set always has room for the layout of its volumes, whatever else it carries.
    fn check_tag_room(&self) -> Result<(), PolicyError> {
        let asked = self.tags.len() + self.lineage.len();
        if asked <= tags::MOST_POLICY_TAGS {
            return Ok(());
        }
        Err(PolicyError::Field {
            field: "tags".to_owned(),
            cause: format!(
                "{} tags and {} lineage keys are more than the {} that leave room for Stillframe's own",
                self.tags.len(),
                self.lineage.len(),
                tags::MOST_POLICY_TAGS
            ),
        })
    }
}

fn utc() -> Tz {
    Tz::UTC
}

fn filesystem() -> Consistency {
    Consistency::Filesystem
}

fn ten_seconds() -> u64 {
    10_000
}

fn one() -> u32 {
    1
}

fn lineage_keys() -> Vec<String> {
    ["role", "cluster", "environment"].map(str::to_owned).to_vec()
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if !fits {
        return Err(D::Error::custom(format!(
            "{name:?} is no name for a policy: 1 to 64 letters, digits, `_`, `.` and `-`"
        )));
    }
    Ok(name)
}

fn timezone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    let name = String::deserialize(deserializer)?;
    name.parse().map_err(|_| {
        D::Error::custom(format!("{name:?} is not a time zone of the IANA database, as Europe/Berlin is"))
    })
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn timezone_name<S: Serializer>(zone: &Tz, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(zone.name())
}

fn consistency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Consistency, D::Error> {
    let word = String::deserialize(deserializer)?;
    match word.as_str() {
        "crash" => Ok(Consistency::Crash),
        "filesystem" => Ok(Consistency::Filesystem),
        // Taking it and never promoting beyond `filesystem` would leave a policy that can never be met.
        "application" => Err(D::Error::custom(
            "\"application\" cannot be proved by this version, which does not quiesce applications; \
             ask for \"filesystem\"",
        )),
        "offline" => Err(D::Error::custom(
            "\"offline\" is what a stopped instance gives, it cannot be asked for; ask for \"filesystem\"",
        )),
        _ => Err(D::Error::custom(format!("{word:?} is neither \"crash\" nor \"filesystem\""))),
    }
}

fn freeze_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let ms = u64::deserialize(deserializer)?;
    if (1..=MAX_FREEZE_MS).contains(&ms) {
        Ok(ms)
    } else {
        Err(D::Error::custom(format!("{ms} is not between 1 and {MAX_FREEZE_MS} milliseconds")))
    }
}

fn at_least_one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(D::Error::custom("0 would allow the last good restore point to be deleted; at least 1")),
        min => Ok(min),
    }
}

fn lineage<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let keys = Vec::<String>::deserialize(deserializer)?;
    for (at, key) in keys.iter().enumerate() {
        tags::check_key(&tags::instance_key(key)).map_err(D::Error::custom)?;
        if key.is_empty() {
            return Err(D::Error::custom("\"\" is no tag key"));
        }
        if keys.iter().take(at).any(|earlier| earlier == key) {
            return Err(D::Error::custom(format!("{key:?} is named twice")));
        }
    }
    Ok(keys)
}

fn extra_tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
    let extra = Tags::deserialize(deserializer)?;
    for (key, value) in &extra {
        tags::check_key(key).and_then(|()| tags::check_value(key, value)).map_err(D::Error::custom)?;
        if key.starts_with(tags::OURS) {
            return Err(D::Error::custom(format!(
                "{key:?}: keys that begin with {:?} are our own",
                tags::OURS
            )));
        }
    }
    Ok(extra)
}

fn description<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    // EC2's limit of a snapshot's description.
    if text.chars().count() > 255 {
        return Err(D::Error::custom(format!("has {} characters, at most 255 fit", text.chars().count())));
    }
    Ok(text)
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
