//! What an operator should know though nothing has failed: typed, and the sentences that people read.

use crate::{InstanceId, VolumeId};
use serde::Serialize;
use std::fmt;

/// What the operator should know, though the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warning {
    /// The policy selects no volume.
    NothingSelected,
    /// The volumes' own tags are not copied to the snapshots of this instance.
    TagsNotCopied {
        /// The instance.
        instance: InstanceId,
        /// The volume whose tags are in the way.
        volume: VolumeId,
        /// What is in the way.
        cause: CopyProblem,
        /// Lineage keys whose values differ among the volumes, so that the set cannot carry them.
        lineage_lost: Vec<String>,
    },
    /// The volume's own tags do not fit beside ours; of its own only the lineage is carried.
    TagsDropped {
        /// The volume.
        volume: VolumeId,
        /// How many are dropped.
        dropped: usize,
    },
    /// A tag of ours on a volume that cannot be read; what the policy says holds for it.
    TagMalformed {
        /// The volume.
        volume: VolumeId,
        /// The tag's key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The set is larger than its tags can describe: it carries no layout.
    LayoutDoesNotFit {
        /// The instance.
        instance: InstanceId,
        /// How many tags the layout needs.
        needed: usize,
        /// How many there is room for.
        room: usize,
    },
}

/// Why a volume's tags cannot be copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyProblem {
    /// It has a tag of the same key as one of the set.
    Collides {
        /// The key.
        key: String,
    },
    /// There is no room for its tags beside ours and the layout.
    TooMany {
        /// How many it has.
        tags: usize,
        /// How many there is room for.
        room: usize,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingSelected => f.write_str("the policy selects no volume"),
            Self::TagsNotCopied { instance, volume, cause, lineage_lost } => {
                write!(f, "tags of the volumes of {instance} are not copied: {volume} ")?;
                match cause {
                    CopyProblem::Collides { key } => write!(f, "has a tag {key} of its own")?,
                    CopyProblem::TooMany { tags, room } => write!(f, "has {tags} tags, {room} fit")?,
                }
                if !lineage_lost.is_empty() {
                    write!(f, "; the volumes differ in {}, which is lost", lineage_lost.join(", "))?;
                }
                Ok(())
            }
            Self::TagsDropped { volume, dropped } => {
                write!(f, "{dropped} tags of {volume} do not fit on its snapshot and are left out")
            }
            Self::TagMalformed { volume, key, value, cause } => write!(
                f,
                "the tag {key} of {volume} is {value:?}, which cannot be read: {cause}; the policy's word holds"
            ),
            Self::LayoutDoesNotFit { instance, needed, room } => write!(
                f,
                "the layout of {instance} needs {needed} tags, {room} fit: a crash-consistent set carries none"
            ),
        }
    }
}
