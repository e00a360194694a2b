use super::*;
use crate::observed::{Snapshot, SnapshotState};
use crate::world::{days_ago, empty, instance, policy, snapshot, stopped, tags_of, volume};
use crate::{LastStop, Limits, RunId};
use insta::assert_snapshot;
use serde_json::json;

fn good(id: &str, volume: &str, days: i64) -> Snapshot {
    snapshot(id, volume, &format!("daily/d{days}/{volume}"), days_ago(days))
        .labelled("filesystem")
        .naming(&[volume])
}

/// Everything that can be told, once.
fn account() -> Observed {
    let mut malformed = volume("vol-5", Some(("i-1", "/dev/sdi")));
    malformed.tags.insert(tags::KEEP.to_owned(), "last=some".to_owned());
    let mut skipped = volume("vol-6", Some(("i-1", "/dev/sdj")));
    skipped.tags.insert(tags::SKIP.to_owned(), String::new());
    let unselected = Volume { tags: tags_of(&[]), ..volume("vol-7", Some(("i-1", "/dev/sdk"))) };
    empty()
        .with(
            instance("i-1"),
            Some(Agent::Online),
            vec![
                volume("vol-1", Some(("i-1", "/dev/sdf"))),
                volume("vol-2", Some(("i-1", "/dev/sdg"))),
                malformed,
                skipped,
                unselected,
            ],
        )
        .with(instance("i-2"), Some(Agent::Offline), vec![volume("vol-3", Some(("i-2", "/dev/sdf")))])
        .with(instance("i-3"), None, vec![volume("vol-4", Some(("i-3", "/dev/sdf")))])
        .with(stopped("i-4", LastStop::ByUser), None, vec![volume("vol-8", Some(("i-4", "/dev/sdf")))])
        .with_snapshots([
            good("snap-11", "vol-1", 0).tagged(tags::REHEARSED, "2026-11-21T22:45:00Z"),
            good("snap-12", "vol-1", 1),
            good("snap-13", "vol-1", 2).in_state(SnapshotState::Error),
            good("snap-21", "vol-2", 3),
            snapshot("snap-22", "vol-2", "daily/d0/c", days_ago(0)).naming(&["vol-2"]),
            snapshot("snap-31", "vol-3", "daily/d3/c", days_ago(3)).naming(&["vol-3"]),
            good("snap-51", "vol-5", 0).in_state(SnapshotState::Pending),
            good("snap-61", "vol-6", 9),
            good("snap-91", "vol-9", 30),
        ])
}

use crate::observed::Volume;

#[test]
fn everything_that_can_be_told_is_told_once() {
    let told = status(&policy(json!({})), &account());
    assert_snapshot!(told, @r#"
    policy daily, slot 2026-11-22, at 2026-11-22T01:00Z: 7 volumes selected, 6 lineages, 2 overdue, 3 never backed up
    warning: the tag stillframe:keep of vol-5 is "last=some", which cannot be read: "last=some": the count is no whole number; the policy's word holds
    never backed up: vol-4 on i-3, OVERDUE, made 21d 1h ago
    never backed up: vol-5 on i-1, OVERDUE, made 21d 1h ago
    never backed up: vol-8 on i-4, OVERDUE, made 21d 1h ago
    agent offline: i-2 (vol-3)
    SSM knows no agent: i-3 (vol-4)

    lineage  newest good        age     label       size   snapshot  rehearsed   standing
    vol-1    2026-11-22T01:00Z  0m      filesystem  8 GiB  snap-11   2h 15m ago  fine
    vol-2    2026-11-19T01:00Z  3d 0h   filesystem  8 GiB  snap-21   -           OVERDUE
    vol-3    -                  -       -           -      -         -           OVERDUE, none is good
    vol-5    -                  -       -           -      -         -           no good one yet
    vol-6    2026-11-13T01:00Z  9d 0h   filesystem  8 GiB  snap-61   -           not backed up any more
    vol-9    2026-10-23T01:00Z  30d 0h  filesystem  8 GiB  snap-91   -           volume gone

    volume  snapshot  status     date               description
    vol-1   snap-11   completed  2026-11-22T01:00Z  stillframe daily
    vol-1   snap-12   completed  2026-11-21T01:00Z  stillframe daily
    vol-1   snap-13   error      2026-11-20T01:00Z  stillframe daily
    vol-2   snap-22   completed  2026-11-22T01:00Z  stillframe daily
    vol-2   snap-21   completed  2026-11-19T01:00Z  stillframe daily
    vol-3   snap-31   completed  2026-11-19T01:00Z  stillframe daily
    vol-5   snap-51   pending    2026-11-22T01:00Z  stillframe daily
    vol-6   snap-61   completed  2026-11-13T01:00Z  stillframe daily
    vol-9   snap-91   completed  2026-10-23T01:00Z  stillframe daily
    "#);
    let json = serde_json::to_value(&told).unwrap();
    assert_eq!(json["totals"]["never_backed_up"], 3);
    assert_eq!(json["lineages"][1]["standing"], "overdue");
    assert_eq!(json["lineages"][0]["rehearsed"]["age_s"], 8_100);
    assert_eq!(json["agents"][0], json!({"instance": "i-2", "agent": "offline", "volumes": ["vol-3"]}));
}

#[test]
fn a_policy_that_selects_nothing_is_told() {
    let told = status(&policy(json!({"select": {"tag:stillframe": "nobody"}})), &account());
    assert!(told.selects_nothing && told.totals.selected == 0);
    assert!(told.to_string().contains("the policy selects no volume"), "{told}");
}

/// The same bound as prune's pause: two slots.
#[test]
fn a_lineage_is_overdue_after_two_slots() {
    for (every, hours, standing) in [
        ("hour", 2, Standing::Fine),
        ("hour", 3, Standing::Overdue),
        ("day", 48, Standing::Fine),
        ("day", 49, Standing::Overdue),
        ("week", 14 * 24, Standing::Fine),
        ("week", 14 * 24 + 1, Standing::Overdue),
        ("month", 62 * 24, Standing::Fine),
        ("month", 62 * 24 + 1, Standing::Overdue),
    ] {
        let policy = policy(json!({"every": every}));
        let made = Snapshot {
            started_at: crate::world::now() - chrono::TimeDelta::hours(hours),
            ..good("snap-1", "vol-1", 0)
        };
        let volumes = vec![volume("vol-1", Some(("i-1", "/dev/sdf")))];
        let observed = empty().with(instance("i-1"), Some(Agent::Online), volumes).with_snapshots([made]);
        let told = status(&policy, &observed);
        assert_eq!(told.lineages[0].standing, standing, "every {every}, {hours} hours old");
        let paused = !crate::prune(&policy, &observed).paused.is_empty();
        assert_eq!(paused, standing.is_overdue(), "every {every}, {hours} hours old");
    }
}

/// What is never backed up is what a run would make, and the other way about.
#[test]
fn what_was_never_backed_up_is_in_the_plan() {
    let (policy, observed) = (policy(json!({})), account());
    let plan = crate::plan(&policy, &RunId::from("daily/2026-11-22/x"), &observed, &Limits::default());
    let text = plan.to_string();
    for never in status(&policy, &observed).never_backed_up {
        assert!(text.contains(never.volume.as_str()), "{} is not in\n{text}", never.volume);
    }
}

#[test]
fn what_does_not_fit_is_cut_and_what_matters_stays() {
    let volumes: Vec<Volume> =
        (0..200).map(|at| volume(&format!("vol-{at:03}"), Some(("i-1", "/dev/sdf")))).collect();
    let snapshots = (0..200).flat_map(|at| {
        let volume = format!("vol-{at:03}");
        let age = if at == 150 { 9 } else { 0 };
        [good(&format!("snap-{at:03}"), &volume, age), good(&format!("snap-{at:03}-old"), &volume, age + 1)]
    });
    let observed = empty().with(instance("i-1"), Some(Agent::Online), volumes).with_snapshots(snapshots);
    let told = status(&policy(json!({})), &observed);
    assert!(!told.clone().fitting(1_000_000).truncated);
    let short = told.clone().fitting(20_000);
    assert!(short.truncated && serde_json::to_string(&short).unwrap().len() < 20_000);
    assert_eq!(short.totals, told.totals);
    assert!(short.lineages.iter().any(|lineage| lineage.standing == Standing::Overdue), "{short}");
    assert!(short.snapshots.iter().all(|one| !one.snapshot.as_str().ends_with("old")), "{short}");
}

#[test]
fn the_figures_for_alarms_are_of_the_worst_lineage_and_of_every_volume_that_lacks_a_point() {
    let told = status(&policy(json!({})), &account());
    let vol_2 = told.lineages.iter().find(|one| one.volumes == ["vol-2".into()]).unwrap();
    // Neither of the volume that is gone, nor of the one that is skipped: theirs are older.
    assert_eq!(told.restore_point_age_s(), vol_2.newest_good.as_ref().map(|good| good.age_s));
    assert_eq!(told.restore_point_age_s(), Some(3 * 86_400));
    assert_eq!(told.volumes_overdue(), 5);
}
