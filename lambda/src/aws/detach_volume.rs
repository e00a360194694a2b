//! `DetachVolume`, never by force: what is still mounted stays.

use super::{Account, CallError};
use stillframe_plan::{InstanceId, VolumeId};

/// The verb.
#[derive(Debug, Clone)]
pub struct DetachVolume {
    client: aws_sdk_ec2::Client,
}

impl DetachVolume {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Detaches a volume; it is done later. One that is attached nowhere, or gone, is success.
    ///
    /// # Errors
    /// It stays, or nobody knows.
    pub async fn call(&self, volume: &VolumeId, instance: &InstanceId) -> Result<(), CallError> {
        let call = self.client.detach_volume().volume_id(volume.as_str()).instance_id(instance.as_str());
        match call.send().await.map_err(|error| CallError::from_sdk("DetachVolume", &error)) {
            Ok(_) => Ok(()),
            Err(CallError::Refused { code, .. })
                if ["IncorrectState", "InvalidAttachment.NotFound", "InvalidVolume.NotFound"]
                    .contains(&code.as_str()) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
