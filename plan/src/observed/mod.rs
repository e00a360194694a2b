//! What was seen of the account, in plain words: the executor fills it in from AWS, the plan decides
//! from nothing else. Nothing here is an opinion.

pub(crate) mod born;
mod consistency;
mod ids;
pub mod layout;
mod shared_tags;
pub mod tags;

pub use consistency::Consistency;
pub use ids::{InstanceId, RunId, SnapshotId, VolumeId};
pub(crate) use shared_tags::TagReader;
pub use shared_tags::{SharedTags, Word, Words};
pub use tags::Tags;

use chrono::{DateTime, Utc};
use layout::{LayoutError, Record};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that a decision may depend on, as seen at one time. Order of the lists and repeated
/// entries (pages may overlap) make no difference to any decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The time of the observation, and of every decision made from it.
    pub now: DateTime<Utc>,
    /// Instances of the account: at least those that a volume below is attached to.
    pub instances: Vec<Instance>,
    /// Every volume of the account: exclusion needs the volumes that no policy selects, too.
    pub volumes: Vec<Volume>,
    /// Snapshots owned by the account. EC2's limits count those of others' making as well; where only
    /// ours are given, the limits are judged from ours.
    pub snapshots: Vec<Snapshot>,
    /// What SSM says of an instance's agent; no entry means that it has never registered.
    pub agents: BTreeMap<InstanceId, Agent>,
    /// Instances that still work on an order of this policy and slot, with the order's run: the plan
    /// gives them no second one.
    #[serde(default)]
    pub orders_under_way: BTreeMap<InstanceId, RunId>,
    /// Snapshots that a registered image of the account uses: EC2 does not delete them.
    #[serde(default)]
    pub used_by_images: BTreeSet<SnapshotId>,
    /// Snapshots under a lock that has not expired: nobody can delete them.
    #[serde(default)]
    pub locked: BTreeSet<SnapshotId>,
    /// Why it is not known, or not wholly, what images use and locks hold.
    #[serde(default)]
    pub guards_unseen: Option<String>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its id.
    pub id: InstanceId,
    /// What it is doing.
    pub state: InstanceState,
    /// When it was last started (EC2's `LaunchTime` moves with every start).
    pub launched_at: DateTime<Utc>,
    /// How its last stop came about; [`LastStop::Unknown`] while it has not stopped.
    pub last_stop: LastStop,
    /// Its tags.
    pub tags: Tags,
    /// Device name of the boot volume, `/dev/xvda`.
    pub root_device: Option<String>,
    /// Whether it was launched with hibernation enabled: EC2 then takes no multi-volume snapshots, and
    /// a stop may have left the file systems mounted in the saved memory.
    pub hibernation_configured: bool,
}

/// State of an instance, EC2's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// Shutting down to be stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Shutting down for good.
    ShuttingDown,
    /// Gone.
    Terminated,
}

impl InstanceState {
    /// EC2's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
        }
    }
}

/// How an instance came to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LastStop {
    /// Its own operating system shut it down.
    ByItsSystem,
    /// Somebody asked EC2 to stop it, without force.
    ByUser,
    /// Power was taken from it: by a forced stop, or by EC2.
    Forced,
    /// Not known.
    Unknown,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its id.
    pub id: VolumeId,
    /// Size, GiB.
    pub size_gib: u64,
    /// Its type, `gp3`.
    pub kind: String,
    /// Its tags.
    pub tags: Tags,
    /// Where it is attached; the first attachment of a volume that has several.
    pub attachment: Option<Attachment>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// What it is doing.
    pub state: VolumeState,
    /// Whether several instances may be attached at the same time.
    pub multi_attach: bool,
}

impl Volume {
    /// Where it is attached, or nearly so: EC2 lists an attachment that is undone for a while.
    #[must_use]
    pub fn current_attachment(&self) -> Option<&Attachment> {
        self.attachment.as_ref().filter(|attachment| attachment.state != AttachmentState::Detached)
    }
}

impl Instance {
    /// Whether a volume is attached to it as its boot volume.
    #[must_use]
    pub fn boots_from(&self, volume: &Volume) -> bool {
        volume.current_attachment().is_some_and(|attachment| {
            attachment.instance == self.id && self.root_device.as_ref() == Some(&attachment.device)
        })
    }
}

/// Where a volume is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The instance.
    pub instance: InstanceId,
    /// Device name asked for, `/dev/sdf`.
    pub device: String,
    /// How far it has got.
    pub state: AttachmentState,
    /// Since when, if EC2 says so.
    #[serde(default)]
    pub since: Option<DateTime<Utc>>,
}

/// How far an attachment has got, EC2's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttachmentState {
    /// Under way.
    Attaching,
    /// Done.
    Attached,
    /// Being undone.
    Detaching,
    /// Undone, though still listed.
    Detached,
    /// Being undone while the instance still uses it.
    Busy,
}

/// State of a volume, EC2's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    /// Being made.
    Creating,
    /// Attached nowhere.
    Available,
    /// Attached.
    InUse,
    /// Being deleted.
    Deleting,
    /// Deleted.
    Deleted,
    /// Lost.
    Error,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its id.
    pub id: SnapshotId,
    /// The volume that it was taken of, which may be gone.
    pub volume: VolumeId,
    /// How far it has got.
    pub state: SnapshotState,
    /// When EC2 began it: its instant, unless it is a copy.
    pub started_at: DateTime<Utc>,
    /// Its tags.
    pub tags: SharedTags,
    /// Size of the volume, GiB.
    pub size_gib: u64,
    /// Where it is stored.
    pub tier: Tier,
    /// Its description.
    #[serde(default)]
    pub description: Word,
}

/// State of a snapshot, EC2's words; the one that permits least comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    /// Being copied.
    Pending,
    /// In the recycle bin.
    Recoverable,
    /// On its way out of the recycle bin.
    Recovering,
    /// Whole.
    Completed,
    /// Failed: holds nothing.
    Error,
}

impl SnapshotState {
    /// EC2's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Recoverable => "recoverable",
            Self::Recovering => "recovering",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }
}

/// Where a snapshot is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tier {
    /// Ready to be restored from.
    #[default]
    Standard,
    /// Archived: has to be brought back first.
    Archive,
}

/// What SSM says of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agent {
    /// It answered lately.
    Online,
    /// Its ping was lost, or it was deregistered.
    Offline,
}

impl Snapshot {
    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key)
    }

    /// The policy that it was made for, if it is ours at all.
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.tag(tags::POLICY)
    }

    /// The volume that its content is of: of a copy that of the snapshot that it was copied from, since a
    /// copy's own volume id means nothing.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.tag(tags::SOURCE_VOLUME).unwrap_or(self.volume.as_str())
    }

    /// The volume that its content is of, and the instant: of a copy those of its source.
    pub(crate) fn content(&self) -> (&str, DateTime<Utc>) {
        let Some(volume) = self.tag(tags::SOURCE_VOLUME) else {
            return (self.volume.as_str(), self.started_at);
        };
        let told = self.tag(tags::SOURCE_STARTED);
        (volume, told.and_then(|told| told.parse().ok()).unwrap_or(self.started_at))
    }

    /// The region that it was copied from; none for one that was made where it lies.
    #[must_use]
    pub fn copied_from(&self) -> Option<&str> {
        self.tag(tags::SOURCE_REGION)
    }

    /// The records of its set's layout; none when it carries no layout.
    ///
    /// # Errors
    /// There is a layout, and it cannot be understood.
    pub fn layout(&self) -> Result<Vec<Record>, LayoutError> {
        layout::decode_parts(&self.tags.beginning_with(tags::LAYOUT).collect())
    }

    /// The run that made it.
    #[must_use]
    pub fn run(&self) -> Option<&str> {
        self.tag(tags::RUN)
    }

    /// The slot that it was made for.
    #[must_use]
    pub fn slot(&self) -> Option<&str> {
        self.tag(tags::SLOT)
    }

    /// The instance that its volume was attached to.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.tag(tags::INSTANCE)
    }

    /// Its label; [`Consistency::Crash`] when it has none.
    #[must_use]
    pub fn label(&self) -> Consistency {
        Consistency::from_label(self.tag(tags::CONSISTENCY))
    }
}

impl AttachmentState {
    /// EC2's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attaching => "attaching",
            Self::Attached => "attached",
            Self::Detaching => "detaching",
            Self::Detached => "detached",
            Self::Busy => "busy",
        }
    }
}

impl VolumeState {
    /// EC2's word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Available => "available",
            Self::InUse => "in-use",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
            Self::Error => "error",
        }
    }
}
