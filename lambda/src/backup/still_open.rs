//! Which sets of a slot a run still has to settle. Pure.

use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use stillframe_plan::{RunId, Snapshot, SnapshotId, Unsettled};

/// Sets that are labelled less than the policy asks, and their snapshots.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Open<'a> {
    /// The sets.
    pub sets: Vec<&'a Unsettled>,
    /// The snapshots of all of them.
    pub snapshots: Vec<Snapshot>,
}

/// Leaves out what earlier invocations of this run have made and settled: whatever is told of it was told, and
/// nothing is added to it.
#[must_use]
pub fn still_open<'a>(
    unsettled: &'a [Unsettled],
    run: &RunId,
    settled_until: Option<DateTime<Utc>>,
    snapshots: &[Snapshot],
) -> Open<'a> {
    let is_settled =
        |snapshot: &Snapshot| settled_until.is_some_and(|settled_until| snapshot.started_at < settled_until);
    let ids = unsettled.iter().flat_map(|set| set.snapshots.iter().map(move |(_, id)| (id, set)));
    let sets: BTreeMap<&SnapshotId, &Unsettled> = ids.collect();
    let mut open = Open::default();
    let mut settled: BTreeMap<&SnapshotId, bool> = BTreeMap::new();
    for snapshot in snapshots {
        let Some(set) = sets.get(&snapshot.id) else { continue };
        let done = &set.run == run && is_settled(snapshot);
        if settled.insert(&snapshot.id, done).is_none() && !done {
            open.snapshots.push(snapshot.clone());
        }
    }
    let has_open = |set: &&Unsettled| set.snapshots.iter().any(|(_, id)| settled.get(id) == Some(&false));
    open.sets = unsettled.iter().filter(has_open).collect();
    open
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_plan::{SharedTags, SnapshotState, Target, Tier, Word};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_795_000_000 + seconds, 0).unwrap()
    }

    fn set(run: &str, instance: &str, snapshot: &str) -> Unsettled {
        Unsettled {
            run: run.into(),
            target: Target::Instance(instance.into()),
            snapshots: vec![("vol-1".into(), snapshot.into())],
        }
    }

    fn snapshot(id: &str, seconds: i64) -> Snapshot {
        Snapshot {
            id: id.into(),
            volume: "vol-1".into(),
            state: SnapshotState::Completed,
            started_at: at(seconds),
            tags: SharedTags::default(),
            size_gib: 1,
            tier: Tier::Standard,
            description: Word::default(),
        }
    }

    #[test]
    fn what_this_run_has_settled_is_left_out_and_another_runs_is_not() {
        let sets = [
            set("daily/s/ours", "i-1", "snap-1"),
            set("daily/s/ours", "i-2", "snap-2"),
            set("daily/s/other", "i-3", "snap-3"),
        ];
        let snapshots =
            [snapshot("snap-1", 10), snapshot("snap-2", 30), snapshot("snap-3", 5), snapshot("snap-4", 50)];
        let run = RunId::from("daily/s/ours");
        let names = |settled_until| {
            let open = still_open(&sets, &run, settled_until, &snapshots);
            let targets: Vec<_> = open.sets.iter().map(|set| set.target.to_string()).collect();
            let seen: Vec<_> = open.snapshots.iter().map(|one| one.id.to_string()).collect();
            (targets.join(" "), seen.join(" "))
        };
        assert_eq!(names(None), ("i-1 i-2 i-3".to_owned(), "snap-1 snap-2 snap-3".to_owned()));
        assert_eq!(names(Some(at(20))), ("i-2 i-3".to_owned(), "snap-2 snap-3".to_owned()));
        assert_eq!(names(Some(at(60))), ("i-3".to_owned(), "snap-3".to_owned()));
    }
}
