//! `DeleteVolume`. Deleting what is gone is success, so the SDK may repeat it.

use super::{Account, CallError, Deleted};
use stillframe_plan::VolumeId;

/// The verb.
#[derive(Debug, Clone)]
pub struct DeleteVolume {
    client: aws_sdk_ec2::Client,
}

impl DeleteVolume {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Deletes one volume. EC2 keeps what is attached, and what is not made yet.
    ///
    /// # Errors
    /// Throttled to the end of all attempts, or an unknown outcome: a later look will tell.
    pub async fn call(&self, volume: &VolumeId) -> Result<Deleted, CallError> {
        let answer = self.client.delete_volume().volume_id(volume.as_str()).send().await;
        match answer.map_err(|error| CallError::from_sdk("DeleteVolume", &error)) {
            Ok(_) => Ok(Deleted::Accepted),
            Err(CallError::Refused { code, .. }) if code == "InvalidVolume.NotFound" => Ok(Deleted::WasGone),
            Err(CallError::Refused { code, message, .. }) => Ok(Deleted::Kept { code, message }),
            Err(error) => Err(error),
        }
    }
}
