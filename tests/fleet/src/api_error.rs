//! An error as AWS answers it: a code, a message, an HTTP status. Each protocol writes it its own way.

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The code that clients decide by, `InvalidVolume.NotFound`.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The HTTP status.
    pub status: u16,
}

impl ApiError {
    /// The client's fault: status 400.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), status: 400 }
    }

    /// Something in the region failed: status 500.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        let mut message = cause.to_string();
        let mut next = cause.source();
        while let Some(cause) = next {
            message = format!("{message}: {cause}");
            next = cause.source();
        }
        Self { code: "InternalError", message, status: 500 }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }
}
