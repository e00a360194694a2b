//! The event that starts a run: a policy, and in the event of a continuation where the run stands.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use stillframe_plan::{Policy, PolicyError, RunId};

/// Most continuations of one run: a guard against a run that invokes itself for ever. In each invocation's
/// 810 s EC2 takes some 4,000 `CreateSnapshots` or deletions, so this is room for 80,000 of either.
pub const MOST_HOPS: u32 = 20;

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
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The policy.
    pub policy: Policy,
    /// Where the run stands, if this is not its start.
    pub continuation: Option<Continuation>,
    /// The event as it came, to be handed on.
    raw: Value,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// The policy, or the field `continue`, is missing something or malformed.
    pub fn read(raw: Value) -> Result<Self, PolicyError> {
        let policy = Policy::read(&raw)?;
        let continuation = match raw.get("continue") {
            None | Some(Value::Null) => None,
            Some(value) => Some(serde_path_to_error::deserialize(value).map_err(|error| {
                let path = error.path().to_string();
                let field = if path == "." { "continue".to_owned() } else { format!("continue.{path}") };
                PolicyError::Field { field, cause: error.into_inner().to_string() }
            })?),
        };
        Ok(Self { policy, continuation, raw })
    }

    /// The same event for the next invocation of the run.
    #[must_use]
    pub fn continued(&self, continuation: &Continuation) -> Value {
        let mut event = self.raw.clone();
        if let (Some(fields), Ok(value)) = (event.as_object_mut(), serde_json::to_value(continuation)) {
            fields.insert("continue".to_owned(), value);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy() -> Value {
        json!({"policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"last": 3}, "colour": 7})
    }

    #[test]
    fn a_continuation_carries_the_whole_event_and_where_the_run_stands() {
        let event = Event::read(policy()).unwrap();
        assert_eq!(event.continuation, None);
        let at = Continuation {
            run: RunId::from("daily/2026-11-22/k3v9x2"),
            hop: 3,
            generation: 9,
            began_at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
        };
        let next = event.continued(&at);
        assert_eq!(next["colour"], 7);
        assert_eq!(Event::read(next).unwrap().continuation, Some(at));
    }

    #[test]
    fn a_malformed_continuation_is_named() {
        for (value, named) in [
            (json!({"run": "r", "hop": "x", "generation": 1}), "continue.hop"),
            (json!({"run": "r", "hop": 1}), "continue"),
            (json!(7), "continue"),
        ] {
            let mut event = policy();
            event["continue"] = value;
            let error = Event::read(event).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
