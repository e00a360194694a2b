//! Parameter Store: create-once with `Overwrite=false`, versions, paths. A secure string is shown only to
//! those who ask for decryption.

use crate::api_error::ApiError;
use crate::clock::epoch;
use base64::{Engine, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Every parameter of the region.
#[derive(Debug, Default)]
pub struct Store {
    arn_prefix: String,
    parameters: BTreeMap<String, Parameter>,
}

#[derive(Debug, Clone)]
struct Parameter {
    value: String,
    kind: String,
    version: u64,
    modified_at: DateTime<Utc>,
}

/// `PutParameter`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Put {
    name: String,
    value: String,
    #[serde(rename = "Type")]
    kind: Option<String>,
    #[serde(default)]
    overwrite: bool,
    #[serde(default)]
    tags: Vec<Value>,
}

/// `GetParameter`, `DeleteParameter`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct One {
    name: String,
    #[serde(default)]
    with_decryption: bool,
}

/// `GetParameters`, `DeleteParameters`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Several {
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

/// `GetParametersByPath`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ByPath {
    path: String,
    #[serde(default)]
    recursive: bool,
    #[serde(default)]
    with_decryption: bool,
    max_results: Option<usize>,
    next_token: Option<String>,
}

/// Most bytes of a standard parameter's value.
const LARGEST: usize = 4_096;
/// Most parameters of one answer.
const PAGE: usize = 10;

impl Store {
    /// An empty store; names of parameters are added to `arn_prefix`
    /// (`arn:aws:ssm:<region>:<account>:parameter`).
    #[must_use]
    pub fn new(arn_prefix: String) -> Self {
        Self { arn_prefix, parameters: BTreeMap::new() }
    }

    /// `PutParameter`: without `Overwrite` it succeeds for one caller only, ever.
    pub fn put(&mut self, put: Put, now: DateTime<Utc>) -> Result<Value, ApiError> {
        check_name(&put.name)?;
        let existing = self.parameters.get(&put.name);
        if existing.is_some() && !put.overwrite {
            let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
            return Err(ApiError::new("ParameterAlreadyExists", message));
        }
        if put.overwrite && !put.tags.is_empty() {
            return Err(validation("tags and overwrite can't be used together"));
        }
        if put.value.is_empty() || put.value.len() > LARGEST || put.value.contains("{{") {
            return Err(validation(&format!("the value must have 1 to {LARGEST} bytes and no {{{{}}}}")));
        }
        let kind = put.kind.or_else(|| existing.map(|existing| existing.kind.clone()));
        let kind =
            kind.ok_or_else(|| validation("a parameter type is required when you create a parameter"))?;
        if !matches!(kind.as_str(), "String" | "StringList" | "SecureString") {
            return Err(validation(&format!("{kind} is not a parameter type")));
        }
        let version = existing.map_or(1, |existing| existing.version + 1);
        let parameter = Parameter { value: put.value, kind, version, modified_at: now };
        self.parameters.insert(put.name, parameter);
        Ok(json!({"Version": version, "Tier": "Standard"}))
    }

    /// `GetParameter`.
    pub fn get(&self, one: &One) -> Result<Value, ApiError> {
        let found = self.render(&one.name, one.with_decryption).ok_or_else(not_found)?;
        Ok(json!({"Parameter": found}))
    }

    /// `GetParameters`: those that exist, and the names of those that do not.
    pub fn get_several(&self, several: &Several) -> Result<Value, ApiError> {
        let names = several.names()?;
        let found: Vec<Value> =
            names.iter().filter_map(|name| self.render(name, several.with_decryption)).collect();
        let missing: Vec<&String> =
            names.iter().filter(|name| !self.parameters.contains_key(*name)).collect();
        Ok(json!({"Parameters": found, "InvalidParameters": missing}))
    }

    /// `GetParametersByPath`, in the order of names.
    pub fn by_path(&self, by: &ByPath) -> Result<Value, ApiError> {
        let folder = format!("{}/", by.path.trim_end_matches('/'));
        let size = by.max_results.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&size) {
            return Err(validation("MaxResults is between 1 and 10"));
        }
        let mut found = self
            .parameters
            .keys()
            .filter(|name| name.strip_prefix(&folder).is_some_and(|rest| by.recursive || !rest.contains('/')))
            .filter(|name| by.next_token.as_ref().is_none_or(|token| *name > token))
            .peekable();
        let page: Vec<&String> = found.by_ref().take(size).collect();
        let mut answer = json!({
            "Parameters":
                page.iter().filter_map(|name| self.render(name, by.with_decryption)).collect::<Vec<_>>(),
        });
        if let (Some(_), Some(last), Some(answer)) = (found.peek(), page.last(), answer.as_object_mut()) {
            answer.insert("NextToken".to_owned(), json!(last));
        }
        Ok(answer)
    }

    /// `DeleteParameter`.
    pub fn delete(&mut self, one: &One) -> Result<Value, ApiError> {
        self.parameters.remove(&one.name).map(|_| json!({})).ok_or_else(not_found)
    }

    /// `DeleteParameters`.
    pub fn delete_several(&mut self, several: &Several) -> Result<Value, ApiError> {
        let (mut deleted, mut missing) = (Vec::new(), Vec::new());
        for name in several.names()? {
            match self.parameters.remove(name) {
                Some(_) => deleted.push(name),
                None => missing.push(name),
            }
        }
        Ok(json!({"DeletedParameters": deleted, "InvalidParameters": missing}))
    }

    fn render(&self, name: &str, decrypted: bool) -> Option<Value> {
        let parameter = self.parameters.get(name)?;
        let value = if parameter.kind == "SecureString" && !decrypted {
            BASE64_STANDARD.encode(format!("sealed:{name}:{}", parameter.version))
        } else {
            parameter.value.clone()
        };
        let slash = if name.starts_with('/') { "" } else { "/" };
        Some(json!({
            "Name": name,
            "Type": parameter.kind,
            "Value": value,
            "Version": parameter.version,
            "LastModifiedDate": epoch(parameter.modified_at),
            "ARN": format!("{}{slash}{name}", self.arn_prefix),
            "DataType": "text",
        }))
    }
}

impl Several {
    fn names(&self) -> Result<&[String], ApiError> {
        if (1..=PAGE).contains(&self.names.len()) {
            Ok(&self.names)
        } else {
            Err(validation("Names has 1 to 10 entries"))
        }
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'/');
    let reserved =
        ["aws", "ssm"].iter().any(|word| name.trim_start_matches('/').to_lowercase().starts_with(word));
    let deep = name.split('/').count() > 16;
    // A name with folders begins with a slash.
    let rootless = name.contains('/') && !name.starts_with('/');
    if name.is_empty() || !name.bytes().all(letters) || reserved || deep || rootless || name.ends_with('/') {
        return Err(validation(&format!("\"{name}\" is not a parameter name")));
    }
    Ok(())
}

fn validation(cause: &str) -> ApiError {
    ApiError::new("ValidationException", cause)
}

fn not_found() -> ApiError {
    ApiError::new("ParameterNotFound", "")
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
