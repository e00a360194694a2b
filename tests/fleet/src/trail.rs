//! CloudTrail: who changed what, through `LookupEvents`. Only this tells a forced stop from a clean one.

use crate::api_error::ApiError;
use crate::clock::{epoch, iso};
use crate::random;
use crate::sync::lock;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Mutex;

/// Everything that was recorded.
#[derive(Debug, Default)]
pub struct Trail {
    region: String,
    delay: TimeDelta,
    events: Mutex<Vec<Event>>,
}

#[derive(Debug, Clone)]
struct Event {
    id: String,
    name: &'static str,
    at: DateTime<Utc>,
    resources: Vec<String>,
    parameters: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Lookup {
    #[serde(default)]
    lookup_attributes: Vec<Attribute>,
    start_time: Option<f64>,
    end_time: Option<f64>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute_key: String,
    attribute_value: String,
}

const LARGEST_PAGE: usize = 50;

impl Trail {
    /// An empty trail that tells of an event after `delay_s` seconds.
    #[must_use]
    pub fn new(region: &str, delay_s: u64) -> Self {
        let delay = TimeDelta::seconds(i64::try_from(delay_s).unwrap_or(0));
        Self { region: region.to_owned(), delay, events: Mutex::default() }
    }

    /// Writes an event down. CloudTrail's times are whole seconds.
    pub fn record<'a>(
        &self,
        name: &'static str,
        resources: impl Iterator<Item = &'a str>,
        parameters: Value,
        now: DateTime<Utc>,
    ) {
        let resources = resources.map(str::to_owned).collect();
        let event = Event { id: random::uuid(), name, at: now.trunc_subsecs(0), resources, parameters };
        lock(&self.events).push(event);
    }

    /// `LookupEvents`: newest first.
    ///
    /// # Errors
    /// More than one attribute, one that does not exist, or a bad page.
    pub fn lookup_events(&self, body: &[u8], now: DateTime<Utc>) -> Result<Value, ApiError> {
        let lookup: Lookup = serde_json::from_slice(body)
            .map_err(|error| ApiError::new("SerializationException", error.to_string()))?;
        if lookup.lookup_attributes.len() > 1 {
            let message = "You can specify only one attribute key/value pair.";
            return Err(ApiError::new("InvalidLookupAttributesException", message));
        }
        let attribute = lookup.lookup_attributes.first();
        if let Some(attribute) = attribute
            && !matches!(attribute.attribute_key.as_str(), "ResourceName" | "EventName" | "EventId")
        {
            let message = format!("The fleet does not look up by {}", attribute.attribute_key);
            return Err(ApiError::new("InvalidLookupAttributesException", message));
        }
        let size = lookup.max_results.unwrap_or(LARGEST_PAGE);
        if !(1..=LARGEST_PAGE).contains(&size) {
            return Err(ApiError::new("InvalidMaxResultsException", "MaxResults is between 1 and 50."));
        }
        let events = lock(&self.events);
        let mut found: Vec<(usize, &Event)> = events
            .iter()
            .enumerate()
            .filter(|(_, event)| {
                event.at + self.delay <= now && event.within(lookup.start_time, lookup.end_time)
            })
            .filter(|(_, event)| attribute.is_none_or(|attribute| event.has(attribute)))
            .collect();
        found.reverse();
        if let Some(token) = &lookup.next_token {
            let before = read_token(token)?;
            found.retain(|(n, _)| *n < before);
        }
        let more = found.len() > size;
        found.truncate(size);
        let mut answer =
            json!({"Events": found.iter().map(|(_, event)| self.render(event)).collect::<Vec<_>>()});
        if let (true, Some((last, _)), Some(answer)) = (more, found.last(), answer.as_object_mut()) {
            answer.insert("NextToken".to_owned(), json!(BASE64_URL_SAFE_NO_PAD.encode(last.to_string())));
        }
        Ok(answer)
    }

    fn render(&self, event: &Event) -> Value {
        let whole = json!({
            "eventVersion": "1.09",
            "eventID": event.id,
            "eventName": event.name,
            "eventSource": "ec2.amazonaws.com",
            "eventTime": iso(event.at).replace(".000Z", "Z"),
            "awsRegion": self.region,
            "readOnly": false,
            "requestParameters": event.parameters,
        });
        let resources: Vec<Value> = event
            .resources
            .iter()
            .map(|id| {
                let kind = if id.starts_with("vol-") { "AWS::EC2::Volume" } else { "AWS::EC2::Instance" };
                json!({"ResourceType": kind, "ResourceName": id})
            })
            .collect();
        json!({
            "EventId": event.id,
            "EventName": event.name,
            "EventTime": epoch(event.at),
            "EventSource": "ec2.amazonaws.com",
            "ReadOnly": "false",
            "Username": "operator",
            "Resources": resources,
            "CloudTrailEvent": whole.to_string(),
        })
    }
}

impl Event {
    fn has(&self, attribute: &Attribute) -> bool {
        let value = &attribute.attribute_value;
        match attribute.attribute_key.as_str() {
            "ResourceName" => self.resources.contains(value),
            "EventName" => self.name == value,
            _ => self.id == *value,
        }
    }

    fn within(&self, start: Option<f64>, end: Option<f64>) -> bool {
        // Whole seconds since 1970 are exact in a double.
        #[allow(clippy::cast_precision_loss)]
        let at = self.at.timestamp() as f64;
        start.is_none_or(|start| at >= start) && end.is_none_or(|end| at <= end)
    }
}

fn read_token(token: &str) -> Result<usize, ApiError> {
    BASE64_URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok())
        .ok_or_else(|| ApiError::new("InvalidNextTokenException", "The token in the request is not valid."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).unwrap()
    }

    fn names(answer: &Value) -> Vec<&str> {
        answer["Events"].as_array().unwrap().iter().map(|e| e["EventName"].as_str().unwrap()).collect()
    }

    fn trail() -> Trail {
        let trail = Trail::new("eu-central-1", 10);
        trail.record("StopInstances", ["i-1"].into_iter(), json!({"force": true}), at(0));
        trail.record("StartInstances", ["i-1"].into_iter(), json!({}), at(1));
        trail.record("StopInstances", ["i-2"].into_iter(), json!({"force": false}), at(2));
        trail
    }

    #[test]
    fn events_of_a_resource_come_newest_first() {
        let by_resource =
            br#"{"LookupAttributes": [{"AttributeKey": "ResourceName", "AttributeValue": "i-1"}]}"#;
        let answer = trail().lookup_events(by_resource, at(100)).unwrap();
        assert_eq!(names(&answer), ["StartInstances", "StopInstances"]);
        let whole: Value =
            serde_json::from_str(answer["Events"][1]["CloudTrailEvent"].as_str().unwrap()).unwrap();
        assert_eq!(whole["requestParameters"]["force"], true);
    }

    #[test]
    fn pages_and_times_are_kept() {
        let trail = trail();
        let first = trail.lookup_events(br#"{"MaxResults": 2}"#, at(100)).unwrap();
        assert_eq!(names(&first), ["StopInstances", "StartInstances"]);
        let next = json!({"MaxResults": 2, "NextToken": first["NextToken"]}).to_string();
        let second = trail.lookup_events(next.as_bytes(), at(100)).unwrap();
        assert_eq!(names(&second), ["StopInstances"]);
        assert_eq!(second["NextToken"], Value::Null);
        let since = json!({"StartTime": at(1).timestamp()}).to_string();
        assert_eq!(names(&trail.lookup_events(since.as_bytes(), at(100)).unwrap()).len(), 2);
    }

    #[test]
    fn an_event_is_not_known_at_once() {
        assert_eq!(names(&trail().lookup_events(b"{}", at(11)).unwrap()).len(), 2);
        assert_eq!(names(&trail().lookup_events(b"{}", at(9)).unwrap()).len(), 0);
    }

    #[test]
    fn what_cannot_be_looked_up_is_refused() {
        let two = br#"{"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "a"}, {"AttributeKey": "EventName", "AttributeValue": "b"}]}"#;
        assert_eq!(trail().lookup_events(two, at(0)).unwrap_err().code, "InvalidLookupAttributesException");
        assert_eq!(trail().lookup_events(b"{", at(0)).unwrap_err().code, "SerializationException");
    }
}
