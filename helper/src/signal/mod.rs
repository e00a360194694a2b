//! The helper's half of the conversation with the signal function: one client, one connection, no
//! repeats. `CreateSnapshots` behind FROZEN has no idempotency token, so nothing is ever sent twice.

mod identity;
mod resolver;

use crate::describe;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::BehaviorVersion;
use aws_sdk_lambda::config::StalledStreamProtectionConfig;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_types::Blob;
use identity::Identity;
use resolver::Resolver;
use std::time::{Duration, SystemTime};
use stillframe_wire::{Answer, Cut, JsonError, RunId, Signal, VolumeId, WorkOrder};

/// Time to reach the function's endpoint.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for one answer. The caller's own limits are shorter; both signals share this one, because a
/// client with other limits would open another connection.
const ANSWER: Duration = Duration::from_secs(60);
/// How long a connection may rest between READY and FROZEN.
const REST: Duration = Duration::from_secs(120);
/// Credentials must outlive the freeze by so much.
const MARGIN: Duration = Duration::from_secs(60);

/// The signal function could not be asked, or its answer is none.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// Neither environment nor instance metadata say where.
    #[error("no AWS region is configured: set AWS_REGION, or let the instance's metadata be read")]
    NoRegion,
    /// No credentials.
    #[error("failed to get AWS credentials (does the instance have a role?): {0}")]
    Credentials(String),
    /// They would end while something is frozen.
    #[error("the AWS credentials end in {left_s} s, before a freeze could be over")]
    CredentialsEnd {
        /// How soon, seconds.
        left_s: u64,
    },
    /// Lambda took the call for one too many: the function has not run.
    #[error("failed to invoke the signal function {function}: Lambda throttles it")]
    Throttled {
        /// Its name.
        function: String,
    },
    /// The call failed.
    #[error("failed to invoke the signal function {function}: {cause}")]
    Invoke {
        /// Its name.
        function: String,
        /// Why.
        cause: String,
    },
    /// No answer in time.
    #[error("the signal function {function} did not answer within {s} s")]
    Silent {
        /// Its name.
        function: String,
        /// How long it had, seconds.
        s: u64,
    },
    /// The function itself failed.
    #[error("the signal function {function} failed ({kind}): {payload}")]
    Function {
        /// Its name.
        function: String,
        /// `Handled` or `Unhandled`.
        kind: String,
        /// The beginning of what it returned.
        payload: String,
    },
    /// What came back is no answer.
    #[error("failed to understand the signal function's answer")]
    Answer(#[from] JsonError),
    /// The signal could not be written as JSON.
    #[error("failed to write the signal")]
    Write(#[source] serde_json::Error),
}

/// A client for one function, with its connection.
#[derive(Debug, Clone)]
pub struct Signaller {
    client: Client,
    function: String,
}

impl Signaller {
    /// Finds region and credentials and makes the client. The connection comes with the first signal.
    ///
    /// # Errors
    /// Neither can be found, or the credentials end within `longest` and a margin.
    pub async fn connect(function: &str, longest: Duration) -> Result<Self, SignalError> {
        let http = Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .pool_idle_timeout(REST)
            .build_with_resolver(Resolver::default());
        let limits = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .read_timeout(ANSWER)
            .operation_attempt_timeout(ANSWER)
            .operation_timeout(ANSWER)
            .build();
        let Identity { region, credentials } = Identity::find(function, http.clone()).await?;
        if let Some(end) = credentials.expiry() {
            let left = end.duration_since(SystemTime::now()).unwrap_or_default();
            if left < longest + MARGIN {
                return Err(SignalError::CredentialsEnd { left_s: left.as_secs() });
            }
        }
        let config = aws_sdk_lambda::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(limits)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .region(region)
            // Fixed from here on: nothing can want to refresh them while something is frozen.
            .credentials_provider(credentials);
        let config = identity::with_endpoint(config).build();
        Ok(Self { client: Client::from_conf(config), function: function.to_owned() })
    }

    /// Sends a signal, once, and reads the answer.
    ///
    /// # Errors
    /// No answer within `limit`, or one that is none. After FROZEN the snapshots may exist even so.
    pub async fn send(&self, signal: &Signal, limit: Duration) -> Result<Answer, SignalError> {
        let payload = serde_json::to_vec(signal).map_err(SignalError::Write)?;
        let call = self.client.invoke().function_name(&self.function).payload(Blob::new(payload)).send();
        let function = || self.function.clone();
        let Ok(answer) = tokio::time::timeout(limit, call).await else {
            return Err(SignalError::Silent { function: function(), s: limit.as_secs() });
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if error.raw_response().is_some_and(|raw| raw.status().as_u16() == 429) => {
                return Err(SignalError::Throttled { function: function() });
            }
            Err(error) => return Err(SignalError::Invoke { function: function(), cause: cause(&error) }),
        };
        let payload = answer.payload.map(Blob::into_inner).unwrap_or_default();
        if let Some(kind) = answer.function_error {
            let payload = String::from_utf8_lossy(&payload).chars().take(300).collect();
            return Err(SignalError::Function { function: function(), kind, payload });
        }
        Ok(Answer::read(&payload)?)
    }
}

/// What went wrong, in the service's words where it said any.
fn cause<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    let Some(answer) = error.raw_response() else { return describe(error) };
    let said = [error.code(), error.message()];
    let said: Vec<&str> = said.into_iter().flatten().collect();
    format!("HTTP status {}: {}", answer.status().as_u16(), said.join(": "))
}

/// An answer that is not one to our question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WrongAnswer {
    /// For another run.
    #[error("the signal function answered for run {answered}, not for {ordered}")]
    OtherRun {
        /// Whose answer it is.
        answered: RunId,
        /// Ours.
        ordered: RunId,
    },
    /// A volume is missing.
    #[error("the signal function's answer has no snapshot of {0}")]
    Missing(VolumeId),
    /// An answer to the other signal.
    #[error("the signal function answered another signal than the one that was sent")]
    OtherSignal,
}

/// Whether READY's answer is for our run.
///
/// # Errors
/// It is not.
pub fn check_run(answered: &RunId, order: &WorkOrder) -> Result<(), WrongAnswer> {
    if *answered == order.run {
        return Ok(());
    }
    Err(WrongAnswer::OtherRun { answered: answered.clone(), ordered: order.run.clone() })
}

/// Whether FROZEN's answer is for our run and has a snapshot of every ordered volume.
///
/// # Errors
/// It is not or has not.
pub fn check_cut(cut: &Cut, order: &WorkOrder) -> Result<(), WrongAnswer> {
    check_run(&cut.run, order)?;
    let has = |id: &VolumeId| cut.snapshots.iter().any(|snapshot| snapshot.volume == *id);
    match order.volumes.iter().find(|volume| !has(&volume.id)) {
        Some(missing) => Err(WrongAnswer::Missing(missing.id.clone())),
        None => Ok(()),
    }
}
