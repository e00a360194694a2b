use super::*;
use serde_json::json;

fn point(labels: &[Consistency]) -> RestorePoint {
    RestorePoint {
        instance: Some("i-0aaaaaaaaaaaaaaa1".to_owned()),
        run: "daily/2026-11-22/k3v9x2".to_owned(),
        label: labels.iter().copied().min().unwrap(),
        snapshots: labels
            .iter()
            .map(|label| PointSnapshot {
                volume: "vol-0aaaaaaaaaaaaaa01".to_owned(),
                snapshot: "snap-0123456789abcdef0".to_owned(),
                label: *label,
                mount_point: Some("/srv/pg data".to_owned()),
                fs_type: Some("ext4".to_owned()),
                frozen_us: Some(412_345),
                reason: None,
            })
            .collect(),
        phases: None,
        flush: None,
    }
}

#[test]
fn the_result_has_the_shape_that_operators_build_on() {
    let report = RunReport {
        policy: "daily".to_owned(),
        slot: "2026-11-22".to_owned(),
        run: "daily/2026-11-22/k3v9x2".to_owned(),
        restore_points: vec![point(&[Consistency::Filesystem])],
        failures: vec![Note::about("i-0bbbbbbbbbbbbbbb2", "no-snapshot", "why")],
        warnings: vec![Note::new("nothing-selected", "the policy selects no volume")],
        ..RunReport::default()
    };
    assert_eq!(
        serde_json::to_value(&report).unwrap(),
        json!({
            "policy": "daily",
            "slot": "2026-11-22",
            "run": "daily/2026-11-22/k3v9x2",
            "status": "done",
            "restore_points": [{
                "instance": "i-0aaaaaaaaaaaaaaa1",
                "run": "daily/2026-11-22/k3v9x2",
                "label": "filesystem",
                "snapshots": [{
                    "volume": "vol-0aaaaaaaaaaaaaa01",
                    "snapshot": "snap-0123456789abcdef0",
                    "label": "filesystem",
                    "mount_point": "/srv/pg data",
                    "fs_type": "ext4",
                    "frozen_us": 412_345
                }]
            }],
            "skipped": [],
            "failures": [{"instance": "i-0bbbbbbbbbbbbbbb2", "reason": "no-snapshot", "message": "why"}],
            "warnings": [{"reason": "nothing-selected", "message": "the policy selects no volume"}],
            "pruned": []
        })
    );
}

#[test]
fn a_run_is_done_when_it_made_something_or_had_something_deleted_and_failed_when_it_only_failed() {
    let status = |points: bool, failures: bool, pruned: bool| {
        let report = RunReport {
            restore_points: if points { vec![point(&[Consistency::Crash])] } else { vec![] },
            failures: if failures { vec![Note::new("x", "y")] } else { vec![] },
            // Whether or not it is seen to be gone.
            deletions_agreed: usize::from(pruned),
            ..RunReport::default()
        };
        report.how_it_ended()
    };
    assert_eq!(status(false, false, false), Status::NothingToDo);
    assert_eq!(status(true, false, false), Status::Done);
    assert_eq!(status(false, false, true), Status::Done);
    assert_eq!(status(true, true, false), Status::Done);
    assert_eq!(status(false, true, false), Status::Failed);
}

#[test]
fn a_set_with_one_promoted_snapshot_is_no_fallback() {
    let report = RunReport {
        restore_points: vec![
            point(&[Consistency::Crash, Consistency::Filesystem]),
            point(&[Consistency::Crash, Consistency::Crash]),
            point(&[Consistency::Offline]),
        ],
        ..RunReport::default()
    };
    assert_eq!(report.fallbacks(Consistency::Filesystem), 1);
    assert_eq!(report.fallbacks(Consistency::Crash), 0);
    assert_eq!(report.frozen_ms().first(), Some(&412.345));
}
