//! The account: instances with volumes, and a history of daily restore points of all of them.

use super::Options;
use crate::clock::iso;
use crate::ec2::inventory::{Snapshot, SnapshotState, Tags};
use crate::random;
use crate::region::Region;
use crate::spec::{InstanceSpec, Spec, VolumeSpec};
use crate::sync::lock;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use stillframe_plan::{layout, tags};

const POLICY: &str = "daily";

/// The account.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// Its instances.
    pub instances: usize,
    /// The volumes of each.
    pub volumes_per_instance: usize,
    /// Daily sets that there are of each instance.
    pub sets: usize,
}

/// What there is of today's slot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Found {
    /// Volumes without a snapshot.
    pub without: usize,
    /// Snapshots beyond the first of a volume.
    pub duplicates: usize,
    /// Snapshots that are labelled as the policy asks.
    pub as_asked: usize,
    /// Snapshots that are less.
    pub crash: usize,
}

impl Account {
    /// As the options say.
    pub fn of(options: &Options) -> Self {
        let volumes = options.instances * options.volumes_per_instance;
        let snapshots = options.snapshots.unwrap_or(volumes * 10);
        Self {
            instances: options.instances,
            volumes_per_instance: options.volumes_per_instance,
            sets: snapshots / volumes.max(1),
        }
    }

    /// How many volumes it has.
    pub fn volumes(&self) -> usize {
        self.instances * self.volumes_per_instance
    }

    /// The id of a volume.
    pub fn volume(instance: usize, volume: usize) -> String {
        format!("vol-{instance:015x}{volume:02x}")
    }

    fn instance(instance: usize) -> String {
        format!("i-{instance:017x}")
    }

    /// The policy. Nothing is old enough to be deleted: deletions have a bucket of their own, and take four
    /// calls where a set takes one.
    pub fn policy(&self) -> Value {
        json!({
            "policy": POLICY, "every": "day", "select": {"tag:stillframe": POLICY},
            "consistency": "filesystem", "on_failure": "crash", "keep": {"last": self.sets + 2}
        })
    }

    /// A region of it, without its history.
    pub fn spec(&self) -> Spec {
        let instances = (0..self.instances).map(|number| {
            let volumes = (0..self.volumes_per_instance).map(|volume| volume_spec(number, volume));
            InstanceSpec {
                id: Self::instance(number),
                tags: BTreeMap::from([("role".to_owned(), format!("role-{}", number % 50))]),
                agent: Default::default(),
                state: Default::default(),
                user_data: String::new(),
                volumes: volumes.collect(),
            }
        });
        Spec { disks: false, copies: false, instances: instances.collect(), ..Spec::default() }
    }

    /// Writes the history into a region: each set a day before the next, all complete.
    pub fn fill(&self, region: &Region) {
        self.fill_until(region, 1);
    }

    /// The same, the newest set so many days old; 0 is today's.
    pub fn fill_until(&self, region: &Region, newest: usize) {
        let now = region.clock.now();
        let mut inventory = lock(&region.inventory);
        for volume in inventory.volumes.values_mut() {
            volume.created_at = now - TimeDelta::days(400);
            if let Some(attachment) = &mut volume.attachment {
                attachment.since = volume.created_at;
            }
        }
        for number in 0..self.instances {
            let records: Vec<_> =
                (0..self.volumes_per_instance).map(|volume| record(number, volume)).collect();
            let manifest = layout::encode(&records);
            for set in newest..newest + self.sets {
                let days = TimeDelta::days(i64::try_from(set).unwrap_or(0));
                let at = if set == 0 { now - TimeDelta::minutes(1) } else { now - days };
                let tags = set_tags(number, at, &manifest);
                for volume in 0..self.volumes_per_instance {
                    inventory.add_snapshot(snapshot(number, volume, at, tags.clone()));
                }
            }
        }
    }

    /// What there is of today's slot.
    pub fn judge(&self, region: &Region) -> Found {
        let (now, inventory) = (region.clock.now(), lock(&region.inventory));
        let today = now.format("%Y-%m-%d").to_string();
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let mut found = Found::default();
        let of_today = |one: &&Snapshot| {
            let tag = |key: &str| one.tags.get(key).map(String::as_str);
            let (slot, policy) = (tag(tags::SLOT), tag(tags::POLICY));
            (slot, policy) == (Some(&today), Some(POLICY)) && one.state(now) != SnapshotState::Error
        };
        for snapshot in inventory.visible_snapshots().filter(of_today) {
            *counts.entry(&snapshot.volume).or_default() += 1;
            match snapshot.tags.get(tags::CONSISTENCY).map(String::as_str) {
                Some("filesystem") => found.as_asked += 1,
                _ => found.crash += 1,
            }
        }
        found.without = self.volumes() - counts.len();
        found.duplicates = counts.values().map(|count| count - 1).sum();
        found
    }
}

fn mount(volume: usize) -> String {
    format!("/srv/data-{volume}")
}

fn device(volume: usize) -> String {
    let letter = char::from(b'f' + u8::try_from(volume % 20).unwrap_or(0));
    format!("/dev/sd{letter}")
}

fn volume_spec(instance: usize, volume: usize) -> VolumeSpec {
    VolumeSpec {
        mount: Some(mount(volume)),
        tags: BTreeMap::from([("stillframe".to_owned(), POLICY.to_owned())]),
        ..VolumeSpec::new(Account::volume(instance, volume), device(volume))
    }
}

fn record(instance: usize, volume: usize) -> layout::Record {
    layout::Record {
        volume: Account::volume(instance, volume).into(),
        device: device(volume),
        fs_type: "ext4".to_owned(),
        mount_point: mount(volume),
    }
}

fn set_tags(instance: usize, at: DateTime<Utc>, manifest: &BTreeMap<String, String>) -> Tags {
    let slot = at.format("%Y-%m-%d").to_string();
    let own = [
        ("stillframe", POLICY.to_owned()),
        (tags::POLICY, POLICY.to_owned()),
        (tags::RUN, format!("{POLICY}/{slot}/aaaaaa")),
        (tags::SLOT, slot),
        (tags::INSTANCE, Account::instance(instance)),
        (tags::CONSISTENCY, "filesystem".to_owned()),
    ];
    let mut tags: Tags = own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    tags.extend(manifest.iter().map(|(key, value)| (key.clone(), value.clone())));
    tags
}

fn snapshot(instance: usize, volume: usize, at: DateTime<Utc>, tags: Tags) -> Snapshot {
    Snapshot {
        id: random::id("snap"),
        tags,
        volume: Account::volume(instance, volume),
        size_mib: 102_400,
        started_at: at,
        completes_at: at,
        key: None,
        description: format!("daily, {}", iso(at)),
        made_by: String::new(),
        announced: true,
        forced: None,
        deleted: false,
    }
}
