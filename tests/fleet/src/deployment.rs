//! A region that a template drives: what `fleet serve --template` reads from `infra/template.yaml`. Functions with
//! their names, environments and limits; documents; schedules and rules; and the roles, which decide every call
//! that functions and instances make.

use crate::rights::Rights;
use crate::ssm::documents::{Document, DocumentError};
use serde_json::Value;
use stack::Place;
use stack::iam::PolicyError;
use stack::parameters::as_text;
use stack::template::{Stack, Template, TemplateError};
use stack::yaml::YamlError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a template drives no region.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The file cannot be read.
    #[error("failed to read the template {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML that CloudFormation takes.
    #[error("the template is malformed")]
    Yaml(#[from] YamlError),
    /// CloudFormation would refuse it, or one of the parameters.
    #[error("the template cannot be deployed")]
    Template(#[from] TemplateError),
    /// A role's policy is more than can be judged here.
    #[error("the rights of {role} cannot be judged")]
    Policy {
        /// The role.
        role: String,
        /// Why.
        source: PolicyError,
    },
    /// A document is none that the fleet's agent runs.
    #[error("the document {name} cannot be run")]
    Document {
        /// Its name.
        name: String,
        /// Why.
        source: DocumentError,
    },
    /// Something that a stack of ours has is not there.
    #[error("{resource} has no {property}")]
    Missing {
        /// The resource.
        resource: String,
        /// What it should have.
        property: &'static str,
    },
}

/// A function of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    /// What it is called there.
    pub name: String,
    /// Its own variables.
    pub environment: BTreeMap<String, String>,
    /// After what time an invocation is ended.
    pub timeout: Duration,
    /// MiB.
    pub memory_mib: u32,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Whether it fires.
    pub is_enabled: bool,
    /// The program that it starts.
    pub function: &'static str,
    /// What that is given.
    pub input: String,
    /// The role that it starts it with.
    pub role: String,
}

/// A rule, one for each of its targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// The events that it is for.
    pub pattern: Value,
    /// The program that it starts.
    pub function: &'static str,
    /// Whether that lets it.
    pub is_permitted: bool,
    /// The target: what it is given.
    pub target: Value,
}

/// What a template makes of a region.
#[derive(Debug)]
pub struct Deployment {
    /// The functions, by program.
    pub functions: BTreeMap<&'static str, Deployed>,
    /// Command documents, by name.
    pub documents: BTreeMap<String, Document>,
    /// Schedules, by name.
    pub schedules: BTreeMap<String, Schedule>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Who may do what.
    pub rights: Rights,
}

impl Deployment {
    /// Reads a template as it would be deployed there with these parameters.
    ///
    /// # Errors
    /// It cannot be read, or CloudFormation would refuse it, or it asks for more than the fleet does.
    pub fn load(path: &Path, place: &Place, parameters: &[(&str, &str)]) -> Result<Self, DeploymentError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| DeploymentError::Read { path: path.to_owned(), source })?;
        Self::of(&Template::read(&text)?.deployed_in(place, parameters)?, place)
    }

    /// Reads a stack.
    ///
    /// # Errors
    /// It asks for more than the fleet does.
    pub fn of(stack: &Stack, place: &Place) -> Result<Self, DeploymentError> {
        let mut functions = BTreeMap::new();
        let mut roles = BTreeMap::new();
        for (logical, function) in stack.of_type("AWS::Serverless::Function") {
            let at = |pointer: &'static str| {
                let found = function.pointer(pointer);
                found.ok_or(DeploymentError::Missing { resource: logical.clone(), property: pointer })
            };
            let program = crate::lambda::program(&as_text(at("/Metadata/BuildProperties/Binary")?))
                .ok_or_else(|| DeploymentError::Missing {
                    resource: logical.clone(),
                    property: "program of the fleet",
                })?;
            let variables = function.pointer("/Properties/Environment/Variables").and_then(Value::as_object);
            let deployed = Deployed {
                name: as_text(at("/Properties/FunctionName")?),
                environment: variables
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.clone(), as_text(value)))
                    .collect(),
                timeout: Duration::from_secs(number(at("/Properties/Timeout")?)),
                memory_mib: u32::try_from(number(at("/Properties/MemorySize")?)).unwrap_or(u32::MAX),
            };
            roles.insert(program, role_of(&as_text(at("/Properties/Role")?)));
            functions.insert(program, deployed);
        }
        let by_arn = |arn: &Value| {
            let name = as_text(arn).rsplit(':').next().unwrap_or_default().to_owned();
            functions.iter().find(|(_, deployed)| deployed.name == name).map(|(program, _)| *program)
        };
        let documents = documents(stack)?;
        let schedules = schedules(stack, by_arn);
        let rules = rules(stack, by_arn);
        let instance = stack.of_type("AWS::IAM::InstanceProfile").next().and_then(|(_, profile)| {
            profile.pointer("/Properties/Roles/0").and_then(Value::as_str).map(str::to_owned)
        });
        let rights = Rights::new(stack, place, roles, instance)?;
        Ok(Self { functions, documents, schedules, rules, rights })
    }
}

fn number(value: &Value) -> u64 {
    as_text(value).parse().unwrap_or_default()
}

/// A role's logical name, from what `GetAtt` makes of it.
fn role_of(arn: &str) -> String {
    arn.rsplit('/').next().unwrap_or_default().to_owned()
}

fn documents(stack: &Stack) -> Result<BTreeMap<String, Document>, DeploymentError> {
    let mut documents = BTreeMap::new();
    for (_, document) in stack.of_type("AWS::SSM::Document") {
        let at = |pointer: &str| document.pointer(pointer).cloned().unwrap_or_default();
        // An Automation runs at AWS and on no instance.
        if at("/Properties/DocumentType") != "Command" {
            continue;
        }
        let name = as_text(&at("/Properties/Name"));
        let read = Document::read(&at("/Properties/Content").to_string())
            .map_err(|source| DeploymentError::Document { name: name.clone(), source })?;
        documents.insert(name, read);
    }
    Ok(documents)
}

fn schedules(stack: &Stack, by_arn: impl Fn(&Value) -> Option<&'static str>) -> BTreeMap<String, Schedule> {
    let all = stack.of_type("AWS::Scheduler::Schedule").filter_map(|(_, schedule)| {
        let at = |pointer: &str| schedule.pointer(pointer);
        let text = |pointer: &str| at(pointer).map(as_text).unwrap_or_default();
        let function = by_arn(at("/Properties/Target/Arn")?)?;
        let read = Schedule {
            is_enabled: text("/Properties/State") == "ENABLED",
            function,
            input: text("/Properties/Target/Input"),
            role: role_of(&text("/Properties/Target/RoleArn")),
        };
        Some((text("/Properties/Name"), read))
    });
    all.collect()
}

fn rules(stack: &Stack, by_arn: impl Fn(&Value) -> Option<&'static str>) -> Vec<Rule> {
    let name_of = |rule: &Value| rule.pointer("/Properties/Name").map(as_text).unwrap_or_default();
    let is_permitted = |function: &Value, rule: &str| {
        stack.of_type("AWS::Lambda::Permission").any(|(_, permission)| {
            let of = |property: &str| permission.pointer(&format!("/Properties/{property}")).map(as_text);
            let called = as_text(function).rsplit(':').next().map(str::to_owned);
            of("Principal").as_deref() == Some("events.amazonaws.com")
                && of("FunctionName") == called
                && of("SourceArn").is_some_and(|arn| arn.ends_with(&format!("rule/{rule}")))
        })
    };
    let mut all = Vec::new();
    for (_, rule) in stack.of_type("AWS::Events::Rule") {
        let name = name_of(rule);
        if rule.pointer("/Properties/State").is_some_and(|state| state == "DISABLED") {
            continue;
        }
        let targets = rule.pointer("/Properties/Targets").and_then(Value::as_array);
        for target in targets.into_iter().flatten() {
            let Some((arn, function)) = target.get("Arn").and_then(|arn| Some((arn, by_arn(arn)?))) else {
                continue;
            };
            all.push(Rule {
                pattern: rule.pointer("/Properties/EventPattern").cloned().unwrap_or_default(),
                function,
                is_permitted: is_permitted(arn, &name),
                target: target.clone(),
                name: name.clone(),
            });
        }
    }
    all
}
