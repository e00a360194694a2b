//! SSM documents: the shipped files, and how parameters become a script's environment. Values are checked
//! as SSM checks them and never pasted where the document says `interpolationType: ENV_VAR`.

use crate::api_error::ApiError;
use crate::sync::lock;
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// Parameters as `SendCommand` carries them: every value is a list.
pub type Parameters = BTreeMap<String, Vec<String>>;

/// The documents of the region, by name: those that the product ships.
const SHIPPED: [(&str, &str); 4] = [
    ("Stillframe-Freeze", include_str!("../../../../infra/documents/Stillframe-Freeze.json")),
    ("Stillframe-Thaw", include_str!("../../../../infra/documents/Stillframe-Thaw.json")),
    ("Stillframe-Mount", include_str!("../../../../infra/documents/Stillframe-Mount.json")),
    ("Stillframe-Unmount", include_str!("../../../../infra/documents/Stillframe-Unmount.json")),
];

/// The documents of a region.
#[derive(Debug, Default)]
pub struct Documents {
    /// Those that stand in the place of others for a while, or beside them.
    own: Mutex<BTreeMap<String, Document>>,
    /// Those of a template; without one, what the product ships.
    deployed: Option<BTreeMap<String, Document>>,
}

impl Documents {
    /// Those that a template deploys, and no others.
    #[must_use]
    pub fn deployed(documents: BTreeMap<String, Document>) -> Self {
        Self { own: Mutex::default(), deployed: Some(documents) }
    }

    /// The document of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn get(&self, name: &str) -> Result<Document, ApiError> {
        let own = lock(&self.own).get(name).cloned();
        match (own, &self.deployed) {
            (Some(own), _) => Ok(own),
            (None, Some(deployed)) => deployed.get(name).cloned().ok_or_else(|| not_there(name)),
            (None, None) => Document::shipped(name),
        }
    }

    /// Has this text be the document of that name from now on.
    ///
    /// # Errors
    /// As [`Document::read`].
    pub fn put(&self, name: &str, text: &str) -> Result<(), DocumentError> {
        let document = Document::read(text)?;
        lock(&self.own).insert(name.to_owned(), document);
        Ok(())
    }

    /// Takes it away again; one that is deployed or shipped is as it was then.
    pub fn remove(&self, name: &str) {
        lock(&self.own).remove(name);
    }
}

/// A command document of schema 2.2 with one shell step.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    schema_version: String,
    #[serde(default)]
    parameters: BTreeMap<String, Definition>,
    main_steps: Vec<Step>,
}

/// A parameter's definition.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Definition {
    #[serde(rename = "type")]
    kind: String,
    default: Option<String>,
    allowed_pattern: Option<String>,
    #[serde(default)]
    allowed_values: Vec<String>,
    min_chars: Option<usize>,
    max_chars: Option<usize>,
    interpolation_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Step {
    action: String,
    name: String,
    inputs: Inputs,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Inputs {
    #[serde(default)]
    timeout_seconds: Option<serde_json::Value>,
    run_command: Vec<String>,
}

/// A document with its parameters filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The step's name.
    pub step: String,
    /// The script's lines.
    pub commands: Vec<String>,
    /// `SSM_<parameter>` for those that go through the environment.
    pub env: Vec<(String, String)>,
    /// `timeoutSeconds`.
    pub timeout: Duration,
}

/// Why a document cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It is no document.
    #[error("not a command document: {0}")]
    Parse(#[from] serde_json::Error),
    /// It asks for something that the fleet's agent does not do.
    #[error("the fleet runs documents of schema 2.2 with one aws:runShellScript step of at least 4 letters")]
    Unsupported,
}

impl Document {
    /// The shipped document of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn shipped(name: &str) -> Result<Self, ApiError> {
        let Some((_, text)) = SHIPPED.iter().find(|(known, _)| *known == name) else {
            return Err(not_there(name));
        };
        Self::read(text).map_err(|error| ApiError::internal(&error))
    }

    /// Reads a document.
    ///
    /// # Errors
    /// It is malformed, or the fleet's agent cannot run it.
    pub fn read(text: &str) -> Result<Self, DocumentError> {
        let document: Self = serde_json::from_str(text)?;
        match document.main_steps.as_slice() {
            [step]
                if step.action == "aws:runShellScript"
                    && step.name.len() >= 4
                    && document.schema_version == "2.2" =>
            {
                Ok(document)
            }
            _ => Err(DocumentError::Unsupported),
        }
    }

    /// Checks parameters and fills them in.
    ///
    /// # Errors
    /// `InvalidParameters`, naming the parameter.
    pub fn prepare(&self, given: &Parameters) -> Result<Prepared, ApiError> {
        if let Some(unknown) = given.keys().find(|name| !self.parameters.contains_key(*name)) {
            return Err(invalid(unknown, "is not defined in the document"));
        }
        let mut pasted = Vec::new();
        let mut env = Vec::new();
        for (name, definition) in &self.parameters {
            let value = definition.value(name, given.get(name))?;
            if definition.interpolation_type.as_deref() == Some("ENV_VAR") {
                env.push((format!("SSM_{name}"), value));
            } else {
                pasted.push((name.as_str(), value));
            }
        }
        let Some(step) = self.main_steps.first() else {
            return Err(ApiError::internal(&DocumentError::Unsupported));
        };
        let timeout = match &step.inputs.timeout_seconds {
            None => None,
            Some(serde_json::Value::String(text)) => paste(text, &pasted).parse().ok(),
            Some(number) => number.as_u64(),
        };
        // Out of range counts as left out: the agent does not complain either.
        let timeout = timeout.filter(|seconds| (5..=172_800).contains(seconds)).unwrap_or(3_600);
        Ok(Prepared {
            step: step.name.clone(),
            commands: step.inputs.run_command.iter().map(|line| paste(line, &pasted)).collect(),
            env,
            timeout: Duration::from_secs(timeout),
        })
    }
}

impl Definition {
    fn value(&self, name: &str, given: Option<&Vec<String>>) -> Result<String, ApiError> {
        if self.kind != "String" {
            return Err(invalid(name, "has a type that the fleet does not know"));
        }
        let value = match given.map(Vec::as_slice) {
            None => self.default.clone().ok_or_else(|| invalid(name, "is required"))?,
            Some([value]) => value.clone(),
            Some(_) => return Err(invalid(name, "takes one value")),
        };
        let length = value.chars().count();
        if self.min_chars.is_some_and(|min| length < min) || self.max_chars.is_some_and(|max| length > max) {
            return Err(invalid(name, "has too few or too many characters"));
        }
        if !self.allowed_values.is_empty() && !self.allowed_values.contains(&value) {
            return Err(invalid(name, "is none of the allowed values"));
        }
        // Unanchored, as the agent's own check is: a document that forgets ^ and $ shows it here.
        if let Some(pattern) = &self.allowed_pattern {
            let pattern = Regex::new(pattern).map_err(|error| ApiError::internal(&error))?;
            if !pattern.is_match(&value) {
                return Err(invalid(name, "does not match the allowed pattern"));
            }
        }
        Ok(value)
    }
}

fn not_there(name: &str) -> ApiError {
    ApiError::new("InvalidDocument", format!("The document {name} does not exist."))
}

fn invalid(name: &str, cause: &str) -> ApiError {
    ApiError::new("InvalidParameters", format!("Parameter \"{name}\" {cause}."))
}

/// Replaces `{{ name }}`; blanks inside the braces do not matter.
fn paste(line: &str, values: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let inner = after.split_once("}}");
        let value = inner.and_then(|(name, tail)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name.trim())?;
            Some((value, tail))
        });
        out.push_str(before);
        match value {
            Some((value, tail)) => {
                out.push_str(value);
                rest = tail;
            }
            None => {
                out.push_str("{{");
                rest = after;
            }
        }
    }
    out + rest
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
