//! Where a run stands that goes on in another invocation.

use crate::RunId;
use crate::policy::{Policy, PolicyError, reading};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A run that goes on in another invocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continuation {
    /// The run.
    pub run: RunId,
    /// How many invocations came before this one.
    pub hop: u32,
    /// The generation of the lease under which the last one ran.
    pub generation: u64,
    /// When the run began: all of it is for the slot of that time.
    pub began_at: DateTime<Utc>,
    /// What the run began before this time has ended and is settled: it is not to be looked at again. Absent
    /// when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_until: Option<DateTime<Utc>>,
}

impl Continuation {
    pub(super) fn read(value: &Value, policy: &Policy) -> Result<Self, PolicyError> {
        if !value.is_object() {
            return Err(reading::wrong("continue", "it has to be a JSON object", value));
        }
        let read: Self = reading::read(value, "continue")?;
        // Beyond these years a calendar comes to its end.
        if !(1970..10_000).contains(&read.began_at.year()) {
            let cause = format!("{} is the beginning of no run", read.began_at);
            return Err(reading::wrong("continue.began_at", &cause, value.get("began_at").unwrap_or(value)));
        }
        let mut parts = read.run.as_str().split('/');
        let is_of_policy = parts.next() == Some(policy.name.as_str());
        if !is_of_policy || parts.clone().count() != 2 || parts.any(str::is_empty) {
            let cause = format!("it is no run of the policy {:?}: policy/slot/word", policy.name);
            return Err(reading::wrong("continue.run", &cause, &Value::from(read.run.as_str())));
        }
        Ok(read)
    }
}
