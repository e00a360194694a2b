//! The region's records of instances, volumes and snapshots: what EC2 knows of them. Bytes, mounts and
//! processes are the machines'. Nothing here reads a clock: the time is an argument.

use super::bin::Bin;
use super::images::Image;
use super::locks::Lock;
use crate::spec::{Agent, InstanceSpec, PowerState, Spec, VolumeSpec};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// Everything that EC2 knows.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The account's number.
    pub account: String,
    /// The only availability zone.
    pub zone: String,
    /// How long a snapshot is pending.
    pub completes_after: TimeDelta,
    /// The same for a copy.
    pub copy_completes_after: TimeDelta,
    /// By id.
    pub instances: BTreeMap<String, Instance>,
    /// By id.
    pub volumes: BTreeMap<String, Volume>,
    /// By id; deleted ones that are still pending among them.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// By id.
    pub images: BTreeMap<String, Image>,
    /// Locks, by snapshot; those that have expired among them.
    pub locks: BTreeMap<String, Lock>,
    /// Snapshots in the archive tier.
    pub archived: BTreeSet<String>,
    /// Where deleted snapshots go.
    pub bin: Bin,
    /// `CreateVolume`'s client tokens: what was asked with each, and the volume that came of it.
    pub client_tokens: BTreeMap<String, (String, String)>,
}

/// An instance.
#[derive(Debug, Clone)]
pub struct Instance {
    /// `i-...`
    pub id: String,
    /// Its tags.
    pub tags: Tags,
    /// Whether it runs.
    pub state: InstanceState,
    /// When it was last started.
    pub launched_at: DateTime<Utc>,
    /// Why it is in its state, in EC2's words; empty when nobody asked for it.
    pub transition_reason: String,
    /// Its agent, as long as the instance runs.
    pub agent: Agent,
    /// Its only address.
    pub address: String,
    /// The boot volume's device name.
    pub root_device: String,
    /// Its user data.
    pub user_data: String,
    /// Ids of the volumes on it; each of these has the attachment.
    pub volumes: BTreeSet<String>,
}

/// The states that an instance goes through here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceState {
    /// It starts.
    Pending,
    /// It runs.
    Running,
    /// It is being stopped.
    Stopping,
    /// It is stopped.
    Stopped,
    /// It ends for good.
    ShuttingDown,
    /// It has ended for good; EC2 tells of it for a while.
    Terminated,
}

/// A volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// `vol-...`
    pub id: String,
    /// Its tags.
    pub tags: Tags,
    /// Its size, MiB; EC2 speaks of GiB, rounded up.
    pub size_mib: u64,
    /// `gp3`, `st1`, ...
    pub volume_type: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// The snapshot that it was made from.
    pub from: Option<String>,
    /// Where it is attached.
    pub attachment: Option<Attachment>,
    /// When the last snapshot of it was begun.
    pub last_cut_at: Option<DateTime<Utc>>,
    /// The ids of its snapshots; deleted ones may be among them.
    pub snapshots: BTreeSet<String>,
}

/// A volume on an instance.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// The instance.
    pub instance: String,
    /// The device name.
    pub device: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Whether it is the boot volume.
    pub root: bool,
    /// Whether it is deleted when its instance is terminated.
    pub delete_on_termination: bool,
}

/// A snapshot.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// `snap-...`
    pub id: String,
    /// Its tags.
    pub tags: Tags,
    /// The volume.
    pub volume: String,
    /// The volume's size, MiB.
    pub size_mib: u64,
    /// When it was cut; the same for all of a set.
    pub started_at: DateTime<Utc>,
    /// When it completes by itself.
    pub completes_at: DateTime<Utc>,
    /// The key that encrypts it, if it is encrypted.
    pub key: Option<String>,
    /// Its description.
    pub description: String,
    /// The call that made it: `set:`, `one:`, or `copy:` with the source's region and id.
    pub made_by: String,
    /// Whether its end was told to EventBridge.
    pub announced: bool,
    /// A state that was set from outside.
    pub forced: Option<SnapshotState>,
    /// Deleted while pending: counts against the volume's limit until it would have completed.
    pub deleted: bool,
}

/// The states of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SnapshotState {
    /// Its bytes are being carried away.
    Pending,
    /// It can be used.
    Completed,
    /// It failed.
    Error,
}

fn milliseconds(ms: u64) -> TimeDelta {
    TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 2))
}

/// Whole GiB that hold so many MiB.
#[must_use]
pub fn gib(mib: u64) -> u64 {
    mib.div_ceil(1_024)
}

impl Inventory {
    /// The records of a spec's resources, as of `now`.
    #[must_use]
    pub fn new(spec: &Spec, now: DateTime<Utc>) -> Self {
        let mut inventory = Self {
            account: spec.account.clone(),
            zone: format!("{}a", spec.region),
            completes_after: milliseconds(spec.snapshot_completes_after_ms),
            copy_completes_after: milliseconds(spec.copy_completes_after_ms),
            ..Self::default()
        };
        for (n, instance) in spec.instances.iter().enumerate() {
            inventory.add_instance(instance, n, now);
        }
        for volume in &spec.detached {
            inventory.volumes.insert(volume.id.clone(), Volume::of_spec(volume, None, now));
        }
        inventory
    }

    fn add_instance(&mut self, spec: &InstanceSpec, n: usize, now: DateTime<Utc>) {
        for volume in &spec.volumes {
            let attachment = Attachment {
                instance: spec.id.clone(),
                device: volume.device.clone(),
                since: now,
                root: volume.root,
                delete_on_termination: volume.root,
            };
            self.volumes.insert(volume.id.clone(), Volume::of_spec(volume, Some(attachment), now));
        }
        let root = spec.volumes.iter().find(|volume| volume.root);
        let (state, transition_reason) = match spec.state {
            PowerState::Running => (InstanceState::Running, String::new()),
            PowerState::Stopped => (InstanceState::Stopped, user_initiated(now)),
        };
        let instance = Instance {
            id: spec.id.clone(),
            tags: spec.tags.clone(),
            state,
            // Long enough ago that whatever happens from now on happened after it.
            launched_at: now - TimeDelta::hours(1),
            transition_reason,
            agent: spec.agent,
            address: address(n),
            root_device: root.map_or_else(|| "/dev/xvda".to_owned(), |volume| volume.device.clone()),
            user_data: spec.user_data.clone(),
            volumes: spec.volumes.iter().map(|volume| volume.id.clone()).collect(),
        };
        self.instances.insert(spec.id.clone(), instance);
    }

    /// The volumes on an instance.
    pub fn attached<'a>(&'a self, instance: &'a str) -> impl Iterator<Item = (&'a Volume, &'a Attachment)> {
        let ids = self.instances.get(instance).into_iter().flat_map(|instance| &instance.volumes);
        ids.filter_map(|id| self.volumes.get(id)).filter_map(|v| Some((v, v.attachment.as_ref()?)))
    }

    /// Writes a snapshot down.
    pub fn add_snapshot(&mut self, snapshot: Snapshot) {
        if let Some(volume) = self.volumes.get_mut(&snapshot.volume) {
            volume.snapshots.insert(snapshot.id.clone());
        }
        self.snapshots.insert(snapshot.id.clone(), snapshot);
    }

    /// Whether a snapshot exists for a client.
    #[must_use]
    pub fn has_snapshot(&self, id: &str) -> bool {
        self.snapshots.get(id).is_some_and(|snapshot| !snapshot.deleted)
    }

    /// The snapshots that exist for a client.
    pub fn visible_snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values().filter(|snapshot| !snapshot.deleted)
    }
}

/// The address of the nth instance; subnets keep their first four addresses to themselves.
fn address(n: usize) -> String {
    let n = n + 4;
    format!("10.{}.{}.{}", n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff)
}

/// EC2's words for a stop that somebody asked for; they do not tell a forced one from another.
#[must_use]
pub fn user_initiated(at: DateTime<Utc>) -> String {
    format!("User initiated ({} GMT)", at.format("%Y-%m-%d %H:%M:%S"))
}

impl InstanceState {
    /// EC2's code and name.
    #[must_use]
    pub fn code_and_name(self) -> (u16, &'static str) {
        match self {
            Self::Pending => (0, "pending"),
            Self::Running => (16, "running"),
            Self::ShuttingDown => (32, "shutting-down"),
            Self::Terminated => (48, "terminated"),
            Self::Stopping => (64, "stopping"),
            Self::Stopped => (80, "stopped"),
        }
    }
}

impl SnapshotState {
    /// EC2's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
        }
    }
}

impl Snapshot {
    /// Its state at a time.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> SnapshotState {
        self.forced.unwrap_or(if now < self.completes_at {
            SnapshotState::Pending
        } else {
            SnapshotState::Completed
        })
    }

    /// How much of it is done.
    #[must_use]
    pub fn progress(&self, now: DateTime<Utc>) -> &'static str {
        if self.state(now) == SnapshotState::Completed { "100%" } else { "0%" }
    }
}

impl Volume {
    fn of_spec(spec: &VolumeSpec, attachment: Option<Attachment>, now: DateTime<Utc>) -> Self {
        Self {
            id: spec.id.clone(),
            tags: spec.tags.clone(),
            size_mib: spec.size_mib,
            volume_type: spec.volume_type.clone(),
            created_at: now,
            from: None,
            attachment,
            last_cut_at: None,
            snapshots: BTreeSet::new(),
        }
    }

    /// `in-use` or `available`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        if self.attachment.is_some() { "in-use" } else { "available" }
    }
}
