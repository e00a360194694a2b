//! Whether CloudFormation takes a value for a parameter: decided before anything is made.

use fancy_regex::Regex;
use serde_json::Value;

/// Checks a value against a parameter's definition.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn check(name: &str, definition: &Value, value: &str) -> Result<(), String> {
    let text = |field: &str| definition.get(field).map(as_text);
    if let Some(allowed) = definition.get("AllowedValues").and_then(Value::as_array)
        && !allowed.iter().any(|one| as_text(one) == value)
    {
        return Err(format!("{name}: {value:?} is not among the allowed values"));
    }
    if let Some(pattern) = text("AllowedPattern") {
        // The whole value has to match, of a list each element.
        let pattern = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| format!("{name}: {error}"))?;
        let is_list = text("Type").as_deref() == Some("CommaDelimitedList");
        let parts: Vec<&str> = if is_list { value.split(',').map(str::trim).collect() } else { vec![value] };
        for part in parts {
            if !pattern.is_match(part).map_err(|error| format!("{name}: {error}"))? {
                let told = text("ConstraintDescription").unwrap_or_default();
                return Err(format!("{name}: {part:?} must be {told}"));
            }
        }
    }
    if text("Type").as_deref() == Some("Number") {
        let number: f64 = value.parse().map_err(|_| format!("{name}: {value:?} is no number"))?;
        let limit = |field: &str| text(field).and_then(|limit| limit.parse::<f64>().ok());
        if limit("MinValue").is_some_and(|least| number < least)
            || limit("MaxValue").is_some_and(|most| number > most)
        {
            return Err(format!("{name}: {value} is out of range"));
        }
    }
    Ok(())
}

/// Scalars are text to CloudFormation.
#[must_use]
pub fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
