//! A call as IAM sees it, and how the table of the tests writes one down:
//!
//! ```text
//! ec2:CreateSnapshots instance/i-1 volume/vol-1 new:snapshot/*{stillframe:run=r,stillframe:consistency=crash}
//! ec2:DeleteSnapshot snapshot@eu-west-1/snap-1{stillframe:run=r} aws:RequestedRegion=eu-west-1
//! ```
//! `new:` is a resource that the call makes, its tags are the request's; another's tags are its own. Tags of the
//! request on what exists (`CreateTags`) are words of their own: `tag:stillframe:consistency=offline`. Any other word
//! with `=` is a condition key.

use super::condition::Context;
use crate::{ACCOUNT, REGION};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which kinds of resource a call has to name, from the Service Authorization Reference. Kinds after `?` may be there.
const RESOURCES: [(&str, &[&str]); 26] = [
    ("ec2:AttachVolume", &["instance", "volume"]),
    ("ec2:CopySnapshot", &["new:snapshot", "?snapshot"]),
    ("ec2:CreateSnapshot", &["volume", "new:snapshot"]),
    ("ec2:CreateSnapshots", &["instance", "volume", "new:snapshot"]),
    ("ec2:CreateTags", &["?instance", "?snapshot", "?volume"]),
    ("ec2:CreateVolume", &["new:volume", "?snapshot"]),
    ("ec2:DeleteSnapshot", &["snapshot"]),
    ("ec2:DeleteTags", &["?instance", "?snapshot", "?volume"]),
    ("ec2:DeleteVolume", &["volume"]),
    ("ec2:DescribeInstanceAttribute", &["instance"]),
    ("ec2:DetachVolume", &["instance", "volume"]),
    ("ec2:ModifyInstanceAttribute", &["instance", "?volume"]),
    ("ec2:ModifySnapshotAttribute", &["snapshot"]),
    ("ec2:StopInstances", &["instance"]),
    ("ec2:TerminateInstances", &["instance"]),
    ("iam:PassRole", &["role"]),
    ("kms:CreateGrant", &["key"]),
    ("kms:Decrypt", &["key"]),
    ("lambda:InvokeFunction", &["function"]),
    ("logs:PutLogEvents", &["log"]),
    ("sqs:SendMessage", &["queue"]),
    ("ssm:DeleteParameter", &["parameter"]),
    ("ssm:GetParameter", &["parameter"]),
    ("ssm:GetParametersByPath", &["parameter"]),
    ("ssm:PutParameter", &["parameter"]),
    ("ssm:SendCommand", &["?document", "?aws-document", "instance"]),
];

/// A resource of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Resource {
    /// Its ARN; `*` for calls that name none.
    pub arn: String,
    kind: String,
    is_new: bool,
    tags: BTreeMap<String, String>,
}

/// A call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Call {
    action: String,
    resources: Vec<Resource>,
    /// Tags that the request puts on what exists.
    tags: BTreeMap<String, String>,
    keys: BTreeMap<String, String>,
}

/// Why words are no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing is there.
    #[error("there is no action")]
    Empty,
    /// A kind of resource that is not known here.
    #[error("{0} is no resource that is known here")]
    Resource(String),
    /// AWS would ask about a resource that the words leave out.
    #[error("{action} is about {kind} too")]
    Missing {
        /// The action.
        action: String,
        /// What is left out.
        kind: String,
    },
    /// AWS would not ask about it.
    #[error("{action} is not about {kind}")]
    Superfluous {
        /// The action.
        action: String,
        /// What is too much.
        kind: String,
    },
}

impl Call {
    /// A call on these resources; on none, it is about everything.
    #[must_use]
    pub fn new(action: String, mut resources: Vec<Resource>) -> Self {
        if resources.is_empty() {
            resources.push(Resource::any());
        }
        Self { action, resources, tags: BTreeMap::new(), keys: BTreeMap::new() }
    }

    /// With tags that the request puts on what exists.
    #[must_use]
    pub fn tagging(self, tags: BTreeMap<String, String>) -> Self {
        Self { tags, ..self }
    }

    /// With a condition key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.keys.insert(key.to_owned(), value.into());
        self
    }

    /// The action, `ec2:DeleteSnapshot`.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Reads a call.
    ///
    /// # Errors
    /// It is malformed, or names other resources than AWS would ask about.
    pub fn read(words: &str) -> Result<Self, CallError> {
        let mut words = words.split_whitespace();
        let action = words.next().ok_or(CallError::Empty)?.to_owned();
        let mut call = Self { action, resources: Vec::new(), tags: BTreeMap::new(), keys: BTreeMap::new() };
        for word in words {
            let is_resource = word.split(['{', '=']).next().is_some_and(|start| {
                start.contains('/') && !start.starts_with("tag:") && !start.starts_with("aws:")
            });
            match (
                is_resource,
                word.strip_prefix("tag:").and_then(|tag| tag.split_once('=')),
                word.split_once('='),
            ) {
                (true, ..) => call.resources.push(Resource::read(word)?),
                (false, Some((key, value)), _) => drop(call.tags.insert(key.to_owned(), value.to_owned())),
                (false, None, Some((key, value))) => drop(call.keys.insert(key.to_owned(), value.to_owned())),
                (false, None, None) => return Err(CallError::Resource(word.to_owned())),
            }
        }
        call.check()?;
        if call.resources.is_empty() {
            call.resources.push(Resource::any());
        }
        Ok(call)
    }

    fn check(&self) -> Result<(), CallError> {
        let kinds =
            RESOURCES.iter().find(|(action, _)| *action == self.action).map_or(&[][..], |(_, kinds)| kinds);
        let named = |kind: &str| self.resources.iter().any(|resource| resource.kind == kind);
        let action = || self.action.clone();
        if let Some(kind) = kinds.iter().find(|kind| !kind.starts_with('?') && !named(kind)) {
            return Err(CallError::Missing { action: action(), kind: (*kind).to_owned() });
        }
        let is_wanted = |kind: &str| kinds.iter().any(|wanted| wanted.trim_start_matches('?') == kind);
        match self.resources.iter().find(|resource| !is_wanted(&resource.kind)) {
            Some(other) => Err(CallError::Superfluous { action: action(), kind: other.kind.clone() }),
            None => Ok(()),
        }
    }

    /// Everything that IAM is asked: the action, `ec2:CreateAction` where that is asked with it, the resource.
    pub(super) fn questions(&self) -> impl Iterator<Item = (&str, Option<&str>, &Resource)> {
        let own = self.resources.iter().map(|resource| (self.action.as_str(), None, resource));
        let tagged = self.resources.iter().filter(|resource| resource.is_new && !resource.tags.is_empty());
        let create_action = self.action.split_once(':').map(|(_, name)| name);
        own.chain(tagged.map(move |resource| ("ec2:CreateTags", create_action, resource)))
    }

    /// The condition keys that IAM has for one of the resources.
    pub(super) fn context(&self, resource: &Resource, create_action: Option<&str>) -> Context {
        let mut context = Context::new();
        let mut put = |key: String, value: &str| {
            context.entry(key.to_lowercase()).or_default().push(value.to_owned());
        };
        put(
            "aws:RequestedRegion".to_owned(),
            self.keys.get("aws:RequestedRegion").map_or(REGION, String::as_str),
        );
        for (key, value) in self.keys.iter().filter(|(key, _)| *key != "aws:RequestedRegion") {
            put(key.clone(), value);
        }
        if let Some(create_action) = create_action {
            put("ec2:CreateAction".to_owned(), create_action);
        }
        let (request, own) =
            if resource.is_new { (&resource.tags, None) } else { (&self.tags, Some(&resource.tags)) };
        for (key, value) in request {
            put(format!("aws:RequestTag/{key}"), value);
            put("aws:TagKeys".to_owned(), key);
        }
        for (key, value) in own.into_iter().flatten() {
            for service in ["aws:ResourceTag", "ec2:ResourceTag", "ssm:resourceTag"] {
                put(format!("{service}/{key}"), value);
            }
        }
        context
    }
}

impl Resource {
    /// One that exists, with its own tags.
    #[must_use]
    pub fn existing(arn: String, tags: BTreeMap<String, String>) -> Self {
        Self { arn, kind: String::new(), is_new: false, tags }
    }

    /// One that the call makes, with the tags that the request gives it.
    #[must_use]
    pub fn made(arn: String, tags: BTreeMap<String, String>) -> Self {
        Self { is_new: true, ..Self::existing(arn, tags) }
    }

    /// What a call is about that names nothing.
    fn any() -> Self {
        Self::existing("*".to_owned(), BTreeMap::new())
    }

    fn read(word: &str) -> Result<Self, CallError> {
        let unknown = || CallError::Resource(word.to_owned());
        let (place, tags) = match word.split_once('{') {
            Some((place, tags)) => (place, tags.strip_suffix('}').ok_or_else(unknown)?),
            None => (word, ""),
        };
        let (is_new, place) = place.strip_prefix("new:").map_or((false, place), |place| (true, place));
        let (kind, id) = place.split_once('/').ok_or_else(unknown)?;
        let (kind, region) = kind.split_once('@').unwrap_or((kind, REGION));
        let arn = match kind {
            "instance" | "volume" => format!("arn:aws:ec2:{region}:{ACCOUNT}:{kind}/{id}"),
            "snapshot" => format!("arn:aws:ec2:{region}::snapshot/{id}"),
            "document" => format!("arn:aws:ssm:{region}:{ACCOUNT}:document/{id}"),
            "aws-document" => format!("arn:aws:ssm:{region}::document/{id}"),
            "parameter" => format!("arn:aws:ssm:{region}:{ACCOUNT}:parameter/{id}"),
            "function" => format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{id}"),
            "queue" => format!("arn:aws:sqs:{region}:{ACCOUNT}:{id}"),
            "key" => format!("arn:aws:kms:{region}:{ACCOUNT}:key/{id}"),
            "role" => format!("arn:aws:iam::{ACCOUNT}:role/{id}"),
            "log" => format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:/{id}:log-stream:s"),
            _ => return Err(unknown()),
        };
        let tags = tags
            .split(',')
            .filter(|tag| !tag.is_empty())
            .map(|tag| tag.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())))
            .collect::<Option<_>>()
            .ok_or_else(unknown)?;
        let kind = if is_new { format!("new:{kind}") } else { kind.to_owned() };
        Ok(Self { arn, kind, is_new, tags })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_leaves_out_what_aws_would_ask_about_is_none() {
        for words in [
            "",
            "ec2:CreateSnapshots instance/i-1 new:snapshot/*{a=b}",
            "ec2:DeleteSnapshot",
            "ec2:DeleteSnapshot volume/vol-1 snapshot/snap-1",
            "ec2:DeleteSnapshot new:snapshot/snap-1",
            "ec2:DeleteSnapshot bucket/b",
            "ec2:DescribeVolumes volume/vol-1",
        ] {
            assert!(Call::read(words).is_err(), "{words}");
        }
    }

    #[test]
    fn tags_at_birth_ask_for_create_tags_too() {
        let call = Call::read("ec2:CreateSnapshot volume/vol-1{x=y} new:snapshot/*{a=b}").unwrap();
        let asked: Vec<_> = call.questions().map(|(action, with, _)| (action, with)).collect();
        assert_eq!(
            asked,
            [
                ("ec2:CreateSnapshot", None),
                ("ec2:CreateSnapshot", None),
                ("ec2:CreateTags", Some("CreateSnapshot"))
            ]
        );
    }
}
