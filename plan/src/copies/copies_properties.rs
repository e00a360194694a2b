//! What holds for every history, policy and course of copying. `PROPTEST_CASES` says how many are tried.

use super::*;
use crate::copies::destination::source_of;
use crate::history::lineages;
use crate::prune::DeleteReason;
use crate::prune::properties::{any_observed, any_policy, good};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

const HOME: &str = "eu-central-1";

/// What becomes of one copy that is asked for.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Arrives,
    /// It stays on its way for a round.
    Lingers,
    Fails,
    /// The function is killed before it asks for it, and for all after it.
    Killed,
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        6 => Just(Fate::Arrives), 2 => Just(Fate::Lingers), 1 => Just(Fate::Fails), 1 => Just(Fate::Killed)
    ];
    vec(fate, 0..60)
}

fn any_copying() -> impl Strategy<Value = Policy> {
    (any_policy(), any_policy()).prop_map(|(mut policy, other)| {
        let to = json!({"region": "eu-west-1", "keep": serde_json::to_value(&other.keep).unwrap()});
        policy.copy_to = vec![serde_json::from_value(to).unwrap()];
        policy
    })
}

/// A destination and what happens to it.
struct Course {
    seen: Destination,
    fates: std::vec::IntoIter<Fate>,
    made: usize,
}

impl Course {
    fn new(fates: Vec<Fate>) -> Self {
        Self { seen: Destination::default(), fates: fates.into_iter(), made: 0 }
    }

    fn decide<T>(&self, policy: &Policy, source: &Observed, look: impl FnOnce(&Copies<'_>) -> T) -> T {
        let there = self.seen.as_observed(&policy.name, HOME, source);
        look(&copies(policy, &policy.copy_to[0], HOME, source, &self.seen, &there))
    }

    /// One sweep: what was on its way arrives, failed copies are cleaned up, new ones are begun. How many.
    fn sweep(&mut self, policy: &Policy, source: &Observed) -> usize {
        for copy in &mut self.seen.snapshots {
            if copy.state == SnapshotState::Pending {
                copy.state = SnapshotState::Completed;
            }
        }
        let (clean_up, start) =
            self.decide(policy, source, |decided| (decided.clean_up.clone(), decided.start.clone()));
        self.seen.snapshots.retain(|copy| !clean_up.contains(&copy.id));
        let mut begun = 0;
        for member in start.into_iter().flat_map(|set| set.members) {
            let state = match self.fates.next().unwrap_or(Fate::Arrives) {
                Fate::Killed => return begun.max(1),
                Fate::Arrives => SnapshotState::Completed,
                Fate::Lingers => SnapshotState::Pending,
                Fate::Fails => SnapshotState::Error,
            };
            begun += 1;
            self.made += 1;
            let of = source.snapshots.iter().find(|one| one.id == member.snapshot).unwrap();
            self.seen.snapshots.push(Snapshot {
                id: format!("copy-{}", self.made).into(),
                volume: "vol-ffffffff".into(),
                state,
                started_at: source.now,
                tags: member.tags.into(),
                ..of.clone()
            });
        }
        begun
    }

    /// Sweeps, an hour and a half apart, until there is nothing left to do.
    fn run(&mut self, policy: &Policy, source: &mut Observed) {
        for _ in 0..200 {
            source.now += TimeDelta::minutes(90);
            let waits = |decided: &Copies<'_>| !decided.failed_lately.is_empty();
            if self.sweep(policy, source) == 0 && !self.decide(policy, source, waits) {
                return;
            }
        }
        panic!("it never ends");
    }
}

/// The older half of a history.
fn earlier(source: &Observed) -> Observed {
    let mut earlier = source.clone();
    let half = TimeDelta::hours(500);
    earlier.now -= half;
    earlier.snapshots.retain(|one| one.started_at <= earlier.now);
    earlier
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(256), ..ProptestConfig::default() })]

    #[test]
    fn when_all_is_done_nothing_is_planned_and_everything_wanted_is_there_once(
        policy in any_copying(), source in any_observed(), fates in fates()
    ) {
        let mut course = Course::new(fates);
        course.run(&policy, &mut earlier(&source));
        let mut source = source;
        course.run(&policy, &mut source);
        let (start, later, under_way) =
            course.decide(&policy, &source, |decided| (decided.start.len(), decided.later, decided.under_way));
        prop_assert_eq!((start, later, under_way), (0, 0, 0));
        let mut complete: BTreeMap<String, usize> = BTreeMap::new();
        for copy in course.seen.snapshots.iter().filter(|copy| copy.state == SnapshotState::Completed) {
            *complete.entry(source_of(copy).unwrap().to_owned()).or_default() += 1;
        }
        prop_assert!(complete.values().all(|count| *count == 1), "{:?}", complete);
    }

    #[test]
    fn nothing_is_copied_that_would_be_pruned_at_once(
        policy in any_copying(), source in any_observed(), fates in fates()
    ) {
        let policy = Policy { allow_mass_delete: true, ..policy };
        let mut course = Course::new(fates);
        let mut source = source;
        course.run(&policy, &mut source);
        let gone: Vec<RunId> = course.decide(&policy, &source, |decided| {
            let gone = decided.prune.deletions().filter(|point| {
                point.verdict != Verdict::Delete(DeleteReason::Failed)
            });
            gone.map(|point| point.run.clone()).collect()
        });
        prop_assert!(gone.is_empty(), "{:?}", gone);
    }

    #[test]
    fn there_are_never_more_than_twenty_in_flight(
        policy in any_copying(), source in any_observed(), fates in fates(), foreign in 0_usize..25
    ) {
        let mut course = Course::new(fates);
        course.sweep(&policy, &source);
        for number in 0..foreign {
            course.seen.snapshots.push(Snapshot {
                id: format!("foreign-{number}").into(),
                volume: "vol-ffffffff".into(),
                ..crate::world::snapshot("x", "x", "x", source.now).in_state(SnapshotState::Pending)
            });
        }
        let (in_flight, start) = course.decide(&policy, &source, |decided| {
            (decided.in_flight, decided.start.iter().map(|set| set.members.len()).sum::<usize>())
        });
        prop_assert!(in_flight >= foreign);
        prop_assert!(start == 0 || in_flight + start <= MOST_IN_FLIGHT, "{} and {}", in_flight, start);
    }

    #[test]
    fn the_newest_good_copies_of_every_lineage_survive(
        policy in any_copying(), source in any_observed(), fates in fates(), lost in vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let mut course = Course::new(fates);
        course.run(&policy, &mut earlier(&source));
        course.sweep(&policy, &source);
        for index in lost {
            if !course.seen.snapshots.is_empty() {
                let at = index.index(course.seen.snapshots.len());
                course.seen.snapshots.remove(at);
            }
        }
        let there = course.seen.as_observed(&policy.name, HOME, &source);
        let rules = policy.copy_to[0].policy(&policy);
        let decided = copies(&policy, &policy.copy_to[0], HOME, &source, &course.seen, &there);
        let gone: BTreeSet<SnapshotId> =
            decided.prune.deletions().flat_map(|point| &point.snapshots).map(|id| (*id).clone())
                .chain(decided.clean_up.iter().cloned()).collect();
        let mut rest = there.clone();
        rest.snapshots.retain(|copy| !gone.contains(&copy.id));
        for lineage in lineages(&rules, &there) {
            let (before, left) = (good(&rules, &there, &lineage.volumes), good(&rules, &rest, &lineage.volumes));
            let wanted = usize::try_from(policy.min).unwrap().min(before.len());
            prop_assert!(left.len() >= wanted);
            prop_assert_eq!(&left[..wanted], &before[..wanted]);
        }
    }

    #[test]
    fn the_order_of_what_was_seen_makes_no_difference(
        policy in any_copying(), source in any_observed(), fates in fates(), turn in 0_usize..40
    ) {
        let mut course = Course::new(fates);
        course.run(&policy, &mut earlier(&source));
        course.sweep(&policy, &source);
        let (mut turned, mut seen) = (source.clone(), course.seen.clone());
        for list in [&mut turned.snapshots, &mut seen.snapshots] {
            list.reverse();
            let cut = turn.min(list.len());
            list.rotate_left(cut);
            let twice: Vec<Snapshot> = list.iter().take(turn).cloned().collect();
            list.extend(twice);
        }
        turned.volumes.reverse();
        let there = course.seen.as_observed(&policy.name, HOME, &source);
        let turned_there = seen.as_observed(&policy.name, HOME, &turned);
        let to = &policy.copy_to[0];
        prop_assert_eq!(
            copies(&policy, to, HOME, &turned, &seen, &turned_there),
            copies(&policy, to, HOME, &source, &course.seen, &there)
        );
    }
}
