//! `CopySnapshot`: asked for in the region of the copy, of a snapshot elsewhere. Sent once, whatever happens
//! to it: EC2 has no token against making a copy twice.

use super::{Account, CallError, create_snapshots::on_snapshots, presigned, within};
use aws_config::SdkConfig;
use aws_sdk_ec2::{config::Builder, config::retry::RetryConfig};
use std::time::Duration;
use stillframe_plan::{CopyMember, SnapshotId};

const OPERATION: &str = "CopySnapshot";

/// The verb, from one region into another.
#[derive(Debug, Clone)]
pub struct CopySnapshot {
    client: aws_sdk_ec2::Client,
    config: SdkConfig,
    from: String,
    to: String,
}

impl CopySnapshot {
    /// The verb for copies from the region `from` into that of `account`, which is `to`.
    #[must_use]
    pub fn new(account: &Account, from: &str, to: &str) -> Self {
        Self {
            client: account.ec2.clone(),
            config: account.config.clone(),
            from: from.to_owned(),
            to: to.to_owned(),
        }
    }

    /// Begins one copy, with one attempt that ends within `limit`. Without a key the copy of a snapshot
    /// that is not encrypted stays so, unless the region encrypts everything.
    ///
    /// # Errors
    /// [`CallError::Unknown`] means that the copy may exist.
    pub async fn call(
        &self,
        copy: &CopyMember,
        kms_key: Option<&str>,
        limit: Duration,
    ) -> Result<SnapshotId, CallError> {
        let url = presigned::copy_url(&self.config, &self.from, &self.to, &copy.snapshot).await?;
        let made = self
            .client
            .copy_snapshot()
            .source_region(&self.from)
            .source_snapshot_id(copy.snapshot.as_str())
            .destination_region(&self.to)
            .presigned_url(url)
            .description(&copy.description)
            .tag_specifications(on_snapshots(&copy.tags))
            .set_encrypted(kms_key.map(|_| true))
            .set_kms_key_id(kms_key.map(str::to_owned))
            .customize()
            .config_override(
                Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(limit)),
            )
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        made.snapshot_id().map(SnapshotId::from).ok_or_else(|| CallError::unreadable(OPERATION, "SnapshotId"))
    }
}
