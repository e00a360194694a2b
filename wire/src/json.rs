//! Reading JSON so that an error names the field.

use crate::VERSION;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A document that could not be read, with the path of the field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// A field is missing, of the wrong type or out of range.
    #[error("{what}: field {field}: {cause}")]
    Field {
        /// The kind of document.
        what: &'static str,
        /// Path of the field, dots between the parts.
        field: String,
        /// What serde says of it.
        cause: String,
    },
    /// It is no JSON object at all, or a field of the top level is missing.
    #[error("{what}: {cause}")]
    Document {
        /// The kind of document.
        what: &'static str,
        /// What serde says of it.
        cause: String,
    },
}

/// Refuses a document of a version that this reader does not know.
pub(crate) fn check_version(what: &'static str, v: u32) -> Result<(), JsonError> {
    if v == VERSION {
        return Ok(());
    }
    let cause = format!("{v} is not the version that this reader knows ({VERSION})");
    Err(JsonError::Field { what, field: "v".to_owned(), cause })
}

/// The same before the rest of it is read: what another version leaves out is no error of its own.
pub(crate) fn expect_version(what: &'static str, text: &[u8]) -> Result<(), JsonError> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    check_version(what, read::<Versioned>(what, text)?.v)
}

pub(crate) fn read<T: DeserializeOwned>(what: &'static str, text: &[u8]) -> Result<T, JsonError> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = error.path().to_string();
        let cause = error.into_inner().to_string();
        if field == "." {
            JsonError::Document { what, cause }
        } else {
            JsonError::Field { what, field, cause }
        }
    })?;
    deserializer.end().map_err(|error| JsonError::Document { what, cause: error.to_string() })?;
    Ok(value)
}
