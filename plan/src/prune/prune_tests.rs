use super::*;
use crate::observed::{Snapshot, Volume};
use crate::prune::PruneBrief;
use crate::world::*;
use crate::{SnapshotId, layout, tags};
use insta::assert_snapshot;
use serde_json::json;

/// The verdicts on an account that lives as long as the test.
fn prune(policy: &Policy, observed: &Observed) -> Prune<'static> {
    super::prune(policy, Box::leak(Box::new(observed.clone())))
}

/// One restore point of `vol-1` a day, newest first, as a calendar: `f` filesystem, `o` offline,
/// `c` crash, `p` pending, `e` failed, `a` filesystem and archived, `b` in the Recycle Bin, `.` none. The first is today's.
fn calendar(days: &str) -> Observed {
    let made = days.chars().enumerate().filter(|(_, day)| *day != '.').map(|(ago, day)| point(ago, day));
    empty().with_volume(volume("vol-1", None)).with_snapshots(made)
}

fn point(ago: usize, kind: char) -> Snapshot {
    let at = days_ago(i64::try_from(ago).unwrap());
    let run = format!("daily/{}/a", at.format("%Y-%m-%d"));
    let made = snapshot(&format!("snap-{ago:02}"), "vol-1", &run, at).naming(&["vol-1"]);
    match kind {
        'f' => made.labelled("filesystem"),
        'o' => made.labelled("offline"),
        'c' => made,
        'p' => made.labelled("filesystem").in_state(SnapshotState::Pending),
        'e' => made.labelled("filesystem").in_state(SnapshotState::Error),
        'b' => made.labelled("filesystem").in_state(SnapshotState::Recoverable),
        'a' => Snapshot { tier: Tier::Archive, ..made.labelled("filesystem") },
        other => panic!("{other}"),
    }
}

/// The same calendar of what becomes of them: `K` kept, `D` deleted.
fn verdicts(prune: &Prune<'_>, days: &str) -> String {
    let mut verdicts = prune.points.iter();
    let verdict = |day: char| match day {
        '.' => '.',
        _ => match verdicts.next().unwrap().verdict {
            Verdict::Keep(_) => 'K',
            Verdict::Delete(_) => 'D',
        },
    };
    days.chars().map(verdict).collect()
}

#[test]
fn the_rules_count_good_restore_points_only() {
    for (days, last, min, expected) in [
        ("fffff", 2, 1, "KKDDD"),
        ("fffff", 5, 1, "KKKKK"),
        ("fffff", 9, 1, "KKKKK"),
        ("fffff", 1, 3, "KKKDD"),
        ("f....", 1, 1, "K...."),
        // Lesser ones are kept until a newer good one exists, and do not count.
        ("cffff", 2, 1, "KKKDD"),
        ("ccfff", 2, 1, "KKKKD"),
        ("fcfcf", 2, 1, "KDKDD"),
        ("fccccf", 1, 1, "KDDDDD"),
        ("ccccc", 1, 1, "KKKKK"),
        ("ofofo", 2, 1, "KKDDD"),
        // A pending one is not there yet, so it makes nothing superfluous.
        ("pffff", 1, 1, "KKDDD"),
        ("pcf", 1, 1, "KKK"),
        ("ppfff", 1, 1, "KKKDD"),
        // A failed one holds nothing; it goes after a day.
        ("effff", 2, 1, "KKKDD"),
        ("fefff", 2, 1, "KKKDD"),
        ("feeff", 2, 1, "KKDKD"),
        // An archived one cannot be restored from at once: kept, not counted.
        ("fafff", 2, 1, "KKKDD"),
        ("affff", 1, 1, "KKDDD"),
        // What lies in the Recycle Bin is on its way out, or back.
        ("fbfff", 2, 1, "KKKDD"),
    ] {
        let prune = prune(&policy(json!({"keep": {"last": last}, "min": min})), &calendar(days));
        assert_eq!(verdicts(&prune, days), expected, "{days}, last {last}, min {min}\n{prune}");
        assert_eq!(prune.hold, None);
    }
}

#[test]
fn crash_is_good_when_the_policy_asks_for_no_more() {
    let prune = prune(&policy(json!({"consistency": "crash"})), &calendar("ccfcc"));
    assert_eq!(verdicts(&prune, "ccfcc"), "KKDDD");
}

#[test]
fn verdicts_read_as_reasons() {
    let prune = prune(&policy(json!({})), &calendar("pcffcee"));
    assert_snapshot!(prune, @r"
    instant            of   snapshots  state   verdict
    2026-11-22T01:00Z  i-1  1          lesser  keep: unfinished
    2026-11-21T01:00Z  i-1  1          lesser  keep: no newer good one
    2026-11-20T01:00Z  i-1  1          good    keep: last 1
    2026-11-19T01:00Z  i-1  1          good    keep: last 2
    2026-11-18T01:00Z  i-1  1          lesser  delete: a newer one is good
    2026-11-17T01:00Z  i-1  1          lesser  delete: failed
    2026-11-16T01:00Z  i-1  1          lesser  delete: failed
    7 restore points, 2 good, 3 deleted
    ");
}

#[test]
fn pruning_pauses_for_a_living_volume_whose_newest_good_point_is_overdue() {
    let days = "...cfff";
    let alive = calendar(days);
    let found = prune(&policy(json!({"keep": {"last": 1}})), &alive);
    assert_eq!(verdicts(&found, days), "...KKKK");
    let newest_good = days_ago(4);
    assert_eq!(
        found.paused,
        [Paused { volume: "vol-1".into(), reason: PauseReason::Overdue { newest_good } }]
    );

    // Two slots and no more is not overdue; a volume that is gone cannot be.
    assert_eq!(verdicts(&prune(&policy(json!({"keep": {"last": 1}})), &calendar("..fff")), "..fff"), "..KDD");
    let gone = Observed { volumes: vec![], ..alive };
    let found = prune(&policy(json!({"keep": {"last": 1}})), &gone);
    assert_eq!(verdicts(&found, days), "...KKDD");
    assert_eq!(found.paused, []);
}

#[test]
fn a_pause_does_not_keep_what_has_failed() {
    // Five failed snapshots keep EC2 from taking the next: the pause would never end.
    let days = "eeeeeff";
    let found = prune(&policy(json!({"keep": {"last": 1}})), &calendar(days));
    assert_eq!(verdicts(&found, days), "KKDDDKK");
    assert_eq!(found.deletions().count(), 3);
}

#[test]
fn a_volume_that_was_never_good_is_reported_when_that_is_late() {
    let found = prune(&policy(json!({})), &calendar("cccc"));
    assert_eq!(found.paused, [Paused { volume: "vol-1".into(), reason: PauseReason::NeverGood }]);
    assert_eq!(prune(&policy(json!({})), &calendar("pc")).paused, []);
}

#[test]
fn the_brake_stops_a_run_that_would_delete_too_much() {
    let days = "f".repeat(16);
    let run = |last: u32, allow: bool| {
        prune(&policy(json!({"keep": {"last": last}, "allow_mass_delete": allow})), &calendar(&days))
    };
    assert_eq!(run(6, false).deletions().count(), 10);
    let stopped = run(5, false);
    assert_eq!(stopped.hold, Some(Hold::Brake { deletions: 11, limit: 10, points: 16 }));
    assert_eq!(stopped.deletions().count(), 0);
    assert_eq!(stopped.brief(), PruneBrief { points: 16, good: 16, deleted: 0, held: 11, paused: 0 });
    assert_eq!(run(5, true).deletions().count(), 11);
    // A fifth of many.
    let many = "f".repeat(100);
    let run = |last: u32| prune(&policy(json!({"keep": {"last": last}})), &calendar(&many));
    assert_eq!(run(80).deletions().count(), 20);
    assert_eq!(run(79).hold, Some(Hold::Brake { deletions: 21, limit: 20, points: 100 }));
}

#[test]
fn guards_that_could_not_be_looked_up_hold_everything_but_what_has_failed() {
    let run = |days: &str, allow: bool| {
        let mut observed = calendar(days);
        observed.guards_unseen = Some("DescribeImages was refused".to_owned());
        prune(&policy(json!({"keep": {"last": 2}, "allow_mass_delete": allow})), &observed)
    };
    let held = run("ffffe", false);
    assert_eq!(verdicts(&held, "ffffe"), "KKDDD", "the verdicts are told as they would be");
    let cause = "DescribeImages was refused".to_owned();
    assert_eq!(held.hold, Some(Hold::GuardsUnseen { deletions: 2, cause }));
    let deleted: Vec<&Verdict> = held.deletions().map(|point| &point.verdict).collect();
    assert_eq!(deleted, [&Verdict::Delete(DeleteReason::Failed)]);
    // Leave to delete much is no leave to delete blindly.
    assert_eq!(run("ffffe", true).deletions().count(), 1);
    assert_eq!(run(&"f".repeat(30), false).deletions().count(), 0, "with the brake or without");
    // Where nothing would go, nothing is held.
    assert_eq!(run("ffe", false).hold, None);
}

#[test]
fn a_set_that_lost_a_member_is_good_for_nobody_and_goes_on_going() {
    // The deletion of the third set stopped after its first member.
    let mut observed = sets((0..3).flat_map(set).collect());
    observed.snapshots.retain(|snapshot| snapshot.id.as_str() != "snap-2-1");
    let found = prune(&policy(json!({"keep": {"last": 5}})), &observed);
    assert_eq!(found.points.iter().map(|point| point.good).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(found.points[2].verdict.to_string(), "delete: a newer one is good");
    // What EC2 keeps of it is kept, and said.
    observed.used_by_images = ["snap-2-2".into()].into();
    let found = prune(&policy(json!({"keep": {"last": 5}})), &observed);
    assert_eq!(found.points[2].verdict.to_string(), "keep: used by an image");
    assert!(!found.points[2].good);
}

/// A set of `vol-1` and `vol-2` on a day, both labelled `filesystem`.
fn set(ago: i64) -> [Snapshot; 2] {
    let at = days_ago(ago);
    let run = format!("daily/{}/a", at.format("%Y-%m-%d"));
    [1, 2].map(|n| {
        snapshot(&format!("snap-{ago}-{n}"), &format!("vol-{n}"), &run, at)
            .naming(&["vol-1", "vol-2"])
            .labelled("filesystem")
    })
}

fn sets(snapshots: Vec<Snapshot>) -> Observed {
    empty().with_volume(volume("vol-1", None)).with_volume(volume("vol-2", None)).with_snapshots(snapshots)
}

#[test]
fn a_set_stays_as_long_as_one_of_its_volumes_needs_it() {
    // Today's has only `vol-1`: `vol-2` still needs yesterday's, and with it goes `vol-1`.
    let today = point(0, 'f');
    let mut snapshots = vec![today];
    snapshots.extend((1..4).flat_map(set));
    let found = prune(&policy(json!({"keep": {"last": 1}})), &sets(snapshots));
    let kept: Vec<_> = found.points.iter().map(|point| matches!(point.verdict, Verdict::Keep(_))).collect();
    assert_eq!(kept, [true, true, false, false], "{found}");
    let Verdict::Keep(kept) = &found.points[1].verdict else { panic!("{found}") };
    assert_eq!(
        kept.iter().map(|(volume, reason)| format!("{volume} {reason}")).collect::<Vec<_>>(),
        ["vol-2 last 1"]
    );
}

#[test]
fn a_set_that_lost_a_member_is_not_good() {
    let mut snapshots: Vec<_> = (0..3).flat_map(set).collect();
    snapshots.remove(1);
    let found = prune(&policy(json!({"keep": {"last": 1}})), &sets(snapshots.clone()));
    let good: Vec<_> = found.points.iter().map(|point| point.good).collect();
    assert_eq!(good, [false, true, true]);
    let kept: Vec<_> = found.points.iter().map(|point| matches!(point.verdict, Verdict::Keep(_))).collect();
    assert_eq!(kept, [true, true, false]);

    // A manifest that cannot be read vouches for nothing.
    let mut snapshots: Vec<_> = (0..3).flat_map(set).collect();
    snapshots[0].tags.insert("stillframe:layout.0", "garbage");
    let found = prune(&policy(json!({"keep": {"last": 1}})), &sets(snapshots));
    assert_eq!(found.points.iter().map(|point| point.good).collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_boot_volume_of_a_frozen_set_is_as_good_as_it_gets() {
    let unfrozen = |ago| {
        let [boot, data] = set(ago);
        [boot.labelled("crash"), data]
    };
    let found = prune(&policy(json!({"keep": {"last": 1}})), &sets((0..3).flat_map(unfrozen).collect()));
    assert_eq!(found.brief(), PruneBrief { points: 3, good: 3, deleted: 2, held: 0, paused: 0 });

    // A volume that was attached after the plan is not named, and not excused.
    let late = |ago| {
        let run = format!("daily/{}/a", days_ago(ago).format("%Y-%m-%d"));
        let mut set = set(ago).to_vec();
        set.push(
            snapshot(&format!("snap-{ago}-3"), "vol-3", &run, days_ago(ago)).naming(&["vol-1", "vol-2"]),
        );
        set
    };
    let found = prune(&policy(json!({"keep": {"last": 1}})), &sets((0..3).flat_map(late).collect()));
    assert_eq!(found.brief().deleted, 0, "{found}");
}

#[test]
fn foreign_snapshots_are_not_even_judged() {
    let mut observed = calendar("ffff");
    observed.snapshots[2].tags = Default::default();
    observed.snapshots[3].tags.insert(tags::POLICY, "hourly");
    let found = prune(&policy(json!({"keep": {"last": 1}})), &observed);
    let judged: Vec<_> =
        found.points.iter().flat_map(|point| &point.snapshots).map(|id| id.as_str()).collect();
    assert_eq!(judged, ["snap-00", "snap-01"]);
}

#[test]
fn a_calendar_of_all_rules_with_reasons() {
    let observed = calendar(&"f".repeat(36));
    let rules =
        json!({"keep": {"last": 2, "daily": 5, "weekly": 3, "monthly": 2, "yearly": 1, "within": "3d"}});
    let found = prune(&Policy { allow_mass_delete: true, ..policy(rules) }, &observed);
    let line =
        |point: &Judged<'_>| format!("{}  {}", point.started_at.format("%a %G-W%V  %Y-%m-%d"), point.verdict);
    assert_snapshot!(found.points.iter().map(line).collect::<Vec<_>>().join("\n"), @r"
    Sun 2026-W47  2026-11-22  keep: last 1, daily 1, weekly 1, monthly 1, yearly 1, within
    Sat 2026-W47  2026-11-21  keep: last 2, daily 2, within
    Fri 2026-W47  2026-11-20  keep: daily 3, within
    Thu 2026-W47  2026-11-19  keep: daily 4
    Wed 2026-W47  2026-11-18  keep: daily 5
    Tue 2026-W47  2026-11-17  delete: beyond the rules
    Mon 2026-W47  2026-11-16  delete: beyond the rules
    Sun 2026-W46  2026-11-15  keep: weekly 2
    Sat 2026-W46  2026-11-14  delete: beyond the rules
    Fri 2026-W46  2026-11-13  delete: beyond the rules
    Thu 2026-W46  2026-11-12  delete: beyond the rules
    Wed 2026-W46  2026-11-11  delete: beyond the rules
    Tue 2026-W46  2026-11-10  delete: beyond the rules
    Mon 2026-W46  2026-11-09  delete: beyond the rules
    Sun 2026-W45  2026-11-08  keep: weekly 3
    Sat 2026-W45  2026-11-07  delete: beyond the rules
    Fri 2026-W45  2026-11-06  delete: beyond the rules
    Thu 2026-W45  2026-11-05  delete: beyond the rules
    Wed 2026-W45  2026-11-04  delete: beyond the rules
    Tue 2026-W45  2026-11-03  delete: beyond the rules
    Mon 2026-W45  2026-11-02  delete: beyond the rules
    Sun 2026-W44  2026-11-01  delete: beyond the rules
    Sat 2026-W44  2026-10-31  keep: monthly 2
    Fri 2026-W44  2026-10-30  delete: beyond the rules
    Thu 2026-W44  2026-10-29  delete: beyond the rules
    Wed 2026-W44  2026-10-28  delete: beyond the rules
    Tue 2026-W44  2026-10-27  delete: beyond the rules
    Mon 2026-W44  2026-10-26  delete: beyond the rules
    Sun 2026-W43  2026-10-25  delete: beyond the rules
    Sat 2026-W43  2026-10-24  delete: beyond the rules
    Fri 2026-W43  2026-10-23  delete: beyond the rules
    Thu 2026-W43  2026-10-22  delete: beyond the rules
    Wed 2026-W43  2026-10-21  delete: beyond the rules
    Tue 2026-W43  2026-10-20  delete: beyond the rules
    Mon 2026-W43  2026-10-19  delete: beyond the rules
    Sun 2026-W42  2026-10-18  delete: beyond the rules
    ");
}

#[test]
fn the_calendar_is_the_one_of_the_policys_zone() {
    // 23:30 UTC is the next day in Berlin.
    let at = |text: &str, id: &str| {
        let at = time(text);
        snapshot(id, "vol-1", &format!("daily/{id}/a"), at).labelled("filesystem")
    };
    let observed = empty().with_volume(volume("vol-1", None)).with_snapshots([
        at("2026-11-21T23:30:00Z", "snap-3"),
        at("2026-11-21T12:00:00Z", "snap-2"),
        at("2026-11-20T23:30:00Z", "snap-1"),
        at("2026-11-19T12:00:00Z", "snap-0"),
    ]);
    let verdicts = |zone: &str| {
        let found = prune(&policy(json!({"keep": {"daily": 2}, "timezone": zone})), &observed);
        found.points.iter().map(|point| point.verdict.to_string()).collect::<Vec<_>>()
    };
    let gone = "delete: beyond the rules";
    assert_eq!(verdicts("UTC"), ["keep: daily 1", gone, "keep: daily 2", gone]);
    assert_eq!(verdicts("Europe/Berlin"), ["keep: daily 1", "keep: daily 2", gone, gone]);
}

/// The reasons for the third of four good ones, of which the rules keep one.
fn third(change: impl FnOnce(&mut Observed)) -> String {
    let mut observed = calendar("ffff");
    change(&mut observed);
    prune(&policy(json!({"keep": {"last": 1}})), &observed).points[2].verdict.to_string()
}

#[test]
fn a_guard_keeps_what_the_rules_would_delete_and_says_so() {
    let id = || SnapshotId::from("snap-02");
    assert_eq!(third(|_| {}), "delete: beyond the rules");
    assert_eq!(third(|observed| observed.locked = [id()].into()), "keep: locked");
    assert_eq!(third(|observed| observed.used_by_images = [id()].into()), "keep: used by an image");
    assert_eq!(third(|observed| observed.snapshots[2].tier = Tier::Archive), "keep: archived");
    let in_state = |state| third(|observed| observed.snapshots[2].state = state);
    assert_eq!(in_state(SnapshotState::Recoverable), "keep: in the Recycle Bin");
    assert_eq!(in_state(SnapshotState::Recovering), "keep: in the Recycle Bin");
    assert_eq!(in_state(SnapshotState::Pending), "keep: unfinished");
    assert_eq!(in_state(SnapshotState::Error), "delete: failed");
    assert_eq!(
        third(|observed| observed.now += TimeDelta::days(3)),
        "keep: overdue, newest good is of 2026-11-22T01:00Z"
    );

    // A guard of one member guards the set.
    let mut observed = sets((0..3).flat_map(set).collect());
    observed.locked = ["snap-2-1".into()].into();
    let found = prune(&policy(json!({"keep": {"last": 1}})), &observed);
    assert_eq!(found.points[2].verdict.to_string(), "keep: locked");
    assert_eq!(found.points[1].verdict.to_string(), "delete: beyond the rules");
}

#[test]
fn a_volumes_own_rules_hold_for_its_lineage() {
    let kept = |change: &dyn Fn(&mut Observed)| {
        let mut observed = calendar("ffffff");
        change(&mut observed);
        let found = prune(&policy(json!({"keep": {"last": 2}})), &observed);
        (verdicts(&found, "ffffff"), found.warnings.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let own = |observed: &mut Observed, value: &str| {
        observed.volumes[0].tags.insert(tags::KEEP.to_owned(), value.to_owned());
    };
    assert_eq!(kept(&|_| {}), ("KKDDDD".to_owned(), vec![]));
    assert_eq!(kept(&|observed| own(observed, "last=4")), ("KKKKDD".to_owned(), vec![]));
    assert_eq!(kept(&|observed| own(observed, "last=1 within=1m")), ("KKKKKK".to_owned(), vec![]));
    // What cannot be read is reported; the policy's rules hold.
    let (verdicts, warnings) = kept(&|observed| own(observed, "last=zero"));
    assert_eq!(verdicts, "KKDDDD");
    assert_eq!(
        warnings,
        [
            "the tag stillframe:keep of vol-1 is \"last=zero\", which cannot be read: \"last=zero\": the count is \
          no whole number; the policy's word holds"
        ]
    );
    // While the volume lives its tag counts, not the copies of an older one. Afterwards the newest copy does.
    let copied = |observed: &mut Observed| {
        observed.snapshots[0].tags.insert(tags::KEEP, "last=3");
        observed.snapshots[3].tags.insert(tags::KEEP, "last=5");
    };
    assert_eq!(kept(&copied), ("KKDDDD".to_owned(), vec![]));
    let gone = |observed: &mut Observed| {
        copied(observed);
        observed.volumes.clear();
    };
    assert_eq!(kept(&gone), ("KKKDDD".to_owned(), vec![]));
}

#[test]
fn a_replaced_volume_hands_its_history_on() {
    // `vol-1` until five days ago, `vol-2` since, both role db on /srv/pg.
    let mut observed = calendar("fffff");
    observed.volumes =
        vec![Volume { created_at: days_ago(2) + TimeDelta::hours(1), ..volume("vol-2", None) }];
    for (ago, snapshot) in observed.snapshots.iter_mut().enumerate() {
        let id = if ago < 2 { "vol-2" } else { "vol-1" };
        let record = layout::Record {
            mount_point: "/srv/pg".to_owned(),
            ..layout::Record::bare(id.into(), "/dev/sdf")
        };
        snapshot.volume = id.into();
        snapshot.tags.extend(layout::encode(&[record]));
        snapshot.tags.insert("role", "db");
    }
    let found = prune(&policy(json!({"keep": {"last": 3}})), &observed);
    assert_eq!(verdicts(&found, "fffff"), "KKKDD", "{found}");
    // With a key that nobody carries they are two again.
    let found = prune(&policy(json!({"keep": {"last": 3}, "lineage": ["team"]})), &observed);
    assert_eq!(verdicts(&found, "fffff"), "KKKKK", "{found}");
}
