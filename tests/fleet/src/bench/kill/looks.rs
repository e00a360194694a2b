//! What there is to see after a run: the orders as SSM tells of them, and the snapshots' bytes.

use super::judge::{SeenSnapshot, verdict_of};
use super::stage::Round;
use crate::bench::{BenchError, region};
use crate::client::{Client, SnapshotFile, SnapshotRecord};
use crate::disks::CutRecord;
use crate::verify;
use serde_json::{Value, json};

/// An order that has ended.
pub(super) struct Ended {
    /// Its instance.
    pub(super) instance: String,
    /// What its helper reported.
    pub(super) verdict: String,
}

/// The newest orders that SSM knows of, one run's at most.
pub(super) fn ended_orders(client: &Client) -> Result<Vec<Ended>, BenchError> {
    let asked = json!({
        "Details": true, "MaxResults": 50,
        "Filters": [{"key": "DocumentName", "value": "Stillframe-Freeze"}]
    });
    let listed = client.ssm("ListCommandInvocations", &asked).map_err(region("list the orders"))?;
    let all = listed.get("CommandInvocations").and_then(Value::as_array).cloned().unwrap_or_default();
    let comment = |one: &Value| one.get("Comment").and_then(Value::as_str).unwrap_or_default().to_owned();
    let run = all.iter().map(&comment).find(|comment| comment != "second").unwrap_or_default();
    let ended = all.iter().filter(|one| comment(one) == run).map(|one| {
        let text = |path: &str| one.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let printed = text("/CommandPlugins/0/Output");
        let mut verdict = verdict_of(printed);
        if verdict == "no report" {
            let code = one.pointer("/CommandPlugins/0/ResponseCode").and_then(Value::as_i64).unwrap_or(-1);
            verdict = format!("no report (exit {code})");
        }
        Ended { instance: text("/InstanceId").to_owned(), verdict }
    });
    Ok(ended.collect())
}

pub(super) fn read(record: &SnapshotRecord, file: Option<&SnapshotFile>, round: &mut Round) -> SeenSnapshot {
    let label = record.tags.get("stillframe:consistency").cloned().unwrap_or_default();
    // Of the others one is enough to show that the check can fail.
    let wanted = label == "filesystem" || round.crash_read == 0;
    let bytes = file.filter(|_| wanted).map(|file| verify::verify(&file.path));
    if let Some(bytes) = bytes.as_ref().filter(|_| label != "filesystem") {
        round.crash_read += 1;
        round.crash_dirty += usize::from(bytes.journal != verify::Journal::Clean);
    }
    let cut = file.and_then(|file| CutRecord::read(&file.path).ok());
    SeenSnapshot { id: record.id.clone(), label, cut, bytes }
}
