//! The ways in which services write answers and errors, and the codes they have for the errors that faults
//! and permissions make.

use crate::api_error::ApiError;
use crate::ec2::xml::{self, Element};
use crate::random;
use crate::rights::Denial;
use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use serde_json::{Value, json};

/// A service's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// EC2's query API: XML.
    Ec2,
    /// JSON with the operation's name in a header: SSM and CloudTrail.
    Json,
    /// Lambda's REST API.
    Rest,
}

impl Protocol {
    /// The error of a caller without the right.
    #[must_use]
    pub fn denied(self, denial: &Denial) -> ApiError {
        let sentence = denial.sentence.as_str();
        match self {
            Self::Ec2 => {
                let message = format!("You are not authorized to perform this operation. {sentence}");
                ApiError::new("UnauthorizedOperation", message).status(403)
            }
            Self::Json => ApiError::new("AccessDeniedException", sentence),
            Self::Rest => ApiError::new("AccessDeniedException", sentence).status(403),
        }
    }

    /// The error of a call too many.
    #[must_use]
    pub fn throttled(self) -> ApiError {
        match self {
            Self::Ec2 => ApiError::new("RequestLimitExceeded", "Request limit exceeded.").status(503),
            Self::Json => ApiError::new("ThrottlingException", "Rate exceeded"),
            Self::Rest => ApiError::new("TooManyRequestsException", "Rate Exceeded.").status(429),
        }
    }

    /// The service's own failure.
    #[must_use]
    pub fn failed(self) -> ApiError {
        let (code, message) = match self {
            Self::Ec2 => ("InternalError", "An internal error has occurred"),
            Self::Json => ("InternalServerError", "An internal error occurred."),
            Self::Rest => ("ServiceException", "An error occurred and the request cannot be processed."),
        };
        ApiError::new(code, message).status(500)
    }

    /// An error as an answer.
    #[must_use]
    pub fn error(self, error: &ApiError) -> Response<Body> {
        let request = random::uuid();
        let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        match self {
            Self::Ec2 => respond(status, "text/xml;charset=UTF-8", &request, xml::error(error, &request)),
            Self::Json => {
                let body = json!({"__type": error.code, "message": error.message});
                respond(status, "application/x-amz-json-1.1", &request, body.to_string())
            }
            Self::Rest => {
                let body = json!({"Type": "User", "Message": error.message, "message": error.message});
                let mut answer = respond(status, "application/json", &request, body.to_string());
                answer.headers_mut().insert("x-amzn-errortype", header::HeaderValue::from_static(error.code));
                answer
            }
        }
    }
}

/// EC2's answer.
#[must_use]
pub fn ec2(action: &str, children: &[Element]) -> Response<Body> {
    let request = random::uuid();
    respond(StatusCode::OK, "text/xml;charset=UTF-8", &request, xml::response(action, &request, children))
}

/// The answer of a JSON service.
#[must_use]
pub fn json(body: &Value) -> Response<Body> {
    respond(StatusCode::OK, "application/x-amz-json-1.1", &random::uuid(), body.to_string())
}

/// An answer of any service.
#[must_use]
pub fn respond(
    status: StatusCode,
    content_type: &'static str,
    request: &str,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    if let Ok(request) = header::HeaderValue::from_str(request) {
        answer.headers_mut().insert("x-amzn-requestid", request);
    }
    answer
}
