//! The event that starts the backup function: a policy, what to do with it, and in the event of a
//! continuation where the run stands.
//!
//! ```json
//! {"policy": "daily", "...": "...", "action": "explain", "keep_instead": {"last": 3}}
//! ```
//! `action` is `backup` (so it is when absent), `copy`, `explain` or `status`; the last two only look. With
//! `copy`, `event` is what EBS said, where that is the occasion. With
//! `explain`, `keep_instead` holds other rules in the place of the policy's `keep`, and the answer tells what
//! they would change. With any other action it is an error, and not ignored as unknown fields are: who left
//! `action` out would get a backup, and a prune by rules that he meant to replace.

mod continuation;

pub use continuation::Continuation;

use crate::copies::Completion;
use crate::policy::{Policy, PolicyError, reading};
use crate::retention::Keep;
use serde_json::Value;

/// What an event asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Back up, settle, prune.
    Backup,
    /// Make the copies in other regions.
    Copy {
        /// What EBS has completed; none when somebody asks by hand.
        completion: Option<Completion>,
    },
    /// Tell why each snapshot is kept or deleted.
    Explain {
        /// Rules to compare those of the policy with.
        keep_instead: Option<Keep>,
    },
    /// Tell how each lineage stands.
    Status,
}

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The policy.
    pub policy: Policy,
    /// What to do with it.
    pub action: Action,
    /// Where the run stands, if this is not its start.
    pub continuation: Option<Continuation>,
    /// The event as it came, to be handed on.
    raw: Value,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// The policy, or one of the fields `action`, `event`, `keep_instead` and `continue`, is missing something or
    /// malformed.
    pub fn read(raw: Value) -> Result<Self, PolicyError> {
        let policy = Policy::read(&raw)?;
        let action = Action::read(&raw)?;
        let continuation = match given(&raw, CONTINUE) {
            None => None,
            Some(value) if action != Action::Backup => {
                return Err(reading::wrong(CONTINUE, "only a backup is continued", value));
            }
            Some(value) => Some(Continuation::read(value, &policy)?),
        };
        Ok(Self { policy, action, continuation, raw })
    }

    /// The same from text.
    ///
    /// # Errors
    /// It is no JSON, or as [`Event::read`].
    pub fn read_text(text: &[u8]) -> Result<Self, PolicyError> {
        Self::read(reading::json(text)?)
    }

    /// The same event for the next invocation of the run.
    #[must_use]
    pub fn continued(&self, continuation: &Continuation) -> Value {
        let mut event = self.raw.clone();
        if let (Some(fields), Ok(value)) = (event.as_object_mut(), serde_json::to_value(continuation)) {
            fields.insert(CONTINUE.to_owned(), value);
        }
        event
    }
}

const ACTION: &str = "action";
const KEEP_INSTEAD: &str = "keep_instead";
const EVENT: &str = "event";
const CONTINUE: &str = "continue";

impl Action {
    fn read(event: &Value) -> Result<Self, PolicyError> {
        let action = match given(event, ACTION) {
            None => Self::Backup,
            Some(value) => match value.as_str() {
                Some("backup") => Self::Backup,
                Some("copy") => Self::Copy { completion: None },
                Some("explain") => Self::Explain { keep_instead: None },
                Some("status") => Self::Status,
                _ => {
                    let cause = "it has to be \"backup\", \"copy\", \"explain\" or \"status\"";
                    return Err(reading::wrong(ACTION, cause, value));
                }
            },
        };
        let action = match (action, given(event, EVENT)) {
            (Self::Copy { .. }, Some(value)) => {
                let completion = Completion::read(value).map_err(|error| PolicyError::Field {
                    field: error.field(EVENT),
                    cause: error.to_string(),
                })?;
                Self::Copy { completion: Some(completion) }
            }
            (_, Some(value)) => {
                return Err(reading::wrong(EVENT, "it goes only with \"action\": \"copy\"", value));
            }
            (action, None) => action,
        };
        match (action, given(event, KEEP_INSTEAD)) {
            (Self::Explain { .. }, Some(value)) => {
                Ok(Self::Explain { keep_instead: Some(reading::read(value, KEEP_INSTEAD)?) })
            }
            (_, Some(value)) => {
                Err(reading::wrong(KEEP_INSTEAD, "it goes only with \"action\": \"explain\"", value))
            }
            (action, None) => Ok(action),
        }
    }
}

/// A field that says something.
fn given<'a>(event: &'a Value, field: &str) -> Option<&'a Value> {
    event.get(field).filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunId;
    use chrono::DateTime;
    use serde_json::json;

    fn policy() -> Value {
        json!({"policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"last": 3}, "colour": 7})
    }

    fn with(more: &Value) -> Value {
        let mut event = policy();
        for (field, value) in more.as_object().unwrap() {
            event[field] = value.clone();
        }
        event
    }

    #[test]
    fn a_continuation_carries_the_whole_event_and_where_the_run_stands() {
        let event = Event::read(policy()).unwrap();
        assert_eq!((&event.action, &event.continuation), (&Action::Backup, &None));
        let at = Continuation {
            run: RunId::from("daily/2026-11-22/k3v9x2"),
            hop: 3,
            generation: 9,
            began_at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
            settled_until: None,
        };
        let next = event.continued(&at);
        assert_eq!(next["colour"], 7);
        assert_eq!(Event::read(next).unwrap().continuation, Some(at.clone()));
        let at = Continuation { settled_until: DateTime::from_timestamp(1_795_000_700, 0), ..at };
        assert_eq!(Event::read(event.continued(&at)).unwrap().continuation, Some(at));
    }

    #[test]
    fn an_event_says_what_to_do() {
        let action = |more: Value| Event::read(with(&more)).map(|event| event.action);
        assert_eq!(action(json!({"action": "backup"})), Ok(Action::Backup));
        assert_eq!(
            action(json!({"action": null, "keep_instead": null, "continue": null})),
            Ok(Action::Backup)
        );
        assert_eq!(action(json!({"action": "status"})), Ok(Action::Status));
        assert_eq!(action(json!({"action": "explain"})), Ok(Action::Explain { keep_instead: None }));
        assert_eq!(
            action(json!({"action": "explain", "keep_instead": {"last": 9}})),
            Ok(Action::Explain { keep_instead: Some(Keep::last(9)) })
        );
    }
}
