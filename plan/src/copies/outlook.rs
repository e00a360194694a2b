//! What a destination would hold with a complete copy of every good set, and what its rules would make of
//! that: which sets are worth copying, and in which order.

use crate::copies::attempts::Attempt;
use crate::copies::destination::as_made_here;
use crate::copies::{Key, Set};
use crate::history::History;
use crate::observed::{Observed, Snapshot, SnapshotState};
use crate::policy::Policy;
use crate::prune::{KeepReason, Verdict, prune};
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What is to be expected of a destination.
pub(super) struct Outlook {
    /// Sets that the rules, or `min`, would keep.
    kept: BTreeSet<Key>,
    /// Of sets that are the newest good ones of a lineage: since when the lineage waits, which is the
    /// instant of its newest copy.
    newest: BTreeMap<Key, Option<DateTime<Utc>>>,
}

/// When a set is copied: the least comes first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Turn {
    Begun(Reverse<DateTime<Utc>>, Key),
    Newest { waits_since: Option<DateTime<Utc>>, set: (Reverse<DateTime<Utc>>, Key) },
    Older(Reverse<DateTime<Utc>>, Key),
}

impl Outlook {
    pub(super) fn of(rules: &Policy, there: &Observed, sets: &[Set<'_>]) -> Self {
        let mut complete = there.clone();
        complete.snapshots.retain(|copy| copy.state == SnapshotState::Completed);
        // What is left uncopied may itself have told one lineage from another, so the rules look again at
        // what they have left, until they keep all of it.
        let mut kept: BTreeSet<Key> = sets.iter().map(Set::key).collect();
        let all = loop {
            let mut all = complete.clone();
            all.snapshots.extend(to_come(sets.iter().filter(|set| kept.contains(&set.key()))));
            let still_kept: BTreeSet<Key> =
                kept_by_rules(rules, &all).filter(|key| kept.contains(key)).collect();
            if still_kept.len() == kept.len() {
                break all;
            }
            kept = still_kept;
        };

        let done: BTreeSet<Key> = sets.iter().filter(|set| set.is_there()).map(Set::key).collect();
        let history = History::of(rules, &all);
        let expected: BTreeSet<Key> = sets.iter().map(Set::key).collect();
        let mut newest: BTreeMap<u32, Key> = BTreeMap::new();
        let mut newest_there: BTreeMap<u32, DateTime<Utc>> = BTreeMap::new();
        for point in &history.points {
            for members in point.by_volume().filter(|members| point.is_good(rules, members)) {
                let Some(member) = members.first() else { continue };
                let (lineage, key) =
                    (history.lineage_of(member.number), (point.run.clone(), point.target.clone()));
                // What is no set of home any more is there, or it would not be good.
                if done.contains(&key) || !expected.contains(&key) {
                    newest_there.entry(lineage).or_insert(point.started_at);
                }
                newest.entry(lineage).or_insert(key);
            }
        }
        let mut waiting: BTreeMap<Key, Option<DateTime<Utc>>> = BTreeMap::new();
        for (lineage, key) in newest {
            let since = newest_there.get(&lineage).copied();
            waiting.entry(key).and_modify(|known| *known = since.min(*known)).or_insert(since);
        }
        Self { kept, newest: waiting }
    }

    pub(super) fn keeps(&self, set: &Set<'_>) -> bool {
        self.kept.contains(&set.key())
    }

    pub(super) fn turn(&self, set: &Set<'_>) -> Turn {
        let newest_first = (Reverse(set.started_at), set.key());
        match self.newest.get(&newest_first.1) {
            _ if set.is_begun() => Turn::Begun(newest_first.0, newest_first.1),
            Some(waits_since) => Turn::Newest { waits_since: *waits_since, set: newest_first },
            None => Turn::Older(newest_first.0, newest_first.1),
        }
    }
}

/// The copies that the sets lack, as if they were complete.
fn to_come<'a>(sets: impl Iterator<Item = &'a Set<'a>>) -> impl Iterator<Item = Snapshot> {
    let missing = sets.flat_map(|set| &set.members).filter(|(_, attempt)| *attempt != Attempt::There);
    missing.map(|(snapshot, _)| as_made_here(snapshot))
}

/// The restore points that rules or `min` keep, for whatever volume.
fn kept_by_rules(rules: &Policy, observed: &Observed) -> impl Iterator<Item = Key> {
    let is_kept = |reason: &KeepReason| matches!(reason, KeepReason::Rules(_) | KeepReason::Min { .. });
    let kept = move |verdict: &Verdict| match verdict {
        Verdict::Keep(kept) => kept.iter().any(|(_, reason)| is_kept(reason)),
        Verdict::Delete(_) => false,
    };
    let points = prune(rules, observed).points.into_iter().filter(move |point| kept(&point.verdict));
    points.map(|point| (point.run, point.target)).collect::<Vec<_>>().into_iter()
}
