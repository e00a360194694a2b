//! How the backups of a policy stand: per lineage its newest good restore point and whether it is overdue;
//! selected volumes that were never backed up; instances whose agent does not answer; every snapshot. It
//! judges as `plan` and `prune` do and decides nothing itself.

mod standing;
mod text;

pub use standing::*;

use crate::history::{History, Member, RestorePoint};
use crate::observed::{Agent, Instance, InstanceState, Observed};
use crate::policy::{Policy, Selected, Slot, overrides};
use crate::prune::is_overdue;
use crate::{InstanceId, VolumeId, tags};
use chrono::{DateTime, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// How the backups of a policy stand.
#[must_use]
pub fn status(policy: &Policy, observed: &Observed) -> PolicyStatus {
    let history = History::of(policy, observed);
    let selected = Selected::of(policy, observed);
    let lineages = lineages(policy, observed, &history, &selected);
    let never = never_backed_up(policy, observed, &history, &selected);
    let agents = silent_agents(observed, &selected);
    let snapshots = snapshots(&history);
    let skipped = selected.volumes.keys().filter(|volume| !selected.is_backed_up(volume)).count();
    let mut warnings: Vec<_> =
        selected.volumes.values().flat_map(|(volume, _)| overrides::warnings(volume)).collect();
    warnings.sort_by_cached_key(ToString::to_string);
    PolicyStatus {
        policy: policy.name.clone(),
        slot: Slot::of(policy.every, policy.timezone, observed.now),
        now: observed.now,
        totals: StatusTotals {
            selected: selected.volumes.len(),
            skipped,
            lineages: lineages.len(),
            overdue: lineages.iter().filter(|lineage| lineage.standing.is_overdue()).count(),
            never_backed_up: never.len(),
            agents: agents.len(),
            snapshots: snapshots.len(),
        },
        selects_nothing: selected.volumes.is_empty(),
        lineages,
        never_backed_up: never,
        agents,
        warnings,
        truncated: false,
        snapshots,
    }
}

/// What a lineage has, gathered from its newest restore point to its oldest.
#[derive(Default)]
struct Found {
    newest_good: Option<NewestGood>,
    oldest: Option<DateTime<Utc>>,
    rehearsed: Option<Rehearsal>,
}

fn lineages(
    policy: &Policy,
    observed: &Observed,
    history: &History<'_>,
    selected: &Selected<'_>,
) -> Vec<LineageStatus> {
    let mut found: Vec<Found> = history.lineages.iter().map(|_| Found::default()).collect();
    for point in &history.points {
        for members in point.by_volume() {
            let Some(member) = members.first() else { continue };
            let Some(found) = found.get_mut(history.lineage_of(member.number) as usize) else { continue };
            found.oldest = Some(point.started_at);
            if found.newest_good.is_none() && point.is_good(policy, members) {
                found.newest_good = Some(newest_good(observed.now, point, members));
            }
            if found.rehearsed.is_none() {
                found.rehearsed = rehearsal(observed.now, point, members);
            }
        }
    }
    let mut lineages: Vec<LineageStatus> = history
        .lineages
        .iter()
        .zip(found)
        .map(|(lineage, found)| {
            let overdue = |instant| is_overdue(policy, observed.now, instant);
            let standing = match (&lineage.live, &found.newest_good) {
                (None, _) => Standing::Ended,
                (Some(volume), _) if !selected.is_backed_up(volume) => Standing::NotBackedUp,
                (Some(_), Some(good)) if overdue(good.instant) => Standing::Overdue,
                (Some(_), None) if found.oldest.is_some_and(overdue) => Standing::NeverGood,
                (Some(_), None) => Standing::NoneYet,
                (Some(_), Some(_)) => Standing::Fine,
            };
            LineageStatus {
                lineage: lineage.to_string(),
                volumes: lineage.volumes.clone(),
                live: lineage.live.clone(),
                standing,
                newest_good: found.newest_good,
                rehearsed: found.rehearsed,
            }
        })
        .collect();
    lineages.sort_by(|a, b| (&a.lineage, &a.volumes).cmp(&(&b.lineage, &b.volumes)));
    lineages
}

fn newest_good(now: DateTime<Utc>, point: &RestorePoint<'_>, members: &[Member<'_>]) -> NewestGood {
    NewestGood {
        run: point.run.clone(),
        instant: point.started_at,
        age_s: (now - point.started_at).num_seconds(),
        label: members.iter().map(|member| member.label).max().unwrap_or(crate::Consistency::Crash),
        size_gib: members.iter().map(|member| member.snapshot.size_gib).max().unwrap_or(0),
        snapshots: members.iter().map(|member| member.snapshot.id.clone()).collect(),
    }
}

fn rehearsal(now: DateTime<Utc>, point: &RestorePoint<'_>, members: &[Member<'_>]) -> Option<Rehearsal> {
    let said = members.iter().find_map(|member| member.snapshot.tags.get(tags::REHEARSED))?;
    let at = DateTime::parse_from_rfc3339(said).ok().map(|at| at.with_timezone(&Utc));
    Some(Rehearsal {
        run: point.run.clone(),
        at: said.to_owned(),
        age_s: at.map(|at| (now - at).num_seconds()),
    })
}

/// Selected volumes, not tagged to be skipped, of which no snapshot of the policy holds anything.
fn never_backed_up(
    policy: &Policy,
    observed: &Observed,
    history: &History<'_>,
    selected: &Selected<'_>,
) -> Vec<NeverBackedUp> {
    let holds = |member: &&Member<'_>| member.state == crate::SnapshotState::Completed;
    let members = history.points.iter().flat_map(|point| point.members());
    let backed_up: BTreeSet<&VolumeId> = members.filter(holds).map(|member| &member.volume).collect();
    let never = selected
        .volumes
        .values()
        .filter(|(volume, _)| selected.is_backed_up(&volume.id) && !backed_up.contains(&volume.id));
    never
        .map(|(volume, instance)| NeverBackedUp {
            volume: volume.id.clone(),
            instance: instance.map(|instance| instance.id.clone()),
            created_at: volume.created_at,
            age_s: (observed.now - volume.created_at).num_seconds(),
            overdue: is_overdue(policy, observed.now, volume.created_at),
        })
        .collect()
}

/// Running instances with selected volumes whose agent would take no order.
fn silent_agents(observed: &Observed, selected: &Selected<'_>) -> Vec<SilentAgent> {
    let mut by_instance: BTreeMap<&InstanceId, (&Instance, Vec<VolumeId>)> = BTreeMap::new();
    for (volume, instance) in selected.volumes.values() {
        if let Some(instance) = instance.filter(|_| selected.is_backed_up(&volume.id)) {
            by_instance.entry(&instance.id).or_insert((instance, Vec::new())).1.push(volume.id.clone());
        }
    }
    let running = by_instance.into_values().filter(|(instance, _)| instance.state == InstanceState::Running);
    running
        .filter_map(|(instance, volumes)| {
            let agent = match observed.agents.get(&instance.id) {
                Some(Agent::Online) => return None,
                Some(Agent::Offline) => AgentState::Offline,
                None => AgentState::Unknown,
            };
            Some(SilentAgent { instance: instance.id.clone(), agent, volumes })
        })
        .collect()
}

/// By volume, of each the newest first.
fn snapshots(history: &History<'_>) -> Vec<SnapshotLine> {
    let members = history.points.iter().flat_map(|point| point.members());
    let mut lines: Vec<SnapshotLine> = members
        .map(|member| SnapshotLine {
            volume: member.volume.clone(),
            snapshot: member.snapshot.id.clone(),
            status: member.state,
            date: member.snapshot.started_at,
            label: member.label,
            description: member.snapshot.description.clone(),
        })
        .collect();
    lines.sort_by(|a, b| (&a.volume, b.date, &a.snapshot).cmp(&(&b.volume, a.date, &b.snapshot)));
    lines
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
