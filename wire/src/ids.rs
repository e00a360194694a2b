//! Identifiers as they cross a trust boundary: checked when read, so that no other code has to
//! wonder what a string from an order may hold.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An identifier that is not of the shape its kind has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct IdError {
    value: String,
    expected: &'static str,
}

fn has_hex_tail(value: &str, prefix: &str) -> bool {
    value.strip_prefix(prefix).is_some_and(|tail| {
        (8..=32).contains(&tail.len())
            && tail.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    })
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes the text as an identifier, or says what it should have looked like.
            pub fn new(value: impl Into<String>) -> Result<Self, IdError> {
                let value = value.into();
                let check: fn(&str) -> bool = $check;
                if check(&value) {
                    Ok(Self(value))
                } else {
                    Err(IdError { value, expected: $expected })
                }
            }

            /// The identifier as AWS writes it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(value: String) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// An EC2 instance, `i-` and hexadecimal digits.
    InstanceId, "an instance id (i- and 8 to 32 hexadecimal digits)",
    |v| has_hex_tail(v, "i-")
);
id!(
    /// An EBS volume, `vol-` and hexadecimal digits.
    VolumeId, "a volume id (vol- and 8 to 32 hexadecimal digits)",
    |v| has_hex_tail(v, "vol-")
);
id!(
    /// An EBS snapshot, `snap-` and hexadecimal digits.
    SnapshotId, "a snapshot id (snap- and 8 to 32 hexadecimal digits)",
    |v| has_hex_tail(v, "snap-")
);
id!(
    /// One execution of a policy: policy, slot and a random suffix, as in `daily/2026-11-22/k3v9x2`.
    /// It goes into a tag value, so it has at most 256 characters and none of them is a control.
    RunId, "a run id (1 to 256 characters, no control characters)",
    |v| !v.is_empty() && v.chars().count() <= 256 && !v.chars().any(char::is_control)
);

impl VolumeId {
    /// The volume id as an NVMe controller gives it for its serial number: without the dash.
    #[must_use]
    pub fn serial(&self) -> String {
        self.0.replacen('-', "", 1)
    }
}
