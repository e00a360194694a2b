//! One command on one instance: its record, and how SSM shows it.

use super::documents::Parameters;
use crate::clock::{epoch, iso};
use crate::machine::{RunningScript, ScriptEnd, ScriptResult};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Most characters of an output in a listing.
const LISTED_OUTPUT: usize = 2_500;
/// Most characters of stdout and stderr that the agent keeps.
const KEPT_STDOUT: usize = 24_000;
const KEPT_STDERR: usize = 8_000;

/// Where a command on an instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// On its way.
    Pending,
    /// It runs.
    InProgress,
    /// It is being killed.
    Cancelling,
    /// It ended with code 0.
    Success,
    /// It ended with another code.
    Failed,
    /// It was killed on request, or never ran.
    Cancelled,
    /// The agent killed it at its timeout.
    ExecutionTimedOut,
    /// The agent did not take it, or was not heard of again.
    DeliveryTimedOut,
}

impl Status {
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Pending => ("Pending", "Pending"),
            Self::InProgress => ("InProgress", "InProgress"),
            Self::Cancelling => ("Cancelling", "Cancelling"),
            Self::Success => ("Success", "Success"),
            Self::Failed => ("Failed", "Failed"),
            Self::Cancelled => ("Cancelled", "Cancelled"),
            Self::ExecutionTimedOut => ("TimedOut", "ExecutionTimedOut"),
            Self::DeliveryTimedOut => ("TimedOut", "DeliveryTimedOut"),
        }
    }

    pub(super) fn ended(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress | Self::Cancelling)
    }
}

/// One command on one instance.
pub struct Invocation {
    /// The command's id.
    pub command: String,
    /// The instance.
    pub instance: String,
    /// The document.
    pub document: String,
    /// The step's name.
    pub step: String,
    /// What `SendCommand` had.
    pub parameters: Parameters,
    pub(super) comment: String,
    pub(super) requested_at: DateTime<Utc>,
    pub(super) status: Status,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) running: Option<Arc<dyn RunningScript>>,
}

/// A new invocation.
#[derive(Debug, Clone)]
pub struct Request {
    /// The command's id.
    pub command: String,
    /// The instance.
    pub instance: String,
    /// The document.
    pub document: String,
    /// The step's name.
    pub step: String,
    /// What `SendCommand` had.
    pub parameters: Parameters,
    /// A remark.
    pub comment: String,
}

impl Invocation {
    /// A command that has just been sent.
    pub(super) fn new(request: Request, now: DateTime<Utc>) -> Self {
        Self {
            command: request.command,
            instance: request.instance,
            document: request.document,
            step: request.step,
            parameters: request.parameters,
            comment: request.comment,
            requested_at: now,
            status: Status::Pending,
            started_at: None,
            ended_at: None,
            code: -1,
            stdout: String::new(),
            stderr: String::new(),
            running: None,
        }
    }

    /// The script has ended.
    pub(super) fn end(&mut self, result: ScriptResult, now: DateTime<Utc>) {
        (self.status, self.code) = match result.end {
            ScriptEnd::Exited(0) => (Status::Success, 0),
            ScriptEnd::Exited(code) => (Status::Failed, code),
            ScriptEnd::TimedOut => (Status::ExecutionTimedOut, 137),
            ScriptEnd::Killed => (Status::Cancelled, 137),
        };
        self.stdout = result.stdout.chars().take(KEPT_STDOUT).collect();
        self.stderr = result.stderr.chars().take(KEPT_STDERR).collect();
        self.ended_at = Some(now);
        self.running = None;
    }

    /// As the control endpoint shows it.
    pub(super) fn overview(&self) -> Value {
        json!({
            "command": self.command,
            "instance": self.instance,
            "document": self.document,
            "parameters": self.parameters,
            "status": self.status.names().1,
            "stdout": self.stdout,
            "stderr": self.stderr,
            "process_group": self.running.as_ref().and_then(|script| script.process_group()),
        })
    }

    fn code(&self) -> i32 {
        if self.status.ended() { self.code } else { -1 }
    }

    /// As an entry of `ListCommandInvocations`.
    pub(super) fn listed(&self, details: bool) -> Value {
        let (status, details_name) = self.status.names();
        let plugins = if details {
            let mut output = self.stdout.clone();
            if !self.stderr.is_empty() {
                output.push_str("\n----------ERROR-------\n");
                output.push_str(&self.stderr);
            }
            json!([{
                "Name": self.step,
                "Status": status,
                "StatusDetails": details_name,
                "ResponseCode": self.code(),
                "ResponseStartDateTime": self.started_at.map(epoch),
                "ResponseFinishDateTime": self.ended_at.map(epoch),
                "Output": output.chars().take(LISTED_OUTPUT).collect::<String>(),
            }])
        } else {
            json!([])
        };
        json!({
            "CommandId": self.command,
            "InstanceId": self.instance,
            "InstanceName": "",
            "Comment": self.comment,
            "DocumentName": self.document,
            "DocumentVersion": "1",
            "RequestedDateTime": epoch(self.requested_at),
            "Status": status,
            "StatusDetails": details_name,
            "CommandPlugins": plugins,
        })
    }

    /// As `GetCommandInvocation` answers.
    pub(super) fn whole(&self) -> Value {
        let (status, details) = self.status.names();
        let time = |time: Option<DateTime<Utc>>| time.map(iso).unwrap_or_default();
        let elapsed = match (self.started_at, self.ended_at) {
            (Some(start), Some(end)) => (end - start).to_std().unwrap_or(Duration::ZERO).as_secs_f64(),
            _ => 0.0,
        };
        json!({
            "CommandId": self.command,
            "InstanceId": self.instance,
            "Comment": self.comment,
            "DocumentName": self.document,
            "DocumentVersion": "1",
            "PluginName": self.step,
            "ResponseCode": self.code(),
            "ExecutionStartDateTime": time(self.started_at),
            "ExecutionElapsedTime": format!("PT{elapsed:.3}S"),
            "ExecutionEndDateTime": time(self.ended_at),
            "Status": status,
            "StatusDetails": details,
            "StandardOutputContent": self.stdout,
            "StandardErrorContent": self.stderr,
        })
    }
}
