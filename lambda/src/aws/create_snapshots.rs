//! `CreateSnapshots`: one instant for all volumes of one instance. Sent once, whatever happens to it.

use super::{Account, CallError, within};
use aws_sdk_ec2::{
    config::Builder,
    config::retry::RetryConfig,
    types::{CopyTagsFromSource, InstanceSpecification, ResourceType, SnapshotState, Tag, TagSpecification},
};
use std::{collections::BTreeMap, time::Duration};
use stillframe_plan::{InstanceId, SnapshotId, VolumeId};

const OPERATION: &str = "CreateSnapshots";

/// One set to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRequest {
    /// The instance whose volumes are cut.
    pub instance: InstanceId,
    /// Whether the boot volume stays out.
    pub exclude_boot: bool,
    /// Data volumes that stay out, at most 40.
    pub exclude_volumes: Vec<VolumeId>,
    /// Tags of every snapshot of the set.
    pub tags: BTreeMap<String, String>,
    /// Whether each volume's own tags are copied to its snapshot.
    pub copy_volume_tags: bool,
    /// The snapshots' description.
    pub description: String,
}

/// A snapshot that a call has just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeSnapshot {
    /// The volume.
    pub volume: VolumeId,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// Whether EC2 already calls it failed.
    pub failed: bool,
}

/// The verb.
#[derive(Debug, Clone)]
pub struct CreateSnapshots {
    client: aws_sdk_ec2::Client,
}

impl CreateSnapshots {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Makes the set, with one attempt that ends within `limit`.
    ///
    /// # Errors
    /// [`CallError::Unknown`] means that the set may exist.
    pub async fn call(&self, request: &SetRequest, limit: Duration) -> Result<Vec<MadeSnapshot>, CallError> {
        let excluded: Vec<String> = request.exclude_volumes.iter().map(ToString::to_string).collect();
        let instance = InstanceSpecification::builder()
            .instance_id(request.instance.as_str())
            .exclude_boot_volume(request.exclude_boot)
            .set_exclude_data_volume_ids((!excluded.is_empty()).then_some(excluded))
            .build();
        let made = self
            .client
            .create_snapshots()
            .instance_specification(instance)
            .tag_specifications(on_snapshots(&request.tags))
            .set_copy_tags_from_source(request.copy_volume_tags.then_some(CopyTagsFromSource::Volume))
            .description(&request.description)
            .customize()
            .config_override(
                Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(limit)),
            )
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        let missing = |name| CallError::unreadable(OPERATION, name);
        made.snapshots()
            .iter()
            .map(|info| {
                Ok(MadeSnapshot {
                    volume: info.volume_id().map(VolumeId::from).ok_or_else(|| missing("VolumeId"))?,
                    snapshot: info
                        .snapshot_id()
                        .map(SnapshotId::from)
                        .ok_or_else(|| missing("SnapshotId"))?,
                    failed: info.state() == Some(&SnapshotState::Error),
                })
            })
            .collect()
    }
}

/// Tags given in the creating call itself, so that no snapshot is ever seen untagged.
pub(super) fn on_snapshots(tags: &BTreeMap<String, String>) -> TagSpecification {
    TagSpecification::builder()
        .resource_type(ResourceType::Snapshot)
        .set_tags(Some(
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect(),
        ))
        .build()
}
