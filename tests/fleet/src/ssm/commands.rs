//! Run Command: the records of commands and what clients may ask of them. How one is carried out is in
//! [`super::delivery`].

use super::documents::Parameters;
use super::invocation::{Invocation, Request, Status};
use crate::api_error::ApiError;
use crate::machine::{RunningScript, ScriptResult};
use crate::sync::lock;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

const LARGEST_PAGE: usize = 50;

/// `SendCommand`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Send {
    /// The document's name.
    pub document_name: String,
    /// The instances.
    #[serde(default)]
    pub instance_ids: Vec<String>,
    /// Its parameters.
    #[serde(default)]
    pub parameters: Parameters,
    /// A remark.
    #[serde(default)]
    pub comment: String,
    /// How long the command may be on its way, seconds.
    pub timeout_seconds: Option<u64>,
    /// Any: the region holds one version of each document.
    #[serde(default, rename = "DocumentVersion")]
    _document_version: Option<String>,
    #[serde(default, rename = "MaxConcurrency")]
    _max_concurrency: Option<String>,
    #[serde(default, rename = "MaxErrors")]
    _max_errors: Option<String>,
}

/// `ListCommandInvocations`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct List {
    command_id: Option<String>,
    instance_id: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    details: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Filter {
    key: String,
    value: String,
}

/// `GetCommandInvocation`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Get {
    command_id: String,
    instance_id: String,
    plugin_name: Option<String>,
}

/// `CancelCommand`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Cancel {
    command_id: String,
    #[serde(default)]
    instance_ids: Vec<String>,
}

/// The commands of the region, in the order in which they came.
#[derive(Default)]
pub struct Commands(Mutex<Records>);

#[derive(Default)]
struct Records {
    all: Vec<Invocation>,
    index: HashMap<(String, String), usize>,
}

/// One invocation among [`Commands`].
#[derive(Debug, Clone, Copy)]
pub struct Handle(usize);

impl Commands {
    /// Writes a new command down.
    pub fn add(&self, request: Request, now: DateTime<Utc>) -> Handle {
        let mut records = lock(&self.0);
        let n = records.all.len();
        records.index.insert((request.command.clone(), request.instance.clone()), n);
        records.all.push(Invocation::new(request, now));
        Handle(n)
    }

    /// Whether a command still has to be delivered: nobody cancelled it.
    pub fn wanted(&self, handle: Handle) -> bool {
        lock(&self.0).all.get(handle.0).is_some_and(|invocation| invocation.status == Status::Pending)
    }

    /// The agent has begun. Nothing happens when it was cancelled before.
    pub fn begin(&self, handle: Handle, now: DateTime<Utc>) {
        self.change(handle, |invocation| {
            if invocation.status == Status::Pending {
                invocation.status = Status::InProgress;
                invocation.started_at = Some(now);
            }
        });
    }

    /// The script runs; one that was cancelled meanwhile is killed at once.
    pub fn running(&self, handle: Handle, script: Arc<dyn RunningScript>) {
        let mut cancelled = false;
        self.change(handle, |invocation| {
            cancelled = invocation.status == Status::Cancelling;
            invocation.running = Some(Arc::clone(&script));
        });
        if cancelled {
            script.kill();
        }
    }

    /// The script has ended.
    pub fn end(&self, handle: Handle, result: ScriptResult, now: DateTime<Utc>) {
        self.change(handle, |invocation| invocation.end(result, now));
    }

    /// The agent never answered.
    pub fn lost(&self, handle: Handle, now: DateTime<Utc>) {
        self.change(handle, |invocation| {
            invocation.status = Status::DeliveryTimedOut;
            invocation.ended_at = Some(now);
            invocation.running = None;
        });
    }

    fn change(&self, handle: Handle, change: impl FnOnce(&mut Invocation)) {
        if let Some(invocation) = lock(&self.0).all.get_mut(handle.0) {
            change(invocation);
        }
    }

    /// The scripts that run on an instance, or on all.
    pub fn scripts(&self, instance: Option<&str>) -> Vec<Arc<dyn RunningScript>> {
        let records = lock(&self.0);
        let there = records.all.iter().filter(|one| instance.is_none_or(|id| one.instance == id));
        there.filter_map(|invocation| invocation.running.clone()).collect()
    }

    /// How many commands are on their way or run.
    #[must_use]
    pub fn under_way(&self) -> usize {
        lock(&self.0).all.iter().filter(|invocation| !invocation.status.ended()).count()
    }

    /// `ListCommandInvocations`: newest first.
    pub fn list(&self, list: &List) -> Result<Value, ApiError> {
        let size = list.max_results.unwrap_or(LARGEST_PAGE);
        if !(1..=LARGEST_PAGE).contains(&size) {
            return Err(validation("MaxResults is between 1 and 50"));
        }
        let before = match &list.next_token {
            None => usize::MAX,
            Some(token) => token
                .parse()
                .map_err(|_| ApiError::new("InvalidNextToken", "The specified token isn't valid."))?,
        };
        let tests = list.filters.iter().map(Filter::test).collect::<Result<Vec<_>, _>>()?;
        let records = lock(&self.0);
        let mut found = records
            .all
            .iter()
            .enumerate()
            .rev()
            .filter(|(n, _)| *n < before)
            .filter(|(_, one)| list.command_id.as_ref().is_none_or(|id| *id == one.command))
            .filter(|(_, one)| list.instance_id.as_ref().is_none_or(|id| *id == one.instance))
            .filter(|(_, one)| tests.iter().all(|test| test(one)))
            .peekable();
        let page: Vec<(usize, &Invocation)> = found.by_ref().take(size).collect();
        let items: Vec<Value> = page.iter().map(|(_, one)| one.listed(list.details)).collect();
        let mut answer = json!({"CommandInvocations": items});
        if let (Some(_), Some((last, _)), Some(answer)) = (found.peek(), page.last(), answer.as_object_mut())
        {
            answer.insert("NextToken".to_owned(), json!(last.to_string()));
        }
        Ok(answer)
    }

    /// `GetCommandInvocation`.
    pub fn get(&self, get: &Get) -> Result<Value, ApiError> {
        let records = lock(&self.0);
        let n = records.index.get(&(get.command_id.clone(), get.instance_id.clone()));
        let Some(invocation) = n.and_then(|n| records.all.get(*n)) else {
            return Err(ApiError::new("InvocationDoesNotExist", ""));
        };
        if get.plugin_name.as_ref().is_some_and(|plugin| *plugin != invocation.step) {
            return Err(ApiError::new("InvalidPluginName", "The plugin name isn't valid."));
        }
        Ok(invocation.whole())
    }

    /// `CancelCommand`: SIGKILL to the process group of whatever runs.
    pub fn cancel(&self, cancel: &Cancel, now: DateTime<Utc>) -> Result<Value, ApiError> {
        let mut scripts = Vec::new();
        let mut known = false;
        let mut records = lock(&self.0);
        for one in records.all.iter_mut().filter(|one| one.command == cancel.command_id) {
            known = true;
            if !cancel.instance_ids.is_empty() && !cancel.instance_ids.contains(&one.instance) {
                continue;
            }
            match one.status {
                Status::Pending => {
                    one.status = Status::Cancelled;
                    one.ended_at = Some(now);
                }
                Status::InProgress => {
                    one.status = Status::Cancelling;
                    scripts.extend(one.running.clone());
                }
                _ => {}
            }
        }
        drop(records);
        scripts.iter().for_each(|script| script.kill());
        if known { Ok(json!({})) } else { Err(ApiError::new("InvalidCommandId", "")) }
    }

    /// Every command as the control endpoint shows it, oldest first.
    #[must_use]
    pub fn overview(&self) -> Value {
        let records = lock(&self.0);
        records.all.iter().map(Invocation::overview).collect()
    }
}

/// Whether an invocation passes a filter.
type Test = Box<dyn Fn(&Invocation) -> bool>;

impl Filter {
    fn test(&self) -> Result<Test, ApiError> {
        let value = self.value.clone();
        let time = || {
            let time = DateTime::parse_from_rfc3339(&value);
            time.map_err(|_| validation(&format!("{value} is not a time as 2026-11-22T01:00:00Z")))
        };
        Ok(match self.key.as_str() {
            "InvokedAfter" => {
                let time = time()?;
                Box::new(move |one| one.requested_at >= time)
            }
            "InvokedBefore" => {
                let time = time()?;
                Box::new(move |one| one.requested_at < time)
            }
            "DocumentName" => Box::new(move |one| one.document == value),
            "Status" => Box::new(move |one| one.status.names().0 == value),
            other => return Err(validation(&format!("{other} is not a filter of the fleet"))),
        })
    }
}

fn validation(cause: &str) -> ApiError {
    ApiError::new("ValidationException", cause)
}

#[cfg(test)]
#[path = "commands_tests.rs"]
mod tests;
