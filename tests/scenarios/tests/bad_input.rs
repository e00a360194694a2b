//! Bad input gets one error that names the field and the value, and nothing is changed.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, Region, daily};
use serde_json::{Value, json};

fn without_disks() -> Region {
    Region::without_disks(ONE_INSTANCE)
}

#[test]
fn a_wrong_policy_is_refused_by_field_and_changes_nothing() {
    let region = without_disks();
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 8] = [
        ("keep", |p| p["keep"] = json!({})),
        ("keep", |p| {
            p.as_object_mut().map(|p| p.remove("keep"));
        }),
        ("keep.last", |p| p["keep"] = json!({"last": "five"})),
        ("select", |p| {
            p.as_object_mut().map(|p| p.remove("select"));
        }),
        ("timezone", |p| p["timezone"] = json!("Mars/Olympus")),
        ("every", |p| p["every"] = json!("fortnight")),
        ("max_freeze_ms", |p| p["max_freeze_ms"] = json!(60_000)),
        ("policy", |p| p["policy"] = json!("../../etc")),
    ];
    for (field, change) in cases {
        let mut policy = daily();
        change(&mut policy);
        let error = region.try_backup(policy.clone()).expect_err(&format!("{policy} was accepted"));
        assert!(error.contains(field), "{policy} gave {error:?}, which does not name {field}");
        assert!(!error.contains("panicked"), "{error}");
    }
    assert_eq!(
        region.calls("CreateSnapshots") + region.calls("SendCommand") + region.calls("PutParameter"),
        0
    );
}

#[test]
fn an_unknown_field_is_ignored() {
    let region = without_disks();
    let mut policy = daily();
    policy["colour"] = json!({"deep": ["blue"]});
    policy["keep"]["fortnightly"] = json!(3);
    let result = region.backup(policy);
    assert_eq!(result["status"], "done", "{result}");
}

#[test]
fn a_policy_that_selects_nothing_is_a_warning_and_a_metric() {
    let region = without_disks();
    let mut policy = daily();
    policy["select"] = json!({"tag:stillframe": "nobody"});
    let result = region.backup(policy);
    assert!(result["warnings"].to_string().contains("nothing"), "{result}");
    let logs = region.function_logs("backup");
    let metric = logs.lines().find(|line| line.contains("\"_aws\"")).expect("an EMF line");
    let metric: Value = serde_json::from_str(metric).expect("EMF is JSON");
    assert_eq!(metric["SelectsNothing"], 1, "{metric}");
}

#[test]
fn a_malformed_signal_is_refused_by_field() {
    let region = without_disks();
    for (payload, field) in [
        (json!({}), "ready"),
        (json!({"ready": {}}), "order"),
        (json!({"frozen": {"order": "a.b.c", "budget_ms": "soon", "filesystems": []}}), "budget_ms"),
        (json!([1, 2]), "signal"),
    ] {
        let answer = region.invoke("signal", &payload);
        assert_eq!(answer["refused"]["reason"], "malformed", "{payload} gave {answer}");
        let message = answer["refused"]["message"].as_str().unwrap_or_default();
        assert!(message.contains(field), "{payload} gave {message:?}, which does not name {field}");
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_changes_nothing() {
    let region = without_disks();
    let mut policy = daily();
    policy["dry_run"] = json!(true);
    let result = region.backup(policy);
    assert_eq!(result["status"], "dry-run");
    let plan = result["plan"].as_str().unwrap_or_default();
    assert!(plan.contains("vol-0aaaaaaaaaaaaaa01") && plan.contains("i-0aaaaaaaaaaaaaaa1"), "{plan}");
    for change in ["CreateSnapshots", "CreateSnapshot", "SendCommand", "CreateTags", "DeleteSnapshot"] {
        assert_eq!(region.calls(change), 0, "{change}");
    }
}
