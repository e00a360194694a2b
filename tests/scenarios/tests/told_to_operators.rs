//! What operators ask of the backup function: `explain`, `status`, a dry run. None of them changes anything.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{Region, TWO_INSTANCES, daily};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A region of two instances, backed up on three days.
fn three_days() -> Region {
    let region = Region::without_disks(TWO_INSTANCES);
    for day in 0..3 {
        if day > 0 {
            region.advance(86_400);
        }
        let result = region.backup(daily());
        assert_eq!(result["status"], "done", "{result}");
        region.complete_snapshots();
    }
    region
}

fn asking(action: &str, more: &Value) -> Value {
    let mut event = daily();
    event["action"] = json!(action);
    for (field, value) in more.as_object().into_iter().flatten() {
        event[field] = value.clone();
    }
    event
}

/// Asks, and sees to it that nothing but describing calls is made for it.
fn ask(region: &Region, event: Value) -> Value {
    let before = region.calls_of_function("backup");
    let snapshots = region.snapshots().len();
    let answer = region.backup(event);
    let made: BTreeMap<String, u64> = region
        .calls_of_function("backup")
        .into_iter()
        .map(|(operation, count)| (operation.clone(), count - before.get(&operation).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    assert!(!made.is_empty(), "it looks at the account: {answer}");
    assert!(made.keys().all(|operation| operation.starts_with("Describe")), "{made:?}");
    assert_eq!(region.snapshots().len(), snapshots);
    answer
}

#[test]
fn explain_says_of_every_snapshot_why_and_until_when_and_changes_nothing() {
    let region = three_days();
    let answer = ask(&region, asking("explain", &json!({"keep_instead": {"last": 2}})));
    assert_eq!(answer["action"], "explain");
    assert_eq!(answer["truncated"], false);
    assert_eq!(answer["totals"]["snapshots"], 12, "{answer}");
    assert_eq!(answer["totals"]["kept"], 12, "{answer}");
    assert_eq!(answer["totals"]["instead_deletes"], 4, "{answer}");
    let told = answer["snapshots"].as_array().expect("a list");
    for one in told {
        let number = &one["decision"]["keep"]["by"][0]["rule"]["number"];
        assert!(one["decision"]["keep"]["until"]["at"].is_string(), "{one}");
        let change = if *number == 3 { "deletes" } else { "shorter" };
        assert_eq!(one["instead"]["change"], change, "{one}");
    }
    let text = answer["text"].as_str().expect("a text");
    assert!(region.snapshots().iter().all(|snapshot| text.contains(&snapshot.id)), "{text}");
}

#[test]
fn what_explain_foretells_comes_true() {
    let region = three_days();
    let mut policy = daily();
    policy["keep"] = json!({"last": 2});
    let mut event = policy.clone();
    event["action"] = json!("explain");
    let answer = ask(&region, event);
    let doomed: Vec<String> = answer["snapshots"]
        .as_array()
        .expect("a list")
        .iter()
        .filter(|one| one["decision"]["delete"].is_object())
        .map(|one| one["snapshot"].as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(doomed.len(), 4, "{answer}");
    let result = region.backup(policy);
    let mut pruned: Vec<String> = result["pruned"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|id| id.as_str().expect("an id").to_owned())
        .collect();
    pruned.sort();
    let mut doomed = doomed;
    doomed.sort();
    assert_eq!(pruned, doomed, "{result}");
}

#[test]
fn status_tells_how_each_lineage_stands_and_changes_nothing() {
    let region = three_days();
    let answer = ask(&region, asking("status", &json!({})));
    assert_eq!(answer["action"], "status");
    assert_eq!(answer["totals"]["lineages"], 4, "{answer}");
    assert_eq!(answer["totals"]["overdue"], 0, "{answer}");
    let text = answer["text"].as_str().expect("a text");
    for column in ["volume", "snapshot", "status", "date", "description"] {
        assert!(text.lines().any(|line| line.starts_with("volume") && line.contains(column)), "{text}");
    }
    assert!(text.contains("stillframe daily 20"), "the descriptions are EC2's: {text}");

    // Three days later nothing has come: overdue. A volume with the tag is new.
    region.advance(3 * 86_400);
    let answer = ask(&region, asking("status", &json!({})));
    assert_eq!(answer["totals"]["overdue"], 4, "{answer}");
    assert!(answer["lineages"].as_array().expect("a list").iter().all(|one| one["standing"] == "overdue"));

    let answer = ask(&region, asking("status", &json!({"policy": "other"})));
    assert_eq!(answer["totals"]["never_backed_up"], 4, "{answer}");
    let answer = ask(&region, asking("status", &json!({"select": {"tag:stillframe": "nobody"}})));
    assert_eq!(answer["selects_nothing"], true, "{answer}");
}

#[test]
fn an_agent_that_is_offline_is_told() {
    let first = "id = \"i-0aaaaaaaaaaaaaaa1\"\n";
    let spec = TWO_INSTANCES.replacen(first, &format!("{first}agent = \"offline\"\n"), 1);
    let region = Region::without_disks(&spec);
    let answer = ask(&region, asking("status", &json!({})));
    assert_eq!(answer["agents"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!(answer["agents"][0]["agent"], "offline", "{answer}");
}

#[test]
fn a_dry_run_prints_a_line_for_each_volume_and_writes_nothing() {
    let region = three_days();
    let mut policy = daily();
    policy["keep"] = json!({"last": 1});
    policy["dry_run"] = json!(true);
    let done = region.backup(policy.clone());
    let plan = done["plan"].as_str().expect("a plan").to_owned();
    assert_eq!(plan.lines().filter(|line| line.contains("already has snap-")).count(), 4, "{plan}");
    assert_eq!(plan.lines().filter(|line| line.contains("would delete 2: snap-")).count(), 4, "{plan}");
    region.advance(86_400);
    let due = region.backup(policy);
    let plan = due["plan"].as_str().expect("a plan").to_owned();
    assert_eq!(plan.lines().filter(|line| line.contains("would create: freeze")).count(), 4, "{plan}");
    assert_eq!(region.snapshots().len(), 12);
}

#[test]
fn a_wrong_question_is_one_error_that_names_field_and_value() {
    let region = Region::without_disks(TWO_INSTANCES);
    for (event, field, value) in [
        (asking("explian", &json!({})), "`action`", "explian"),
        (asking("delete", &json!({})), "`action`", "delete"),
        (asking("explain", &json!({"keep_instead": {"last": "five"}})), "`keep_instead.last`", "five"),
        (asking("explain", &json!({"keep_instead": {}})), "`keep_instead`", "{}"),
        (asking("status", &json!({"keep_instead": {"last": 5}})), "`keep_instead`", "{\"last\":5}"),
        (asking("backup", &json!({"keep_instead": {"last": 5}})), "`keep_instead`", "{\"last\":5}"),
    ] {
        let error = region.try_backup(event.clone()).expect_err("it is refused");
        for name in [field, value] {
            // The client tells the error as JSON has it.
            assert!(error.replace('\\', "").contains(name), "{event} gives {error:?}, which lacks {name}");
        }
    }
    assert_eq!(
        region.calls("PutParameter") + region.calls("CreateSnapshots") + region.calls("CreateTags"),
        0
    );
}
