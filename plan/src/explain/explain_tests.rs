use super::*;
use crate::observed::{Snapshot, SnapshotState};
use crate::tags;
use crate::world::{days_ago, empty, instance, now, policy, snapshot, volume};
use insta::assert_snapshot;
use serde_json::json;

/// A good snapshot of `vol-1`, so many days old.
fn good(days: i64) -> Snapshot {
    let run = format!("daily/d{days:02}/r");
    snapshot(&format!("snap-{days:02}"), "vol-1", &run, days_ago(days))
        .labelled("filesystem")
        .naming(&["vol-1"])
}

fn seen(snapshots: impl IntoIterator<Item = Snapshot>) -> Observed {
    let volumes = vec![volume("vol-1", Some(("i-1", "/dev/sdf")))];
    empty().with(instance("i-1"), None, volumes).with_snapshots(snapshots)
}

fn decision(told: &Explanation, id: &str) -> String {
    let one = told.snapshots.iter().find(|one| one.snapshot.as_str() == id).unwrap();
    match one.decision.until() {
        Some(until) => format!("{}, until {until}", one.decision),
        None => one.decision.to_string(),
    }
}

#[test]
fn every_snapshot_is_explained() {
    let policy = policy(json!({"keep": {"last": 2, "daily": 4, "monthly": 2, "within": "36h"}}));
    let mut snapshots: Vec<Snapshot> = (0..7).map(good).collect();
    snapshots.push(good(40));
    snapshots.push(snapshot("snap-lesser", "vol-1", "daily/d03b/r", days_ago(3)).naming(&["vol-1"]));
    snapshots.push(good(60).in_state(SnapshotState::Error));
    // Sunday 22 November 2026, 01:00.
    assert_snapshot!(explain(&policy, None, &seen(snapshots)), @r"
    policy daily, keep last=2 daily=4 monthly=2 within=36h, at 2026-11-22T01:00Z
    until: if from now on every day brings one good restore point, at about 01:00 UTC, and nothing else changes

    vol-1
    volume  snapshot     instant            label       until              decision
    vol-1   snap-00      2026-11-22T01:00Z  filesystem  2026-11-26T01:00Z  keep: last 1 of 2, daily 1 of 4, monthly 1 of 2, within 36h, min 1 of 1
    vol-1   snap-01      2026-11-21T01:00Z  filesystem  2026-11-25T01:00Z  keep: last 2 of 2, daily 2 of 4, within 36h
    vol-1   snap-02      2026-11-20T01:00Z  filesystem  2026-11-24T01:00Z  keep: daily 3 of 4
    vol-1   snap-lesser  2026-11-19T01:00Z  crash       -                  delete: a newer one is good
    vol-1   snap-03      2026-11-19T01:00Z  filesystem  2026-11-23T01:00Z  keep: daily 4 of 4
    vol-1   snap-04      2026-11-18T01:00Z  filesystem  -                  delete: beyond the rules
    vol-1   snap-05      2026-11-17T01:00Z  filesystem  -                  delete: beyond the rules
    vol-1   snap-06      2026-11-16T01:00Z  filesystem  -                  delete: beyond the rules
    vol-1   snap-40      2026-10-13T01:00Z  filesystem  2026-12-01T01:00Z  keep: monthly 2 of 2
    vol-1   snap-60      2026-09-23T01:00Z  error       -                  delete: failed

    10 snapshots: 5 kept, 5 deleted by the next run, 0 held
    ");
}

#[test]
fn other_rules_are_compared() {
    let policy = policy(json!({"keep": {"last": 4}}));
    let keep = "last=2 weekly=3".parse().unwrap();
    let told = explain(&policy, Some(&keep), &seen((0..7).map(good)));
    assert_snapshot!(told, @r"
    policy daily, keep last=4, at 2026-11-22T01:00Z
    compared with keep last=2 weekly=3
    until: if from now on every day brings one good restore point, at about 01:00 UTC, and nothing else changes

    vol-1
    volume  snapshot  instant            label       until              decision                       by the other rules
    vol-1   snap-00   2026-11-22T01:00Z  filesystem  2026-11-26T01:00Z  keep: last 1 of 4, min 1 of 1  longer, until 2026-12-07T01:00Z: last 1 of 2, weekly 1 of 3, min 1 of 1
    vol-1   snap-01   2026-11-21T01:00Z  filesystem  2026-11-25T01:00Z  keep: last 2 of 4              shorter, until 2026-11-23T01:00Z: last 2 of 2
    vol-1   snap-02   2026-11-20T01:00Z  filesystem  2026-11-24T01:00Z  keep: last 3 of 4              deletes it: beyond the rules
    vol-1   snap-03   2026-11-19T01:00Z  filesystem  2026-11-23T01:00Z  keep: last 4 of 4              deletes it: beyond the rules
    vol-1   snap-04   2026-11-18T01:00Z  filesystem  -                  delete: beyond the rules
    vol-1   snap-05   2026-11-17T01:00Z  filesystem  -                  delete: beyond the rules
    vol-1   snap-06   2026-11-16T01:00Z  filesystem  -                  delete: beyond the rules       spares it, until 2026-11-30T01:00Z: weekly 2 of 3 (oldest)

    7 snapshots: 4 kept, 3 deleted by the next run, 0 held
    the other rules: 2 more deleted, 1 spared, 1 kept longer, 1 kept not as long
    ");
    let totals = told.totals;
    assert_eq!(totals, ExplainTotals { snapshots: 7, kept: 4, deleted: 3, ..totals });
    let json = serde_json::to_value(&told.snapshots[2]).unwrap();
    assert_eq!(
        json["decision"]["keep"]["by"][0],
        json!({"rule": {"rule": "last", "number": 3, "of": 4, "oldest": false}})
    );
    assert_eq!(json["decision"]["keep"]["until"], json!({"at": "2026-11-24T01:00:00Z"}));
    assert_eq!(json["instead"]["change"], "deletes");
}

#[test]
fn the_numbers_are_those_of_the_rules() {
    let policy = policy(json!({"keep": {"last": 3}}));
    let told = explain(&policy, None, &seen((0..4).map(good)));
    // Of three the newest stays for three further runs: the third of them is the one that lets it go.
    assert_eq!(decision(&told, "snap-00"), "keep: last 1 of 3, min 1 of 1, until 2026-11-25T01:00Z");
    assert_eq!(decision(&told, "snap-01"), "keep: last 2 of 3, until 2026-11-24T01:00Z");
    assert_eq!(decision(&told, "snap-02"), "keep: last 3 of 3, until 2026-11-23T01:00Z");
    assert_eq!(decision(&told, "snap-03"), "delete: beyond the rules");
}

#[test]
fn what_lies_far_ahead_is_beyond() {
    let policy = policy(json!({"keep": {"yearly": 30}}));
    let told = explain(&policy, None, &seen([good(400)]));
    assert_eq!(decision(&told, "snap-400"), "keep: yearly 1 of 30, min 1 of 1, until beyond 10 years");
}

#[test]
fn where_nothing_follows_and_where_a_guard_holds_no_date_is_told() {
    let policy = policy(json!({"keep": {"last": 1}, "allow_mass_delete": true}));
    // The volume is gone; or it lives and is not backed up any more.
    let mut gone = seen((0..2).map(good));
    gone.volumes.clear();
    let mut skipped = seen((0..2).map(good));
    skipped.volumes[0].tags.insert(tags::SKIP.to_owned(), String::new());
    for observed in [gone, skipped] {
        let told = explain(&policy, None, &observed);
        assert_eq!(decision(&told, "snap-00"), "keep: last 1 of 1, min 1 of 1, until nothing follows");
    }
    let mut locked = seen((0..2).map(good));
    locked.locked.insert("snap-01".into());
    assert_eq!(decision(&explain(&policy, None, &locked), "snap-01"), "keep: locked, until not foreseen");
    let failed =
        seen([good(0), snapshot("snap-e", "vol-1", "daily/e/r", now()).in_state(SnapshotState::Error)]);
    let told = explain(&policy, None, &failed);
    assert_eq!(decision(&told, "snap-e"), "keep: failed lately, until 2026-11-23T01:00Z");
}

#[test]
fn a_pause_ends_with_the_next_good_one() {
    let policy = policy(json!({"keep": {"last": 1}, "allow_mass_delete": true}));
    let told = explain(&policy, None, &seen((5..8).map(good)));
    assert_eq!(
        decision(&told, "snap-06"),
        "keep: overdue, newest good is of 2026-11-17T01:00Z, until 2026-11-22T01:00Z"
    );
}

#[test]
fn a_set_stays_for_the_volume_that_needs_it_longest() {
    let set = |days: i64| {
        ["vol-1", "vol-2"].map(|volume| {
            let id = format!("snap-{volume}-{days}");
            let made = snapshot(&id, volume, &format!("daily/d{days}/r"), days_ago(days));
            made.labelled("filesystem").naming(&["vol-1", "vol-2"])
        })
    };
    let mut other = volume("vol-2", Some(("i-1", "/dev/sdg")));
    other.tags.insert(tags::KEEP.to_owned(), "last=3".to_owned());
    let volumes = vec![volume("vol-1", Some(("i-1", "/dev/sdf"))), other];
    let observed = empty().with(instance("i-1"), None, volumes).with_snapshots((0..3).flat_map(set));
    let told = explain(&policy(json!({"keep": {"last": 1}})), None, &observed);
    assert_eq!(decision(&told, "snap-vol-1-2"), "keep: with vol-2, until 2026-11-23T01:00Z");
    assert_eq!(decision(&told, "snap-vol-2-2"), "keep: last 3 of 3, until 2026-11-23T01:00Z");
    assert!(told.snapshots.iter().all(|one| one.own_rules == (one.volume.as_str() == "vol-2")));
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let policy = policy(json!({"keep": {"last": 50}}));
    let told = explain(&policy, Some(&Keep::last(48)), &seen((0..60).map(good)));
    assert!(!told.clone().fitting(1_000_000).truncated);
    let short = told.clone().fitting(4_000);
    assert!(short.truncated && serde_json::to_string(&short.snapshots).unwrap().len() <= 4_000);
    assert_eq!(short.totals, told.totals);
    // What the other rules delete is told before anything else.
    let shown: Vec<&str> = short.snapshots.iter().map(|one| one.snapshot.as_str()).collect();
    assert!(
        shown.contains(&"snap-48") && shown.contains(&"snap-49") && shown.contains(&"snap-00"),
        "{short}"
    );
    assert!(short.to_string().contains("of 60 snapshots are shown"), "{short}");
}
