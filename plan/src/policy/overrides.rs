//! What a volume says for itself in its tags. A value that cannot be read is reported and changes
//! nothing: the policy's own word stands.

use crate::observed::Volume;
use crate::retention::Keep;
use crate::warning::Warning;
use crate::{VolumeId, tags};

/// The rules that a volume's tag `stillframe:keep` gives.
///
/// # Errors
/// It cannot be read.
pub(crate) fn keep(volume: &VolumeId, value: &str) -> Result<Keep, Warning> {
    value
        .parse()
        .map_err(|error: crate::KeepTagError| malformed(volume, tags::KEEP, value, error.to_string()))
}

/// Whether a volume's hooks run, by its tag `stillframe:hooks`: they do unless it says otherwise.
///
/// # Errors
/// It says neither `on` nor `off`.
pub(crate) fn hooks(volume: &Volume) -> Result<bool, Warning> {
    match volume.tags.get(tags::HOOKS).map(String::as_str) {
        None | Some("on") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => {
            Err(malformed(&volume.id, tags::HOOKS, other, "it is neither \"on\" nor \"off\"".to_owned()))
        }
    }
}

/// Everything that cannot be read among a volume's tags for us.
pub(crate) fn warnings(volume: &Volume) -> Vec<Warning> {
    let rules = volume.tags.get(tags::KEEP).and_then(|value| keep(&volume.id, value).err());
    rules.into_iter().chain(hooks(volume).err()).collect()
}

fn malformed(volume: &VolumeId, key: &'static str, value: &str, cause: String) -> Warning {
    Warning::TagMalformed { volume: volume.clone(), key, value: value.to_owned(), cause }
}
