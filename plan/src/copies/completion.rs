//! What EBS says when snapshots are complete: events of EventBridge, as they come.

use crate::SnapshotId;
use serde_json::Value;

/// Snapshots that EBS has completed in one region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The region.
    pub region: String,
    /// The snapshots; none when what the event tells of has failed.
    pub snapshots: Vec<SnapshotId>,
}

/// An event that is none of those.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value} is {wrong}")]
pub struct NoCompletion {
    path: String,
    value: Value,
    wrong: &'static str,
}

impl NoCompletion {
    /// The path of the field that is wrong, of an event that is itself a field.
    #[must_use]
    pub fn field(&self, event: &str) -> String {
        if self.path.is_empty() { event.to_owned() } else { format!("{event}.{}", self.path) }
    }
}

const OF_ONE: &str = "EBS Snapshot Notification";
const OF_A_SET: &str = "EBS Multi-Volume Snapshots Completion Status";

impl Completion {
    /// Reads an event of EBS about one snapshot, one copy, or a set.
    ///
    /// # Errors
    /// It is something else, or lacks a field.
    pub fn read(event: &Value) -> Result<Self, NoCompletion> {
        if !event.is_object() {
            return Err(wrong("", event, "not a JSON object"));
        }
        let region = text(event, "region", event.get("region"))?.to_owned();
        let detail = event.get("detail").unwrap_or(&Value::Null);
        let snapshots = match text(event, "detail-type", event.get("detail-type"))? {
            OF_ONE => {
                let result = text(detail, "detail.result", detail.get("result"))?;
                let id = id_of(text(detail, "detail.snapshot_id", detail.get("snapshot_id"))?);
                if result == "succeeded" { vec![id] } else { Vec::new() }
            }
            OF_A_SET => {
                let members = detail.get("snapshots").unwrap_or(&Value::Null);
                let list = members.as_array();
                let list = list.ok_or_else(|| wrong("detail.snapshots", members, "not a list"))?;
                let mut complete = Vec::new();
                for member in list {
                    let field = "detail.snapshots.snapshot_id";
                    let id = id_of(text(member, field, member.get("snapshot_id"))?);
                    if member.get("status").and_then(Value::as_str) == Some("completed") {
                        complete.push(id);
                    }
                }
                complete
            }
            _ => {
                let what = event.get("detail-type").unwrap_or(&Value::Null);
                return Err(wrong("detail-type", what, "no event about complete snapshots"));
            }
        };
        Ok(Self { region, snapshots })
    }
}

/// A snapshot's id, which EBS gives as an ARN of a shape of its own: `arn:aws:ec2::us-east-1:snapshot/snap-1`.
fn id_of(arn: &str) -> SnapshotId {
    SnapshotId::from(arn.rsplit('/').next().unwrap_or(arn))
}

fn text<'a>(of: &Value, path: &str, value: Option<&'a Value>) -> Result<&'a str, NoCompletion> {
    match value {
        None => Err(wrong(path, of, "without it")),
        Some(value) => value.as_str().ok_or_else(|| wrong(path, value, "not a text")),
    }
}

fn wrong(path: &str, value: &Value, wrong: &'static str) -> NoCompletion {
    NoCompletion { path: path.to_owned(), value: value.clone(), wrong }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of_one(event: &str, result: &str) -> Value {
        json!({
            "version": "0", "source": "aws.ec2", "detail-type": OF_ONE, "region": "us-east-1",
            "detail": {
                "event": event, "result": result, "cause": "",
                "snapshot_id": "arn:aws:ec2::us-east-1:snapshot/snap-01234567",
                "source": "arn:aws:ec2::eu-west-1:snapshot/snap-76543210",
            },
        })
    }

    fn of_a_set() -> Value {
        let member = |id: &str, status: &str| {
            json!({"snapshot_id": format!("arn:aws:ec2::us-east-1:snapshot/{id}"), "status": status,
                   "source": "arn:aws:ec2::us-east-1:volume/vol-01234567"})
        };
        json!({
            "source": "aws.ec2", "detail-type": OF_A_SET, "region": "us-east-1",
            "detail": {"event": "createSnapshots", "result": "succeeded",
                       "snapshots": [member("snap-1", "completed"), member("snap-2", "error"), member("snap-3", "completed")]},
        })
    }

    fn ids(event: &Value) -> Vec<String> {
        let read = Completion::read(event).unwrap();
        assert_eq!(read.region, "us-east-1");
        read.snapshots.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_complete_is_read_from_each_kind() {
        assert_eq!(ids(&of_one("createSnapshot", "succeeded")), ["snap-01234567"]);
        assert_eq!(ids(&of_one("copySnapshot", "succeeded")), ["snap-01234567"]);
        assert!(ids(&of_one("copySnapshot", "failed")).is_empty());
        assert_eq!(ids(&of_a_set()), ["snap-1", "snap-3"]);
    }

    #[test]
    fn what_is_no_such_event_is_named_with_its_value() {
        let changed = |pointer: &str, value: Value| {
            let mut event = if pointer.contains("snapshots") {
                of_a_set()
            } else {
                of_one("createSnapshot", "succeeded")
            };
            *event.pointer_mut(pointer).unwrap() = value;
            event
        };
        for (event, field, value) in [
            (json!(7), "event", "7"),
            (json!({}), "event.region", "{}"),
            (changed("/region", json!(null)), "event.region", "null"),
            (
                changed("/detail-type", json!("EC2 Instance State-change Notification")),
                "event.detail-type",
                "EC2 Instance",
            ),
            (changed("/detail", json!({})), "event.detail.result", "{}"),
            (changed("/detail/snapshot_id", json!(1)), "event.detail.snapshot_id", "1"),
            (changed("/detail/snapshots", json!("none")), "event.detail.snapshots", "none"),
            (changed("/detail/snapshots/0", json!([])), "event.detail.snapshots.snapshot_id", "[]"),
        ] {
            let error = Completion::read(&event).unwrap_err();
            assert_eq!(error.field("event"), field, "{error}");
            assert!(error.to_string().contains(value), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let mut event = of_a_set();
            event["detail"]["snapshots"][0]["snapshot_id"] = json!(text);
            let _ = Completion::read(&event);
            let mut event = of_one(&text, &text);
            event["detail"]["snapshot_id"] = json!(text);
            let _ = Completion::read(&event);
        }
    }
}
