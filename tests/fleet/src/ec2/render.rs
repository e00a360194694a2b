//! Records as EC2's XML.

use super::inventory::{Attachment, Instance, Inventory, Snapshot, Volume, gib};
use super::xml::{Element, node, set, tag_set, text};
use crate::clock::iso;
use crate::spec::Agent;
use chrono::{DateTime, Utc};

/// The state of an attachment.
pub fn attachment(volume: &str, attachment: &Attachment, status: &str) -> Vec<Element> {
    vec![
        text("volumeId", volume),
        text("instanceId", &attachment.instance),
        text("device", &attachment.device),
        text("status", status),
        text("attachTime", iso(attachment.since)),
        text("deleteOnTermination", attachment.delete_on_termination),
    ]
}

/// One volume.
pub fn volume(inventory: &Inventory, volume: &Volume) -> Vec<Element> {
    let attachments = volume.attachment.iter().map(|a| attachment(&volume.id, a, "attached"));
    vec![
        text("volumeId", &volume.id),
        text("size", gib(volume.size_mib)),
        text("snapshotId", volume.from.as_deref().unwrap_or_default()),
        text("availabilityZone", &inventory.zone),
        text("status", volume.status()),
        text("createTime", iso(volume.created_at)),
        set("attachmentSet", attachments),
        tag_set(&volume.tags),
        text("volumeType", &volume.volume_type),
        text("encrypted", false),
        text("multiAttachEnabled", false),
    ]
}

/// One snapshot; `state_field` is `status` or `state`, which differ by operation.
pub fn snapshot(
    inventory: &Inventory,
    snapshot: &Snapshot,
    state_field: &'static str,
    now: DateTime<Utc>,
) -> Vec<Element> {
    vec![
        text("snapshotId", &snapshot.id),
        text("volumeId", &snapshot.volume),
        text(state_field, snapshot.state(now).name()),
        text("startTime", iso(snapshot.started_at)),
        text("progress", snapshot.progress(now)),
        text("ownerId", &inventory.account),
        text("volumeSize", gib(snapshot.size_mib)),
        text("description", &snapshot.description),
        text("encrypted", snapshot.key.is_some()),
        text("kmsKeyId", snapshot.key.as_deref().unwrap_or_default()),
        text("storageTier", inventory.tier(&snapshot.id)),
        tag_set(&snapshot.tags),
    ]
}

/// An instance's state.
pub fn state(name: &'static str, (code, state): (u16, &str)) -> Element {
    node(name, vec![text("code", code), text("name", state)])
}

/// One instance, in the reservation that EC2 wraps around it.
pub fn reservation(inventory: &Inventory, instance: &Instance) -> Vec<Element> {
    let mappings = inventory.attached(&instance.id).map(|(volume, attachment)| {
        let ebs = vec![
            text("volumeId", &volume.id),
            text("status", "attached"),
            text("attachTime", iso(attachment.since)),
            text("deleteOnTermination", attachment.delete_on_termination),
        ];
        vec![text("deviceName", &attachment.device), node("ebs", ebs)]
    });
    let mut fields = vec![
        text("instanceId", &instance.id),
        text("imageId", "ami-0123456789abcdef0"),
        state("instanceState", instance.state.code_and_name()),
        text("reason", &instance.transition_reason),
        text("instanceType", "m7i.large"),
        text("launchTime", iso(instance.launched_at)),
        node("placement", vec![text("availabilityZone", &inventory.zone), text("tenancy", "default")]),
        node("monitoring", vec![text("state", "disabled")]),
        text("privateIpAddress", &instance.address),
        text("architecture", "x86_64"),
        text("rootDeviceType", "ebs"),
        text("rootDeviceName", &instance.root_device),
        set("blockDeviceMapping", mappings),
        text("virtualizationType", "hvm"),
        tag_set(&instance.tags),
        node("hibernationOptions", vec![text("configured", false)]),
    ];
    if !instance.transition_reason.is_empty() {
        let reason = "Client.UserInitiatedShutdown";
        let message = format!("{reason}: User initiated shutdown");
        fields.push(node("stateReason", vec![text("code", reason), text("message", message)]));
    }
    if instance.agent != Agent::None {
        let arn = format!("arn:aws:iam::{}:instance-profile/stillframe", inventory.account);
        fields.push(node("iamInstanceProfile", vec![text("arn", arn)]));
    }
    vec![
        text("reservationId", instance.id.replacen("i-", "r-", 1)),
        text("ownerId", &inventory.account),
        node("groupSet", vec![]),
        set("instancesSet", [fields]),
    ]
}
