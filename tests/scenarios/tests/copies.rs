//! Copies in another region: whole sets, each once, kept by rules of their own.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, REPLICAS, Region, Snapshot, daily};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

const THERE: &str = "eu-west-1";

/// Another region beside that of the spec. Nothing completes while a run goes on.
fn beside(spec: &str) -> String {
    format!(
        "other_regions = [\"{THERE}\"]\nsnapshot_completes_after_ms = 40000\n\
         copy_completes_after_ms = 40000\n{spec}"
    )
}

/// The policy, with copies of which the last so many are kept.
fn copying(last: u32) -> Value {
    let mut policy = daily();
    policy["copy_to"] = json!([{"region": THERE, "keep": {"last": last}}]);
    policy
}

/// The same with a rule by which EBS's events ask for copies, each delivered so often.
fn with_rule(spec: &str, policy: &Value, deliveries: u32) -> String {
    let mut input = policy.clone();
    input["action"] = json!("copy");
    input["event"] = json!("EVENT");
    let input = input.to_string().replace("\"EVENT\"", "<aws.events.event.json>");
    format!("{}\n[[rule]]\ninput = '{input}'\ndeliveries = {deliveries}\n", beside(spec))
}

/// So many instances with one volume each.
fn many(instances: usize) -> String {
    let one = |n: usize| {
        format!(
            "[[instance]]\nid = \"i-{n:017x}\"\ntags = {{ stillframe = \"volumes\" }}\n[[instance.volume]]\nid = \"vol-{n:017x}\"\n\
             mount = \"/srv\"\ntags = {{ stillframe = \"daily\" }}\n"
        )
    };
    (0..instances).map(one).collect()
}

/// A set is made and completed, and copied by the next hour's run.
fn a_day(region: &Region, policy: &Value) -> Value {
    region.backup(policy.clone());
    region.complete_snapshots();
    region.backup(policy.clone())
}

fn source_of(copy: &Snapshot) -> &str {
    &copy.tags["stillframe:source-snapshot"]
}

/// The copies by their sources, those that failed left out.
///
/// # Panics
/// There are two of one.
fn copies(region: &Region) -> BTreeMap<String, Snapshot> {
    let mut found = BTreeMap::new();
    for copy in region.snapshots_in(THERE).into_iter().filter(|copy| copy.state != "error") {
        let source = source_of(&copy).to_owned();
        assert!(found.insert(source.clone(), copy).is_none(), "{source} was copied twice");
    }
    found
}

fn ids(snapshots: Vec<Snapshot>) -> BTreeSet<String> {
    snapshots.into_iter().map(|snapshot| snapshot.id).collect()
}

fn reasons(report: &Value, list: &str) -> Vec<String> {
    let notes = report[list].as_array().into_iter().flatten();
    notes.map(|note| note["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_completed_set_is_copied_by_the_next_run_with_its_tags_and_its_bytes() {
    let Some(region) = Region::with_disks(&beside(ONE_INSTANCE)) else { return };
    let policy = copying(3);
    let first = region.backup(policy.clone());
    assert_eq!(first["copies"][0]["started"], json!([]), "nothing is copied that is not complete: {first}");
    region.complete_snapshots();
    let report = region.backup(policy.clone());
    assert_eq!(report["status"], "done", "{report}");
    assert_eq!(report["copies"][0]["started"].as_array().map(Vec::len), Some(2), "{report}");
    region.complete_snapshots();

    let (sources, copies, files) = (region.snapshots(), copies(&region), region.snapshot_files());
    assert_eq!(copies.keys().cloned().collect::<BTreeSet<_>>(), ids(sources.clone()));
    for source in &sources {
        let copy = &copies[&source.id];
        assert_eq!((copy.state.as_str(), copy.volume.as_str()), ("completed", "vol-ffffffff"));
        let told = [
            ("stillframe:source-snapshot", source.id.as_str()),
            ("stillframe:source-volume", source.volume.as_str()),
            ("stillframe:source-region", "eu-central-1"),
            ("stillframe:source-started", source.start_time.as_str()),
        ];
        let mut expected = source.tags.clone();
        expected.extend(told.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(copy.tags, expected);
        let same = Command::new("cmp").arg(&files[&source.id]).arg(&files[&copy.id]).status();
        assert!(same.is_ok_and(|status| status.success()), "{} differs from {}", copy.id, source.id);
        let verified = region.verify(&copy.id);
        assert!(verified.is_consistent(), "{verified:?}");
    }

    let again = region.backup(policy);
    assert_eq!(again["status"], "nothing-to-do", "{again}");
    assert_eq!(again["copies"][0]["there"], 1, "{again}");
    assert_eq!(region.calls("CopySnapshot"), 2);
}

#[test]
fn the_event_of_a_completed_set_is_enough() {
    let policy = copying(3);
    let region = Region::without_disks(&with_rule(ONE_INSTANCE, &policy, 1));
    region.backup(policy);
    region.advance(60);
    region.wait_until("two copies", || copies(&region).len() == 2);
    region.settle_down();
    assert_eq!(region.calls("CopySnapshot"), 2);
}

#[test]
fn an_event_that_is_delivered_three_times_makes_one_copy() {
    let policy = copying(3);
    let region = Region::without_disks(&with_rule(ONE_INSTANCE, &policy, 3));
    region.backup(policy);
    region.advance(60);
    region.wait_until("two copies", || copies(&region).len() == 2);
    // The copies' own completion is told three times as well.
    region.advance(60);
    region.wait_until("complete copies", || copies(&region).values().all(|copy| copy.state == "completed"));
    region.settle_down();
    assert_eq!(copies(&region).len(), 2);
    assert_eq!(region.calls("CopySnapshot"), 2);
}

#[test]
fn an_event_about_somebody_elses_snapshot_does_nothing() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    a_day(&region, &daily());
    let mut asked = copying(3);
    asked["action"] = json!("copy");
    asked["event"] = json!({
        "detail-type": "EBS Snapshot Notification", "region": "eu-central-1",
        "detail": {"event": "createSnapshot", "result": "succeeded",
                   "snapshot_id": "arn:aws:ec2::eu-central-1:snapshot/snap-00000000000000000"},
    });
    assert_eq!(region.backup(asked.clone())["status"], "nothing-to-do");
    assert_eq!(copies(&region).len(), 0);
    // Without an event it is an order.
    asked["event"] = json!(null);
    assert_eq!(region.backup(asked)["status"], "done");
    assert_eq!(copies(&region).len(), 2);
}

#[test]
fn a_copy_whose_answer_is_lost_is_not_made_twice() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    region.fault("CopySnapshot", "drop-response", 1);
    let report = a_day(&region, &copying(3));
    assert_eq!(copies(&region).len(), 2, "{report}");
    region.backup(copying(3));
    assert_eq!(copies(&region).len(), 2);
    assert_eq!(region.calls("CopySnapshot"), 2);
}

#[test]
fn a_copier_killed_after_any_of_its_copies_is_continued_and_doubles_none() {
    for after in 0..2 {
        let region = Region::without_disks(&beside(ONE_INSTANCE));
        region.backup(copying(3));
        region.complete_snapshots();
        region.faults(&json!({
            "op": "CopySnapshot", "fault": "kill-caller", "times": 1, "after": after, "caller": "backup"
        }));
        assert!(region.try_backup(copying(3)).is_err());
        assert_eq!(copies(&region).len(), after + 1);
        region.settle_down();
        region.advance(3_600);
        let report = region.backup(copying(3));
        assert_eq!(copies(&region).len(), 2, "killed after {after}: {report}");
        assert_eq!(region.calls("CopySnapshot"), 2);
    }
}

#[test]
fn of_more_than_twenty_the_rest_is_copied_later() {
    let region = Region::without_disks(&beside(&many(25)));
    let report = a_day(&region, &copying(3));
    assert_eq!(copies(&region).len(), 20, "{report}");
    assert_eq!(report["copies"][0]["later"], 5, "{report}");
    assert_eq!(region.calls("CopySnapshot"), 20, "none is asked for that EC2 would refuse");
    let full = region.backup(copying(3));
    assert_eq!(region.calls("CopySnapshot"), 20, "{full}");
    region.complete_snapshots();
    region.backup(copying(3));
    assert_eq!(copies(&region).len(), 25);
}

#[test]
fn copies_are_kept_by_rules_of_their_own() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    for _ in 0..4 {
        a_day(&region, &copying(2));
        // The hour after the copies have arrived: only then do they push out older ones.
        region.complete_snapshots();
        region.backup(copying(2));
        region.advance(86_400);
    }
    assert_eq!(region.snapshots().len(), 8, "home keeps the last five sets");
    let copies = copies(&region);
    assert_eq!(copies.len(), 4, "the other region keeps the last two");
    let mut starts: Vec<String> = region.snapshots().into_iter().map(|one| one.start_time).collect();
    starts.sort();
    assert!(copies.values().all(|copy| copy.tags["stillframe:source-started"] >= starts[4]), "{copies:?}");
}

#[test]
fn replicas_are_told_apart_by_their_copies_too() {
    let region = Region::without_disks(&beside(REPLICAS));
    for _ in 0..3 {
        a_day(&region, &copying(1));
        region.complete_snapshots();
        region.backup(copying(1));
        region.advance(86_400);
    }
    let copies = copies(&region);
    let of: BTreeSet<&String> = copies.values().map(|copy| &copy.tags["stillframe:source-volume"]).collect();
    assert_eq!((copies.len(), of.len()), (3, 3), "one copy of each of three replicas: {copies:?}");
}

#[test]
fn a_copy_that_failed_counts_for_nothing_is_told_and_made_again() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    let policy = copying(1);
    a_day(&region, &policy);
    region.complete_snapshots();
    region.advance(86_400);
    a_day(&region, &policy);
    let of_yesterday = copies(&region).into_values().filter(|copy| copy.state == "completed");
    let of_yesterday = ids(of_yesterday.collect());
    assert_eq!(of_yesterday.len(), 2);
    let fresh: Vec<Snapshot> =
        copies(&region).into_values().filter(|copy| !of_yesterday.contains(&copy.id)).collect();
    region.set_snapshot_state(&fresh[0].id, "error");
    region.complete_snapshots();

    let report = region.backup(policy.clone());
    assert!(reasons(&report, "failures").contains(&"copy-failed".to_owned()), "{report}");
    let there = ids(region.snapshots_in(THERE));
    assert!(of_yesterday.is_subset(&there), "half a set has pushed a good one out: {report}");

    region.advance(3_600);
    region.backup(policy.clone());
    region.complete_snapshots();
    region.backup(policy);
    let left = region.snapshots_in(THERE);
    assert!(left.iter().all(|copy| copy.state == "completed"), "{left:?}");
    assert_eq!(left.len(), 2, "today's, whole: {left:?}");
    assert!(left.iter().all(|copy| !of_yesterday.contains(&copy.id)));
}

#[test]
fn a_source_that_is_deleted_before_its_copy_is_told() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    region.backup(copying(3));
    region.complete_snapshots();
    region.faults(&json!({"op": "CopySnapshot", "fault": "kill-caller", "times": 1, "caller": "backup"}));
    assert!(region.try_backup(copying(3)).is_err());
    region.settle_down();
    let copied = copies(&region);
    let lost = region.snapshots().into_iter().find(|one| !copied.contains_key(&one.id)).expect("one is left");
    region.delete_snapshot(&lost.id);
    region.complete_snapshots();
    region.advance(3_600);
    let report = region.backup(copying(3));
    assert!(reasons(&report, "warnings").contains(&"copy-cannot-be-finished".to_owned()), "{report}");
}

#[test]
fn what_was_copied_here_is_not_this_regions_to_prune() {
    // The same policy runs here, and another region's of the same name has copied a set to here.
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    let mut policy = daily();
    policy["keep"] = json!({"last": 1});
    a_day(&region, &policy);
    for snapshot in region.snapshots() {
        region.copy_to_home(
            &snapshot.id,
            &[
                ("stillframe:policy", "daily"),
                ("stillframe:run", &snapshot.tags["stillframe:run"]),
                ("stillframe:slot", &snapshot.tags["stillframe:slot"]),
                ("stillframe:instance", "i-0ffffffffffffffff"),
                ("stillframe:consistency", "filesystem"),
                ("stillframe:source-volume", &snapshot.volume),
                ("stillframe:source-region", "us-east-1"),
                ("stillframe:source-snapshot", &snapshot.id),
            ],
        );
    }
    region.complete_snapshots();
    for _ in 0..3 {
        region.advance(86_400);
        a_day(&region, &policy);
        region.backup(policy.clone());
    }
    let foreign = region.snapshots().into_iter().filter(|one| one.volume == "vol-ffffffff").count();
    assert_eq!(foreign, 2, "{:?}", region.snapshots());
}

#[test]
fn a_dry_run_says_what_would_be_copied_and_copies_nothing() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    region.backup(copying(3));
    region.complete_snapshots();
    let mut policy = copying(3);
    policy["dry_run"] = json!(true);
    let report = region.backup(policy);
    let plan = report["plan"].as_str().unwrap_or_default();
    assert!(plan.contains("copies in eu-west-1") && plan.contains("2 to copy now"), "{plan}");
    assert_eq!(region.calls("CopySnapshot"), 0);
}

#[test]
fn a_policy_that_copies_home_or_to_another_account_is_refused() {
    let region = Region::without_disks(&beside(ONE_INSTANCE));
    let refused = |field: &str, value: &str| {
        let mut policy = copying(3);
        policy["copy_to"][0][field] = json!(value);
        region.try_backup(policy).expect_err("such a policy is refused")
    };
    let home = refused("region", "eu-central-1");
    assert!(home.contains("copy_to[0].region") && home.contains("eu-central-1"), "{home}");
    let account = refused("account", "210987654321");
    assert!(account.contains("copy_to[0].account") && account.contains("210987654321"), "{account}");
    assert_eq!(region.snapshots().len(), 0);
}
