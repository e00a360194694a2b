//! `ModifyInstanceAttribute`: whether volumes go with their instance. Sets what is set already, so the SDK
//! may repeat it.

use super::{Account, CallError};
use aws_sdk_ec2::types::{EbsInstanceBlockDeviceSpecification, InstanceBlockDeviceMappingSpecification};
use stillframe_plan::{InstanceId, VolumeId};

/// The verb.
#[derive(Debug, Clone)]
pub struct ModifyInstanceAttribute {
    client: aws_sdk_ec2::Client,
}

/// What becomes of one attached volume when its instance is terminated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtTermination {
    /// Under which name it is attached.
    pub device: String,
    /// The volume.
    pub volume: VolumeId,
    /// Whether it is deleted.
    pub delete: bool,
}

impl ModifyInstanceAttribute {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Sets it for attached volumes of one instance.
    ///
    /// # Errors
    /// It may not be set.
    pub async fn at_termination(
        &self,
        instance: &InstanceId,
        volumes: &[AtTermination],
    ) -> Result<(), CallError> {
        let mapping = |of: &AtTermination| {
            let ebs = EbsInstanceBlockDeviceSpecification::builder()
                .volume_id(of.volume.as_str())
                .delete_on_termination(of.delete)
                .build();
            InstanceBlockDeviceMappingSpecification::builder().device_name(&of.device).ebs(ebs).build()
        };
        self.client
            .modify_instance_attribute()
            .instance_id(instance.as_str())
            .set_block_device_mappings(Some(volumes.iter().map(mapping).collect()))
            .send()
            .await
            .map(|_| ())
            .map_err(|error| CallError::from_sdk("ModifyInstanceAttribute", &error))
    }
}
