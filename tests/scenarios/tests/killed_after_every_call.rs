//! The backup function is killed after the effect of every one of its API calls, one a day, and run again an
//! hour later: nothing is lost, nothing doubled, nothing deleted that a guard protects. Every day's run makes
//! sets by order and directly, labels them, and deletes what the rules no longer keep, beside sets that an
//! image, a lock and the archive hold.

#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "a failed expectation is a failed test")]

use scenarios::{PROMPT, Region, Snapshot, daily};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::thread;

const SPEC: &str = r#"
[[instance]]
id = "i-0aaaaaaaaaaaaaaa1"
tags = { role = "db", stillframe = "volumes" }
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
tags = { role = "search", stillframe = "volumes" }
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

/// What a run makes a restore point of, and the label that a good one has.
const TARGETS: [(&str, &[&str], &str); 3] = [
    ("i-0aaaaaaaaaaaaaaa1", &["vol-0aaaaaaaaaaaaaa01", "vol-0aaaaaaaaaaaaaa02"], "filesystem"),
    ("i-0bbbbbbbbbbbbbbb2", &["vol-0bbbbbbbbbbbbbb01", "vol-0bbbbbbbbbbbbbb02"], "filesystem"),
    (DETACHED, &[DETACHED], "offline"),
];

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

/// Sets that lack a member, none of which passes for good in a dry run's plan nor when asked about. How many there are.
fn pieces(region: &Region, context: &str) -> usize {
    let left: Vec<Snapshot> = sets(region)
        .into_iter()
        .filter(|((_, of), set)| of != DETACHED && set.len() == 1)
        .flat_map(|(_, set)| set)
        .collect();
    if !left.is_empty() {
        let mut dry = policy(LAST);
        dry["dry_run"] = json!(true);
        let plan = region.backup(dry);
        let text = plan["plan"].as_str().unwrap_or_default().to_owned();
        let rows = text.lines().filter(|line| line.contains(" i-0"));
        let single = rows.filter(|line| line.split_whitespace().nth(2) == Some("1"));
        let single: Vec<&str> = single.collect();
        assert_eq!(single.len(), left.len(), "{context}\n{text}");
        assert!(single.iter().all(|row| row.contains("lesser")), "{context}\n{text}");
        let mut question = policy(LAST);
        question["action"] = json!("explain");
        let answer = region.backup(question);
        for piece in &left {
            let told = answer["snapshots"].as_array().into_iter().flatten();
            let told = told.filter(|one| one["snapshot"] == piece.id.as_str()).collect::<Vec<_>>();
            assert!(told.len() == 1 && told[0]["good"] == false, "{}; {context}\n{told:?}", piece.id);
        }
    }
    left.len()
}

/// Of every target there is, from the last slot on without a gap, one whole set for each, until the rules
/// have their good ones; and nothing behind them but what is guarded.
///
/// That the detached volume was detached before its snapshot as well as after, which makes it `offline`,
/// only the run knows that looked: if it dies before it has written the label, the snapshot stays `crash`.
/// It finishes the slot, since `on_failure` says so, takes no good one's place, and goes when the next good
/// one is there: `lesser` has the days of which this was so.
fn check_kept(
    region: &Region,
    days: &[String],
    lesser: &mut BTreeSet<String>,
    guarded: &BTreeMap<Key, Vec<String>>,
    context: &str,
) {
    let mut now = sets(region);
    for (of, volumes, label) in TARGETS {
        let mut good = 0;
        for slot in days.iter().rev() {
            let Some(set) = now.remove(&(slot.clone(), of.to_owned())) else {
                let superseded = of == DETACHED && good > 0 && lesser.contains(slot);
                assert!(superseded, "{of} has nothing of {slot}; {context}");
                continue;
            };
            let of_set: Vec<&str> = set.iter().map(|snapshot| snapshot.volume.as_str()).collect();
            assert_eq!(of_set, volumes, "one of each volume, {slot} of {of}; {context}");
            assert!(set.iter().all(|snapshot| snapshot.state == "completed"), "{set:?}");
            if set.iter().all(|snapshot| snapshot.label == label) {
                good += 1;
            } else {
                assert!(of == DETACHED && set[0].label == "crash", "{set:?}; {context}");
                lesser.insert(slot.clone());
            }
            if good == LAST {
                break;
            }
        }
        assert_eq!(good, LAST, "{of} has lost a good one; {context}");
    }
    now.retain(|key, _| !guarded.contains_key(key));
    assert!(now.is_empty(), "no rule keeps {now:?}; {context}");
}

/// What a campaign saw.
#[derive(Debug, Default, Clone)]
struct Seen {
    /// Calls after which a run was killed.
    killed: usize,
    /// Calls that a run did not come to: how often it looks for an order's end varies.
    missed: Vec<String>,
    /// Sets in pieces after a kill.
    torn: usize,
    /// Snapshots deleted.
    deleted: usize,
    /// Slots that came to no more than a `crash` snapshot of the detached volume.
    lesser: usize,
}

/// A call of a run: the operation, and how many calls of it come before.
type Call = (String, u64);

/// Every call of an undisturbed day's run.
fn calls() -> Vec<Call> {
    let (region, ..) = begin();
    let before = region.calls_of_function("backup");
    region.backup(policy(LAST));
    let of_run = |(operation, all): (String, u64)| {
        let earlier = before.get(&operation).copied().unwrap_or_default();
        (0..all - earlier).map(move |nth| (operation.clone(), nth))
    };
    region.calls_of_function("backup").into_iter().flat_map(of_run).collect()
}

/// A region with a history of four days, some of it guarded; the fifth has begun.
fn begin() -> (Region, Vec<String>, BTreeMap<Key, Vec<String>>) {
    let region = Region::without_disks(&format!("{PROMPT}{SPEC}"));
    region.advance_to_morning();
    let mut days = Vec::new();
    for _ in 0..3 {
        let made = region.backup(policy(100));
        assert_eq!(made["status"], "done", "{made}");
        days.push(made["slot"].as_str().expect("a slot").to_owned());
        region.advance(86_400);
    }
    let guarded = guard(&region);
    // From the next day on each prunes what one day made.
    let made = region.backup(policy(LAST));
    days.push(made["slot"].as_str().expect("a slot").to_owned());
    region.advance(86_400);
    (region, days, guarded)
}

/// One day for each call.
fn campaign<'a>(calls: impl Iterator<Item = &'a Call>) -> Seen {
    let (region, mut days, guarded) = begin();
    let (mut seen, mut lesser) = (Seen::default(), BTreeSet::new());
    for (operation, nth) in calls {
        let before: BTreeSet<String> = region.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        region.faults(&json!({
            "op": operation, "fault": "kill-caller", "caller": "backup", "after": nth, "times": 1
        }));
        let run = region.try_backup(policy(LAST));
        region.clear_faults();
        region.settle_down();
        let context = format!("killed after {operation} number {}: {run:?}", nth + 1);
        check_guarded(&region, &guarded, &context);
        seen.torn += pieces(&region, &context);

        // The next hour's event.
        region.advance(3_600);
        let again = region.backup(policy(LAST));
        region.settle_down();
        let context = format!("{context}\nthen: {again}");
        assert!(again["status"] == "done" || again["status"] == "nothing-to-do", "{context}");
        days.push(again["slot"].as_str().expect("a slot").to_owned());
        check_guarded(&region, &guarded, &context);
        check_kept(&region, &days, &mut lesser, &guarded, &context);
        let left: BTreeSet<String> = region.snapshots().into_iter().map(|snapshot| snapshot.id).collect();
        seen.deleted += before.difference(&left).count();
        match run {
            Ok(_) => seen.missed.push(operation.clone()),
            Err(_) => seen.killed += 1,
        }
        region.advance(86_400 - 3_600);
    }
    seen.lesser = lesser.len();
    seen
}

#[test]
fn a_backup_function_killed_after_any_call_loses_doubles_and_unguards_nothing() {
    const REGIONS: usize = 4;
    let calls = &calls();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let campaigns: Vec<_> = (0..REGIONS)
            .map(|first| scope.spawn(move || campaign(calls.iter().skip(first).step_by(REGIONS))))
            .collect();
        campaigns.into_iter().map(|one| one.join().expect("a campaign failed")).collect()
    });
    let sum = |of: fn(&Seen) -> usize| seen.iter().map(of).sum::<usize>();
    let (killed, torn, deleted, lesser) =
        (sum(|s| s.killed), sum(|s| s.torn), sum(|s| s.deleted), sum(|s| s.lesser));
    let missed: Vec<&String> = seen.iter().flat_map(|seen| &seen.missed).collect();
    eprintln!(
        "{killed} of {} calls were the last of a run (not: {missed:?}); {torn} sets seen in pieces, none \
         afterwards; {deleted} snapshots deleted; {lesser} slots with a crash snapshot of the detached volume",
        calls.len()
    );
    assert!(missed.iter().all(|operation| *operation == "ListCommandInvocations"), "{missed:?}");
    let deletions = calls.iter().filter(|(operation, _)| operation == "DeleteSnapshot").count();
    assert_eq!(deletions, 5, "a day's run deletes one day's snapshots: {calls:?}");
    assert!(torn > 0, "no run was killed between the deletions of a set");
    assert!(deleted >= 4 * killed, "not every day's run pruned: {deleted}");
}
