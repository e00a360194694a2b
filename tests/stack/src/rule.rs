//! EventBridge: which events a rule is for, and what its target is given.

use crate::parameters::as_text;
use serde_json::Value;

/// What stands for the whole event in the template of an input transformer.
const EVENT: &str = "<aws.events.event.json>";

/// Whether an event has everything that a pattern names: a list holds the values that may be there.
#[must_use]
pub fn matches(pattern: &Value, event: &Value) -> bool {
    match pattern {
        Value::Object(fields) => {
            fields.iter().all(|(name, inner)| event.get(name).is_some_and(|value| matches(inner, value)))
        }
        Value::Array(values) => values.contains(event),
        _ => false,
    }
}

/// What a target is given: what its transformer makes of the event, its constant input, or the event as it is.
#[must_use]
pub fn delivered(target: &Value, event: &Value) -> String {
    match (target.pointer("/InputTransformer/InputTemplate"), target.get("Input")) {
        (Some(template), _) => as_text(template).replace(EVENT, &event.to_string()),
        (None, Some(input)) => as_text(input),
        (None, None) => event.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pattern_names_fields_and_the_values_that_they_may_have() {
        let event = json!({"source": "aws.ec2", "detail": {"state": "running", "instance-id": "i-1"}});
        for (pattern, is) in [
            (json!({"source": ["aws.ec2"]}), true),
            (json!({"source": ["aws.ebs", "aws.ec2"], "detail": {"state": ["running"]}}), true),
            (json!({"source": ["aws.ec2"], "detail": {"state": ["stopped"]}}), false),
            (json!({"detail": {"cause": [""]}}), false),
            (json!({"source": "aws.ec2"}), false),
        ] {
            assert_eq!(matches(&pattern, &event), is, "{pattern}");
        }
    }

    #[test]
    fn a_target_is_given_the_event_a_constant_or_both() {
        let event = json!({"a": "b"});
        for (target, given) in [
            (json!({}), r#"{"a":"b"}"#),
            (json!({"Input": "{}"}), "{}"),
            (
                json!({"InputTransformer": {"InputTemplate": "{\"event\": <aws.events.event.json>}"}}),
                r#"{"event": {"a":"b"}}"#,
            ),
        ] {
            assert_eq!(delivered(&target, &event), given);
        }
    }
}
