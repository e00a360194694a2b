//! The only place that names an SDK type: one struct per verb, each around one client, taking and
//! giving our own types and [`CallError`].
//!
//! Two rules hold for every verb. Each call has a connect, an attempt and a total timeout, because the
//! SDK has none by default. And a call that cannot be repeated safely (`CreateSnapshots`,
//! `CreateSnapshot`, `CopySnapshot`, `SendCommand`: no idempotency token) is sent once; what to do about an
//! unknown outcome is the caller's decision, who looks by tag first.

mod attach_volume;
mod copy_snapshot;
mod create_snapshot;
mod create_snapshots;
mod create_tags;
mod create_volume;
mod delete_snapshot;
mod delete_volume;
mod detach_volume;
mod document;
mod errors;
mod guards;
mod invocations;
mod invoke_self;
mod modify_instance_attribute;
mod observe;
mod observe_restore;
mod observed_from_sdk;
mod parameters;
mod presigned;
mod send_command;
mod stop_history;
mod user_data;
mod warm_up;

pub use attach_volume::{AttachVolume, Attaching};
pub use copy_snapshot::CopySnapshot;
pub use create_snapshot::CreateSnapshot;
pub use create_snapshots::{CreateSnapshots, MadeSnapshot, SetRequest};
pub use create_tags::CreateTags;
pub use create_volume::CreateVolume;
pub use delete_snapshot::{DeleteSnapshot, Deleted};
pub use delete_volume::DeleteVolume;
pub use detach_volume::DetachVolume;
pub use document::Document;
pub use errors::{CallError, Cause};
pub use guards::Guards;
pub use invocations::{Invocation, Invocations, Stage};
pub use invoke_self::InvokeSelf;
pub use modify_instance_attribute::{AtTermination, ModifyInstanceAttribute};
pub use observe::{Made, Observe};
pub use observe_restore::ObserveRestore;
pub use parameters::{Created, Parameters};
pub use send_command::{SendCommand, Sent};
pub use stop_history::StopHistory;
pub use user_data::UserDataOf;
pub use warm_up::WarmUp;

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_ec2::config::{
    AsyncSleep, Credentials, SharedAsyncSleep, SharedCredentialsProvider, SharedHttpClient, Sleep,
};
use std::time::Duration;

/// How long a TCP and TLS connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a connection may say nothing. The attempt's own time is shorter, or the caller's. Like
/// [`CONNECT`] it is the same for every call: the SDK keeps a pool of connections for each pair of these
/// two, and a call with others would open a connection of its own, in the frozen window too.
const READ: Duration = Duration::from_secs(60);
/// How long one attempt of a repeatable call may take; a page of 500 volumes is slow at times.
const ATTEMPT: Duration = Duration::from_secs(20);
/// How long a repeatable call may take with all its attempts.
const CALL: Duration = Duration::from_secs(60);
/// Attempts of a repeatable call.
const ATTEMPTS: u32 = 4;

/// An account and a region to work in: the clients behind the verbs.
#[derive(Debug, Clone)]
pub struct Account {
    config: SdkConfig,
    ec2: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
    lambda: aws_sdk_lambda::Client,
    cloudtrail: aws_sdk_cloudtrail::Client,
}

impl Account {
    /// Reads credentials, region and endpoints from the environment, as every AWS tool does. Opens no
    /// connection.
    pub async fn from_environment() -> Self {
        let config = aws_config::defaults(BehaviorVersion::latest())
            .retry_config(retries())
            .timeout_config(timeouts())
            .sleep_impl(TimerSleep)
            .load()
            .await;
        Self::new(&config)
    }

    /// An account behind this HTTP client, for a simulation: everything else is as in production.
    #[must_use]
    pub fn behind(http: SharedHttpClient, [key, secret, token]: [&str; 3], region: &str) -> Self {
        let credentials = Credentials::new(key, secret, Some(token.to_owned()), None, "simulation");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .retry_config(retries())
            .timeout_config(timeouts())
            .sleep_impl(SharedAsyncSleep::new(TimerSleep))
            .http_client(http)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .region(Region::new(region.to_owned()))
            .endpoint_url("http://region.invalid")
            .build();
        Self::new(&config)
    }

    fn new(config: &SdkConfig) -> Self {
        Self {
            config: config.clone(),
            ec2: aws_sdk_ec2::Client::new(config),
            ssm: aws_sdk_ssm::Client::new(config),
            lambda: aws_sdk_lambda::Client::new(config),
            cloudtrail: aws_sdk_cloudtrail::Client::new(config),
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(200))
}

fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(CALL)
        .build()
}

/// Has the SDK wait as everything else here does.
#[derive(Debug)]
struct TimerSleep;

impl AsyncSleep for TimerSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(crate::timer::sleep(duration))
    }
}

impl Account {
    /// The same account in another region.
    #[must_use]
    pub fn in_region(&self, region: &str) -> Self {
        Self::new(&self.config.to_builder().region(Region::new(region.to_owned())).build())
    }
}

/// Timeouts of a call that is sent once and must answer within `limit`.
fn within(limit: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .read_timeout(READ)
        .operation_attempt_timeout(limit)
        .operation_timeout(limit)
        .build()
}

#[cfg(test)]
#[path = "connections_tests.rs"]
mod tests;
