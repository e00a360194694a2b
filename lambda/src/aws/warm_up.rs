//! Opens the EC2 connection that a cut will use: name look-up, TLS and credentials, before anybody is
//! frozen. It asks for as little as EC2 can be asked, and its answer is of no interest.

use super::{Account, errors::chain, within};
use aws_sdk_ec2::{config::Builder, config::retry::RetryConfig};
use std::time::Duration;

/// The verb.
#[derive(Debug, Clone)]
pub struct WarmUp {
    client: aws_sdk_ec2::Client,
}

impl WarmUp {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// One small `DescribeInstances`; ends within `limit`, and never fails: a cut opens its own
    /// connection when there is none. (A `CreateSnapshots` with `DryRun` would open it too, and would
    /// spend a token of the bucket that cuts are paced by.)
    pub async fn call(&self, limit: Duration) {
        let answer = self
            .client
            .describe_instances()
            .max_results(5)
            .customize()
            .config_override(
                Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(limit)),
            )
            .send()
            .await;
        if let Err(error) = answer {
            tracing::debug!(error = chain(&error), "EC2 connection not warmed");
        }
    }
}
