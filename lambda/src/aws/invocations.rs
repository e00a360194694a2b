//! `ListCommandInvocations` and `GetCommandInvocation`: how commands fared and what they printed. Both
//! lag behind `SendCommand` by about a second; an absent invocation is one that is not seen yet.

use super::{Account, CallError, Document, send_command::comment_of};
use aws_sdk_ssm::types::{CommandFilter, CommandFilterKey};
use chrono::{DateTime, SecondsFormat, Utc};
use stillframe_plan::InstanceId;

/// Entries of one page: the most that the service gives.
const PAGE: i32 = 50;

/// How far an invocation has got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Not over: waiting for the agent, running, or being cancelled.
    UnderWay,
    /// Over; the script ended by itself.
    Ended {
        /// Its exit code.
        exit: i32,
    },
    /// Over, and nobody knows how far the script got: timed out, cancelled, lost, or never delivered.
    Lost {
        /// SSM's words, `ExecutionTimedOut`.
        details: String,
    },
}

/// One command on one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The command's id.
    pub command: String,
    /// The instance.
    pub instance: InstanceId,
    /// The comment that it was sent with.
    pub comment: String,
    /// When it was sent.
    pub sent_at: Option<DateTime<Utc>>,
    /// How far it has got.
    pub stage: Stage,
    /// The first 2,500 characters that it printed.
    pub output: String,
}

impl Invocation {
    /// Whether it was sent with this comment.
    #[must_use]
    pub fn carries(&self, comment: &str) -> bool {
        self.comment == comment_of(comment)
    }

    /// Whether the instance cannot have started it: nothing of it has run.
    #[must_use]
    pub fn never_ran(&self) -> bool {
        matches!(&self.stage, Stage::Lost { details }
            if ["DeliveryTimedOut", "Undeliverable", "InvalidPlatform", "AccessDenied", "Terminated"]
                .contains(&details.as_str()))
    }
}

/// The verbs.
#[derive(Debug, Clone)]
pub struct Invocations {
    client: aws_sdk_ssm::Client,
    prefix: String,
}

impl Invocations {
    /// The verbs in this account, for the documents whose names begin with `prefix`.
    #[must_use]
    pub fn new(account: &Account, prefix: &str) -> Self {
        Self { client: account.ssm.clone(), prefix: prefix.to_owned() }
    }

    /// Every invocation of the document since then, with what it printed.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn of_document(
        &self,
        document: Document,
        since: DateTime<Utc>,
    ) -> Result<Vec<Invocation>, CallError> {
        self.list(document, since, None).await
    }

    /// The same on one instance.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn on_instance(
        &self,
        document: Document,
        since: DateTime<Utc>,
        instance: &InstanceId,
    ) -> Result<Vec<Invocation>, CallError> {
        self.list(document, since, Some(instance)).await
    }

    async fn list(
        &self,
        document: Document,
        since: DateTime<Utc>,
        instance: Option<&InstanceId>,
    ) -> Result<Vec<Invocation>, CallError> {
        let filter = |key, value: String| CommandFilter::builder().key(key).value(value).build();
        let filters = [
            filter(CommandFilterKey::DocumentName, document.name(&self.prefix)),
            filter(CommandFilterKey::InvokedAfter, since.to_rfc3339_opts(SecondsFormat::Secs, true)),
        ]
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| CallError::Refused {
            operation: "ListCommandInvocations",
            code: "NotSent".to_owned(),
            message: error.to_string(),
        })?;
        let mut pages = self
            .client
            .list_command_invocations()
            .set_filters(Some(filters))
            .set_instance_id(instance.map(ToString::to_string))
            .details(true)
            .into_paginator()
            .page_size(PAGE)
            .send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("ListCommandInvocations", &error))?;
            found.extend(page.command_invocations().iter().filter_map(read));
        }
        Ok(found)
    }

    /// One command on one instance, by itself; `None` when SSM does not know of it (yet). For those that take
    /// longer than the others: a listing back to them would list all the others again.
    ///
    /// # Errors
    /// It could not be had.
    pub async fn one(&self, command: &str, instance: &InstanceId) -> Result<Option<Invocation>, CallError> {
        let asked = self.client.get_command_invocation().command_id(command).instance_id(instance.as_str());
        let found = match asked.send().await {
            Ok(found) => found,
            Err(error) => {
                return match CallError::from_sdk("GetCommandInvocation", &error) {
                    CallError::Refused { code, .. } if code == "InvocationDoesNotExist" => Ok(None),
                    error => Err(error),
                };
            }
        };
        let details = found.status_details().unwrap_or("unknown");
        let Some(stage) = found.status().map(|status| stage(status.as_str(), details, found.response_code()))
        else {
            return Ok(None);
        };
        Ok(Some(Invocation {
            command: command.to_owned(),
            instance: instance.clone(),
            comment: found.comment().unwrap_or_default().to_owned(),
            sent_at: None,
            stage,
            output: found.standard_output_content().unwrap_or_default().to_owned(),
        }))
    }

    /// The first 24,000 characters that an ended invocation printed; `None` when SSM does not know of
    /// it (yet).
    ///
    /// # Errors
    /// It could not be read.
    pub async fn whole_output(
        &self,
        command: &str,
        instance: &InstanceId,
    ) -> Result<Option<String>, CallError> {
        let answer = self
            .client
            .get_command_invocation()
            .command_id(command)
            .instance_id(instance.as_str())
            .send()
            .await;
        match answer.map_err(|error| CallError::from_sdk("GetCommandInvocation", &error)) {
            Ok(found) => Ok(found.standard_output_content().map(str::to_owned)),
            Err(CallError::Refused { code, .. }) if code == "InvocationDoesNotExist" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// How far an invocation has got, from its status, the details of that and its exit code.
fn stage(status: &str, details: &str, code: i32) -> Stage {
    match status {
        "Success" => Stage::Ended { exit: 0 },
        // A script that ended by itself has a code of its own. One that the agent killed has not, nor
        // has one that never came to the instance.
        "Failed" if code > 0 && details == "Failed" => Stage::Ended { exit: code },
        "Failed" | "TimedOut" | "Cancelled" => Stage::Lost { details: details.to_owned() },
        _ => Stage::UnderWay,
    }
}

fn read(invocation: &aws_sdk_ssm::types::CommandInvocation) -> Option<Invocation> {
    let plugin = invocation.command_plugins().first();
    let details = invocation.status_details().unwrap_or("unknown");
    let code = plugin.map_or(-1, |plugin| plugin.response_code());
    let stage = stage(invocation.status()?.as_str(), details, code);
    Some(Invocation {
        command: invocation.command_id()?.to_owned(),
        instance: InstanceId::from(invocation.instance_id()?),
        comment: invocation.comment().unwrap_or_default().to_owned(),
        sent_at: invocation.requested_date_time().and_then(super::observed_from_sdk::time),
        stage,
        output: plugin.and_then(|plugin| plugin.output()).unwrap_or_default().to_owned(),
    })
}
