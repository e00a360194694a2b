//! The SDK's records in the plan's words. A record without what makes it identifiable is left out; a
//! state that EC2 may invent later is read as the one that permits least.

use aws_sdk_ec2::types as ec2;
use aws_sdk_ssm::types::{InstanceInformation, PingStatus};
use chrono::{DateTime, Utc};
use stillframe_plan::{
    Agent, Attachment, AttachmentState, Instance, InstanceId, InstanceState, LastStop, Snapshot, SnapshotId,
    SnapshotState, Tags, Tier, Volume, VolumeId, VolumeState, Words,
};

pub(super) fn time(sdk: &aws_sdk_ec2::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(sdk.secs(), sdk.subsec_nanos())
}

fn tags(sdk: &[ec2::Tag]) -> Tags {
    sdk.iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned())))
        .collect()
}

pub(super) fn volume(sdk: &ec2::Volume) -> Option<Volume> {
    Some(Volume {
        id: VolumeId::from(sdk.volume_id()?),
        size_gib: gib(sdk.size()),
        kind: sdk.volume_type().map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        tags: tags(sdk.tags()),
        attachment: sdk.attachments().iter().find_map(attachment),
        created_at: sdk.create_time().and_then(time)?,
        state: match sdk.state()? {
            ec2::VolumeState::Creating => VolumeState::Creating,
            ec2::VolumeState::Available => VolumeState::Available,
            ec2::VolumeState::InUse => VolumeState::InUse,
            ec2::VolumeState::Deleting => VolumeState::Deleting,
            ec2::VolumeState::Deleted => VolumeState::Deleted,
            _ => VolumeState::Error,
        },
        multi_attach: sdk.multi_attach_enabled().unwrap_or(false),
    })
}

fn attachment(sdk: &ec2::VolumeAttachment) -> Option<Attachment> {
    Some(Attachment {
        instance: InstanceId::from(sdk.instance_id()?),
        device: sdk.device().unwrap_or_default().to_owned(),
        state: match sdk.state()? {
            ec2::VolumeAttachmentState::Attaching => AttachmentState::Attaching,
            ec2::VolumeAttachmentState::Attached => AttachmentState::Attached,
            ec2::VolumeAttachmentState::Detaching => AttachmentState::Detaching,
            ec2::VolumeAttachmentState::Detached => AttachmentState::Detached,
            _ => AttachmentState::Busy,
        },
        since: sdk.attach_time().and_then(time),
    })
}

pub(super) fn instance(sdk: &ec2::Instance) -> Option<Instance> {
    let state = match sdk.state()?.name()? {
        ec2::InstanceStateName::Running => InstanceState::Running,
        ec2::InstanceStateName::Stopping => InstanceState::Stopping,
        ec2::InstanceStateName::Stopped => InstanceState::Stopped,
        ec2::InstanceStateName::ShuttingDown => InstanceState::ShuttingDown,
        ec2::InstanceStateName::Terminated => InstanceState::Terminated,
        _ => InstanceState::Pending,
    };
    // Whether a stop that somebody asked for was forced is not to be seen here: `StopHistory` knows.
    let last_stop = match sdk.state_reason().and_then(|reason| reason.code()) {
        Some("Client.InstanceInitiatedShutdown") if state == InstanceState::Stopped => LastStop::ByItsSystem,
        _ => LastStop::Unknown,
    };
    Some(Instance {
        id: InstanceId::from(sdk.instance_id()?),
        state,
        launched_at: sdk.launch_time().and_then(time)?,
        last_stop,
        tags: tags(sdk.tags()),
        root_device: sdk.root_device_name().map(str::to_owned),
        hibernation_configured: sdk
            .hibernation_options()
            .and_then(|options| options.configured())
            .unwrap_or(false),
    })
}

/// `words`: those of the snapshots seen before, so that a million of them fit into memory.
pub(super) fn snapshot(sdk: &ec2::Snapshot, words: &mut Words) -> Option<Snapshot> {
    let tags = sdk.tags().iter().filter_map(|tag| Some((tag.key()?, tag.value().unwrap_or_default())));
    Some(Snapshot {
        id: SnapshotId::from(sdk.snapshot_id()?),
        volume: VolumeId::from(sdk.volume_id()?),
        state: match sdk.state()? {
            ec2::SnapshotState::Completed => SnapshotState::Completed,
            ec2::SnapshotState::Error => SnapshotState::Error,
            ec2::SnapshotState::Recoverable => SnapshotState::Recoverable,
            ec2::SnapshotState::Recovering => SnapshotState::Recovering,
            _ => SnapshotState::Pending,
        },
        started_at: sdk.start_time().and_then(time)?,
        tags: words.tags(tags),
        size_gib: gib(sdk.volume_size()),
        tier: match sdk.storage_tier() {
            Some(ec2::StorageTier::Archive) => Tier::Archive,
            _ => Tier::Standard,
        },
        description: words.text(sdk.description().unwrap_or_default()),
    })
}

pub(super) fn agent(sdk: &InstanceInformation) -> Option<(InstanceId, Agent)> {
    let agent = match sdk.ping_status()? {
        PingStatus::Online => Agent::Online,
        _ => Agent::Offline,
    };
    Some((InstanceId::from(sdk.instance_id()?), agent))
}

fn gib(sdk: Option<i32>) -> u64 {
    sdk.and_then(|size| u64::try_from(size).ok()).unwrap_or(0)
}
