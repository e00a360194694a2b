//! What the helper tells the signal function: that it is ready, and that it is frozen.

use crate::{JsonError, VolumeId, json};
use serde::{Deserialize, Serialize};

/// One invocation of the signal function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Before the freeze: warms everything up and has a bad order refused while nothing is frozen.
    Ready(Ready),
    /// Every file system is frozen and synced: take the snapshots now.
    Frozen(Frozen),
}

/// The helper has resolved its volumes and would freeze next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The signed work order.
    pub order: String,
    /// What would be frozen, so that a set whose tags do not fit is refused now.
    #[serde(default)]
    pub filesystems: Vec<FileSystem>,
    /// Whether no freeze follows. An order for a rehearsal is refused without it: the helper would be too
    /// old to know the word, and freeze.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearse: bool,
}

/// The file systems are frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frozen {
    /// The signed work order.
    pub order: String,
    /// How much of the freeze is left, milliseconds: an answer after that is of no use.
    pub budget_ms: u64,
    /// What lies on the ordered volumes.
    pub filesystems: Vec<FileSystem>,
}

/// One mounted file system on the ordered volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystem {
    /// Where it is mounted.
    pub mount_point: String,
    /// Its type, `ext4`.
    pub fs_type: String,
    /// Its UUID, where one could be read.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Every volume that it lies on.
    pub volumes: Vec<VolumeId>,
    /// What stands between file system and volumes: `disk`, `partition 1`, `lvm vg/lv`.
    #[serde(default)]
    pub layout: String,
}

/// The document as it arrives: one of the two, whatever else is in it.
#[derive(Deserialize)]
struct Envelope {
    ready: Option<Ready>,
    frozen: Option<Frozen>,
}

impl Signal {
    /// Reads an invocation's payload.
    ///
    /// # Errors
    /// Neither or both of `ready` and `frozen`, or a field of them is missing or malformed.
    pub fn read(payload: &[u8]) -> Result<Self, JsonError> {
        let envelope: Envelope = json::read("signal", payload)?;
        match (envelope.ready, envelope.frozen) {
            (Some(ready), None) => Ok(Self::Ready(ready)),
            (None, Some(frozen)) => Ok(Self::Frozen(frozen)),
            (None, None) => Err(JsonError::Document {
                what: "signal",
                cause: "missing field `ready` or `frozen`".to_owned(),
            }),
            (Some(_), Some(_)) => Err(JsonError::Document {
                what: "signal",
                cause: "`ready` and `frozen` exclude each other".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> Signal {
        Signal::Frozen(Frozen {
            order: "a.b.c".to_owned(),
            budget_ms: 9_000,
            filesystems: vec![FileSystem {
                mount_point: "/srv/pg data".to_owned(),
                fs_type: "ext4".to_owned(),
                uuid: None,
                volumes: vec![VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap()],
                layout: "disk".to_owned(),
            }],
        })
    }

    #[test]
    fn both_signals_survive_the_wire() {
        let ready = Signal::Ready(Ready { order: "a.b.c".to_owned(), filesystems: vec![], rehearse: false });
        for signal in [ready, frozen()] {
            let text = serde_json::to_vec(&signal).unwrap();
            assert_eq!(Signal::read(&text), Ok(signal));
        }
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let text = br#"{"v": 1, "ready": {"order": "a.b.c", "colour": 7}, "later": []}"#;
        assert!(matches!(Signal::read(text), Ok(Signal::Ready(_))));
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (text, named) in [
            (r#"{"frozen": {"order": "a", "filesystems": []}}"#, "budget_ms"),
            (r#"{"frozen": {"order": 7, "budget_ms": 1, "filesystems": []}}"#, "frozen.order"),
            (r#"{"frozen": {"order": "a", "budget_ms": -1, "filesystems": []}}"#, "frozen.budget_ms"),
            (
                r#"{"frozen": {"order": "a", "budget_ms": 1, "filesystems": [{"mount_point": "/", "fs_type": "x", "volumes": ["sdf"]}]}}"#,
                "frozen.filesystems[0].volumes[0]",
            ),
            ("{}", "`ready` or `frozen`"),
            (
                r#"{"ready": {"order": "a"}, "frozen": {"order": "a", "budget_ms": 1, "filesystems": []}}"#,
                "exclude",
            ),
            ("[]", "signal"),
            ("", "signal"),
        ] {
            let error = Signal::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(named), "{text} gave {error:?}, which does not name {named:?}");
        }
    }
}
