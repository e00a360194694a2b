//! The template, and what becomes of it with certain parameters.

use crate::intrinsic::{Resolver, Unresolved};
use crate::parameters::{self, as_text};
use crate::place::Place;
use crate::yaml::{self, YamlError};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Why a template cannot be deployed.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It cannot be read.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// CloudFormation refuses a parameter.
    #[error("{0}")]
    Parameter(String),
    /// Something in it points nowhere.
    #[error("{at}: {cause}")]
    Unresolved {
        /// Which resource, condition or output.
        at: String,
        /// What cannot be resolved.
        cause: Unresolved,
    },
}

/// The template as it is written.
#[derive(Debug, Clone)]
pub struct Template {
    body: Value,
}

/// What a stack would consist of: every reference resolved, resources whose condition is false left out.
#[derive(Debug, Clone)]
pub struct Stack {
    /// Resources by their logical name.
    pub resources: Map<String, Value>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, String>,
}

impl Template {
    /// Reads the template.
    ///
    /// # Errors
    /// It is no YAML that CloudFormation takes.
    pub fn read(text: &str) -> Result<Self, YamlError> {
        Ok(Self { body: yaml::read(text)? })
    }

    /// A section, `Parameters`.
    #[must_use]
    pub fn section(&self, name: &str) -> Map<String, Value> {
        self.body.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// What CloudFormation would make of it with these parameters, and the defaults of the others, in the
    /// tests' account and region.
    ///
    /// # Errors
    /// A parameter is refused, or something points nowhere.
    pub fn deployed(&self, given: &[(&str, &str)]) -> Result<Stack, TemplateError> {
        self.deployed_in(&Place::default(), given)
    }

    /// The same elsewhere.
    ///
    /// # Errors
    /// As [`Template::deployed`].
    pub fn deployed_in(&self, place: &Place, given: &[(&str, &str)]) -> Result<Stack, TemplateError> {
        let definitions = self.section("Parameters");
        if let Some((unknown, _)) = given.iter().find(|(name, _)| !definitions.contains_key(*name)) {
            return Err(TemplateError::Parameter(format!("there is no parameter {unknown}")));
        }
        let mut values = BTreeMap::new();
        for (name, definition) in &definitions {
            let value = given
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| (*value).to_owned())
                .or_else(|| definition.get("Default").map(as_text))
                .ok_or_else(|| TemplateError::Parameter(format!("{name}: a value is needed")))?;
            parameters::check(name, definition, &value).map_err(TemplateError::Parameter)?;
            let is_list = definition.get("Type") == Some(&json!("CommaDelimitedList"));
            let value = if is_list {
                value.split(',').map(|part| json!(part.trim())).collect()
            } else {
                json!(value)
            };
            values.insert(name.clone(), value);
        }
        let (conditions, resources) = (self.section("Conditions"), self.section("Resources"));
        let resolver = Resolver::new(place, &values, &conditions, &resources);
        let at = |name: &str| {
            let at = name.to_owned();
            move |cause| TemplateError::Unresolved { at, cause }
        };
        for name in conditions.keys() {
            resolver.condition(name).map_err(at(name))?;
        }
        let mut stack = Stack { resources: Map::new(), outputs: BTreeMap::new() };
        for (name, resource) in &resources {
            if resolver.exists(name).map_err(at(name))? {
                stack.resources.insert(name.clone(), resolver.value(resource).map_err(at(name))?);
            }
        }
        for (name, output) in &self.section("Outputs") {
            let is_wanted = match output.get("Condition").and_then(Value::as_str) {
                Some(condition) => resolver.condition(condition).map_err(at(name))?,
                None => true,
            };
            if is_wanted {
                let value = resolver.value(output.get("Value").unwrap_or(&Value::Null)).map_err(at(name))?;
                stack.outputs.insert(name.clone(), as_text(&value));
            }
        }
        Ok(stack)
    }
}

impl Stack {
    /// Resources of a type, by logical name.
    pub fn of_type<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a String, &'a Value)> {
        self.resources.iter().filter(move |(_, resource)| resource.get("Type") == Some(&json!(kind)))
    }

    /// A property, by a JSON pointer below `Properties`.
    #[must_use]
    pub fn property(&self, resource: &str, pointer: &str) -> Option<&Value> {
        self.resources.get(resource)?.get("Properties")?.pointer(pointer)
    }
}
