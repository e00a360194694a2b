//! A small account for tests: builders that read like a sentence.

use crate::backup::{Limits, Plan};
use crate::observed::*;
use crate::policy::Policy;
use crate::tags::Tags;
use crate::{InstanceId, RunId, VolumeId, layout, plan, tags};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

pub(crate) const RUN: &str = "daily/2026-11-22/k3v9x2";

pub(crate) fn time(text: &str) -> DateTime<Utc> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    full.parse().unwrap()
}

pub(crate) fn now() -> DateTime<Utc> {
    time("2026-11-22T01:00:00Z")
}

/// The policy `daily`, with some of its fields replaced.
pub(crate) fn policy(changes: Value) -> Policy {
    let mut event = json!({"policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"last": 2}});
    for (field, value) in changes.as_object().unwrap() {
        event[field] = value.clone();
    }
    Policy::read(&event).unwrap()
}

pub(crate) fn tags_of(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn empty() -> Observed {
    Observed {
        now: now(),
        instances: vec![],
        volumes: vec![],
        snapshots: vec![],
        agents: Default::default(),
        orders_under_way: Default::default(),
        used_by_images: Default::default(),
        locked: Default::default(),
        guards_unseen: None,
    }
}

/// A running instance with root device `/dev/xvda`.
pub(crate) fn instance(id: &str) -> Instance {
    Instance {
        id: id.into(),
        state: InstanceState::Running,
        launched_at: time("2026-11-01"),
        last_stop: LastStop::Unknown,
        tags: tags_of(&[("role", "db")]),
        root_device: Some("/dev/xvda".to_owned()),
        hibernation_configured: false,
    }
}

pub(crate) fn stopped(id: &str, last_stop: LastStop) -> Instance {
    Instance { state: InstanceState::Stopped, last_stop, ..instance(id) }
}

/// A selected volume; attached when an instance is named.
pub(crate) fn volume(id: &str, on: Option<(&str, &str)>) -> Volume {
    Volume {
        id: id.into(),
        size_gib: 8,
        kind: "gp3".to_owned(),
        tags: tags_of(&[("stillframe", "daily")]),
        attachment: on.map(|(instance, device)| Attachment {
            instance: instance.into(),
            device: device.to_owned(),
            state: AttachmentState::Attached,
            since: None,
        }),
        created_at: time("2026-11-01"),
        state: if on.is_some() { VolumeState::InUse } else { VolumeState::Available },
        multi_attach: false,
    }
}

/// A completed snapshot of ours, labelled `crash`, of a volume on `i-1`.
pub(crate) fn snapshot(id: &str, volume: &str, run: &str, started_at: DateTime<Utc>) -> Snapshot {
    Snapshot {
        id: id.into(),
        volume: volume.into(),
        state: SnapshotState::Completed,
        started_at,
        tags: tags_of(&[
            (tags::POLICY, "daily"),
            (tags::RUN, run),
            (tags::SLOT, run.split('/').nth(1).unwrap_or("2026-11-22")),
            (tags::INSTANCE, "i-1"),
            (tags::CONSISTENCY, "crash"),
        ])
        .into(),
        size_gib: 8,
        tier: Tier::Standard,
        description: "stillframe daily".into(),
    }
}

impl Snapshot {
    pub(crate) fn tagged(mut self, key: &str, value: &str) -> Self {
        self.tags.insert(key, value);
        self
    }

    pub(crate) fn labelled(self, label: &str) -> Self {
        self.tagged(tags::CONSISTENCY, label)
    }

    pub(crate) fn in_state(mut self, state: SnapshotState) -> Self {
        self.state = state;
        self
    }

    /// With a manifest of the set.
    pub(crate) fn naming(mut self, volumes: &[&str]) -> Self {
        let records: Vec<_> =
            volumes.iter().map(|volume| layout::Record::bare(VolumeId::from(*volume), "/dev/sdf")).collect();
        self.tags.extend(layout::encode(&records));
        self
    }
}

impl Observed {
    pub(crate) fn with(mut self, instance: Instance, agent: Option<Agent>, volumes: Vec<Volume>) -> Self {
        if let Some(agent) = agent {
            self.agents.insert(instance.id.clone(), agent);
        }
        self.instances.push(instance);
        self.volumes.extend(volumes);
        self
    }

    pub(crate) fn with_volume(mut self, volume: Volume) -> Self {
        self.volumes.push(volume);
        self
    }

    pub(crate) fn with_snapshots(mut self, snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        self.snapshots.extend(snapshots);
        self
    }
}

pub(crate) fn planned(policy: &Policy, observed: &Observed) -> Plan {
    plan(policy, &RunId::from(RUN), observed, &Limits::default())
}

/// Days before [`now`].
pub(crate) fn days_ago(days: i64) -> DateTime<Utc> {
    now() - TimeDelta::days(days)
}

pub(crate) fn instance_id(number: usize) -> InstanceId {
    InstanceId::from(format!("i-{number}"))
}
