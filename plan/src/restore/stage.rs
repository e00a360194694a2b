//! Small scenes for tests.

use crate::observed::*;
use crate::restore::{Host, MadeVolume, Refusal, RestorePlan, RestoreWay, Scene, Spec, VolumeCall, restore};
use crate::world::{days_ago, instance, snapshot};
use crate::{VolumeId, layout};
use serde_json::{Value, json};

pub(super) const HOST: &str = "i-9";
pub(super) const ZONE: &str = "eu-west-1a";

pub(super) fn spec(document: Value) -> Spec {
    Spec::read(&document).unwrap()
}

/// A new instance of role `db`, with its boot volume alone.
pub(super) fn scene() -> Scene {
    Scene {
        host: Host {
            instance: instance(HOST),
            zone: ZONE.to_owned(),
            attached: [("/dev/xvda".to_owned(), VolumeId::from("vol-boot"))].into(),
            most_volumes: Some(27),
        },
        snapshots: vec![],
        foreign: Default::default(),
        made: vec![],
        gone: Default::default(),
    }
}

/// A set of `i-1`, role `db`: each member as volume, device, file system, mount point. A volume with several
/// mount points has several records and one snapshot, `snap-<run>-<volume>`.
pub(super) fn set(run: &str, days: i64, records: &[(&str, &str, &str, &str)]) -> Vec<Snapshot> {
    let manifest: Vec<layout::Record> = records
        .iter()
        .map(|(volume, device, fs_type, mount_point)| layout::Record {
            volume: (*volume).into(),
            device: (*device).to_owned(),
            fs_type: (*fs_type).to_owned(),
            mount_point: (*mount_point).to_owned(),
        })
        .collect();
    let mut volumes: Vec<&str> = records.iter().map(|(volume, ..)| *volume).collect();
    volumes.sort_unstable();
    volumes.dedup();
    volumes
        .into_iter()
        .map(|volume| {
            let id = format!("snap-{run}-{}", volume.trim_start_matches("vol-"));
            let mut made = snapshot(&id, volume, &format!("daily/2026-11-22/{run}"), days_ago(days))
                .labelled("filesystem")
                .tagged("stillframe:instance.role", "db")
                .tagged("stillframe", "daily");
            made.tags.extend(layout::encode(&manifest));
            made
        })
        .collect()
}

pub(super) const PG: (&str, &str, &str, &str) = ("vol-1", "/dev/sdf", "ext4", "/srv/pg");
pub(super) const LOG: (&str, &str, &str, &str) = ("vol-2", "/dev/sdg", "xfs", "/srv/pg/log");

impl Scene {
    pub(super) fn with(mut self, snapshots: impl IntoIterator<Item = Snapshot>) -> Self {
        self.snapshots.extend(snapshots);
        self
    }

    pub(super) fn with_attached(mut self, device: &str, volume: &str) -> Self {
        self.host.attached.insert(device.to_owned(), volume.into());
        self
    }

    /// What `CreateVolume` would have made.
    pub(super) fn with_made(mut self, id: &str, call: &VolumeCall) -> Self {
        self.made.push(made(id, call));
        self
    }

    /// Attached to the host.
    pub(super) fn attaching(mut self, id: &str, device: &str) -> Self {
        self.host.attached.insert(device.to_owned(), id.into());
        let made = self.made.iter_mut().find(|made| made.volume.id.as_str() == id).unwrap();
        made.volume.state = VolumeState::InUse;
        made.volume.attachment = Some(Attachment {
            instance: HOST.into(),
            device: device.to_owned(),
            state: AttachmentState::Attached,
            since: None,
        });
        self
    }

    pub(super) fn marking(mut self, id: &str) -> Self {
        let made = self.made.iter_mut().find(|made| made.volume.id.as_str() == id).unwrap();
        made.volume.tags.insert(super::RESTORED_USED.to_owned(), "now".to_owned());
        self
    }
}

pub(super) fn made(id: &str, call: &VolumeCall) -> MadeVolume {
    MadeVolume {
        volume: Volume {
            id: id.into(),
            size_gib: call.size_gib,
            kind: call.kind.to_string(),
            tags: call.tags.clone(),
            attachment: None,
            created_at: days_ago(0),
            state: VolumeState::Available,
            multi_attach: false,
        },
        zone: call.zone.clone(),
        snapshot: call.snapshot.clone(),
    }
}

pub(super) fn planned(spec: &Spec, scene: &Scene) -> RestorePlan {
    restore(spec, scene).unwrap_or_else(|refused| panic!("{refused}: {refused:?}"))
}

pub(super) fn calls(plan: &RestorePlan) -> Vec<&VolumeCall> {
    plan.volumes
        .iter()
        .filter_map(|volume| match &volume.way {
            RestoreWay::Create(call) => Some(call),
            _ => None,
        })
        .collect()
}

pub(super) fn label(snapshots: Vec<Snapshot>, label: &str) -> Vec<Snapshot> {
    snapshots.into_iter().map(|snapshot| snapshot.labelled(label)).collect()
}

pub(super) fn without_mounts(mut snapshots: Vec<Snapshot>, volumes: &[&str]) -> Vec<Snapshot> {
    for snapshot in &mut snapshots {
        for key in ["stillframe:layout.0", "stillframe:layout.1"] {
            snapshot.tags.remove(key);
        }
    }
    snapshots.into_iter().map(|snapshot| snapshot.naming(volumes)).collect()
}

/// Two mount points of role `db`.
pub(super) fn database() -> Spec {
    spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/pg"}, {"mount_point": "/srv/pg/log"}]}))
}

pub(super) fn refusal(spec: &Spec, scene: &Scene) -> Refusal {
    restore(spec, scene).map(|plan| panic!("{plan}")).map_err(|refused| refused.refusal).unwrap_err()
}

/// The last word of the one set's run.
pub(super) fn run_of(plan: &RestorePlan) -> &str {
    let [set] = plan.sets.as_slice() else { panic!("{plan}") };
    set.run.as_str().rsplit('/').next().unwrap()
}
