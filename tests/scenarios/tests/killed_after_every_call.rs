//! The backup function is killed after the effect of every one of its API calls, one a day, and run again an
//! hour later: nothing is lost, nothing doubled, nothing deleted that a guard protects. Every day's run makes
//! sets by order and directly, labels them, and deletes what the rules no longer keep, beside sets that an
//! image, a lock and the archive hold.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{PROMPT, Region, Snapshot, daily};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const SPEC: &str = r#"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
tags = { role = "db" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa01"
mount = "/srv/pg"
tags = { stillframe = "daily" }
[[instance.volume]]
id = "vol-0aaaaaaaaaaaaaa02"
mount = "/srv/wal"
tags = { stillframe = "daily" }

[[instance]]
id = "i-0bbbbbbbbbbbbbbb2"
tags = { role = "search" }
[[instance.volume]]
id = "vol-0bbbbbbbbbbbbbb01"
mount = "/srv/index"
tags = { stillframe = "daily" }
[[instance.volume]]
id = "vol-0bbbbbbbbbbbbbb02"
mount = "/srv/log"
tags = { stillframe = "daily" }

[[volume]]
id = "vol-0cccccccccccccc01"
tags = { stillframe = "daily" }
"#;
const VOLUMES: usize = 5;
const DETACHED: &str = "vol-0cccccccccccccc01";
/// What the rules keep.
const LAST: usize = 2;

/// One day's set of one instance, or of the volume that is attached nowhere.
type Key = (String, String);

fn key(snapshot: &Snapshot) -> Key {
    let of = snapshot.tags.get("stillframe:instance").unwrap_or(&snapshot.volume);
    (snapshot.tags["stillframe:slot"].clone(), of.clone())
}

fn sets(region: &Region) -> BTreeMap<Key, Vec<Snapshot>> {
    let mut sets: BTreeMap<Key, Vec<Snapshot>> = BTreeMap::new();
    for snapshot in region.snapshots() {
        sets.entry(key(&snapshot)).or_default().push(snapshot);
    }
    for set in sets.values_mut() {
        set.sort_by(|a, b| a.volume.cmp(&b.volume));
    }
    sets
}

/// Whether a set holds all its volumes, each once, with the label that is asked for.
fn is_good(of: &str, set: &[Snapshot]) -> bool {
    let volumes: BTreeSet<&str> = set.iter().map(|snapshot| snapshot.volume.as_str()).collect();
    let asked = if of == DETACHED { ("offline", 1) } else { ("filesystem", 2) };
    volumes.len() == asked.1
        && set.len() == asked.1
        && set.iter().all(|snapshot| snapshot.label == asked.0 && snapshot.state == "completed")
}

/// Guards one set of each kind of the first days. Returns them as they are.
fn guard(region: &Region) -> BTreeMap<Key, Vec<String>> {
    let old = sets(region);
    let slots: BTreeSet<&String> = old.keys().map(|(slot, _)| slot).collect();
    let slots: Vec<&String> = slots.into_iter().collect();
    let of = |day: usize, of: &str| (slots[day].clone(), of.to_owned());
    let (image, lock, archive) =
        (of(0, "i-0aaaaaaaaaaaaaaa1"), of(0, "i-0bbbbbbbbbbbbbbb2"), of(1, "i-0aaaaaaaaaaaaaaa1"));
    // The second member of each: a guard that is seen too late would cost the first.
    region.register_image(&old[&image][1].id);
    region.lock_snapshot(&old[&lock][1].id, 3_650);
    region.archive_snapshot(&old[&archive][1].id);
    let ids = |key: &Key| old[key].iter().map(|snapshot| snapshot.id.clone()).collect();
    [image, lock, archive].into_iter().map(|key| (key.clone(), ids(&key))).collect()
}

fn policy(last: usize) -> Value {
    let mut policy = daily();
    policy["keep"] = json!({"last": last});
    policy
}

/// Guarded sets are all there, member by member.
fn check_guarded(region: &Region, guarded: &BTreeMap<Key, Vec<String>>, context: &str) {
    let now = sets(region);
    for (key, members) in guarded {
        let left: Vec<&String> = now.get(key).into_iter().flatten().map(|snapshot| &snapshot.id).collect();
        assert_eq!(left, members.iter().collect::<Vec<_>>(), "{key:?} is guarded; {context}");
    }
}

/// Sets that lack a member, none of which passes for whole in a dry run's plan. How many there are.
fn pieces(region: &Region, context: &str) -> usize {
    let torn = sets(region).into_iter().filter(|((_, of), set)| of != DETACHED && set.len() == 1).count();
    if torn > 0 {
        let mut dry = policy(LAST);
        dry["dry_run"] = json!(true);
        let plan = region.backup(dry);
        let text = plan["plan"].as_str().unwrap_or_default().to_owned();
        let rows = text.lines().filter(|line| line.contains(" i-0"));
        let single = rows.filter(|line| line.split_whitespace().nth(2) == Some("1"));
        let single: Vec<&str> = single.collect();
        assert_eq!(single.len(), torn, "{context}\n{text}");
        assert!(single.iter().all(|row| row.contains("lesser")), "{context}\n{text}");
    }
    torn
}

#[test]
fn a_backup_function_killed_after_any_call_loses_doubles_and_unguards_nothing() {
    let region = Region::without_disks(&format!("{PROMPT}{SPEC}"));
    for _ in 0..3 {
        let made = region.backup(policy(100));
        assert_eq!(made["status"], "done", "{made}");
        region.advance(86_400);
    }
    let guarded = guard(&region);

    let (mut torn, mut deleted) = (0, 0);
    for kill_at in 0.. {
        let before: BTreeSet<String> = region.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        region.faults(&json!({
            "op": "*", "fault": "kill-caller", "caller": "backup", "after": kill_at, "times": 1
        }));
        let first = region.try_backup(policy(LAST));
        let unkilled = first.is_ok();
        region.clear_faults();
        region.settle_down();
        let context = format!("killed after call {}: {first:?}", kill_at + 1);
        check_guarded(&region, &guarded, &context);
        torn += pieces(&region, &context);

        // The next hour's event.
        region.advance(3_600);
        let again = region.backup(policy(LAST));
        region.settle_down();
        let context = format!("{context}\nthen: {again}");
        assert!(again["status"] == "done" || again["status"] == "nothing-to-do", "{context}");
        check_guarded(&region, &guarded, &context);

        let now = sets(&region);
        let slots: BTreeSet<&String> = now.keys().map(|(slot, _)| slot).collect();
        let kept: BTreeSet<&String> = slots.into_iter().rev().take(LAST).collect();
        assert!(kept.contains(&again["slot"].as_str().expect("a slot").to_owned()), "{context}");
        for ((slot, of), set) in &now {
            if kept.contains(slot) {
                assert!(is_good(of, set), "{slot} of {of}: {set:?}\n{context}");
            } else {
                assert!(
                    guarded.contains_key(&(slot.clone(), of.clone())),
                    "{slot} of {of} is left; {context}"
                );
            }
        }
        let recent = region.snapshots().into_iter().filter(|one| kept.contains(&one.tags["stillframe:slot"]));
        assert_eq!(recent.count(), LAST * VOLUMES, "one of each volume and slot: {context}");
        let left: BTreeSet<String> = region.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        deleted += before.difference(&left).count();
        if unkilled {
            eprintln!(
                "{kill_at} calls, each the last of a run; {torn} sets seen in pieces; {deleted} deleted"
            );
            assert!(kill_at >= 30, "a run makes more calls than {kill_at}");
            assert!(torn > 0, "no run was killed between two deletions of a set");
            assert!(deleted > VOLUMES * 30, "no day's run pruned");
            return;
        }
        region.advance(86_400 - 3_600);
    }
}
