//! Why a set was passed over, and why a restore was refused: typed, and the sentences that people read.

use crate::history::Target;
use crate::observed::InstanceState;
use crate::tags::Tags;
use crate::{Consistency, RunId, SnapshotId, VolumeId};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use std::fmt;

/// A set of the lineage that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PassedOver {
    /// Its run.
    pub run: RunId,
    /// What it is of.
    pub target: Target,
    /// Its instant.
    pub started_at: DateTime<Utc>,
    /// Why.
    pub reason: PassReason,
}

/// Why a set was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassReason {
    /// It was taken after the time asked for.
    TooYoung {
        /// The time asked for.
        at: DateTime<Utc>,
    },
    /// A snapshot of it is still being copied.
    Pending {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A snapshot of it failed.
    Failed {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// A snapshot of it is in the recycle bin.
    Recycled {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// Volumes that its manifest names are not there.
    Incomplete {
        /// The volumes; none where the manifest cannot be read.
        missing: Vec<VolumeId>,
    },
    /// A snapshot of it is archived: it has to be brought back first.
    Archived {
        /// The snapshot.
        snapshot: SnapshotId,
    },
    /// It is less consistent than asked.
    LessConsistent {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its label.
        label: Consistency,
    },
    /// It does not hold what is to be mounted.
    WrongLayout {
        /// Mount points that it does not know.
        missing: Vec<String>,
    },
    /// Another account owns a snapshot of it.
    ForeignAccount {
        /// The snapshot.
        snapshot: SnapshotId,
    },
}

/// Why nothing is restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The instance can have nothing attached now.
    Instance {
        /// What it is doing.
        state: InstanceState,
    },
    /// Nothing says what the instance is.
    NothingToGoBy {
        /// The tag keys that were looked for.
        keys: Vec<String>,
    },
    /// No set is of this lineage.
    NoSet {
        /// What was looked for.
        filter: Tags,
    },
    /// There are sets, and none can be used.
    NoneUsable,
    /// Blank volumes are wanted, and nothing says where they are to be mounted.
    BlankWithoutVolumes,
    /// A point in the past is wanted where a volume is attached already.
    Occupied {
        /// Where; empty where it is mounted nowhere.
        mount_point: String,
        /// The volume.
        volume: VolumeId,
    },
    /// Some of the volumes are attached already and others are not: together they would be no one instant.
    PartlyAttached {
        /// What is there.
        present: Vec<String>,
        /// What is not.
        missing: Vec<String>,
    },
    /// The device name asked for is in use.
    DeviceTaken {
        /// The name.
        device: String,
        /// The volume that has it; none where it is one of this restore.
        by: Option<VolumeId>,
        /// Where the volume was to be mounted that asked for it.
        mount_point: String,
    },
    /// The instance takes no more volumes.
    AttachLimit {
        /// How many it has.
        attached: usize,
        /// How many more were to come.
        wanted: usize,
        /// How many it takes.
        limit: usize,
    },
    /// No device name is free.
    NoDeviceFree,
}

/// Nothing is restored; the sets that were passed over before it came to that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{refusal}{}", tail(.passed_over))]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// Sets of the lineage, newest first.
    pub passed_over: Vec<PassedOver>,
}

fn tail(passed_over: &[PassedOver]) -> String {
    let mut sentences = passed_over.iter().map(|set| format!("{}: {}", set.run, set.reason));
    match (sentences.next(), passed_over.len()) {
        (None, _) => String::new(),
        (Some(only), 1) => format!(" ({only})"),
        (Some(newest), more) => format!(" ({newest}; and {} older)", more - 1),
    }
}

impl fmt::Display for PassReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooYoung { at } => {
                write!(f, "younger than {}", at.to_rfc3339_opts(SecondsFormat::Secs, true))
            }
            Self::Pending { snapshot } => write!(f, "{snapshot} is pending"),
            Self::Failed { snapshot } => write!(f, "{snapshot} failed"),
            Self::Recycled { snapshot } => write!(f, "{snapshot} is in the recycle bin"),
            Self::Incomplete { missing } if missing.is_empty() => f.write_str("its manifest cannot be read"),
            Self::Incomplete { missing } => write!(f, "no snapshot of {}", list(missing)),
            Self::Archived { snapshot } => write!(f, "{snapshot} is archived"),
            Self::LessConsistent { snapshot, label } => write!(f, "{snapshot} is only {label}"),
            Self::WrongLayout { missing } => write!(f, "holds nothing of {}", list(missing)),
            Self::ForeignAccount { snapshot } => write!(f, "another account owns {snapshot}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instance { state } => write!(f, "the instance is {}", state.as_str()),
            Self::NothingToGoBy { keys } => {
                write!(f, "neither the spec nor the instance has a tag {}", list(keys))
            }
            Self::NoSet { filter } => write!(f, "no restore point has {}", Pairs(filter)),
            Self::NoneUsable => f.write_str("no restore point can be used"),
            Self::BlankWithoutVolumes => {
                f.write_str("blank volumes are allowed, and the spec has no `volumes` that say where")
            }
            Self::Occupied { mount_point, volume } if mount_point.is_empty() => {
                write!(f, "{volume}, which has no mount point, is attached already: detach it first")
            }
            Self::Occupied { mount_point, volume } => {
                write!(f, "{volume} is attached for {mount_point} already: unmount and detach it first")
            }
            Self::PartlyAttached { present, missing } => write!(
                f,
                "volumes of {} are attached and those of {} are not: they would be of different instants",
                list(present),
                list(missing)
            ),
            Self::DeviceTaken { device, by: Some(volume), mount_point } => {
                write!(f, "{device}, asked for {mount_point}, is where {volume} is attached")
            }
            Self::DeviceTaken { device, by: None, mount_point } => {
                write!(f, "{device}, asked for {mount_point}, is taken by another volume of this restore")
            }
            Self::AttachLimit { attached, wanted, limit } => {
                write!(f, "{wanted} volumes to attach beside {attached}, the instance takes {limit}")
            }
            Self::NoDeviceFree => f.write_str("no device name is free"),
        }
    }
}

/// Tags in a sentence.
struct Pairs<'a>(&'a Tags);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("what the spec asks for");
        }
        let pairs: Vec<String> = self.0.iter().map(|(key, value)| format!("{key}={value}")).collect();
        f.write_str(&pairs.join(" "))
    }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
