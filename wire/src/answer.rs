//! What the signal function answers.

use crate::{JsonError, RunId, SnapshotId, VolumeId, json};
use serde::{Deserialize, Serialize};

/// The signal function's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To READY: the order is good.
    Ready(ReadyAnswer),
    /// To FROZEN: the snapshots exist.
    Cut(Cut),
    /// To either: no snapshot was made by this call, unless the message says that this is unknown.
    Refused(Refusal),
}

/// The order is good; a freeze may begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyAnswer {
    /// The run that the order belongs to.
    pub run: RunId,
}

/// The snapshots of one cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The run that the order belongs to; an answer to somebody else's question is no proof.
    pub run: RunId,
    /// One per volume of the set.
    pub snapshots: Vec<CutSnapshot>,
    /// When `CreateSnapshots` was called, RFC 3339.
    pub asked_at: String,
    /// When it answered, RFC 3339.
    pub answered_at: String,
}

/// One volume's snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutSnapshot {
    /// The volume.
    pub volume: VolumeId,
    /// Its snapshot.
    pub snapshot: SnapshotId,
}

/// A no, with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What kind of no.
    pub reason: RefusalReason,
    /// One sentence for the operator.
    pub message: String,
}

/// Why the signal function did not do what it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// The order is too old.
    Expired,
    /// The order was not signed by us.
    BadSignature,
    /// The order or the signal is not of the agreed shape, or made out to somebody else.
    Malformed,
    /// A file system names a volume that is not in the order.
    UnknownVolume,
    /// The set's tags would not fit on a snapshot.
    TooManyTags,
    /// EC2 was asked too often, and the budget is spent.
    Throttled,
    /// EC2 takes no further snapshot of one of the volumes now.
    PendingLimit,
    /// EC2 said no for another reason; nothing was made.
    CreateFailed,
    /// The call's outcome is not known: the snapshots may exist.
    Unknown,
    /// The signal function could not do its work.
    Internal,
    /// A reason that this reader does not know yet.
    #[serde(other)]
    Other,
}

impl RefusalReason {
    /// The reason as it is written on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::BadSignature => "bad-signature",
            Self::Malformed => "malformed",
            Self::UnknownVolume => "unknown-volume",
            Self::TooManyTags => "too-many-tags",
            Self::Throttled => "throttled",
            Self::PendingLimit => "pending-limit",
            Self::CreateFailed => "create-failed",
            Self::Unknown => "unknown",
            Self::Internal => "internal",
            Self::Other => "other",
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    ready: Option<ReadyAnswer>,
    cut: Option<Cut>,
    refused: Option<Refusal>,
}

impl Answer {
    /// Reads the signal function's result.
    ///
    /// # Errors
    /// Not exactly one of the three answers, or a field is missing or malformed.
    pub fn read(payload: &[u8]) -> Result<Self, JsonError> {
        let envelope: Envelope = json::read("answer", payload)?;
        match (envelope.ready, envelope.cut, envelope.refused) {
            (Some(ready), None, None) => Ok(Self::Ready(ready)),
            (None, Some(cut), None) => Ok(Self::Cut(cut)),
            (None, None, Some(refusal)) => Ok(Self::Refused(refusal)),
            _ => Err(JsonError::Document {
                what: "answer",
                cause: "needs exactly one of the fields `ready`, `cut` and `refused`".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_survives_the_wire() {
        let run = RunId::new("daily/2026-11-22/k3v9x2").unwrap();
        let cut = Cut {
            run: run.clone(),
            snapshots: vec![CutSnapshot {
                volume: VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap(),
                snapshot: SnapshotId::new("snap-0123456789abcdef0").unwrap(),
            }],
            asked_at: "2026-11-22T01:00:00.000Z".to_owned(),
            answered_at: "2026-11-22T01:00:00.400Z".to_owned(),
        };
        let refusal = Refusal { reason: RefusalReason::Throttled, message: "later".to_owned() };
        for answer in [Answer::Ready(ReadyAnswer { run }), Answer::Cut(cut), Answer::Refused(refusal)] {
            let text = serde_json::to_vec(&answer).unwrap();
            assert_eq!(Answer::read(&text), Ok(answer));
        }
    }

    #[test]
    fn a_reason_of_a_later_version_is_still_a_refusal() {
        let text = br#"{"refused": {"reason": "moon-phase", "message": "x"}}"#;
        let Ok(Answer::Refused(refusal)) = Answer::read(text) else { panic!("not a refusal") };
        assert_eq!(refusal.reason, RefusalReason::Other);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        for text in [
            "",
            "{",
            "{}",
            r#"{"cut": {"run": "r", "snapshots": ["#,
            r#"{"cut": {"run": "r", "snapshots": [{"volume": "vol-0aaaaaaaaaaaaaa01"}], "asked_at": "", "answered_at": ""}}"#,
            r#"{"errorMessage": "boom", "errorType": "Runtime"}"#,
        ] {
            assert!(Answer::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_reason_is_written_as_it_is_named() {
        for reason in [RefusalReason::BadSignature, RefusalReason::TooManyTags, RefusalReason::Unknown] {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }
}
