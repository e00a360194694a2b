//! `SendCommand`: has an SSM document run on one instance. Sent once, whatever happens to it; the
//! comment carries the run id, by which [`super::Invocations`] finds a command whose answer was lost.

use super::{Account, CallError, Document, within};
use aws_sdk_ssm::{config::Builder, config::retry::RetryConfig};
use chrono::{DateTime, Utc};
use std::{collections::HashMap, time::Duration};
use stillframe_plan::InstanceId;

const OPERATION: &str = "SendCommand";
/// How long the one attempt may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Most characters of a comment.
const MOST_COMMENT: usize = 100;

/// One command to be sent.
#[derive(Debug, Clone)]
pub struct SendCommand {
    client: aws_sdk_ssm::Client,
    prefix: String,
}

/// The command that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub command: String,
    /// When it was sent, by SSM's clock.
    pub at: Option<DateTime<Utc>>,
}

impl SendCommand {
    /// The verb in this account, for the documents whose names begin with `prefix`.
    #[must_use]
    pub fn new(account: &Account, prefix: &str) -> Self {
        Self { client: account.ssm.clone(), prefix: prefix.to_owned() }
    }

    /// Sends `document` to one instance, to be started within `delivery`.
    ///
    /// # Errors
    /// [`CallError::Unknown`] means that the command may run.
    pub async fn call(
        &self,
        instance: &InstanceId,
        document: Document,
        parameters: &[(&str, String)],
        comment: &str,
        delivery: Duration,
    ) -> Result<Sent, CallError> {
        let parameters: HashMap<String, Vec<String>> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), vec![value.clone()])).collect();
        // The service takes 30 seconds to 30 days.
        let delivery = i32::try_from(delivery.as_secs()).unwrap_or(i32::MAX).clamp(30, 2_592_000);
        let sent = self
            .client
            .send_command()
            .instance_ids(instance.as_str())
            .document_name(document.name(&self.prefix))
            .set_parameters((!parameters.is_empty()).then_some(parameters))
            .comment(comment_of(comment))
            .timeout_seconds(delivery)
            .customize()
            .config_override(
                Builder::new().retry_config(RetryConfig::disabled()).timeout_config(within(LIMIT)),
            )
            .send()
            .await
            .map_err(|error| CallError::from_sdk(OPERATION, &error))?;
        sent.command()
            .and_then(|command| {
                let at = command.requested_date_time().and_then(super::observed_from_sdk::time);
                Some(Sent { command: command.command_id()?.to_owned(), at })
            })
            .ok_or_else(|| CallError::unreadable(OPERATION, "CommandId"))
    }
}

/// The comment as the service keeps it.
pub(super) fn comment_of(text: &str) -> String {
    text.chars().take(MOST_COMMENT).collect()
}
