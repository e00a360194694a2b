//! Identifiers as they come from AWS: names that are compared and printed, never taken apart. EC2's
//! are short enough to lie in place: to copy one is to copy 24 bytes.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smol_str::SmolStr;
use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(SmolStr);

        impl $name {
            /// Takes the text as it is.
            pub fn new(value: impl AsRef<str>) -> Self {
                Self(SmolStr::new(value))
            }

            /// The text that it was made from.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(value: &str) -> Self {
                Self(value.into())
            }
        }

        impl From<SmolStr> for $name {
            fn from(value: SmolStr) -> Self {
                Self(value)
            }
        }

        impl From<String> for $name {
            fn from(value: String) -> Self {
                Self(value.into())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::from)
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
