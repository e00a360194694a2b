//! YAML as CloudFormation has it, to JSON: `!Ref x` becomes `{"Ref": "x"}`, `!Sub x` `{"Fn::Sub": "x"}`,
//! `!GetAtt a.b` `{"Fn::GetAtt": ["a", "b"]}`. Anchors are refused, as CloudFormation does.

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// It is no YAML.
    #[error("failed to read YAML: {0}")]
    Syntax(String),
    /// It is more than CloudFormation takes.
    #[error("CloudFormation does not take {0}")]
    NotTaken(String),
}

/// Reads one document.
///
/// # Errors
/// It is no YAML, or uses what CloudFormation does not take.
pub fn read(text: &str) -> Result<Value, YamlError> {
    let documents = Yaml::load_from_str(text).map_err(|error| YamlError::Syntax(error.to_string()))?;
    match documents.as_slice() {
        [document] => json_of(document),
        several => Err(YamlError::NotTaken(format!("{} documents in one file", several.len()))),
    }
}

fn json_of(node: &Yaml<'_>) -> Result<Value, YamlError> {
    match node {
        Yaml::Value(scalar) => Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        }),
        Yaml::Sequence(items) => items.iter().map(json_of).collect(),
        Yaml::Mapping(pairs) => {
            let mut map = Map::new();
            for (key, value) in pairs {
                let Some(name) = key.as_str() else {
                    return Err(YamlError::NotTaken(format!("{key:?} as a key (quote it)")));
                };
                if map.insert(name.to_owned(), json_of(value)?).is_some() {
                    return Err(YamlError::NotTaken(format!("the key {name} twice")));
                }
            }
            Ok(Value::Object(map))
        }
        Yaml::Tagged(tag, inner) => {
            let value = json_of(inner)?;
            Ok(match tag.suffix.as_str() {
                "Ref" => json!({"Ref": value}),
                "Condition" => json!({"Condition": value}),
                "GetAtt" => {
                    let path = value.as_str().unwrap_or_default();
                    let (resource, attribute) = path.split_once('.').unwrap_or((path, ""));
                    json!({"Fn::GetAtt": [resource, attribute]})
                }
                name => json!({format!("Fn::{name}"): value}),
            })
        }
        Yaml::Alias(_) => Err(YamlError::NotTaken("anchors".to_owned())),
        Yaml::Representation(..) | Yaml::BadValue => {
            Err(YamlError::Syntax("a value that cannot be read".to_owned()))
        }
    }
}
