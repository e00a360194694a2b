//! What filters of describing calls see of a record.

use super::filter::Describable;
use super::inventory::{Attachment, Instance, Inventory, Snapshot, Tags, Volume, gib};
use crate::clock::iso;
use chrono::{DateTime, Utc};

/// A record with what it takes from the region it is in, as filters see it.
#[derive(Debug)]
pub struct Seen<'a, T> {
    /// The record.
    pub record: &'a T,
    /// The region.
    pub inventory: &'a Inventory,
    /// The time.
    pub now: DateTime<Utc>,
}

/// Filters of `DescribeVolumes`.
pub const VOLUME_FILTERS: &[&str] = &[
    "attachment.attach-time",
    "attachment.delete-on-termination",
    "attachment.device",
    "attachment.instance-id",
    "attachment.status",
    "availability-zone",
    "availability-zone-id",
    "create-time",
    "encrypted",
    "fast-restored",
    "multi-attach-enabled",
    "operator.managed",
    "size",
    "snapshot-id",
    "status",
    "volume-id",
    "volume-type",
];

impl Describable for Seen<'_, Volume> {
    fn id(&self) -> &str {
        &self.record.id
    }

    fn tags(&self) -> &Tags {
        &self.record.tags
    }

    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let volume = self.record;
        let attachment = |value: fn(&Attachment) -> String| volume.attachment.iter().map(value).collect();
        Some(match filter {
            "attachment.attach-time" => attachment(|a| iso(a.since)),
            "attachment.delete-on-termination" => attachment(|a| a.root.to_string()),
            "attachment.device" => attachment(|a| a.device.clone()),
            "attachment.instance-id" => attachment(|a| a.instance.clone()),
            "attachment.status" => attachment(|_| "attached".to_owned()),
            "availability-zone" => vec![self.inventory.zone.clone()],
            "availability-zone-id" => vec![zone_id(&self.inventory.zone)],
            "create-time" => vec![iso(volume.created_at)],
            "encrypted" | "fast-restored" | "multi-attach-enabled" | "operator.managed" => {
                vec!["false".to_owned()]
            }
            "size" => vec![gib(volume.size_mib).to_string()],
            "snapshot-id" => volume.from.iter().cloned().collect(),
            "status" => vec![volume.status().to_owned()],
            "volume-id" => vec![volume.id.clone()],
            "volume-type" => vec![volume.volume_type.clone()],
            _ => return None,
        })
    }
}

/// Filters of `DescribeSnapshots`.
pub const SNAPSHOT_FILTERS: &[&str] = &[
    "description",
    "encrypted",
    "owner-alias",
    "owner-id",
    "progress",
    "snapshot-id",
    "start-time",
    "status",
    "storage-tier",
    "transfer-type",
    "volume-id",
    "volume-size",
];

impl Describable for Seen<'_, Snapshot> {
    fn id(&self) -> &str {
        &self.record.id
    }

    fn tags(&self) -> &Tags {
        &self.record.tags
    }

    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let snapshot = self.record;
        Some(match filter {
            "description" => vec![snapshot.description.clone()],
            "encrypted" => vec!["false".to_owned()],
            "owner-alias" | "transfer-type" => vec![],
            "owner-id" => vec![self.inventory.account.clone()],
            "progress" => vec![snapshot.progress(self.now).to_owned()],
            "snapshot-id" => vec![snapshot.id.clone()],
            "start-time" => vec![iso(snapshot.started_at)],
            "status" => vec![snapshot.state(self.now).name().to_owned()],
            "storage-tier" => vec![self.inventory.tier(&snapshot.id).to_owned()],
            "volume-id" => vec![snapshot.volume.clone()],
            "volume-size" => vec![gib(snapshot.size_mib).to_string()],
            _ => return None,
        })
    }
}

/// Filters of `DescribeInstances`.
pub const INSTANCE_FILTERS: &[&str] = &[
    "availability-zone",
    "block-device-mapping.attach-time",
    "block-device-mapping.delete-on-termination",
    "block-device-mapping.device-name",
    "block-device-mapping.status",
    "block-device-mapping.volume-id",
    "instance-id",
    "instance-state-code",
    "instance-state-name",
    "launch-time",
    "owner-id",
    "private-ip-address",
    "root-device-name",
    "root-device-type",
];

impl Describable for Seen<'_, Instance> {
    fn id(&self) -> &str {
        &self.record.id
    }

    fn tags(&self) -> &Tags {
        &self.record.tags
    }

    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let instance = self.record;
        let (code, name) = instance.state.code_and_name();
        let mapped = |value: fn(&Volume, &Attachment) -> String| {
            self.inventory.attached(&instance.id).map(|(v, a)| value(v, a)).collect()
        };
        Some(match filter {
            "availability-zone" => vec![self.inventory.zone.clone()],
            "block-device-mapping.attach-time" => mapped(|_, a| iso(a.since)),
            "block-device-mapping.delete-on-termination" => mapped(|_, a| a.root.to_string()),
            "block-device-mapping.device-name" => mapped(|_, a| a.device.clone()),
            "block-device-mapping.status" => mapped(|_, _| "attached".to_owned()),
            "block-device-mapping.volume-id" => mapped(|v, _| v.id.clone()),
            "instance-id" => vec![instance.id.clone()],
            "instance-state-code" => vec![code.to_string()],
            "instance-state-name" => vec![name.to_owned()],
            "launch-time" => vec![iso(instance.launched_at)],
            "owner-id" => vec![self.inventory.account.clone()],
            "private-ip-address" => vec![instance.address.clone()],
            "root-device-name" => vec![instance.root_device.clone()],
            "root-device-type" => vec!["ebs".to_owned()],
            _ => return None,
        })
    }
}

fn zone_id(zone: &str) -> String {
    format!("{}-az1", zone.trim_end_matches(char::is_alphabetic))
}
