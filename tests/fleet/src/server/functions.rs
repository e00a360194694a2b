//! Lambda's `Invoke`: waiting for the answer, handing to the queue, or only checking.

use super::aws::header_text;
use super::call::{Call, Pace};
use super::protocol::{self, Protocol};
use super::spoil::read_event;
use crate::api_error::ApiError;
use crate::lambda;
use crate::region::Region;
use crate::rights;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use std::sync::Arc;
use std::time::Instant;

/// `POST /2015-03-31/functions/<name or ARN>/invocations`.
pub async fn invoke(
    State(region): State<Arc<Region>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response<Body> {
    let caller = region.callers.of(header_text(&headers, header::AUTHORIZATION.as_str()));
    let function = region.functions.named(&caller, &name);
    let asked = region.rights.is_some().then(|| rights::asked_of_lambda(&region, &name));
    let (deadline, event) = read_event(&payload, Instant::now());
    let call = Call { function, event, deadline, asked, ..Call::of(Protocol::Rest, "Invoke", caller, None) };
    let kind = header_text(&headers, "x-amz-invocation-type").unwrap_or("RequestResponse").to_owned();
    let region_of_effect = Arc::clone(&region);
    call.serve(region, Pace::Added, async move {
        let region = region_of_effect;
        let function = function.ok_or_else(|| lambda::not_found(&region, &name))?;
        let request = lambda::request_id();
        match kind.as_str() {
            "RequestResponse" => {
                lambda::check_event(&payload, false)?;
                let outcome = lambda::invoke(&region, function, &payload, &request).await?;
                Ok(answer(outcome, &request))
            }
            "Event" => {
                lambda::check_event(&payload, true)?;
                lambda::invoke_later(&region, function, payload.to_vec(), request.clone());
                Ok(protocol::respond(StatusCode::ACCEPTED, "application/json", &request, Body::empty()))
            }
            "DryRun" => {
                Ok(protocol::respond(StatusCode::NO_CONTENT, "application/json", &request, Body::empty()))
            }
            _ => {
                let message = format!("{kind} is no invocation type");
                Err(ApiError::new("InvalidParameterValueException", message))
            }
        }
    })
    .await
}

fn answer(outcome: lambda::Outcome, request: &str) -> Response<Body> {
    let (payload, failed) = match outcome {
        Ok(payload) => (payload, false),
        Err(error) => (error.payload, true),
    };
    let mut answer = protocol::respond(StatusCode::OK, "application/json", request, payload);
    let headers = answer.headers_mut();
    headers.insert("X-Amz-Executed-Version", HeaderValue::from_static("$LATEST"));
    if failed {
        headers.insert("X-Amz-Function-Error", HeaderValue::from_static("Unhandled"));
    }
    answer
}
