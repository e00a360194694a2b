//! The signing key as Parameter Store keeps it: base64url without padding, of 32 random bytes.

use crate::aws::{CallError, Created, Parameters};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use stillframe_wire::{OrderError, SigningKey};

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Parameter Store could not be asked.
    #[error("failed to load the signing key {parameter}: {cause}")]
    Parameter {
        /// The parameter's name.
        parameter: String,
        /// What the call gave.
        cause: CallError,
    },
    /// What is stored is no key.
    #[error(
        "failed to read the signing key {parameter}: {cause}; delete the parameter and the next backup makes a new one"
    )]
    Unreadable {
        /// The parameter's name.
        parameter: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The system gave no random bytes.
    #[error("failed to make a signing key: {0}")]
    Random(getrandom::Error),
}

/// Loads the key; `None` when nobody has made one yet.
///
/// # Errors
/// It could not be loaded, or is no key.
pub async fn load(parameters: &Parameters, name: &str) -> Result<Option<SigningKey>, KeyError> {
    let value = parameters
        .get(name)
        .await
        .map_err(|cause| KeyError::Parameter { parameter: name.to_owned(), cause })?;
    value.map(|value| read(name, &value)).transpose()
}

/// Loads the key, or makes it. Whoever loses the race for making it reads the winner's.
///
/// # Errors
/// It could be neither loaded nor made.
pub async fn load_or_make(parameters: &Parameters, name: &str) -> Result<SigningKey, KeyError> {
    if let Some(key) = load(parameters, name).await? {
        return Ok(key);
    }
    let mut bytes = [0; SigningKey::MIN_BYTES];
    getrandom::fill(&mut bytes).map_err(KeyError::Random)?;
    let made = parameters
        .create_secret(name, &BASE64_URL_SAFE_NO_PAD.encode(bytes))
        .await
        .map_err(|cause| KeyError::Parameter { parameter: name.to_owned(), cause })?;
    match load(parameters, name).await? {
        Some(key) => Ok(key),
        None if made == Created::Made => read(name, &BASE64_URL_SAFE_NO_PAD.encode(bytes)),
        None => Err(KeyError::Unreadable {
            parameter: name.to_owned(),
            cause: "it exists but cannot be seen yet".to_owned(),
        }),
    }
}

fn read(name: &str, value: &str) -> Result<SigningKey, KeyError> {
    let unreadable = |cause: String| KeyError::Unreadable { parameter: name.to_owned(), cause };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(value.trim()).map_err(|error| unreadable(error.to_string()))?;
    SigningKey::new(bytes).map_err(|error: OrderError| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_key_is_read_and_anything_else_is_refused_without_showing_it() {
        assert!(read("k", &BASE64_URL_SAFE_NO_PAD.encode([7; 32])).is_ok());
        for bad in ["", "short", "not base64!", "c2hvcnQ"] {
            let error = read("/stillframe/signing-key", bad).unwrap_err().to_string();
            assert!(error.contains("/stillframe/signing-key"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad), "{error}");
        }
    }
}
