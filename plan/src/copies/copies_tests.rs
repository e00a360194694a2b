use super::*;
use crate::observed::Tier;
use crate::prune::DeleteReason;
use crate::world::*;
use crate::{layout, tags};
use insta::assert_snapshot;
use serde_json::{Value, json};

const HOME: &str = "eu-central-1";

/// A destination that keeps the last `last`.
fn copying(last: u32) -> Policy {
    policy(json!({"keep": {"last": 9}, "copy_to": [{"region": "eu-west-1", "keep": {"last": last}}]}))
}

/// A good set of `vol-N` of each number, on an instance of its own, so many days ago.
fn set(instance: &str, volumes: &[&str], ago: i64) -> Vec<Snapshot> {
    let at = days_ago(ago);
    let run = format!("daily/{}/a", at.format("%Y-%m-%d"));
    let made = |volume: &&str| {
        snapshot(&format!("snap-{volume}-{ago}"), volume, &run, at)
            .naming(volumes)
            .labelled("filesystem")
            .tagged(tags::INSTANCE, instance)
    };
    volumes.iter().map(made).collect()
}

/// A copy of a snapshot as EC2 shows it, begun an hour ago.
fn copy_of(policy: &Policy, source: &Snapshot, state: SnapshotState) -> Snapshot {
    let (member, _) = tags_of_copy::member(policy, HOME, source);
    Snapshot {
        id: format!("copy-of-{}", source.id).into(),
        volume: "vol-ffffffff".into(),
        state,
        started_at: now() - TimeDelta::hours(1),
        tags: member.tags.into(),
        ..source.clone()
    }
}

fn decide(policy: &Policy, source: &Observed, seen: &Destination) -> Copies<'static> {
    let there = Box::leak(Box::new(seen.as_observed(&policy.name, HOME, source)));
    copies(policy, &policy.copy_to[0], HOME, source, seen, there)
}

/// The snapshots to be copied, in order.
fn started(copies: &Copies<'_>) -> Vec<String> {
    copies.start.iter().flat_map(|set| &set.members).map(|member| member.snapshot.to_string()).collect()
}

fn seeing(snapshots: impl IntoIterator<Item = Snapshot>) -> Destination {
    Destination { snapshots: snapshots.into_iter().collect(), ..Destination::default() }
}

const COMPLETED: SnapshotState = SnapshotState::Completed;

#[test]
fn what_the_rules_there_keep_is_copied_newest_first_and_the_rest_never() {
    let policy = copying(2);
    let source = empty().with_snapshots((0..5).flat_map(|ago| set("i-1", &["vol-1"], ago)));
    let decided = decide(&policy, &source, &Destination::default());
    assert_eq!(started(&decided), ["snap-vol-1-0", "snap-vol-1-1"]);
    assert_eq!((decided.unwanted, decided.later, decided.there), (3, 0, 0));

    let done = seeing(source.snapshots.iter().take(2).map(|one| copy_of(&policy, one, COMPLETED)));
    let decided = decide(&policy, &source, &done);
    assert_eq!((started(&decided), decided.there), (vec![], 2));
    assert_eq!(decided.prune.deletions().count(), 0, "{decided}");
}

#[test]
fn only_what_is_complete_good_and_in_the_standard_tier_is_copied() {
    let policy = copying(9);
    let of_day = |ago: i64, change: &dyn Fn(&mut Snapshot)| {
        let mut made = set("i-1", &["vol-1", "vol-2"], ago);
        change(&mut made[1]);
        made
    };
    let source = empty().with_snapshots(
        [
            of_day(0, &|one| one.state = SnapshotState::Pending),
            of_day(1, &|one| one.state = SnapshotState::Error),
            of_day(2, &|one| one.tier = Tier::Archive),
            of_day(3, &|one| one.tags.insert(tags::POLICY, "hourly")),
            of_day(4, &|_| {}),
        ]
        .concat(),
    );
    let mut crash = set("i-1", &["vol-1"], 5);
    crash[0].tags.insert(tags::CONSISTENCY, "crash");
    let source = source.with_snapshots(crash);
    let decided = decide(&policy, &source, &Destination::default());
    assert_eq!(started(&decided), ["snap-vol-1-4", "snap-vol-2-4"]);
}

#[test]
fn half_a_set_comes_first_then_the_newest_of_whoever_waits_longest() {
    let policy = copying(9);
    let sets = [
        set("i-1", &["vol-1"], 0),
        set("i-1", &["vol-1"], 1),
        set("i-2", &["vol-2"], 1),
        set("i-2", &["vol-2"], 4),
        set("i-3", &["vol-3"], 2),
        set("i-4", &["vol-4", "vol-5"], 3),
        set("i-4", &["vol-4", "vol-5"], 2),
    ];
    let source = empty().with_snapshots(sets.concat());
    // Of `i-1` yesterday's is there, of `i-2` one of four days ago, of `i-3` none, of `i-4` half an old one.
    let there = [&sets[1][0], &sets[3][0], &sets[5][0]].map(|one| copy_of(&policy, one, COMPLETED));
    let decided = decide(&policy, &source, &seeing(there));
    assert_eq!(
        started(&decided),
        ["snap-vol-5-3", "snap-vol-3-2", "snap-vol-4-2", "snap-vol-5-2", "snap-vol-2-1", "snap-vol-1-0"]
    );
}

#[test]
fn at_most_twenty_are_in_flight_whoever_began_them() {
    let policy = copying(9);
    let source =
        empty().with_snapshots((0..30).flat_map(|n| set(&format!("i-{n}"), &[&format!("vol-{n}")], 0)));
    let foreign = |n: usize| Snapshot {
        id: format!("foreign-{n}").into(),
        volume: "vol-ffffffff".into(),
        tags: Default::default(),
        ..snapshot("x", "x", "x", now()).in_state(SnapshotState::Pending)
    };
    let decided = |seen: &Destination| {
        let decided = decide(&policy, &source, seen);
        (started(&decided).len(), decided.later, decided.in_flight)
    };
    assert_eq!(decided(&Destination::default()), (20, 10, 0));
    // A page that came twice counts once; a snapshot made there of a volume is no copy.
    let own = snapshot("own", "vol-0abc", "daily/x/y", now()).in_state(SnapshotState::Pending);
    let twice = (0..7).map(foreign).chain((0..7).map(foreign)).chain([own]);
    let mut seen = seeing(twice);
    assert_eq!(decided(&seen), (13, 17, 7));
    // One that was asked for and is not to be seen yet counts, and is not asked for again.
    seen.begun.insert("snap-vol-3-0".into());
    assert_eq!(decided(&seen), (12, 17, 8));
    assert_eq!(seen.not_seen().count(), 1);
    let full = seeing((0..25).map(foreign));
    assert_eq!(decided(&full), (0, 30, 25));
}

#[test]
fn a_copy_that_failed_is_tried_again_after_an_hour_and_cleaned_up() {
    let policy = copying(9);
    let source = empty().with_snapshots(set("i-1", &["vol-1"], 0));
    let failed = |id: &str, minutes: i64| Snapshot {
        id: id.into(),
        started_at: now() - TimeDelta::minutes(minutes),
        ..copy_of(&policy, &source.snapshots[0], SnapshotState::Error)
    };
    let decided = |copies: Vec<Snapshot>| {
        let decided = decide(&policy, &source, &seeing(copies));
        let clean_up: Vec<String> = decided.clean_up.iter().map(ToString::to_string).collect();
        assert_eq!((decided.there, decided.prune.deletions().count()), (0, 0), "{decided}");
        (started(&decided).len(), decided.failed_lately.len(), clean_up)
    };
    assert_eq!(decided(vec![failed("a", 59)]), (0, 1, vec![]));
    assert_eq!(decided(vec![failed("a", 61)]), (1, 0, vec![]));
    assert_eq!(decided(vec![failed("a", 90), failed("b", 10)]), (0, 1, vec!["a".to_owned()]));
    assert_eq!(decided(vec![failed("a", 1_441)]), (1, 0, vec!["a".to_owned()]));
    let pending = copy_of(&policy, &source.snapshots[0], SnapshotState::Pending);
    assert_eq!(decided(vec![failed("a", 90), pending]), (0, 0, vec!["a".to_owned()]));
}

#[test]
fn the_lineage_and_the_age_of_a_copy_are_those_of_its_source() {
    // `vol-1` was replaced by `vol-2` two days ago. The oldest was copied last.
    let policy = copying(3);
    let mut source = empty();
    for ago in 0..5 {
        let mut made = set("i-1", &[if ago < 2 { "vol-2" } else { "vol-1" }], ago);
        let record = layout::Record {
            mount_point: "/srv/pg".to_owned(),
            ..layout::Record::bare(made[0].volume.clone(), "/dev/sdf")
        };
        made[0].tags.extend(layout::encode(&[record]));
        made[0].tags.insert("role", "db");
        source = source.with_snapshots(made);
    }
    let mut seen = seeing(source.snapshots.iter().map(|one| copy_of(&policy, one, COMPLETED)));
    for (late, copy) in seen.snapshots.iter_mut().enumerate() {
        copy.started_at = now() + TimeDelta::minutes(i64::try_from(late).unwrap());
    }
    let decided = decide(&policy, &source, &seen);
    assert_snapshot!(decided, @r"
    copies in eu-west-1
    5 restore points there, 0 snapshots on their way, 0 to copy now, 0 later, 0 whose copy failed lately; 0 restore points are beyond the rules there
    instant            of   snapshots  state  verdict
    2026-11-22T01:00Z  i-1  1          good   keep: last 1
    2026-11-21T01:00Z  i-1  1          good   keep: last 2
    2026-11-20T01:00Z  i-1  1          good   keep: last 3
    2026-11-19T01:00Z  i-1  1          good   delete: beyond the rules
    2026-11-18T01:00Z  i-1  1          good   delete: beyond the rules
    5 restore points, 5 good, 2 deleted
    ");
}

#[test]
fn a_volumes_own_rules_are_for_its_own_region() {
    let policy = copying(1);
    let mut source = empty().with_snapshots((0..3).flat_map(|ago| set("i-1", &["vol-1"], ago)));
    for one in &mut source.snapshots {
        one.tags.insert(tags::KEEP, "last=3");
    }
    assert_eq!(started(&decide(&policy, &source, &Destination::default())), ["snap-vol-1-0"]);
    let all = seeing(source.snapshots.iter().map(|one| copy_of(&policy, one, COMPLETED)));
    assert_eq!(decide(&policy, &source, &all).prune.deletions().count(), 2);
}

#[test]
fn pruning_pauses_there_too_when_the_newest_copy_of_a_living_volume_is_overdue() {
    let policy = copying(1);
    let source = empty().with_volume(volume("vol-1", None)).with_snapshots(set("i-1", &["vol-1"], 0));
    let old: Vec<Snapshot> = (3..6).flat_map(|ago| set("i-1", &["vol-1"], ago)).collect();
    let seen = seeing(old.iter().map(|one| copy_of(&policy, one, COMPLETED)));
    let decided = decide(&policy, &source, &seen);
    assert_eq!(decided.prune.deletions().count(), 0, "{decided}");
    assert_eq!(decided.prune.paused.len(), 1, "{decided}");
    // Its sources are gone, which takes nothing from a whole copy.
    assert_eq!((started(&decided), decided.cannot_be_finished), (vec!["snap-vol-1-0".to_owned()], vec![]));
}

#[test]
fn other_regions_and_other_policies_copies_are_neither_counted_nor_pruned() {
    let policy = copying(1);
    let source = empty().with_snapshots(set("i-1", &["vol-1"], 0));
    let copies = |change: &dyn Fn(&mut Snapshot)| {
        let old = (0..4).flat_map(|ago| set("i-1", &["vol-1"], ago));
        let mut copies: Vec<Snapshot> = old.map(|one| copy_of(&policy, &one, COMPLETED)).collect();
        copies.iter_mut().for_each(change);
        let decided = decide(&policy, &source, &seeing(copies));
        (started(&decided).len(), decided.prune.points.len())
    };
    assert_eq!(copies(&|_| {}), (0, 4));
    assert_eq!(copies(&|one| one.tags.insert(tags::SOURCE_REGION, "us-east-1")), (1, 0));
    assert_eq!(copies(&|one| one.tags.remove(tags::SOURCE_REGION)), (1, 0));
    assert_eq!(copies(&|one| one.tags.insert(tags::POLICY, "hourly")), (1, 0));
}

#[test]
fn half_a_set_that_is_to_be_finished_is_not_pruned() {
    let policy = copying(2);
    let sets: Vec<Vec<Snapshot>> = (0..2).map(|ago| set("i-1", &["vol-1", "vol-2"], ago)).collect();
    let source = empty().with_snapshots(sets.concat());
    let there = [&sets[0][0], &sets[0][1], &sets[1][0]].map(|one| copy_of(&policy, one, COMPLETED));
    let decided = decide(&policy, &source, &seeing(there.clone()));
    assert_eq!(started(&decided), ["snap-vol-2-1"]);
    assert_eq!(decided.prune.points[1].verdict.to_string(), "keep: unfinished");

    // One that the rules would not keep is left unfinished, and goes.
    let lean = copying(1);
    let decided = decide(&lean, &source, &seeing(there.clone()));
    assert_eq!((started(&decided), decided.unwanted), (vec![], 1));
    assert_eq!(decided.prune.points[1].verdict, Verdict::Delete(DeleteReason::Superseded));

    // And one whose source is gone is told, and goes.
    let gone = empty().with_snapshots(sets[0].clone());
    let decided = decide(&policy, &gone, &seeing(there));
    assert_eq!(
        decided.cannot_be_finished.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "the restore point of i-1 of 2026-11-21T01:00Z was copied in part only, and the rest of its snapshots is gone"
        ]
    );
    assert_eq!(decided.prune.points[1].verdict, Verdict::Delete(DeleteReason::Superseded));
}

#[test]
fn copies_on_their_way_or_failed_never_count_as_good() {
    let policy = copying(1);
    let sets: Vec<Vec<Snapshot>> = (0..2).map(|ago| set("i-1", &["vol-1"], ago)).collect();
    let source = empty().with_snapshots(sets.concat());
    for state in [SnapshotState::Pending, SnapshotState::Error] {
        let there = [copy_of(&policy, &sets[0][0], state), copy_of(&policy, &sets[1][0], COMPLETED)];
        let decided = decide(&policy, &source, &seeing(there));
        assert_eq!(decided.prune.deletions().count(), 0, "{state:?}: {decided}");
    }
}

#[test]
fn the_brake_holds_there_too() {
    let policy = |allow: bool| Policy { allow_mass_delete: allow, ..copying(1) };
    let source = empty().with_snapshots((0..13).flat_map(|ago| set("i-1", &["vol-1"], ago)));
    let seen = seeing(source.snapshots.iter().map(|one| copy_of(&policy(false), one, COMPLETED)));
    let deleted = |allow| decide(&policy(allow), &source, &seen).prune.deletions().count();
    assert_eq!((deleted(false), deleted(true)), (0, 12));
}

#[test]
fn a_decision_is_data() {
    let decided =
        decide(&copying(1), &empty().with_snapshots(set("i-1", &["vol-1"], 0)), &Destination::default());
    let told: Value = serde_json::to_value(&decided).unwrap();
    assert_eq!(told["start"][0]["members"][0]["snapshot"], "snap-vol-1-0");
    assert_eq!(told["region"], "eu-west-1");
}
