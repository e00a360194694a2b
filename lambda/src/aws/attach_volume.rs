//! `AttachVolume`. It has no token, and needs none: a volume is attached once. Whether a volume that is in
//! use is so where it should be is for a look to tell.

use super::{Account, CallError};
use stillframe_plan::{InstanceId, VolumeId};

/// How an attachment began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attaching {
    /// EC2 took the call.
    Accepted,
    /// The volume is in use already: here, by an earlier call, or elsewhere.
    InUse,
}

/// The verb.
#[derive(Debug, Clone)]
pub struct AttachVolume {
    client: aws_sdk_ec2::Client,
}

impl AttachVolume {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Attaches a volume under a name; it is done later.
    ///
    /// # Errors
    /// It is not attached, or nobody knows.
    pub async fn call(
        &self,
        volume: &VolumeId,
        instance: &InstanceId,
        device: &str,
    ) -> Result<Attaching, CallError> {
        let call = self
            .client
            .attach_volume()
            .volume_id(volume.as_str())
            .instance_id(instance.as_str())
            .device(device);
        match call.send().await.map_err(|error| CallError::from_sdk("AttachVolume", &error)) {
            Ok(_) => Ok(Attaching::Accepted),
            Err(CallError::Refused { code, .. }) if code == "VolumeInUse" => Ok(Attaching::InUse),
            Err(error) => Err(error),
        }
    }
}
