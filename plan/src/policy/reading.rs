//! Reading what others wrote: every error names the field and shows its value.

use crate::policy::PolicyError;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path, Segment};

/// Most characters of a value that an error shows.
const SHOWN: usize = 120;

/// Reads text as JSON.
pub(crate) fn json(text: &[u8]) -> Result<Value, PolicyError> {
    serde_json::from_slice(text).map_err(|error| PolicyError::Document { cause: error.to_string() })
}

/// Reads the value of the event's field `field`; for the event itself that is "".
pub(crate) fn read<T: DeserializeOwned>(value: &Value, field: &str) -> Result<T, PolicyError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().clone();
        let cause = error.into_inner().to_string();
        let inner = path.to_string();
        match (field, inner.as_str()) {
            ("", ".") => PolicyError::Document { cause: one_line(&cause) },
            ("", inner) => wrong_at(inner.to_owned(), cause, value, &path),
            (field, ".") => wrong(field, &cause, value),
            (field, inner) => wrong_at(format!("{field}.{inner}"), cause, value, &path),
        }
    })
}

/// The error of one field, whose value it shows unless the cause does.
pub(crate) fn wrong(field: &str, cause: &str, value: &Value) -> PolicyError {
    PolicyError::Field { field: one_line(field), cause: one_line(&showing(cause.to_owned(), value)) }
}

fn wrong_at(field: String, cause: String, whole: &Value, path: &Path) -> PolicyError {
    let cause = match value_at(whole, path) {
        Some(value) => showing(cause, value),
        None => cause,
    };
    PolicyError::Field { field: one_line(&field), cause: one_line(&cause) }
}

/// With control characters as escapes: an error is one line, whatever somebody wrote.
fn one_line(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut line, c| {
        if c.is_control() {
            line.extend(c.escape_default())
        } else {
            line.push(c)
        }
        line
    })
}

fn showing(cause: String, value: &Value) -> String {
    let text = value.to_string();
    let is_shown = match value.as_str() {
        Some("") | None => cause.contains(&text),
        Some(text) => cause.contains(text),
    };
    if is_shown { cause } else { format!("{cause}; it is {}", shortened(&text)) }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

fn value_at<'a>(whole: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(whole, |value, segment| match segment {
        Segment::Map { key } => value.get(key),
        Segment::Seq { index } => value.get(index),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}
