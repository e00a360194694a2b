//! The instance metadata service, version 2, of every instance: under `/imds/<instance>/`, because all
//! instances share one address here. A token is asked for first; nothing is answered without one.

use crate::caller::Caller;
use crate::clock::{iso, system_now};
use crate::random;
use crate::region::Region;
use crate::sync::lock;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use chrono::{TimeDelta, Utc};
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// The only role of an instance.
const ROLE: &str = "stillframe-instance";
const TOKEN_HEADER: &str = "x-aws-ec2-metadata-token";
const TTL_HEADER: &str = "x-aws-ec2-metadata-token-ttl-seconds";
const LONGEST_TTL_S: i64 = 21_600;

/// Tokens that were given out, and credentials, by instance.
#[derive(Debug, Default)]
pub struct Metadata {
    tokens: Mutex<HashMap<String, Token>>,
    credentials: Mutex<HashMap<String, String>>,
}

#[derive(Debug)]
struct Token {
    instance: String,
    expires: chrono::DateTime<Utc>,
}

/// `PUT /imds/<instance>/latest/api/token`.
pub async fn token(
    State(region): State<Arc<Region>>,
    Path(instance): Path<String>,
    headers: HeaderMap,
) -> Response {
    let ttl = headers.get(TTL_HEADER).and_then(|ttl| ttl.to_str().ok()?.parse::<i64>().ok());
    let Some(ttl) = ttl.filter(|ttl| (1..=LONGEST_TTL_S).contains(ttl)) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if !lock(&region.inventory).instances.contains_key(&instance) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let value = random::hex(56);
    let expires = system_now() + TimeDelta::seconds(ttl);
    lock(&region.metadata.tokens).insert(value.clone(), Token { instance, expires });
    ([(TTL_HEADER, ttl.to_string())], value).into_response()
}

/// `GET /imds/<instance>/latest/...`.
pub async fn get(
    State(region): State<Arc<Region>>,
    Path((instance, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let token = headers.get(TOKEN_HEADER).and_then(|token| token.to_str().ok());
    let valid = token.is_some_and(|token| {
        let tokens = lock(&region.metadata.tokens);
        tokens.get(token).is_some_and(|token| token.instance == instance && token.expires > system_now())
    });
    if !valid {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match value(&region, &instance, path.trim_end_matches('/')) {
        Some(text) => text.into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

fn value(region: &Region, instance: &str, path: &str) -> Option<String> {
    if let Some(name) = path.strip_prefix("meta-data/iam/security-credentials") {
        return match name.trim_start_matches('/') {
            "" => Some(ROLE.to_owned()),
            ROLE => Some(credentials(region, instance)),
            _ => None,
        };
    }
    let inventory = lock(&region.inventory);
    let record = inventory.instances.get(instance)?;
    if let Some(key) = path.strip_prefix("meta-data/tags/instance") {
        let key = key.trim_start_matches('/');
        return if key.is_empty() {
            Some(record.tags.keys().cloned().collect::<Vec<_>>().join("\n"))
        } else {
            record.tags.get(key).cloned()
        };
    }
    Some(match path {
        // An instance without user data has no such path.
        "user-data" if record.user_data.is_empty() => return None,
        "user-data" => record.user_data.clone(),
        "meta-data/instance-id" => instance.to_owned(),
        "meta-data/local-ipv4" => record.address.clone(),
        "meta-data/placement/region" => region.name.clone(),
        "meta-data/placement/availability-zone" => inventory.zone.clone(),
        "dynamic/instance-identity/document" => json!({
            "accountId": region.account,
            "architecture": "x86_64",
            "availabilityZone": inventory.zone,
            "instanceId": instance,
            "instanceType": "m7i.large",
            "privateIp": record.address,
            "region": region.name,
            "version": "2017-09-30",
        })
        .to_string(),
        _ => return None,
    })
}

/// The instance's credentials: the same for as long as the region lives. Their expiry is on the system's
/// clock, which is what an SDK compares it with.
fn credentials(region: &Region, instance: &str) -> String {
    let mut given = lock(&region.metadata.credentials);
    let issue = || {
        let credentials = region.callers.issue(Caller::Instance(instance.to_owned()));
        let now = system_now();
        json!({
            "Code": "Success",
            "LastUpdated": iso(now),
            "Type": "AWS-HMAC",
            "AccessKeyId": credentials.access_key_id,
            "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token,
            "Expiration": iso(now + TimeDelta::hours(6)),
        })
        .to_string()
    };
    given.entry(instance.to_owned()).or_insert_with(issue).clone()
}
