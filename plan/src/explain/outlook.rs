//! What is to be known of each lineage before its restore points can be explained.

use crate::explain::timeline::{Future, Timeline, Unforeseen, Until};
use crate::history::{History, Member, RestorePoint};
use crate::policy::{Policy, Selected};
use crate::prune::{KeepReason, rules_of};
use crate::retention::{Keep, KeptBy};
use chrono::{DateTime, TimeDelta, Utc};

/// One lineage.
pub(super) struct Outlook {
    /// Its rules.
    pub(super) keep: Keep,
    /// Whether they are those of its volume's tag, which a change of the policy does not change.
    pub(super) own_rules: bool,
    /// Whether the policy makes further restore points of it.
    goes_on: bool,
    newest_good: Option<DateTime<Utc>>,
    oldest_good: Option<usize>,
    good: u32,
}

/// What one restore point is to the lineage of one of its volumes.
#[derive(Clone, Copy)]
pub(super) struct Stand {
    /// The number of the lineage.
    pub(super) lineage: u32,
    /// How many good ones the lineage has with this one, from the newest; 0 of one that is not good.
    pub(super) rank: u32,
}

/// Of every lineage, and of every volume of every point, in their order.
pub(super) fn outlooks(
    policy: &Policy,
    history: &History<'_>,
    selected: &Selected<'_>,
) -> (Vec<Outlook>, Vec<Vec<Stand>>) {
    let mut outlooks: Vec<Option<Outlook>> = history.lineages.iter().map(|_| None).collect();
    let mut stands = Vec::with_capacity(history.points.len());
    for (place, point) in history.points.iter().enumerate() {
        let mut of_point = Vec::new();
        for members in point.by_volume() {
            let Some(member) = members.first() else { continue };
            let lineage = history.lineage_of(member.number);
            let mut rank = 0;
            if let Some(slot) = outlooks.get_mut(lineage as usize) {
                let outlook = slot.get_or_insert_with(|| Outlook::of(policy, history, selected, member));
                if point.is_good(policy, members) {
                    rank = outlook.count(place, point);
                }
            }
            of_point.push(Stand { lineage, rank });
        }
        stands.push(of_point);
    }
    // Every lineage has a restore point, or it would be none.
    (outlooks.into_iter().flatten().collect(), stands)
}

impl Outlook {
    /// By the newest snapshot of the lineage.
    fn of(policy: &Policy, history: &History<'_>, selected: &Selected<'_>, newest: &Member<'_>) -> Self {
        let (keep, _) = rules_of(policy, history, newest);
        let lineage = history.lineages.get(history.lineage_of(newest.number) as usize);
        let live = lineage.and_then(|lineage| lineage.live.as_ref());
        Self {
            own_rules: matches!(keep, std::borrow::Cow::Owned(_)),
            keep: keep.into_owned(),
            goes_on: live.is_some_and(|volume| selected.is_backed_up(volume)),
            newest_good: None,
            oldest_good: None,
            good: 0,
        }
    }

    fn count(&mut self, place: usize, point: &RestorePoint<'_>) -> u32 {
        self.newest_good = self.newest_good.or(Some(point.started_at));
        self.oldest_good = Some(place);
        self.good += 1;
        self.good
    }

    /// How long a restore point is kept for this lineage. `place`: its own, among the points.
    pub(super) fn until(
        &self,
        timeline: &Timeline,
        policy: &Policy,
        (place, point): (usize, &RestorePoint<'_>),
        rank: u32,
        reason: KeepReason,
    ) -> Until {
        // A lineage without a good one gets its first in the slot of now.
        let future = timeline.after(self.newest_good.unwrap_or(DateTime::<Utc>::MIN_UTC));
        match reason {
            KeepReason::FailedLately => Until::At(point.started_at + TimeDelta::days(1)),
            KeepReason::Rules(_) | KeepReason::Min { .. } if !self.goes_on => {
                Until::Unforeseen(Unforeseen::NothingFollows)
            }
            KeepReason::NoNewerGood | KeepReason::Paused(_) if !self.goes_on => {
                Until::Unforeseen(Unforeseen::NothingFollows)
            }
            KeepReason::Rules(kept_by) => {
                self.until_let_go(timeline, policy, future, (place, point), rank, kept_by)
            }
            KeepReason::Min { .. } => {
                timeline.further(future, policy.min.saturating_add(1).saturating_sub(rank))
            }
            KeepReason::NoNewerGood | KeepReason::Paused(_) => timeline.further(future, 1),
            // Whatever else keeps it is a guard: lifted by somebody, at some time.
            _ => Until::Unforeseen(Unforeseen::Guarded),
        }
    }

    fn until_let_go(
        &self,
        timeline: &Timeline,
        policy: &Policy,
        future: Future,
        (place, point): (usize, &RestorePoint<'_>),
        rank: u32,
        kept_by: KeptBy,
    ) -> Until {
        let is_oldest = self.oldest_good == Some(place);
        let by_rules = timeline.of_rules(&self.keep, kept_by, future, (point.started_at, is_oldest));
        if rank <= policy.min {
            let by_min = timeline.further(future, policy.min.saturating_add(1).saturating_sub(rank));
            return by_rules.max(by_min);
        }
        by_rules
    }
}
