//! Puts the SSM documents into the template, the installer into its document, and the template's policies into the
//! Terraform module. A template that carries its documents deploys with plain CloudFormation too, and rights that
//! are written once are evaluated once; that all of them say the same is tested.

use serde_json::Value;
use stack::template::{Stack, Template, TemplateError};
use std::path::Path;

const BEGIN: &str = "  # documents: begin\n";
const END: &str = "  # documents: end\n";
const SCRIPT: &str = "        \"runCommand\": [\n";
const SCRIPT_END: &str = "\n        ]\n";

/// Why nothing was put anywhere.
#[derive(Debug, thiserror::Error)]
pub enum InlineError {
    /// A file cannot be read.
    #[error("failed to read {0}")]
    Read(String, #[source] std::io::Error),
    /// There is no place for it.
    #[error("{0} has no place for it: {1}")]
    Place(&'static str, &'static str),
    /// It is no document.
    #[error("{0} is no JSON")]
    Json(String, #[source] serde_json::Error),
}

/// The document `Stillframe-Install` with the script as it is now.
///
/// # Errors
/// The document has no place for a script.
pub fn install_document(document: &str, script: &str) -> Result<String, InlineError> {
    let place = || InlineError::Place("Stillframe-Install.json", "runCommand");
    let (before, rest) = document.split_once(SCRIPT).ok_or_else(place)?;
    let after =
        rest.strip_prefix("        ]\n").or_else(|| rest.split_once(SCRIPT_END).map(|(_, after)| after));
    let lines: Vec<String> = script.lines().map(|line| format!("          {}", Value::from(line))).collect();
    Ok(format!("{before}{SCRIPT}{}{SCRIPT_END}{}", lines.join(",\n"), after.ok_or_else(place)?))
}

/// The template with the documents of that folder as they are now.
///
/// # Errors
/// A document cannot be read, or the template has no place for them.
pub fn template(template: &str, folder: &Path) -> Result<String, InlineError> {
    let place = || InlineError::Place("template.yaml", "documents: begin, documents: end");
    let (before, rest) = template.split_once(BEGIN).ok_or_else(place)?;
    let (_, after) = rest.split_once(END).ok_or_else(place)?;
    let mut resources = String::new();
    for (name, text) in documents(folder)? {
        resources.push_str(&resource(&name, &text)?);
    }
    Ok(format!("{before}{BEGIN}{resources}{END}{after}"))
}

/// The documents of a folder: names without `.json`, and texts.
///
/// # Errors
/// They cannot be read.
pub fn documents(folder: &Path) -> Result<Vec<(String, String)>, InlineError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |cause| InlineError::Read(path, cause)
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        if let (Some(name), Some("json")) =
            (path.file_stem().and_then(|stem| stem.to_str()), path.extension().and_then(|end| end.to_str()))
        {
            found.push((name.to_owned(), std::fs::read_to_string(&path).map_err(failed(&path))?));
        }
    }
    found.sort();
    Ok(found)
}

fn resource(name: &str, text: &str) -> Result<String, InlineError> {
    let document: Value =
        serde_json::from_str(text).map_err(|cause| InlineError::Json(name.to_owned(), cause))?;
    let is_automation = document.get("schemaVersion").and_then(Value::as_str) == Some("0.3");
    let (kind, target) = if is_automation { ("Automation", "/") } else { ("Command", "/AWS::EC2::Instance") };
    let short = name.trim_start_matches("Stillframe-");
    // What the stack calls its function, whatever the prefix.
    let text = text.replace("\"stillframe-restore\"", "!Sub \"${Prefix}-restore\"");
    let content: String = text
        .lines()
        .map(|line| if line.is_empty() { "\n".to_owned() } else { format!("        {line}\n") })
        .collect();
    Ok(format!(
        "  {short}Document:
    Type: AWS::SSM::Document
    Properties:
      Name: !If [IsDefaultPrefix, {name}, !Sub \"${{Prefix}}-{short}\"]
      DocumentType: {kind}
      DocumentFormat: JSON
      TargetType: {target}
      # A new version becomes the default one; the old ones stay.
      UpdateMethod: NewVersion
      Tags: [{{Key: \"stillframe:stack\", Value: !Ref AWS::StackName}}]
      Content:
{content}
"
    ))
}

/// The policies, and the dashboard, as Terraform's `templatefile` takes them: file names without their end, and
/// texts.
///
/// # Errors
/// The template cannot be deployed.
pub fn policies(template: &Template) -> Result<Vec<(&'static str, String)>, TemplateError> {
    // Words that are found again in what the template resolves to, and stand for what Terraform fills in.
    const PREFIX: &str = "zz-prefix";
    const COPIES: &str = "zz-copies-1";
    const KEY: &str = "arn:aws:kms:zz-1:000000000000:key/zz";
    const HOURS: &str = "719";
    const LONGEST: &str = "29999";
    let stack = template.deployed(&[
        ("Prefix", PREFIX),
        ("CopyRegions", COPIES),
        ("KmsKeyArns", KEY),
        ("OldestRestorePointHours", HOURS),
        ("MaxFreezeMilliseconds", LONGEST),
    ])?;
    let dashboard = stack.property("Dashboard", "/DashboardBody").and_then(Value::as_str).unwrap_or_default();
    let role = |stack: &Stack, name: &str| stack.property(name, "/Policies/0/PolicyDocument").cloned();
    let own = |stack: &Stack, name: &str| stack.property(name, "/PolicyDocument").cloned();
    let all = [
        ("backup", role(&stack, "BackupRole")),
        ("copy", own(&stack, "CopyRights")),
        ("dashboard", serde_json::from_str(dashboard).ok()),
        ("dead-letters", own(&stack, "DeadLettersPolicy")),
        ("instance", own(&stack, "InstancePolicy")),
        ("keys", own(&stack, "KeyRights")),
        ("restore", role(&stack, "RestoreRole")),
        ("schedule", role(&stack, "ScheduleRole")),
        ("signal", role(&stack, "SignalRole")),
    ];
    let filled_in = |policy: &Value| {
        format!("{policy:#}\n")
            .replace(&format!("[\n            \"{COPIES}\"\n          ]"), "${jsonencode(copy_regions)}")
            .replace(&format!("[\n        \"{KEY}\"\n      ]"), "${jsonencode(kms_keys)}")
            .replace(&format!("document/{PREFIX}-"), "document/${documents}-")
            .replace(&format!("Stillframe/{PREFIX}"), "${namespace}")
            .replace(HOURS, "${oldest_restore_point_hours}")
            .replace(LONGEST, "${max_freeze_milliseconds}")
            .replace(PREFIX, "${prefix}")
            .replace(stack::ACCOUNT, "${account}")
            .replace(stack::REGION, "${region}")
            .replace("arn:aws:", "arn:${partition}:")
    };
    Ok(all.iter().map(|(name, policy)| (*name, filled_in(policy.as_ref().unwrap_or(&Value::Null)))).collect())
}
