//! Reads the fields of a spec that have a form of their own.

use crate::Consistency;
use crate::tags::{self, Tags};
use chrono::{DateTime, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Fields of the spec that can therefore be no tag key to filter by.
const FIELDS: [&str; 19] = [
    "filter_tags",
    "policy",
    "from_instance",
    "run",
    "instance",
    "volumes",
    "blank",
    "mixed",
    "at",
    "consistency",
    "tags",
    "type",
    "iops",
    "throughput",
    "kms_key",
    "initialization_rate",
    "delete_on_termination",
    "file_system",
    "mount_options",
];

pub(super) fn filter_tags() -> Vec<String> {
    super::FILTER_TAGS.map(str::to_owned).to_vec()
}

pub(super) fn tag_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let keys = Vec::<String>::deserialize(deserializer)?;
    for (at, key) in keys.iter().enumerate() {
        tags::check_key(&tags::instance_key(key)).map_err(D::Error::custom)?;
        if key.is_empty() {
            return Err(D::Error::custom("\"\" is no tag key"));
        }
        if FIELDS.contains(&key.as_str()) {
            return Err(D::Error::custom(format!("{key:?} is a field of the spec itself")));
        }
        if keys.iter().take(at).any(|earlier| earlier == key) {
            return Err(D::Error::custom(format!("{key:?} is named twice")));
        }
    }
    Ok(keys)
}

pub(super) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let read = DateTime::parse_from_rfc3339(&text).map_err(|error| {
        D::Error::custom(format!("{text:?} is no time as 2026-11-22T01:00:00Z is one: {error}"))
    })?;
    Ok(Some(read.with_timezone(&Utc)))
}

pub(super) fn crash() -> Consistency {
    Consistency::Crash
}

pub(super) fn consistency<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Consistency, D::Error> {
    let word = String::deserialize(deserializer)?;
    let read = Consistency::from_label(Some(&word));
    if read.as_str() == word {
        return Ok(read);
    }
    Err(D::Error::custom(format!(
        "{word:?} is none of \"crash\", \"filesystem\", \"application\" and \"offline\""
    )))
}

pub(super) fn extra_tags<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tags, D::Error> {
    let extra = Tags::deserialize(deserializer)?;
    for (key, value) in &extra {
        tags::check_key(key).and_then(|()| tags::check_value(key, value)).map_err(D::Error::custom)?;
    }
    Ok(extra)
}

/// A path to mount at, without a slash at its end.
pub(super) fn mount_point<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let path = text.trim_end_matches('/');
    let Some(below) = path.strip_prefix('/') else {
        let what = if text.starts_with('/') { "the root, which is never restored" } else { "not absolute" };
        return Err(D::Error::custom(format!("{text:?} is {what}")));
    };
    if below.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(D::Error::custom(format!("{text:?} has a part that is empty, \".\" or \"..\"")));
    }
    if path.chars().any(char::is_control) || path.len() > 4_095 {
        return Err(D::Error::custom(format!("{text:?} is no path: too long, or with a control character")));
    }
    Ok(path.to_owned())
}

pub(super) fn other_mount_point<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<String>, D::Error> {
    mount_point(deserializer).map(Some)
}
