//! `CreateVolume`. The client token makes a repeat harmless: EC2 answers with the volume that it made.

use super::{Account, CallError};
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeType};
use stillframe_plan::{VolumeCall, VolumeId};

const OPERATION: &str = "CreateVolume";

/// The verb.
#[derive(Debug, Clone)]
pub struct CreateVolume {
    client: aws_sdk_ec2::Client,
}

impl CreateVolume {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Makes the volume, or names the one that the same call made before. It comes to be later.
    ///
    /// # Errors
    /// It was not made, or nobody knows; the same call tells.
    pub async fn call(&self, call: &VolumeCall) -> Result<VolumeId, CallError> {
        let tags = call.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build());
        let specification =
            TagSpecification::builder().resource_type(ResourceType::Volume).set_tags(Some(tags.collect()));
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let made = self
            .client
            .create_volume()
            .client_token(&call.token)
            .availability_zone(&call.zone)
            .set_snapshot_id(call.snapshot.as_ref().map(ToString::to_string))
            .size(i32::try_from(call.size_gib).unwrap_or(i32::MAX))
            .volume_type(VolumeType::from(call.kind.as_str()))
            .set_iops(call.iops.map(number))
            .set_throughput(call.throughput.map(number))
            .set_encrypted(call.kms_key.is_some().then_some(true))
            .set_kms_key_id(call.kms_key.clone())
            .set_volume_initialization_rate(call.initialization_rate.map(number))
            .tag_specifications(specification.build())
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        made.volume_id().map(VolumeId::from).ok_or_else(|| CallError::unreadable(OPERATION, "VolumeId"))
    }
}
