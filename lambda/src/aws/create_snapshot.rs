//! `CreateSnapshot`: one volume on its own, for detached volumes. Sent once, whatever happens to it.

use super::{Account, CallError, MadeSnapshot, create_snapshots::on_snapshots, within};
use aws_sdk_ec2::{config::Builder, config::retry::RetryConfig, types::SnapshotState};
use std::{collections::BTreeMap, time::Duration};
use stillframe_plan::{SnapshotId, VolumeId};

const OPERATION: &str = "CreateSnapshot";

/// The verb.
#[derive(Debug, Clone)]
pub struct CreateSnapshot {
    client: aws_sdk_ec2::Client,
}

impl CreateSnapshot {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Makes one snapshot, with one attempt that ends within `limit`. The volume's own tags are among
    /// `tags`: this call has no way to copy them.
    ///
    /// # Errors
    /// [`CallError::Unknown`] means that the snapshot may exist.
    pub async fn call(
        &self,
        volume: &VolumeId,
        tags: &BTreeMap<String, String>,
        description: &str,
        limit: Duration,
    ) -> Result<MadeSnapshot, CallError> {
        let made = self
            .client
            .create_snapshot()
            .volume_id(volume.as_str())
            .tag_specifications(on_snapshots(tags))
            .description(description)
            .customize()
            .config_override(
                Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(limit)),
            )
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        let snapshot = made
            .snapshot_id()
            .map(SnapshotId::from)
            .ok_or_else(|| CallError::unreadable(OPERATION, "SnapshotId"))?;
        Ok(MadeSnapshot {
            volume: volume.clone(),
            snapshot,
            failed: made.state() == Some(&SnapshotState::Error),
        })
    }
}
