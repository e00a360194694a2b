//! Answers about a policy of 100,000 snapshots fit into what a function may return, 6 MB, and tell what they
//! leave out.

#![allow(clippy::disallowed_macros, reason = "a test tells its figures")]
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use stillframe_plan::{
    Observed, Policy, Snapshot, SnapshotState, Tags, Tier, Volume, VolumeState, Words, explain,
    fitting_lines, layout, status,
};

const VOLUMES: i64 = 2_000;
const DAYS: i64 = 50;
const DATA: usize = 3_000_000;
const TEXT: usize = 2_000_000;

fn account() -> Observed {
    let now: DateTime<Utc> = "2026-11-22T01:00:00Z".parse().unwrap();
    let mut words = Words::default();
    let mut snapshots = Vec::new();
    let id = |volume: i64| format!("vol-{volume:017x}");
    for volume in 0..VOLUMES {
        let record = layout::Record::bare(id(volume).as_str().into(), "/dev/sdf");
        let layout = layout::encode(&[record]);
        for day in 0..DAYS {
            let at = now - TimeDelta::days(day);
            let slot = at.format("%Y-%m-%d").to_string();
            let run = format!("daily/{slot}/k3v9x2");
            let mut tags = vec![
                ("stillframe:policy", "daily"),
                ("stillframe:run", run.as_str()),
                ("stillframe:slot", slot.as_str()),
                ("stillframe:consistency", "filesystem"),
            ];
            tags.extend(layout.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            snapshots.push(Snapshot {
                id: format!("snap-{:017x}", volume * 1_000 + day).into(),
                volume: id(volume).into(),
                state: SnapshotState::Completed,
                started_at: at,
                tags: words.tags(tags.into_iter()),
                size_gib: 100,
                tier: Tier::Standard,
                description: words.text("stillframe daily"),
            });
        }
    }
    let volume = |volume: i64| Volume {
        id: id(volume).into(),
        size_gib: 100,
        kind: "gp3".to_owned(),
        tags: Tags::from([("stillframe".to_owned(), "daily".to_owned())]),
        attachment: None,
        created_at: now - TimeDelta::days(90),
        state: VolumeState::Available,
        multi_attach: false,
    };
    Observed {
        now,
        instances: vec![],
        volumes: (0..VOLUMES).map(volume).collect(),
        snapshots,
        agents: Default::default(),
        orders_under_way: Default::default(),
        used_by_images: Default::default(),
        locked: Default::default(),
        guards_unseen: None,
    }
}

#[test]
fn a_hundred_thousand_snapshots_fit_into_an_answer() {
    let policy = Policy::read(&json!({
        "policy": "daily", "select": {"tag:stillframe": "daily"}, "keep": {"daily": 50},
    }))
    .unwrap();
    let observed = account();
    let bytes = |data: String, text: &str| data.len() + serde_json::to_string(text).unwrap().len();

    let told = explain(&policy, Some(&"daily=49".parse().unwrap()), &observed).fitting(DATA);
    let text = fitting_lines(&told.to_string(), TEXT);
    let size = bytes(serde_json::to_string(&told).unwrap(), &text);
    println!("explain: {size} bytes, {} of {} snapshots", told.snapshots.len(), told.totals.snapshots);
    assert!(told.truncated && size < 5_500_000, "{size} bytes");
    assert_eq!((told.totals.snapshots, told.totals.instead_deletes), (100_000, 2_000));
    // All that the other rules delete is there, whatever else is left out.
    let deleted = told.snapshots.iter().filter(|one| {
        one.instead.as_ref().is_some_and(|instead| instead.change == stillframe_plan::Change::Deletes)
    });
    assert_eq!(deleted.count(), 2_000);

    let told = status(&policy, &observed).fitting(DATA);
    let text = fitting_lines(&told.to_string(), TEXT);
    let size = bytes(serde_json::to_string(&told).unwrap(), &text);
    println!("status: {size} bytes, {} of {} snapshots", told.snapshots.len(), told.totals.snapshots);
    assert!(told.truncated && size < 5_500_000, "{size} bytes");
    assert_eq!((told.totals.snapshots, told.totals.lineages), (100_000, 2_000));
    assert_eq!(told.lineages.len(), 2_000);
}
