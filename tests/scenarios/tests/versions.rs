//! Helper and functions of different releases: whoever reads a document of another version says so, and nothing is
//! frozen or made for it. An instance may have an old helper for a day, and a new one before the stack is updated.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, daily};
use serde_json::{Value, json};

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

/// What the reader says of a version that it does not know.
fn told(v: u32) -> String {
    format!("field v: {v} is not the version that this reader knows (1)")
}

fn error(report: &Value) -> &str {
    report["error"].as_str().unwrap_or_default()
}

#[test]
fn a_helper_refuses_an_order_of_another_version_before_it_freezes_or_signals() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    region.backup(daily());
    let (made, invoked) = (region.snapshots().len(), region.calls("Invoke"));
    for v in [0, 2] {
        let order = region.order_of_version(INSTANCE, v);
        let mut report = Value::Null;
        let stall = region.longest_stall_during(|| report = region.freeze_with(INSTANCE, &order));
        assert_eq!(report["verdict"], "refused", "{report}");
        assert!(error(&report).contains(&told(v)), "{report}");
        assert!(stall.as_millis() < 200, "a writer stood still for {stall:?}");
    }
    assert_eq!((region.snapshots().len(), region.calls("Invoke")), (made, invoked));
}

#[test]
fn the_signal_function_refuses_an_order_of_another_version_though_the_key_signed_it() {
    let region = Region::without_disks(ONE_INSTANCE);
    region.backup(daily());
    let cuts = region.calls("CreateSnapshots");
    for v in [0, 2] {
        let order = region.order_of_version(INSTANCE, v);
        for signal in [
            json!({"ready": {"order": order, "filesystems": []}}),
            json!({"frozen": {"order": order, "budget_ms": 5_000, "filesystems": []}}),
        ] {
            let answer = region.invoke("signal", &signal);
            assert_eq!(answer["refused"]["reason"], "malformed", "{answer}");
            let message = answer["refused"]["message"].as_str().unwrap_or_default();
            assert!(message.contains(&told(v)), "{answer}");
        }
    }
    assert_eq!(region.calls("CreateSnapshots"), cuts);
}

#[test]
fn the_backup_function_believes_no_report_of_another_version() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    // The helper of tomorrow: it has frozen and says so, in words that today's function cannot judge.
    let script = "export SSM_order; stillframe-helper freeze 2>/dev/null | sed 's/\"v\":1,/\"v\":2,/g'";
    region.put_document("Stillframe-Freeze", &freeze_by(script));
    let result = region.backup(daily());
    assert!(result.to_string().contains("the helper gave no report"), "{result}");
    assert_eq!(region.snapshots().len(), 2, "{result}");
    assert!(region.snapshots().iter().all(|one| one.label == "crash"), "{result}");
    assert!(region.frozen().is_empty());
}

#[test]
fn a_mount_order_of_another_version_is_refused_by_the_helper() {
    let Some(region) = Region::with_disks(ONE_INSTANCE) else { return };
    let order = json!({"v": 2, "run": "r", "mounts": [{"volumes": ["vol-0aaaaaaaaaaaaaa01"], "mount_point": "/srv/x"}]});
    let report = region.mount_with(INSTANCE, &order);
    assert!(report.contains("version that this reader knows"), "{report}");
}

/// The document that is shipped, with another script.
fn freeze_by(script: &str) -> Value {
    let text = std::fs::read_to_string(stack::infra().join("documents/Stillframe-Freeze.json"));
    let mut document: Value = serde_json::from_str(&text.expect("the document")).expect("JSON");
    document["mainSteps"][0]["inputs"]["runCommand"] = json!(["#!/bin/sh", script]);
    document
}
