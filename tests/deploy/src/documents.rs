//! SSM command documents of schema 2.2: what Systems Manager would refuse, and what this house does not want.

use fancy_regex::Regex;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// Bytes of a document, with what its parameters carry at run time.
const LONGEST: usize = 65_536;

/// Everything that is wrong with a document, a sentence each.
#[must_use]
pub fn problems(text: &str) -> Vec<String> {
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => return vec![format!("it is no JSON: {error}")],
    };
    let mut found = Vec::new();
    if text.len() > LONGEST {
        found.push(format!("it has {} bytes, {LONGEST} is the limit", text.len()));
    }
    let top = document.as_object().cloned().unwrap_or_default();
    unknown(&top, &["schemaVersion", "description", "parameters", "mainSteps"], "the document", &mut found);
    if top.get("schemaVersion").and_then(Value::as_str) != Some("2.2") {
        found.push("schemaVersion is not \"2.2\"".to_owned());
    }
    let empty = Map::new();
    let parameters = top.get("parameters").and_then(Value::as_object).unwrap_or(&empty);
    for (name, definition) in parameters {
        parameter(name, definition, &mut found);
    }
    let steps = top.get("mainSteps").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if steps.is_empty() {
        found.push("mainSteps is empty".to_owned());
    }
    let mut names = BTreeSet::new();
    for one in steps {
        let name = one.get("name").and_then(Value::as_str).unwrap_or_default();
        if !names.insert(name) {
            found.push(format!("two steps are called {name:?}"));
        }
        step(name, one, parameters, &mut found);
    }
    found
}

/// The script of a document's first step.
#[must_use]
pub fn script(text: &str) -> Option<String> {
    let document: Value = serde_json::from_str(text).ok()?;
    let lines = document.pointer("/mainSteps/0/inputs/runCommand")?.as_array()?;
    Some(lines.iter().filter_map(Value::as_str).flat_map(|line| [line, "\n"]).collect())
}

fn unknown(map: &Map<String, Value>, known: &[&str], whose: &str, found: &mut Vec<String>) {
    let others = map.keys().filter(|key| !known.contains(&key.as_str()));
    found.extend(others.map(|key| format!("{whose} has a field {key:?} that schema 2.2 does not know")));
}

fn parameter(name: &str, definition: &Value, found: &mut Vec<String>) {
    const KNOWN: [&str; 11] = [
        "allowedPattern",
        "allowedValues",
        "default",
        "description",
        "displayType",
        "interpolationType",
        "maxChars",
        "maxItems",
        "minChars",
        "minItems",
        "type",
    ];
    let whose = format!("parameter {name}");
    let mut say = |what: &str| found.push(format!("{whose}: {what}"));
    // The agent knows no others.
    if !name.chars().all(|c| c.is_ascii_alphanumeric()) || name.is_empty() {
        say("its name holds more than letters and digits");
    }
    let text = |field: &str| definition.get(field).and_then(Value::as_str);
    if text("type") != Some("String") {
        say("its type is not String");
    }
    if text("description").is_none() {
        say("it has no description");
    }
    if text("interpolationType").is_some_and(|how| how != "ENV_VAR") {
        say("its interpolationType is not ENV_VAR");
    }
    match text("allowedPattern") {
        // The agent looks for a match anywhere in the value.
        Some(pattern) if !(pattern.starts_with('^') && pattern.ends_with('$')) => {
            say("its allowedPattern is not tied to both ends");
        }
        Some(pattern) => match (Regex::new(pattern), text("default")) {
            (Err(error), _) => say(&format!("its allowedPattern is none: {error}")),
            (Ok(pattern), Some(default)) if !pattern.is_match(default).unwrap_or(false) => {
                say("its default does not match its allowedPattern");
            }
            _ => {}
        },
        None if definition.get("allowedValues").is_none() => say("anything may be its value"),
        None => {}
    }
    unknown(&definition.as_object().cloned().unwrap_or_default(), &KNOWN, &whose, found);
}

fn step(name: &str, step: &Value, parameters: &Map<String, Value>, found: &mut Vec<String>) {
    const KNOWN: [&str; 9] = [
        "action",
        "inputs",
        "isCritical",
        "isEnd",
        "maxAttempts",
        "name",
        "onFailure",
        "precondition",
        "timeoutSeconds",
    ];
    let whose = format!("step {name:?}");
    unknown(&step.as_object().cloned().unwrap_or_default(), &KNOWN, &whose, found);
    let inputs = step.get("inputs").and_then(Value::as_object).cloned().unwrap_or_default();
    unknown(&inputs, &["runCommand", "timeoutSeconds", "workingDirectory"], &whose, found);
    let mut say = |what: String| found.push(format!("{whose}: {what}"));
    // Shorter ones cannot be asked for in GetCommandInvocation.
    if name.len() < 4 {
        say("its name has fewer than four letters".to_owned());
    }
    if step.get("action").and_then(Value::as_str) != Some("aws:runShellScript") {
        say("its action is not aws:runShellScript".to_owned());
    }
    let platform = step.pointer("/precondition/StringEquals").and_then(Value::as_array);
    let platform: Vec<&str> = platform.into_iter().flatten().filter_map(Value::as_str).collect();
    if platform != ["platformType", "Linux"] {
        say("it has no precondition for Linux".to_owned());
    }
    let own = |named: &str| parameters.get(named);
    match inputs.get("timeoutSeconds").and_then(Value::as_str) {
        None => say("it has no timeoutSeconds, as text".to_owned()),
        // The agent takes what it cannot use for 3,600.
        Some(seconds) if !seconds.starts_with("{{") => match seconds.parse::<u32>() {
            Ok(5..=172_800) => {}
            _ => say(format!("timeoutSeconds {seconds:?} is not within 5 to 172,800")),
        },
        Some(reference) => {
            let named = reference.trim_matches(['{', '}', ' ']);
            if own(named).is_none() {
                say(format!("timeoutSeconds names a parameter {named} that there is not"));
            }
        }
    }
    let lines = inputs.get("runCommand").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let script: String = lines.iter().filter_map(Value::as_str).flat_map(|line| [line, "\n"]).collect();
    if lines.is_empty() || lines.iter().any(|line| !line.is_string()) {
        say("runCommand is no list of lines".to_owned());
    }
    if !script.starts_with("#!/bin/sh\n") {
        say("its script does not say which shell runs it".to_owned());
    }
    // Pasted into the script as text, by root.
    if script.contains("{{") {
        say("a parameter is pasted into its script".to_owned());
    }
    for (parameter, definition) in parameters {
        let is_env = definition.get("interpolationType").is_some();
        let variable = format!("SSM_{parameter}");
        match (is_env, script.contains(&variable)) {
            (true, false) => say(format!("its script never uses {variable}")),
            (false, true) => say(format!("{variable} is never set: the parameter has no interpolationType")),
            _ => {}
        }
        // An agent that is too old sets none: a variable that must be there is asked for by ${...:?}.
        let has_default = definition.get("default").is_some();
        if is_env && !has_default && !script.contains(&format!("${{{variable}:?")) {
            say(format!("its script goes on without {variable} on an agent that is too old"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document() -> Value {
        json!({
            "schemaVersion": "2.2", "description": "d",
            "parameters": {"order": {"type": "String", "description": "d", "interpolationType": "ENV_VAR",
                                     "allowedPattern": "^[a-z]+$"}},
            "mainSteps": [{"action": "aws:runShellScript", "name": "freeze",
                "precondition": {"StringEquals": ["platformType", "Linux"]},
                "inputs": {"timeoutSeconds": "60", "runCommand": ["#!/bin/sh", "echo ${SSM_order:?}"]}}]
        })
    }

    #[test]
    fn each_thing_that_can_be_wrong_is_told() {
        assert_eq!(problems(&document().to_string()), Vec::<String>::new());
        let order = "/parameters/order";
        let first = "/mainSteps/0";
        for (at, field, value, told) in [
            ("", "schemaVersion", json!("0.3"), "schemaVersion"),
            ("", "mainStep", json!([]), "does not know"),
            ("", "mainSteps", json!([]), "is empty"),
            (order, "allowedPattern", json!("[a-z]+"), "tied to both ends"),
            (order, "allowedPattern", json!("^[a-z+$"), "is none"),
            (order, "default", json!("A"), "default does not match"),
            (order, "interpolationType", json!("PASTE"), "not ENV_VAR"),
            (order, "type", json!("Number"), "not String"),
            (order, "minimum", json!(1), "does not know"),
            (first, "name", json!("run"), "four letters"),
            (first, "action", json!("aws:runPowerShellScript"), "action"),
            (first, "precondition", json!({}), "Linux"),
            (&format!("{first}/inputs"), "timeoutSeconds", json!("4"), "within 5"),
            (&format!("{first}/inputs"), "timeoutSeconds", json!("{{ seconds }}"), "that there is not"),
            (
                &format!("{first}/inputs"),
                "runCommand",
                json!(["#!/bin/sh", "echo {{ order }} ${SSM_order:?}"]),
                "pasted",
            ),
            (&format!("{first}/inputs"), "runCommand", json!(["#!/bin/sh", "echo $SSM_order"]), "too old"),
            (&format!("{first}/inputs"), "runCommand", json!(["#!/bin/sh", "true"]), "never uses"),
            (&format!("{first}/inputs"), "runCommand", json!(["echo ${SSM_order:?}"]), "which shell"),
        ] {
            let mut bad = document();
            bad.pointer_mut(at).unwrap()[field] = value;
            let found = problems(&bad.to_string());
            assert!(found.iter().any(|problem| problem.contains(told)), "{at} {field}: {found:?}");
        }
    }
}
