//! CloudFormation's functions: what `Ref`, `Fn::Sub`, `Fn::If` and their like become. What is not known here is
//! an error: a template that uses more needs a line more here.

use crate::parameters::as_text;
use crate::place::Place;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Something that points nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No parameter and no resource has the name.
    #[error("nothing is called {0}")]
    Nothing(String),
    /// The resource is not made when this is.
    #[error("{0} is not made under these parameters")]
    NotMade(String),
    /// There is no such attribute, or none that is known here.
    #[error("{kind} has no attribute {attribute}")]
    Attribute {
        /// The resource's type.
        kind: String,
        /// The attribute.
        attribute: String,
    },
    /// It is not written as CloudFormation wants it.
    #[error("{0} is malformed")]
    Malformed(String),
}

/// Resolves values of one template.
#[derive(Debug)]
pub struct Resolver<'t> {
    place: &'t Place,
    parameters: &'t BTreeMap<String, Value>,
    conditions: &'t Map<String, Value>,
    resources: &'t Map<String, Value>,
}

impl<'t> Resolver<'t> {
    /// With these parameters, in that place.
    #[must_use]
    pub fn new(
        place: &'t Place,
        parameters: &'t BTreeMap<String, Value>,
        conditions: &'t Map<String, Value>,
        resources: &'t Map<String, Value>,
    ) -> Self {
        Self { place, parameters, conditions, resources }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// There is none of the name, or it points nowhere.
    pub fn condition(&self, name: &str) -> Result<bool, Unresolved> {
        let condition = self.conditions.get(name).ok_or_else(|| Unresolved::Nothing(name.to_owned()))?;
        self.value(condition)?.as_bool().ok_or_else(|| Unresolved::Malformed(name.to_owned()))
    }

    /// Whether a resource is made.
    ///
    /// # Errors
    /// There is none of the name.
    pub fn exists(&self, resource: &str) -> Result<bool, Unresolved> {
        let resource =
            self.resources.get(resource).ok_or_else(|| Unresolved::Nothing(resource.to_owned()))?;
        resource.get("Condition").and_then(Value::as_str).map_or(Ok(true), |name| self.condition(name))
    }

    /// The value with every function in it carried out.
    ///
    /// # Errors
    /// Something in it points nowhere.
    pub fn value(&self, value: &Value) -> Result<Value, Unresolved> {
        match value {
            Value::Array(items) => {
                let resolved = items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?;
                Ok(resolved.into_iter().filter(|item| !is_no_value(item)).collect())
            }
            Value::Object(map) => {
                if let (1, Some((function, argument))) = (map.len(), map.iter().next())
                    && (function == "Ref" || function.starts_with("Fn::"))
                {
                    return self.function(function, argument);
                }
                let mut resolved = Map::new();
                for (key, item) in map {
                    let item = self.value(item)?;
                    if !is_no_value(&item) {
                        resolved.insert(key.clone(), item);
                    }
                }
                Ok(Value::Object(resolved))
            }
            scalar => Ok(scalar.clone()),
        }
    }

    fn function(&self, function: &str, argument: &Value) -> Result<Value, Unresolved> {
        let malformed = || Unresolved::Malformed(format!("{function} {argument}"));
        match (function, argument) {
            ("Ref", Value::String(name)) => self.reference(name),
            ("Fn::GetAtt", Value::Array(path)) => match path.as_slice() {
                [Value::String(resource), Value::String(attribute)] => self.attribute(resource, attribute),
                _ => Err(malformed()),
            },
            ("Fn::Sub", Value::String(text)) => self.substitute(text, &Map::new()),
            ("Fn::Sub", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(text), Value::Object(own)] => self.substitute(text, own),
                _ => Err(malformed()),
            },
            ("Fn::If", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(condition), yes, no] => {
                    // Only the branch that is taken: the other may point at what is not made.
                    self.value(if self.condition(condition)? { yes } else { no })
                }
                _ => Err(malformed()),
            },
            ("Fn::Equals", Value::Array(parts)) => match parts.as_slice() {
                [a, b] => Ok(json!(as_text(&self.value(a)?) == as_text(&self.value(b)?))),
                _ => Err(malformed()),
            },
            ("Fn::Not", Value::Array(parts)) => match parts.as_slice() {
                [one] => self.value(one)?.as_bool().map(|is| json!(!is)).ok_or_else(malformed),
                _ => Err(malformed()),
            },
            ("Fn::Join", Value::Array(parts)) => match parts.as_slice() {
                [Value::String(between), list] => match self.value(list)? {
                    Value::Array(items) => {
                        Ok(json!(items.iter().map(as_text).collect::<Vec<_>>().join(between)))
                    }
                    _ => Err(malformed()),
                },
                _ => Err(malformed()),
            },
            ("Fn::Select", Value::Array(parts)) => match parts.as_slice() {
                [index, list] => {
                    let index: usize = as_text(index).parse().map_err(|_| malformed())?;
                    self.value(list)?.get(index).cloned().ok_or_else(malformed)
                }
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }

    fn substitute(&self, text: &str, own: &Map<String, Value>) -> Result<Value, Unresolved> {
        let (mut done, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) =
                after.split_once('}').ok_or_else(|| Unresolved::Malformed(text.to_owned()))?;
            done.push_str(before);
            if let Some(literal) = name.strip_prefix('!') {
                done.push_str(&format!("${{{literal}}}"));
            } else {
                let value = match (own.get(name), name.split_once('.')) {
                    (Some(value), _) => self.value(value)?,
                    (None, Some((resource, attribute))) => self.attribute(resource, attribute)?,
                    (None, None) => self.reference(name)?,
                };
                done.push_str(&as_text(&value));
            }
            rest = after;
        }
        done.push_str(rest);
        Ok(json!(done))
    }

    fn reference(&self, name: &str) -> Result<Value, Unresolved> {
        if let Some(value) = self.parameters.get(name) {
            return Ok(value.clone());
        }
        let Place { account, region } = self.place;
        Ok(match name {
            "AWS::AccountId" => json!(account),
            "AWS::NoValue" => json!({NO_VALUE: true}),
            "AWS::Partition" => json!("aws"),
            "AWS::Region" => json!(region),
            "AWS::StackName" => json!("stack"),
            resource => {
                let kind = self.made(resource)?;
                match kind.as_str() {
                    "AWS::Events::Rule" | "AWS::SSM::Document" | "AWS::Scheduler::ScheduleGroup" => {
                        self.property(resource, "Name")?
                    }
                    "AWS::Logs::LogGroup" => self.property(resource, "LogGroupName")?,
                    "AWS::Serverless::Function" => self.property(resource, "FunctionName")?,
                    "AWS::SNS::Topic" => {
                        let name = as_text(&self.property(resource, "TopicName")?);
                        json!(format!("arn:aws:sns:{region}:{account}:{name}"))
                    }
                    "AWS::SQS::Queue" => {
                        let name = as_text(&self.property(resource, "QueueName")?);
                        json!(format!("https://sqs.{region}.amazonaws.com/{account}/{name}"))
                    }
                    "AWS::IAM::ManagedPolicy" => json!(format!("arn:aws:iam::{account}:policy/{resource}")),
                    // Nothing gives these a name: CloudFormation makes one.
                    "AWS::IAM::Role" | "AWS::IAM::InstanceProfile" => json!(resource),
                    _ => return Err(Unresolved::Attribute { kind, attribute: "Ref".to_owned() }),
                }
            }
        })
    }

    fn attribute(&self, resource: &str, attribute: &str) -> Result<Value, Unresolved> {
        let kind = self.made(resource)?;
        let Place { account, region } = self.place;
        let arn = |service: &str, rest: String| json!(format!("arn:aws:{service}:{region}:{account}:{rest}"));
        let name = |property: &str| self.property(resource, property).map(|name| as_text(&name));
        Ok(match (kind.as_str(), attribute) {
            ("AWS::Serverless::Function", "Arn") => {
                arn("lambda", format!("function:{}", name("FunctionName")?))
            }
            ("AWS::Logs::LogGroup", "Arn") => arn("logs", format!("log-group:{}:*", name("LogGroupName")?)),
            ("AWS::SQS::Queue", "Arn") => arn("sqs", name("QueueName")?),
            ("AWS::SQS::Queue", "QueueName") => json!(name("QueueName")?),
            ("AWS::Events::Rule", "Arn") => arn("events", format!("rule/{}", name("Name")?)),
            ("AWS::Scheduler::ScheduleGroup", "Arn") => {
                arn("scheduler", format!("schedule-group/{}", name("Name")?))
            }
            ("AWS::IAM::Role", "Arn") => json!(format!("arn:aws:iam::{account}:role/{resource}")),
            _ => return Err(Unresolved::Attribute { kind, attribute: attribute.to_owned() }),
        })
    }

    /// The type of a resource that is made.
    fn made(&self, resource: &str) -> Result<String, Unresolved> {
        if !self.exists(resource)? {
            return Err(Unresolved::NotMade(resource.to_owned()));
        }
        Ok(self.resources.get(resource).and_then(|one| one.get("Type")).map(as_text).unwrap_or_default())
    }

    fn property(&self, resource: &str, name: &str) -> Result<Value, Unresolved> {
        let property = self.resources.get(resource).and_then(|one| one.get("Properties")?.get(name));
        self.value(property.ok_or_else(|| Unresolved::Nothing(format!("{resource}.{name}")))?)
    }
}

const NO_VALUE: &str = "AWS::NoValue";

fn is_no_value(value: &Value) -> bool {
    value.get(NO_VALUE).is_some()
}
