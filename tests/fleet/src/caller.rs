//! Who calls: read from the access key id in the request's signature. Signatures are not checked; every
//! instance and every function environment gets a key of its own, so that a key is an identity.
//!
//! Without a template an instance may invoke the signal function and nothing else (promise 5); with one, the
//! roles decide ([`crate::rights`]). A key that was never given out is the operator's.

use crate::random;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::Mutex;

/// The only function that an instance may invoke.
pub const SIGNAL: &str = "signal";

/// Somebody with credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A person at the console, with keys of their own.
    Operator,
    /// A program on an instance.
    Instance(String),
    /// A function.
    Function {
        /// Its name.
        name: String,
        /// The environment that it runs in.
        environment: u64,
    },
}

impl Caller {
    /// Whether the caller may call the operation, where no template says more; for `Invoke`, on that function.
    #[must_use]
    pub fn may(&self, operation: &str, function: Option<&str>) -> bool {
        match self {
            Self::Operator | Self::Function { .. } => true,
            Self::Instance(_) => operation == "Invoke" && function == Some(SIGNAL),
        }
    }

    /// The instance's id or the function's name; `operator` for people.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operator => "operator",
            Self::Instance(id) => id,
            Self::Function { name, .. } => name,
        }
    }
}

/// Temporary credentials.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// `ASIA...`
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: String,
    /// The session's token.
    pub session_token: String,
}

/// Every key that was given out.
#[derive(Debug, Default)]
pub struct Callers(Mutex<HashMap<String, Caller>>);

impl Callers {
    /// Makes credentials for a caller.
    pub fn issue(&self, caller: Caller) -> Credentials {
        let credentials = Credentials {
            access_key_id: format!("ASIA{}", random::hex(16).to_uppercase()),
            secret_access_key: random::hex(40),
            session_token: random::hex(64),
        };
        lock(&self.0).insert(credentials.access_key_id.clone(), caller);
        credentials
    }

    /// The region that a request was signed for, by its `Authorization` header.
    #[must_use]
    pub fn region_of(authorization: Option<&str>) -> Option<&str> {
        // Credential=KEY/DAY/REGION/SERVICE/aws4_request
        authorization?.split_once("Credential=")?.1.split('/').nth(2)
    }

    /// Who signed a request, by its `Authorization` header.
    #[must_use]
    pub fn of(&self, authorization: Option<&str>) -> Caller {
        let key = authorization
            .and_then(|header| header.split_once("Credential="))
            .and_then(|(_, rest)| rest.split('/').next());
        key.and_then(|key| lock(&self.0).get(key).cloned()).unwrap_or(Caller::Operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_may_invoke_signal_and_nothing_else() {
        let instance = Caller::Instance("i-0aaaaaaaaaaaaaaa1".to_owned());
        assert!(instance.may("Invoke", Some("signal")));
        assert!(!instance.may("Invoke", Some("backup")));
        for operation in crate::operation::ALL.iter().filter(|operation| **operation != "Invoke") {
            assert!(!instance.may(operation, None), "{operation}");
        }
    }

    #[test]
    fn a_key_is_an_identity_and_an_unknown_one_the_operators() {
        let callers = Callers::default();
        let instance = Caller::Instance("i-0aaaaaaaaaaaaaaa1".to_owned());
        let key = callers.issue(instance.clone()).access_key_id;
        let header =
            format!("AWS4-HMAC-SHA256 Credential={key}/20261122/eu-central-1/lambda/aws4_request, x");
        assert_eq!(callers.of(Some(&header)), instance);
        assert_eq!(Callers::region_of(Some(&header)), Some("eu-central-1"));
        assert_eq!(Callers::region_of(None), None);
        assert_eq!(callers.of(Some("AWS4-HMAC-SHA256 Credential=AKIAOTHER/x")), Caller::Operator);
        assert_eq!(callers.of(Some("Credential=")), Caller::Operator);
        assert_eq!(callers.of(None), Caller::Operator);
    }
}
