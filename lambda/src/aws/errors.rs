//! What a failed call means for the caller: whether it may have had its effect. EC2 models no errors,
//! so its codes are strings; the lists here are AWS's own.

use aws_sdk_ec2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use std::error::Error;

/// Codes by which a service says that it did not even look at the request.
const THROTTLED: [&str; 13] = [
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestThrottled",
    "RequestThrottledException",
    "TooManyRequestsException",
    "TooManyUpdates",
    "EC2ThrottledException",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "SlowDown",
];

/// Codes by which EC2 says that a volume can have no further snapshot now.
const PENDING_LIMIT: [&str; 4] = [
    "ConcurrentSnapshotLimitExceeded",
    "SnapshotCreationPerVolumeRateExceeded",
    "PendingSnapshotLimitExceeded",
    "PendingSnapshotsLimitExceeded",
];

/// A call that did not answer with success.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Asked too often. Certainly not executed; the same call may be made again.
    #[error("{operation} was throttled ({code}: {message})")]
    Throttled {
        /// The API operation.
        operation: &'static str,
        /// The service's code.
        code: String,
        /// The service's sentence.
        message: String,
    },
    /// The service said no, or the request never left. Certainly not executed.
    #[error("{operation} was refused ({code}: {message})")]
    Refused {
        /// The API operation.
        operation: &'static str,
        /// The service's code, or `NotSent`.
        code: String,
        /// The service's sentence.
        message: String,
    },
    /// Nobody knows whether it was executed: a timeout, a lost connection, a 5xx, an answer that
    /// cannot be read.
    #[error("the outcome of {operation} is unknown ({cause})")]
    Unknown {
        /// The API operation.
        operation: &'static str,
        /// What was seen.
        cause: String,
    },
}

/// What the executors ask of a [`CallError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Asked too often.
    Throttled,
    /// A volume can have no further snapshot for now.
    PendingLimit,
    /// No, for another reason.
    Refused,
    /// It may have been executed.
    Unknown,
}

impl CallError {
    /// The kind of failure.
    #[must_use]
    pub fn cause(&self) -> Cause {
        match self {
            Self::Throttled { .. } => Cause::Throttled,
            Self::Refused { code, .. } if PENDING_LIMIT.contains(&code.as_str()) => Cause::PendingLimit,
            Self::Refused { .. } => Cause::Refused,
            Self::Unknown { .. } => Cause::Unknown,
        }
    }

    /// The service's code, when it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Throttled { code, .. } | Self::Refused { code, .. } => Some(code),
            Self::Unknown { .. } => None,
        }
    }

    /// An answer of success that lacks what it must hold: the effect happened, its result is lost.
    pub(super) fn unreadable(operation: &'static str, missing: &str) -> Self {
        Self::Unknown { operation, cause: format!("its answer holds no {missing}") }
    }

    /// Sorts what the SDK gives.
    pub(super) fn from_sdk<E>(operation: &'static str, error: &SdkError<E, HttpResponse>) -> Self
    where
        E: Error + ProvideErrorMetadata + 'static,
    {
        let cause = || chain(error);
        match error {
            SdkError::ConstructionFailure(_) => {
                Self::Refused { operation, code: "NotSent".to_owned(), message: cause() }
            }
            SdkError::ServiceError(service) => {
                let status = service.raw().status().as_u16();
                let message = service.err().message().unwrap_or("no message").to_owned();
                match service.err().code() {
                    Some(code) if THROTTLED.contains(&code) => {
                        Self::Throttled { operation, code: code.to_owned(), message }
                    }
                    Some(code) if (400..500).contains(&status) => {
                        Self::Refused { operation, code: code.to_owned(), message }
                    }
                    Some(code) => {
                        Self::Unknown { operation, cause: format!("HTTP {status}, {code}: {message}") }
                    }
                    // A success that could not be parsed, or an error page of something in between.
                    None => {
                        Self::Unknown { operation, cause: format!("HTTP {status} without an error code") }
                    }
                }
            }
            _ => Self::Unknown { operation, cause: cause() },
        }
    }
}

/// An error and its causes, once each: some of the SDK's repeat their cause themselves.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let part = cause.to_string();
        if !text.ends_with(&part) {
            text = format!("{text}: {part}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
