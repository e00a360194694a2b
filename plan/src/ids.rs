//! Identifiers as they come from AWS: names that are compared and printed, never taken apart.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the text as it is.
            pub fn new(value: impl Into<String>) -> Self {
                Self(value.into())
            }

            /// The text that it was made from.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

id!(
    /// An EC2 instance, `i-0aaaaaaaaaaaaaaa1`.
    InstanceId
);
id!(
    /// An EBS volume, `vol-0aaaaaaaaaaaaaa01`.
    VolumeId
);
id!(
    /// An EBS snapshot, `snap-0123456789abcdef0`.
    SnapshotId
);
id!(
    /// One execution of a policy: policy, slot and a random suffix, `daily/2026-11-22/k3v9x2`.
    RunId
);
