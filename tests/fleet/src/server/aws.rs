//! Requests to `/`: EC2 by a form with an `Action`, the JSON services by a header with the operation.

use super::call::{Call, Pace};
use super::protocol::{self, Protocol};
use crate::api_error::ApiError;
use crate::caller::Callers;
use crate::ec2::{self, query::Query};
use crate::operation;
use crate::region::Region;
use crate::rights;
use crate::ssm;
use axum::body::{Body, Bytes};
use axum::extract::{Form, FromRequest, Request, State};
use axum::http::{HeaderMap, Response, header};
use stack::iam;
use std::sync::Arc;

const SSM: &str = "AmazonSSM";
const CLOUDTRAIL: &str = "CloudTrail_20131101";

/// Serves one request.
pub async fn serve(State(region): State<Arc<Region>>, request: Request) -> Response<Body> {
    let target = header_text(request.headers(), "x-amz-target").map(str::to_owned);
    let authorization = header_text(request.headers(), header::AUTHORIZATION.as_str());
    let caller = region.callers.of(authorization);
    // Callers, faults and counts are the same everywhere; what the call is about lies where it is signed for.
    let region_of_effect = match Callers::region_of(authorization) {
        None => Arc::clone(&region),
        Some(name) => match region.named(name) {
            Some(region) => Arc::clone(region),
            None => {
                let protocol = if target.is_some() { Protocol::Json } else { Protocol::Ec2 };
                let message =
                    format!("Credential should be scoped to a valid region; the fleet has no {name}.");
                return protocol.error(&ApiError::new("AuthFailure", message).status(401));
            }
        },
    };
    match target {
        Some(target) => {
            let body = match Bytes::from_request(request, &region).await {
                Ok(body) => body,
                Err(error) => return unreadable(Protocol::Json, &error.to_string()),
            };
            let (service, name) = target.rsplit_once('.').unwrap_or(("", &target));
            let Some(operation) = operation::named(name) else {
                let message = format!("The fleet has no operation {target}.");
                return Protocol::Json.error(&ApiError::new("UnknownOperationException", message));
            };
            let trail = service.ends_with(CLOUDTRAIL);
            if !trail && service != SSM {
                return unreadable(Protocol::Json, &format!("the fleet has no service {service}"));
            }
            let asked = region.rights.is_some().then(|| {
                if trail {
                    iam::Call::new(format!("cloudtrail:{operation}"), Vec::new())
                        .with("aws:RequestedRegion", region_of_effect.name.as_str())
                } else {
                    rights::asked_of_ssm(&region_of_effect, operation, &body)
                }
            });
            let call = Call { asked, ..Call::of(Protocol::Json, operation, caller, None) };
            call.serve(region, Pace::Whole, async move {
                let region = region_of_effect;
                let answer = if trail {
                    region.trail.lookup_events(&body, region.clock.now())?
                } else {
                    ssm::serve(&region, operation, &body)?
                };
                Ok(protocol::json(&answer))
            })
            .await
        }
        None => {
            let pairs = match Form::<Vec<(String, String)>>::from_request(request, &region).await {
                Ok(Form(pairs)) => pairs,
                Err(error) => return unreadable(Protocol::Ec2, &error.to_string()),
            };
            let query = Query::new(pairs);
            let action = query.action().to_owned();
            let Some(operation) = operation::named(&action) else {
                let message = format!("The action {action} is not valid for this web service.");
                return Protocol::Ec2.error(&ApiError::new("InvalidAction", message));
            };
            let instance = query.instance().map(str::to_owned);
            let asked =
                region.rights.is_some().then(|| rights::asked_of_ec2(&region, &region_of_effect, &query));
            let call = Call { asked, ..Call::of(Protocol::Ec2, operation, caller, instance) };
            let home = Arc::clone(&region);
            call.serve(region, Pace::Whole, async move {
                let children = ec2::serve(&home, &region_of_effect, query).await?;
                Ok(protocol::ec2(operation, &children))
            })
            .await
        }
    }
}

fn unreadable(protocol: Protocol, cause: &str) -> Response<Body> {
    protocol.error(&ApiError::new("MalformedQueryString", cause))
}

/// A header's text, where it is text.
pub fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
