use super::*;
use crate::observed::{Agent, LastStop, Observed, Snapshot, SnapshotState};
use crate::world::{days_ago, empty, instance, planned, policy, snapshot, stopped, tags_of, volume};
use crate::{Volume, prune, tags};
use insta::assert_snapshot;
use serde_json::json;

fn good(id: &str, volume: &str, days: i64) -> Snapshot {
    let slot = days_ago(days).format("%Y-%m-%d");
    let made = snapshot(id, volume, &format!("daily/{slot}/{volume}"), days_ago(days));
    made.labelled("filesystem").naming(&[volume])
}

fn account() -> Observed {
    let mut skipped = volume("vol-5", Some(("i-1", "/dev/sdi")));
    skipped.tags.insert(tags::SKIP.to_owned(), String::new());
    let mut malformed = volume("vol-4", Some(("i-3", "/dev/sdf")));
    malformed.tags.insert(tags::KEEP.to_owned(), "last=some".to_owned());
    let unselected = Volume { tags: tags_of(&[]), ..volume("vol-8", Some(("i-1", "/dev/sdk"))) };
    empty()
        .with(
            instance("i-1"),
            Some(Agent::Online),
            vec![
                volume("vol-0", Some(("i-1", "/dev/xvda"))),
                volume("vol-1", Some(("i-1", "/dev/sdf"))),
                volume("vol-2", Some(("i-1", "/dev/sdg"))),
                skipped,
                unselected,
            ],
        )
        .with(stopped("i-2", LastStop::ByUser), None, vec![volume("vol-3", Some(("i-2", "/dev/sdf")))])
        .with(instance("i-3"), Some(Agent::Offline), vec![malformed])
        .with_volume(volume("vol-6", None))
        .with_snapshots((1..4).map(|days| good(&format!("snap-1{days}"), "vol-1", days)))
        .with_snapshots((0..7).map(|days| good(&format!("snap-2{days}"), "vol-2", days)))
        .with_snapshots([
            good("snap-30", "vol-3", 0).in_state(SnapshotState::Pending),
            good("snap-81", "vol-8", 1),
            good("snap-91", "vol-9", 30),
            good("snap-92", "vol-9", 31),
            good("snap-93", "vol-9", 32),
        ])
}

fn printed(policy: &crate::Policy, observed: &Observed) -> String {
    dry_run(&planned(policy, observed), &prune(policy, observed), observed).to_string()
}

#[test]
fn a_dry_run_prints_one_line_for_each_volume() {
    assert_snapshot!(printed(&policy(json!({"dry_run": true})), &account()), @r#"
    policy daily, slot 2026-11-22, asks for filesystem, run daily/2026-11-22/k3v9x2, dry run
    volume  instance  device            size   slot                                                            pruning
    vol-0   i-1       /dev/xvda (boot)  8 GiB  would create: freeze
    vol-1   i-1       /dev/sdf          8 GiB  would create: freeze                                            would delete 1: snap-13
    vol-2   i-1       /dev/sdg          8 GiB  already has snap-20 (filesystem)                                would delete 5: snap-22, snap-23, snap-24, ...
    vol-3   i-2       /dev/sdf          8 GiB  already has snap-30 (pending)
    vol-4   i-3       /dev/sdf          8 GiB  would create: crash: the agent on the instance does not answer
    vol-5   i-1       /dev/sdi          8 GiB  skip: tagged stillframe:skip
    vol-6   -         -                 8 GiB  would create: by itself, volume detached
    vol-9   -         -                 -      not backed up any more                                          would delete 1: snap-93
    not good, or kept though no rule keeps them:
    instant            of   snapshots  state   verdict
    2026-11-22T01:00Z  i-1  1          lesser  keep: unfinished
    warning: the tag stillframe:keep of vol-4 is "last=some", which cannot be read: "last=some": the count is no whole number; the policy's word holds
    7 volumes selected: 2 would be made by freeze, 2 directly, 2 have theirs, 1 skipped
    15 restore points, 14 good: 7 would be deleted, 0 held
    "#);
}

#[test]
fn what_the_brake_holds_is_no_deletion() {
    let observed = empty()
        .with_volume(volume("vol-6", None))
        .with_snapshots((0..30).map(|days| good(&format!("snap-{days:02}"), "vol-6", days)));
    assert_snapshot!(printed(&policy(json!({"dry_run": true})), &observed), @r#"
    policy daily, slot 2026-11-22, asks for filesystem, run daily/2026-11-22/k3v9x2, dry run
    volume  instance  device  size   slot                              pruning
    vol-6   -         -       8 GiB  already has snap-00 (filesystem)  would delete 28, but held
    held: 28 of 30 restore points would be deleted, more than 10 in one run: none is; look at the plan and run it once with "allow_mass_delete": true
    1 volumes selected: 0 would be made by freeze, 0 directly, 1 have theirs, 0 skipped
    30 restore points, 30 good: 0 would be deleted, 28 held
    "#);
}

#[test]
fn a_volume_has_one_line_however_many_snapshots_go() {
    let text = printed(&policy(json!({"dry_run": true})), &account());
    for number in [0, 1, 2, 3, 4, 5, 6, 9] {
        let volume = format!("vol-{number} ");
        assert_eq!(text.lines().filter(|line| line.starts_with(&volume)).count(), 1, "{volume}\n{text}");
    }
    // It is not selected, and the last good snapshot of it stays.
    assert!(!text.contains("vol-8"));
}

#[test]
fn what_is_kept_though_no_rule_keeps_it_is_told_and_so_is_what_is_not_good() {
    let mut observed = account();
    observed.used_by_images.insert("snap-24".into());
    let text = printed(&policy(json!({"dry_run": true})), &observed);
    let told = text.lines().find(|line| line.contains("used by an image")).unwrap_or_default();
    assert!(told.contains("good") && told.contains("keep: used by an image"), "{text}");
    assert!(text.lines().any(|line| line.contains("lesser  keep: unfinished")), "{text}");
    assert!(!text.contains("beyond the rules"), "what comes and goes by the rules has no line: {text}");
}
