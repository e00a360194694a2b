//! Explaining: for every snapshot of a policy by what it is kept and until when, or why it is deleted; and
//! what other rules would change. It tells what `prune` decides and decides nothing itself.

mod explanation;
mod outlook;
mod text;
mod timeline;

pub use explanation::*;
pub use timeline::{FORESIGHT_YEARS, Unforeseen, Until};

use crate::history::{History, RestorePoint};
use crate::observed::Observed;
use crate::policy::{Policy, Selected};
use crate::prune::{KeepReason, Prune, Verdict, prune};
use crate::retention::Keep;
use crate::{Every, VolumeId};
use outlook::{Outlook, Stand, outlooks};
use timeline::Timeline;

/// Explains the snapshots of a policy; with other rules for `keep`, what these would change.
#[must_use]
pub fn explain(policy: &Policy, keep_instead: Option<&Keep>, observed: &Observed) -> Explanation {
    let history = History::of(policy, observed);
    let selected = Selected::of(policy, observed);
    let present = View::of(policy, observed, &history, &selected);
    let other = keep_instead.map(|keep| Policy { keep: keep.clone(), ..policy.clone() });
    let other = other.as_ref().map(|policy| View::of(policy, observed, &history, &selected));
    let outlooks = present.outlooks.iter().chain(other.iter().flat_map(|other| &other.outlooks));
    let timeline = Timeline::of(policy, observed, outlooks.map(|outlook| &outlook.keep));

    let names: Vec<String> = history.lineages.iter().map(ToString::to_string).collect();
    let mut snapshots: Vec<(u32, Explained)> = Vec::new();
    for (place, point) in history.points.iter().enumerate() {
        let decisions = present.decisions(&timeline, place, point);
        let others = other.as_ref().map(|other| other.decisions(&timeline, place, point));
        for (at, members) in point.by_volume().enumerate() {
            let Some(stand) = present.stand(place, at) else { continue };
            let Some(decision) = decisions.get(at) else { continue };
            let instead = others.as_ref().and_then(|others| difference(decision, others.get(at)?));
            for member in members {
                let explained = Explained {
                    lineage: names.get(stand.lineage as usize).cloned().unwrap_or_default(),
                    volume: member.volume.clone(),
                    snapshot: member.snapshot.id.clone(),
                    run: point.run.clone(),
                    instant: point.started_at,
                    label: member.label,
                    state: member.state,
                    good: stand.rank > 0,
                    own_rules: present.outlook(stand).is_some_and(|outlook| outlook.own_rules),
                    decision: decision.clone(),
                    instead: instead.clone(),
                };
                snapshots.push((stand.lineage, explained));
            }
        }
    }
    // The points stand newest first, and in each lineage they stay so.
    snapshots.sort_by(|(a, x), (b, y)| {
        (names.get(*a as usize), a, &y.instant).cmp(&(names.get(*b as usize), b, &x.instant))
    });
    let snapshots: Vec<Explained> = snapshots.into_iter().map(|(_, one)| one).collect();
    Explanation {
        policy: policy.name.clone(),
        now: observed.now,
        keep: policy.keep.clone(),
        keep_instead: keep_instead.cloned(),
        assumption: assumption(policy, observed),
        totals: ExplainTotals::of(&snapshots),
        hold: present.prune.hold,
        hold_instead: other.and_then(|other| other.prune.hold),
        warnings: present.prune.warnings,
        truncated: false,
        snapshots,
    }
}

fn assumption(policy: &Policy, observed: &Observed) -> String {
    let each = match policy.every {
        Every::Hour => "hour",
        Every::Day => "day",
        Every::Week => "week",
        Every::Month => "month",
    };
    let clock = observed.now.with_timezone(&policy.timezone).format("%H:%M");
    format!(
        "until: if from now on every {each} brings one good restore point, at about {clock} {}, and nothing \
         else changes",
        policy.timezone.name()
    )
}

/// What one set of rules makes of the history.
struct View<'a> {
    policy: &'a Policy,
    prune: Prune<'a>,
    outlooks: Vec<Outlook>,
    stands: Vec<Vec<Stand>>,
}

impl<'a> View<'a> {
    fn of(
        policy: &'a Policy,
        observed: &'a Observed,
        history: &History<'_>,
        selected: &Selected<'_>,
    ) -> Self {
        let (outlooks, stands) = outlooks(policy, history, selected);
        Self { policy, prune: prune(policy, observed), outlooks, stands }
    }

    fn stand(&self, place: usize, at: usize) -> Option<Stand> {
        self.stands.get(place)?.get(at).copied()
    }

    fn outlook(&self, stand: Stand) -> Option<&Outlook> {
        self.outlooks.get(stand.lineage as usize)
    }

    /// What becomes of the snapshots of each volume of a restore point, in their order.
    fn decisions(&self, timeline: &Timeline, place: usize, point: &RestorePoint<'_>) -> Vec<Decision> {
        // They stand in the order of the points: both come from the same history.
        let Some(judged) = self.prune.points.get(place) else { return Vec::new() };
        let stands = self.stands.get(place).map(Vec::as_slice).unwrap_or_default();
        let volumes: Vec<&VolumeId> =
            point.by_volume().filter_map(|members| Some(&members.first()?.volume)).collect();
        match &judged.verdict {
            Verdict::Delete(reason) => {
                let held = !self.prune.deletes(judged);
                volumes.iter().map(|_| Decision::Delete { reason: *reason, held }).collect()
            }
            Verdict::Keep(kept) => {
                let stand_of = |volume: &VolumeId| {
                    volumes.iter().position(|one| *one == volume).and_then(|at| stands.get(at)).copied()
                };
                // A set stays as long as any of its volumes needs it.
                let until = kept.iter().filter_map(|(volume, reason)| {
                    let stand = stand_of(volume)?;
                    let outlook = self.outlook(stand)?;
                    Some(outlook.until(timeline, self.policy, (place, point), stand.rank, *reason))
                });
                let until = until.max().unwrap_or(Until::Unforeseen(Unforeseen::Guarded));
                let by = |volume: &VolumeId| match kept.iter().find(|(one, _)| one == volume) {
                    Some((_, reason)) => {
                        stand_of(volume).map(|stand| self.by(stand, *reason)).unwrap_or_default()
                    }
                    None => kept.iter().map(|(volume, _)| By::With { volume: volume.clone() }).collect(),
                };
                volumes.iter().map(|volume| Decision::Keep { by: by(volume), until }).collect()
            }
        }
    }

    fn by(&self, stand: Stand, reason: KeepReason) -> Vec<By> {
        let min = By::Min { number: stand.rank, of: self.policy.min };
        match (reason, self.outlook(stand)) {
            (KeepReason::Rules(kept_by), Some(outlook)) => {
                let rules = kept_by.matches().map(|found| By::Rule {
                    rule: found.rule,
                    number: found.number,
                    of: outlook.keep.count(found.rule),
                    oldest: found.oldest,
                });
                let within = outlook.keep.within.filter(|_| kept_by.within());
                let within = within.map(|span| By::Within { span: span.to_string() });
                let min = (stand.rank <= self.policy.min).then_some(min);
                rules.chain(within).chain(min).collect()
            }
            (KeepReason::Min { .. }, _) => vec![min],
            (reason, _) => vec![By::Because(reason)],
        }
    }
}

/// How the decision of other rules differs, if it does.
fn difference(present: &Decision, other: &Decision) -> Option<Instead> {
    let change = match (present.until(), other.until()) {
        (Some(_), None) => Change::Deletes,
        (None, Some(_)) => Change::Spares,
        (Some(present), Some(other)) if other < present => Change::Shorter,
        (Some(present), Some(other)) if other > present => Change::Longer,
        (Some(_), Some(_)) if present != other => Change::OtherReason,
        _ => return None,
    };
    Some(Instead { change, decision: other.clone() })
}

#[cfg(test)]
#[path = "explain_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "explain_tests.rs"]
mod tests;
