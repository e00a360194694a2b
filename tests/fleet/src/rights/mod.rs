//! Who may do what in a region that a template drives: each call of a function or an instance is put to IAM's rules
//! with the statements of its role, before anything else happens to it. The operator may do everything.
//!
//! What the calls are about comes from the request and from the region's records, tags included. A resource that is
//! not there has none: what only a tag allows is refused before anybody looks whether it exists.

mod ec2;
mod ssm;

pub use ec2::asked as asked_of_ec2;
pub use ssm::asked as asked_of_ssm;

use crate::caller::Caller;
use crate::deployment::DeploymentError;
use crate::region::Region;
use crate::sync::lock;
use serde::{Deserialize, Serialize};
use stack::Place;
use stack::iam::{Call, Decision, Resource, Statement, decide, rights_of};
use stack::template::Stack;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// What an invocation is about: the function as the caller names it, version and all.
#[must_use]
pub fn asked_of_lambda(region: &Region, name_or_arn: &str) -> Call {
    let arn = if name_or_arn.starts_with("arn:") {
        name_or_arn.to_owned()
    } else {
        region.function_arn(name_or_arn)
    };
    let function = Resource::existing(arn, BTreeMap::new());
    Call::new("lambda:InvokeFunction".to_owned(), vec![function])
        .with("aws:RequestedRegion", region.name.as_str())
}

/// More different calls than this are decided and not remembered.
const REMEMBERED: usize = 50_000;

/// A call that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// The instance or the function.
    pub caller: String,
    /// In IAM's words.
    pub sentence: String,
}

impl Denial {
    /// By the fleet's own rule, where no template says more.
    #[must_use]
    pub fn plain(caller: &str, operation: &str) -> Self {
        let sentence = format!("User: {caller} is not authorized to perform: {operation}");
        Self { caller: caller.to_owned(), sentence }
    }
}

/// A call that was decided.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Asked {
    /// The role, by its name in the template.
    pub role: String,
    /// The call.
    pub call: Call,
}

/// The roles of a stack.
#[derive(Debug)]
pub struct Rights {
    account: String,
    /// By name.
    statements: BTreeMap<String, Vec<Statement>>,
    /// Of the functions, by program.
    functions: BTreeMap<&'static str, String>,
    /// Of instances.
    instance: Option<String>,
    asked: Mutex<BTreeSet<Asked>>,
    denied: Mutex<Vec<Denial>>,
}

impl Rights {
    /// Every role of a stack; which is whose.
    ///
    /// # Errors
    /// A policy cannot be judged.
    pub fn new(
        stack: &Stack,
        place: &Place,
        functions: BTreeMap<&'static str, String>,
        instance: Option<String>,
    ) -> Result<Self, DeploymentError> {
        let mut statements = BTreeMap::new();
        for (role, _) in stack.of_type("AWS::IAM::Role") {
            let rights = rights_of(stack, role)
                .map_err(|source| DeploymentError::Policy { role: role.clone(), source })?;
            statements.insert(role.clone(), rights);
        }
        Ok(Self {
            account: place.account.clone(),
            statements,
            functions,
            instance,
            asked: Mutex::default(),
            denied: Mutex::default(),
        })
    }

    /// Decides a call.
    ///
    /// # Errors
    /// The caller's role does not allow it.
    pub fn check(&self, caller: &Caller, call: &Call) -> Result<(), Denial> {
        let role = match caller {
            Caller::Operator => return Ok(()),
            Caller::Instance(_) => self.instance.as_deref(),
            Caller::Function { name, .. } => self.functions.get(name.as_str()).map(String::as_str),
        };
        self.check_role(role.unwrap_or_default(), caller.name(), call)
    }

    /// The same for a role, whoever has it.
    ///
    /// # Errors
    /// The role does not allow it.
    pub fn check_role(&self, role: &str, caller: &str, call: &Call) -> Result<(), Denial> {
        let none = Vec::new();
        let statements = self.statements.get(role).unwrap_or(&none);
        self.remember(role, call);
        let because = match decide(statements, call) {
            Ok(Decision::Allowed) => return Ok(()),
            Ok(Decision::Denied(_)) => {
                let first = call.action();
                format!("{first} with an explicit deny in an identity-based policy")
            }
            Ok(Decision::NotAllowed { action, resource }) => {
                format!(
                    "{action} on resource: {resource} because no identity-based policy allows the {action} action"
                )
            }
            Err(unknown) => format!("{}: {unknown}", call.action()),
        };
        let user = format!("arn:aws:sts::{}:assumed-role/{role}/{caller}", self.account);
        let sentence = format!("User: {user} is not authorized to perform: {because}");
        let denial = Denial { caller: caller.to_owned(), sentence };
        tracing::warn!(caller, denial.sentence, "a call was refused");
        lock(&self.denied).push(denial.clone());
        Err(denial)
    }

    fn remember(&self, role: &str, call: &Call) {
        let mut asked = lock(&self.asked);
        if asked.len() < REMEMBERED {
            asked.insert(Asked { role: role.to_owned(), call: call.clone() });
        }
    }

    /// What was decided so far, every different call once.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.asked).iter().cloned().collect()
    }

    /// What was refused so far.
    #[must_use]
    pub fn denied(&self) -> Vec<Denial> {
        lock(&self.denied).clone()
    }
}
