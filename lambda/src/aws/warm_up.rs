//! Opens the EC2 connection that a cut will use: name look-up, TLS and credentials, before anybody is
//! frozen. It asks for as little as EC2 can be asked, and its answer is of no interest.

use super::{Account, errors::chain, within};
use crate::timer;
use aws_sdk_ec2::{config::Builder, config::retry::RetryConfig};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// For how long a connection that was just used is believed to stay open: EC2 closes idle ones after about
/// 20 s. In a large fleet an environment is asked every second, and each call saved is one of the account's.
const STAYS_WARM: Duration = Duration::from_secs(10);

/// The verb.
#[derive(Debug)]
pub struct WarmUp {
    client: aws_sdk_ec2::Client,
    warmed: Mutex<Option<Instant>>,
}

impl WarmUp {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone(), warmed: Mutex::default() }
    }

    /// One small `DescribeInstances`; ends within `limit`, and never fails: a cut opens its own
    /// connection when there is none. (A `CreateSnapshots` with `DryRun` would open it too, and would
    /// spend a token of the bucket that cuts are paced by.)
    pub async fn call(&self, limit: Duration) {
        if self.is_warm() {
            return;
        }
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
        match answer {
            Ok(_) => self.used(),
            Err(error) => tracing::debug!(error = chain(&error), "EC2 connection not warmed"),
        }
    }

    /// The connection has just carried an answer.
    pub fn used(&self) {
        *self.warmed.lock().unwrap_or_else(PoisonError::into_inner) = Some(timer::now());
    }

    fn is_warm(&self) -> bool {
        let warmed = *self.warmed.lock().unwrap_or_else(PoisonError::into_inner);
        warmed.is_some_and(|at| timer::now().duration_since(at) < STAYS_WARM)
    }
}
