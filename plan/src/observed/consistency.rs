//! How much a snapshot can be trusted to hold, weakest first.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a policy asks for and what a snapshot is labelled with. The order is the order of trust: a
/// label satisfies a policy that asks for it or for anything before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consistency {
    /// What a power cut would have left. Every snapshot is born with this label.
    Crash,
    /// Every file system on the volume was provably frozen around the cut.
    Filesystem,
    /// The same, with the applications quiesced by their own means.
    Application,
    /// Nothing could write: the instance was stopped or the volume detached, before and after. A
    /// label only; no policy can ask for it.
    Offline,
}

impl Consistency {
    /// The word as it stands in a tag and in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Filesystem => "filesystem",
            Self::Application => "application",
            Self::Offline => "offline",
        }
    }

    /// Reads a label. A missing or unknown one proves nothing, so it counts as [`Self::Crash`].
    #[must_use]
    pub fn from_label(label: Option<&str>) -> Self {
        match label {
            Some("filesystem") => Self::Filesystem,
            Some("application") => Self::Application,
            Some("offline") => Self::Offline,
            _ => Self::Crash,
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_reads_as_it_is_written_and_anything_else_is_crash() {
        use Consistency::{Application, Crash, Filesystem, Offline};
        for label in [Crash, Filesystem, Application, Offline] {
            assert_eq!(Consistency::from_label(Some(label.as_str())), label);
            assert_eq!(serde_json::to_value(label).unwrap(), label.as_str());
        }
        for text in [None, Some(""), Some("Filesystem"), Some("filesystem "), Some("perfect")] {
            assert_eq!(Consistency::from_label(text), Crash, "{text:?}");
        }
        assert!(Crash < Filesystem && Filesystem < Application && Application < Offline);
    }
}
