//! Promise 3, as far as others have a say: what an image uses, a lock holds or the archive keeps is not
//! deleted, nor asked to be; a set is never left in pieces that pass for a whole; a deletion counts when it
//! is seen; and what has failed goes whatever else is held back.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{ONE_INSTANCE, PROMPT, Region, Snapshot, daily};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

fn keep(last: u32) -> Value {
    let mut policy = daily();
    policy["keep"] = json!({"last": last});
    policy
}

/// A region with a set of two volumes for each of the last days; the next day has begun.
fn history(days: u32) -> Region {
    let region = Region::without_disks(&format!("{PROMPT}{ONE_INSTANCE}"));
    region.advance_to_morning();
    for _ in 0..days {
        let made = region.backup(keep(100));
        assert_eq!(made["status"], "done", "{made}");
        region.advance(86_400);
    }
    assert_eq!(sets(&region).len(), days as usize);
    region
}

/// The snapshots of each slot, oldest first, in the order of their volumes.
fn sets(region: &Region) -> Vec<Vec<Snapshot>> {
    let mut slots: BTreeMap<String, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in region.snapshots() {
        slots.entry(snapshot.tags["stillframe:slot"].clone()).or_default().push(snapshot);
    }
    for set in slots.values_mut() {
        set.sort_by(|a, b| a.volume.cmp(&b.volume));
    }
    slots.into_values().collect()
}

fn ids<'a>(sets: impl IntoIterator<Item = &'a Vec<Snapshot>>) -> BTreeSet<String> {
    sets.into_iter().flatten().map(|snapshot| snapshot.id.clone()).collect()
}

fn all(region: &Region) -> BTreeSet<String> {
    region.snapshots().into_iter().map(|snapshot| snapshot.id).collect()
}

fn pruned(report: &Value) -> BTreeSet<String> {
    let pruned = report["pruned"].as_array().into_iter().flatten();
    pruned.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The messages of the notes on pruning that have this reason.
fn notes(report: &Value, reason: &str) -> Vec<String> {
    let notes = report["prune"].as_array().into_iter().flatten().filter(|note| note["reason"] == reason);
    notes.filter_map(|note| note["message"].as_str()).map(str::to_owned).collect()
}

/// Prunes three old sets of which two are guarded, by their second member each: only the third goes, the
/// others are not even asked for, and the reason is told once for each.
fn prunes_around(region: &Region, old: &[Vec<Snapshot>], why: &str) {
    let asked_before = region.calls("DeleteSnapshot");
    let report = region.backup(keep(1));
    assert_eq!(report["status"], "done", "{report}");
    assert_eq!(pruned(&report), ids(&old[2..]), "{report}");
    assert!(all(region).is_superset(&ids(&old[..2])), "{report}");
    assert_eq!(region.calls("DeleteSnapshot") - asked_before, 2, "what is guarded is not asked for");
    let told = notes(&report, "guarded");
    assert_eq!(told.len(), 2, "{report}");
    assert!(told.iter().all(|message| message.ends_with(why)), "{told:?}");
}

#[test]
fn a_set_that_an_image_uses_stays_whole() {
    let region = history(3);
    let old = sets(&region);
    let images = [&old[0], &old[1]].map(|set| region.register_image(&set[1].id));
    // One that nobody may use any more holds its snapshots as well.
    region.disable_image(&images[1]);
    prunes_around(&region, &old, ": used by an image");

    images.iter().for_each(|image| region.deregister_image(image));
    let report = region.backup(keep(1));
    assert_eq!(pruned(&report), ids(&old[..2]), "{report}");
}

#[test]
fn a_locked_set_stays_whole_until_its_lock_expires() {
    let region = history(3);
    let old = sets(&region);
    for set in &old[..2] {
        region.lock_snapshot(&set[1].id, 3);
    }
    prunes_around(&region, &old, ": locked");

    region.advance(3 * 86_400);
    let report = region.backup(keep(1));
    assert!(pruned(&report).is_superset(&ids(&old[..2])), "{report}");
}

#[test]
fn an_archived_set_stays_whole() {
    let region = history(3);
    let old = sets(&region);
    for set in &old[..2] {
        region.archive_snapshot(&set[1].id);
    }
    prunes_around(&region, &old, ": archived");
}

#[test]
fn what_the_recycle_bin_holds_was_deleted_and_is_not_asked_for_again() {
    let region = history(3);
    let old = sets(&region);
    region.hold_deleted(7);
    let report = region.backup(keep(1));
    assert_eq!(pruned(&report), ids(&old), "{report}");
    assert_eq!(region.in_recycle_bin().into_iter().collect::<BTreeSet<_>>(), ids(&old));
    let asked = region.calls("DeleteSnapshot");
    assert_eq!(pruned(&region.backup(keep(1))), BTreeSet::new());
    assert_eq!(region.calls("DeleteSnapshot"), asked);
}

#[test]
fn where_guards_cannot_be_looked_up_the_backup_is_made_and_nothing_is_deleted() {
    for operation in ["DescribeImages", "DescribeLockedSnapshots"] {
        let region = history(2);
        let old = sets(&region);
        region.register_image(&old[0][1].id);
        region.lock_snapshot(&old[0][1].id, 9);
        region.faults(&json!({"op": operation, "fault": "error500", "times": 100, "caller": "backup"}));
        let report = region.backup(keep(1));
        assert_eq!(report["status"], "done", "{report}");
        assert_eq!(report["restore_points"].as_array().map(Vec::len), Some(1), "{report}");
        assert_eq!(region.calls("DeleteSnapshot"), 0, "{report}");
        let told = notes(&report, "held");
        assert_eq!(told.len(), 1, "{report}");
        assert!(told[0].contains("could not be looked up") && told[0].contains(operation), "{told:?}");

        // A dry run says the same.
        let mut dry = keep(1);
        dry["dry_run"] = json!(true);
        let plan = region.backup(dry.clone());
        assert!(plan["plan"].as_str().is_some_and(|plan| plan.contains("could not be looked up")), "{plan}");

        region.clear_faults();
        let plan = region.backup(dry);
        assert!(
            plan["plan"]
                .as_str()
                .is_some_and(|plan| plan.contains("used by an image") || plan.contains("locked")),
            "{plan}"
        );
        let told = notes(&plan, "guarded");
        assert_eq!(told.len(), 1, "{plan}");
        assert!(told[0].contains("used by an image") || told[0].contains("locked"), "{told:?}");
        let report = region.backup(keep(1));
        assert_eq!(pruned(&report), ids(&old[1..]), "{report}");
    }
}

/// Prunes one old set and registers an image of its nth member while the deletion of the first is on its way.
fn registered_in_between(member: usize) -> (Region, Vec<Snapshot>, String, Value) {
    let region = history(1);
    let old = sets(&region).remove(0);
    region.faults(&json!({"op": "DeleteSnapshot", "fault": "delay-ms:2000", "times": 1}));
    let mut image = String::new();
    let report = region.backup_while(keep(1), "DeleteSnapshot", || {
        image = region.register_image(&old[member].id);
    });
    (region, old, image, report)
}

#[test]
fn a_set_of_which_the_first_member_comes_into_use_at_the_last_moment_stays_whole() {
    let (region, old, _, report) = registered_in_between(0);
    assert_eq!(pruned(&report), BTreeSet::new(), "{report}");
    assert!(all(&region).is_superset(&ids([&old])), "{report}");
    let told = notes(&report, "InvalidSnapshot.InUse");
    assert_eq!(told.len(), 1, "{report}");
    assert!(told[0].contains(INSTANCE) && told[0].contains("is kept: EC2 does not delete"), "{told:?}");
}

#[test]
fn a_set_in_pieces_passes_for_nothing_and_goes_when_it_can() {
    let (region, old, image, report) = registered_in_between(1);
    assert_eq!(pruned(&report), BTreeSet::from([old[0].id.clone()]), "{report}");
    assert!(all(&region).contains(&old[1].id), "{report}");
    let told = notes(&report, "InvalidSnapshot.InUse");
    assert_eq!(told.len(), 1, "{report}");
    assert!(told[0].contains("1 of 2 snapshots are deleted and the others kept"), "{told:?}");

    // What is left is good for no rule, though there would be room for it; and the guard is seen now.
    let mut dry = keep(9);
    dry["dry_run"] = json!(true);
    let plan = region.backup(dry);
    let text = plan["plan"].as_str().unwrap_or_default();
    let row = text.lines().find(|line| line.contains("used by an image")).unwrap_or_default();
    assert!(row.contains("lesser"), "{text}");
    let mut question = keep(9);
    question["action"] = json!("explain");
    let answer = region.backup(question);
    let told = answer["snapshots"].as_array().into_iter().flatten();
    let told = told.filter(|one| one["snapshot"] == old[1].id.as_str()).collect::<Vec<_>>();
    assert!(told.len() == 1 && told[0]["good"] == false, "{told:?}");
    assert!(told[0]["decision"].to_string().contains("used-by-image"), "{told:?}");
    let asked = region.calls("DeleteSnapshot");
    assert_eq!(notes(&region.backup(keep(1)), "guarded").len(), 1);
    assert_eq!(region.calls("DeleteSnapshot"), asked);

    region.deregister_image(&image);
    let report = region.backup(keep(9));
    assert_eq!(pruned(&report), BTreeSet::from([old[1].id.clone()]), "{report}");
}

#[test]
fn a_deletion_counts_when_the_snapshot_is_seen_no_more() {
    let region = history(2);
    let old = sets(&region);
    // A moment: the look is repeated.
    region.show_deleted(2);
    let report = region.backup(keep(2));
    assert_eq!(pruned(&report), ids(&old[..1]), "{report}");
    assert_eq!(notes(&report, "still-there"), [""; 0], "{report}");

    // Longer than anybody waits: told, not counted, and no failure.
    region.show_deleted(3_600);
    region.advance(86_400);
    let report = region.backup(keep(2));
    assert_eq!(report["status"], "done", "{report}");
    assert_eq!(pruned(&report), BTreeSet::new(), "{report}");
    let told = notes(&report, "still-there");
    assert_eq!(told.len(), 1, "{report}");
    assert_eq!(report["status"], "done", "EC2 has agreed to delete: {report}");
    assert!(ids(&old[1..]).iter().all(|id| told[0].contains(id.as_str())), "{told:?}");
    // The next look is the next run's, and what is gone then is gone.
    region.show_deleted(0);
    region.advance(3_601);
    let report = region.backup(keep(2));
    assert_eq!(report["status"], "nothing-to-do", "{report}");
    assert_eq!(notes(&report, "still-there"), [""; 0], "{report}");
}

#[test]
fn where_the_look_afterwards_fails_nothing_counts_as_deleted() {
    let region = history(2);
    let old = sets(&region);
    region.faults(&json!({"op": "DeleteSnapshot", "fault": "delay-ms:2000", "times": 1}));
    let report = region.backup_while(keep(1), "DeleteSnapshot", || {
        let after_this =
            json!({"op": "DescribeSnapshots", "fault": "error500", "times": 100, "caller": "backup"});
        region.faults(&after_this);
    });
    assert_eq!(pruned(&report), BTreeSet::new(), "{report}");
    let told = notes(&report, "not-confirmed");
    assert_eq!(told.len(), 1, "{report}");
    assert!(ids(&old).iter().all(|id| told[0].contains(id.as_str())), "{told:?}");
}

#[test]
fn the_brake_holds_all_but_what_has_failed_until_it_is_let_go_once() {
    let region = history(13);
    let old = sets(&region);
    let failed = &old[4];
    failed.iter().for_each(|snapshot| region.set_snapshot_state(&snapshot.id, "error"));
    let report = region.backup(keep(1));
    assert_eq!(pruned(&report), ids([failed]), "{report}");
    let told = notes(&report, "held");
    assert_eq!(told.len(), 1, "{report}");
    assert!(told[0].contains("12 of 14 restore points") && told[0].contains("allow_mass_delete"), "{told:?}");
    assert_eq!(sets(&region).len(), 13);

    let mut once = keep(1);
    once["allow_mass_delete"] = json!(true);
    let report = region.backup(once);
    assert_eq!(pruned(&report).len(), 24, "{report}");
    assert_eq!(sets(&region).len(), 1);
}

#[test]
fn a_failed_set_goes_after_a_day_though_pruning_pauses() {
    let region = history(2);
    region.backup(keep(100));
    let made = sets(&region);
    let (good, failed) = (&made[..2], &made[2]);
    failed.iter().for_each(|snapshot| region.set_snapshot_state(&snapshot.id, "error"));
    // From now on there is no backup, so that the newest good one comes to be overdue.
    region.set_agent(INSTANCE, "offline");
    let skipping = |last: u32| {
        let mut policy = keep(last);
        policy["on_failure"] = json!("skip");
        policy
    };
    region.advance(23 * 3_600);
    let report = region.backup(skipping(9));
    assert_eq!(pruned(&report), BTreeSet::new(), "a day has not passed: {report}");

    region.advance(2 * 3_600);
    let report = region.backup(skipping(1));
    assert_eq!(notes(&report, "paused").len(), 2, "one for each volume: {report}");
    assert_eq!(pruned(&report), ids([failed]), "{report}");
    assert_eq!(all(&region), ids(good), "what no rule keeps stays while it pauses: {report}");
}
