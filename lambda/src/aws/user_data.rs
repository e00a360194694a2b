//! `DescribeInstanceAttribute`: the user data of an instance.

use super::{Account, CallError};
use aws_sdk_ec2::types::InstanceAttributeName;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stillframe_plan::InstanceId;

const OPERATION: &str = "DescribeInstanceAttribute";

/// The verb.
#[derive(Debug, Clone)]
pub struct UserDataOf {
    client: aws_sdk_ec2::Client,
}

impl UserDataOf {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// The user data as the instance itself gets it; empty when it has none.
    ///
    /// # Errors
    /// It could not be read.
    pub async fn call(&self, instance: &InstanceId) -> Result<Vec<u8>, CallError> {
        let found = self
            .client
            .describe_instance_attribute()
            .instance_id(instance.as_str())
            .attribute(InstanceAttributeName::UserData)
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        let text = found.user_data().and_then(|value| value.value()).unwrap_or_default();
        STANDARD.decode(text).map_err(|_| CallError::unreadable(OPERATION, "Base64"))
    }
}
