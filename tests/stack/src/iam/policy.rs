//! Statements, and which of them a role has.

use super::condition::{Condition, ConditionError, Context};
use super::wildcard::{arn_matches, matches};
use crate::template::Stack;
use serde_json::Value;

/// What AWS attaches under this name, as of version 2 of the policy.
const SSM_CORE: &str = include_str!("../../managed/AmazonSSMManagedInstanceCore.json");

/// What a statement does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It allows.
    Allow,
    /// It denies.
    Deny,
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its name.
    pub sid: String,
    /// What it does.
    pub effect: Effect,
    /// Actions, with wildcards; turned round for `NotAction`.
    pub actions: Listed,
    /// ARNs, with wildcards; turned round for `NotResource`.
    pub resources: Listed,
    condition: Condition,
}

/// Patterns, or everything but them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The patterns.
    pub patterns: Vec<String>,
    /// Whether everything else is meant.
    pub is_except: bool,
}

/// Why a policy cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is malformed.
    #[error("a statement is malformed: {0}")]
    Statement(Value),
    /// It is not of this stack, and its text is not known here.
    #[error("the policy {0} is not known here")]
    Unknown(String),
    /// No such role.
    #[error("there is no role {0}")]
    NoRole(String),
    /// The copy of a policy of AWS is no JSON.
    #[error("the copy of a policy of AWS cannot be read")]
    Copy(#[from] serde_json::Error),
}

impl Statement {
    /// Reads one.
    ///
    /// # Errors
    /// It has no effect, action or resource.
    pub fn read(statement: &Value) -> Result<Self, PolicyError> {
        let malformed = || PolicyError::Statement(statement.clone());
        let listed = |is: &str, not: &str| match (statement.get(is), statement.get(not)) {
            (Some(some), None) => Ok(Listed { patterns: texts(some), is_except: false }),
            (None, Some(others)) => Ok(Listed { patterns: texts(others), is_except: true }),
            _ => Err(malformed()),
        };
        Ok(Self {
            sid: statement.get("Sid").and_then(Value::as_str).unwrap_or_default().to_owned(),
            effect: match statement.get("Effect").and_then(Value::as_str) {
                Some("Allow") => Effect::Allow,
                Some("Deny") => Effect::Deny,
                _ => return Err(malformed()),
            },
            actions: listed("Action", "NotAction")?,
            resources: listed("Resource", "NotResource")?,
            condition: statement.get("Condition").map(Condition::read).unwrap_or_default(),
        })
    }

    /// Whether it is about this action on this resource.
    #[must_use]
    pub fn is_about(&self, action: &str, arn: &str) -> bool {
        let is_action = |pattern: &String| matches(&pattern.to_lowercase(), &action.to_lowercase());
        self.actions.patterns.iter().any(is_action) != self.actions.is_except
            && self.resources.patterns.iter().any(|pattern| arn_matches(pattern, arn))
                != self.resources.is_except
    }

    /// Whether its condition holds.
    ///
    /// # Errors
    /// An operator is not known here.
    pub fn holds(&self, context: &Context) -> Result<bool, ConditionError> {
        self.condition.holds(context)
    }
}

/// Every statement that counts for a role of the stack: its own, those of policies put on it, and of managed
/// policies that it names.
///
/// # Errors
/// There is no such role, or a policy of it cannot be judged.
pub fn rights_of(stack: &Stack, role: &str) -> Result<Vec<Statement>, PolicyError> {
    let properties = stack
        .resources
        .get(role)
        .and_then(|role| role.get("Properties"))
        .ok_or_else(|| PolicyError::NoRole(role.to_owned()))?;
    let list = |field: &str| properties.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut documents: Vec<Value> =
        list("Policies").filter_map(|policy| policy.get("PolicyDocument").cloned()).collect();
    for (name, policy) in stack.of_type("AWS::IAM::Policy") {
        let roles = stack.property(name, "/Roles").map(texts).unwrap_or_default();
        if roles.iter().any(|one| one == role) {
            documents.extend(policy.pointer("/Properties/PolicyDocument").cloned());
        }
    }
    for arn in list("ManagedPolicyArns").filter_map(Value::as_str) {
        documents.push(match arn.rsplit_once("policy/") {
            Some(("arn:aws:iam::aws:", "AmazonSSMManagedInstanceCore")) => serde_json::from_str(SSM_CORE)?,
            Some((_, own)) => stack
                .property(own, "/PolicyDocument")
                .cloned()
                .ok_or_else(|| PolicyError::Unknown(arn.to_owned()))?,
            None => return Err(PolicyError::Unknown(arn.to_owned())),
        });
    }
    documents
        .iter()
        .flat_map(|document| document.get("Statement").and_then(Value::as_array).into_iter().flatten())
        .map(Statement::read)
        .collect()
}

/// A text or a list of texts.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(crate::parameters::as_text).collect(),
        one => vec![crate::parameters::as_text(one)],
    }
}
