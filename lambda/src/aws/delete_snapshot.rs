//! `DeleteSnapshot`. Deleting what is gone is success, so it may be repeated; its caller does so, who paces
//! deletions and has to hear of each that was throttled.

use super::{Account, CallError};
use aws_sdk_ec2::config::{Builder, retry::RetryConfig};
use stillframe_plan::SnapshotId;

/// How a deletion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deleted {
    /// EC2 took the call.
    Accepted,
    /// There was no such snapshot any more.
    WasGone,
    /// EC2 will not: used by an image, locked, managed by AWS Backup.
    Kept {
        /// EC2's code, `InvalidSnapshot.InUse`.
        code: String,
        /// EC2's sentence.
        message: String,
    },
}

/// The verb.
#[derive(Debug, Clone)]
pub struct DeleteSnapshot {
    client: aws_sdk_ec2::Client,
}

impl DeleteSnapshot {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Deletes one snapshot; asks once.
    ///
    /// # Errors
    /// Throttled, or an unknown outcome: the call may be made again.
    pub async fn call(&self, snapshot: &SnapshotId) -> Result<Deleted, CallError> {
        let asked = self.client.delete_snapshot().snapshot_id(snapshot.as_str()).customize();
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let answer = asked.config_override(once).send().await;
        match answer.map_err(|error| CallError::from_sdk("DeleteSnapshot", &error)) {
            Ok(_) => Ok(Deleted::Accepted),
            Err(CallError::Refused { code, .. }) if code == "InvalidSnapshot.NotFound" => {
                Ok(Deleted::WasGone)
            }
            Err(CallError::Refused { code, message, .. }) => Ok(Deleted::Kept { code, message }),
            Err(error) => Err(error),
        }
    }
}
