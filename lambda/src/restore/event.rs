//! What starts a restore: an operator's event, or EC2's word that an instance runs.

use serde_json::{Map, Value};
use stillframe_plan::{InstanceId, Spec, SpecError};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// `{"restore": {"instance": "i-...", ...spec...}}`. With `parameter` the spec is that parameter's, and
    /// the event's own fields stand over its fields.
    Asked {
        /// The instance to restore onto.
        instance: InstanceId,
        /// Name of a parameter below `/stillframe/restore/`.
        parameter: Option<String>,
        /// The fields of the spec.
        fields: Map<String, Value>,
        /// Whether the plan is only to be shown.
        dry_run: bool,
    },
    /// An instance runs; whether anything is to be restored onto it its tag tells.
    Running(InstanceId),
}

/// An event that is none of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It is neither of the two.
    #[error(
        "failed to read the event: it has neither `restore` nor the `detail` of an instance that is running"
    )]
    Unknown,
    /// A field is missing or wrong.
    #[error("failed to read the event: field `{field}`: {cause}")]
    Field {
        /// Which.
        field: &'static str,
        /// What is wrong with it, its value included.
        cause: String,
    },
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// It is none, or the first field that is wrong. The spec itself is read later.
    pub fn read(event: &Value) -> Result<Self, EventError> {
        if let Some(restore) = event.get("restore") {
            return Self::asked(restore);
        }
        let detail = event.get("detail").ok_or(EventError::Unknown)?;
        let ours = event.get("source").and_then(Value::as_str) == Some("aws.ec2")
            && detail.get("state").and_then(Value::as_str) == Some("running");
        if !ours {
            return Err(EventError::Unknown);
        }
        Ok(Self::Running(instance(detail.get("instance-id"), "detail.instance-id")?))
    }

    fn asked(restore: &Value) -> Result<Self, EventError> {
        let Some(fields) = restore.as_object() else {
            return Err(EventError::Field { field: "restore", cause: format!("{restore} is not an object") });
        };
        let mut fields = fields.clone();
        let given = instance(fields.remove("instance").as_ref(), "restore.instance")?;
        let parameter = match fields.remove("parameter") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) if is_name(&name) => Some(name),
            Some(other) => {
                let cause = format!("{other} is no name of a parameter");
                return Err(EventError::Field { field: "restore.parameter", cause });
            }
        };
        let dry_run = match fields.remove("dry_run") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(dry_run)) => dry_run,
            // So does an automation document say it.
            Some(Value::String(word)) if word.is_empty() || word.eq_ignore_ascii_case("false") => false,
            Some(Value::String(word)) if word.eq_ignore_ascii_case("true") => true,
            Some(other) => {
                let cause = format!("{other} is neither true nor false");
                return Err(EventError::Field { field: "restore.dry_run", cause });
            }
        };
        // An automation document hands over every field, those that nobody filled in as empty text.
        fields.retain(|_, value| value.as_str() != Some(""));
        Ok(Self::Asked { instance: given, parameter, fields, dry_run })
    }
}

/// A name as Parameter Store takes it, one level deep.
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// The spec of a parameter with the event's fields over it.
///
/// # Errors
/// The parameter is no JSON object, or the spec is wrong.
pub fn overlaid(parameter: &str, fields: &Map<String, Value>) -> Result<Spec, SpecError> {
    let base: Value =
        serde_json::from_str(parameter).map_err(|error| SpecError::Document { cause: error.to_string() })?;
    let Value::Object(mut base) = base else {
        return Err(SpecError::Document { cause: format!("{base} is not a JSON object") });
    };
    base.extend(fields.clone());
    Spec::read(&Value::Object(base))
}

fn instance(value: Option<&Value>, field: &'static str) -> Result<InstanceId, EventError> {
    match value {
        Some(Value::String(id)) if id.starts_with("i-") => Ok(InstanceId::from(id.as_str())),
        Some(other) => Err(EventError::Field { field, cause: format!("{other} is no instance id") }),
        None => Err(EventError::Field { field, cause: "missing".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_kinds_are_read() {
        let event = json!({"restore": {"instance": "i-1", "role": "db", "at": "", "dry_run": true, "parameter": "pg"}});
        let Ok(Event::Asked { instance, parameter, fields, dry_run }) = Event::read(&event) else { panic!() };
        assert_eq!((instance.as_str(), parameter.as_deref(), dry_run), ("i-1", Some("pg"), true));
        assert_eq!(Value::Object(fields.clone()), json!({"role": "db"}));
        let spec = overlaid(r#"{"role": "web", "blank": true}"#, &fields).unwrap();
        assert_eq!((spec.filter["role"].as_str(), spec.blank), ("db", true));

        let running = json!({
            "source": "aws.ec2", "detail-type": "EC2 Instance State-change Notification",
            "detail": {"instance-id": "i-2", "state": "running"},
        });
        assert_eq!(Event::read(&running), Ok(Event::Running("i-2".into())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (event, says) in [
            (json!({}), "neither"),
            (json!({"source": "aws.ec2", "detail": {"instance-id": "i-1", "state": "stopped"}}), "neither"),
            (json!({"restore": 7}), "`restore`: 7"),
            (json!({"restore": {}}), "`restore.instance`: missing"),
            (json!({"restore": {"instance": "vol-1"}}), "\"vol-1\""),
            (json!({"restore": {"instance": "i-1", "parameter": "../key"}}), "\"../key\""),
            (json!({"restore": {"instance": "i-1", "dry_run": "yes"}}), "\"yes\""),
        ] {
            let error = Event::read(&event).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
