//! The SSM documents that are sent. Their names begin with the stack's prefix, so that several stacks can
//! live in one account and region.

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// Freezes, by a signed order.
    Freeze,
    /// Thaws, the last resort.
    Thaw,
    /// Mounts what a restore has attached.
    Mount,
}

impl Document {
    /// Its name, `Stillframe-Freeze` with the prefix `Stillframe`.
    #[must_use]
    pub fn name(self, prefix: &str) -> String {
        let what = match self {
            Self::Freeze => "Freeze",
            Self::Thaw => "Thaw",
            Self::Mount => "Mount",
        };
        format!("{prefix}-{what}")
    }
}
