//! The run's report from plan and settlement. Pure.

use super::{
    case::Case,
    report::{Note, PointSnapshot, Rehearsed, RestorePoint, RunReport, Skipped},
    settle::Judgement,
};
use serde::Serialize;
use std::collections::BTreeMap;
use stillframe_plan::{
    Consistency, Evidence, LeftReason, Means, Member, Outcome, Plan, Settled, SkipReason, Snapshot,
    SnapshotId, Target, Warning,
};
use stillframe_wire::{FileSystemVerdict, Report, Verdict};

/// Tells what the plan leaves alone, and what it warns of.
pub fn planned(plan: &Plan, report: &mut RunReport) {
    for skipped in &plan.skipped {
        let instance = skipped.instance.as_ref().map(ToString::to_string);
        let (reason, message) = (word(&skipped.reason), skipped.reason.to_string());
        if matches!(skipped.reason, SkipReason::CrashOnly(_)) {
            report.failures.push(Note {
                instance: instance.clone(),
                reason: reason.clone(),
                message: format!("{}: {message}", skipped.volume),
            });
        }
        report.skipped.push(Skipped { volume: skipped.volume.to_string(), instance, reason, message });
    }
    warned(&plan.warnings, report);
}

/// Tells of warnings, each once: planning and pruning may come upon the same tag.
pub fn warned(warnings: &[Warning], report: &mut RunReport) {
    for warning in warnings {
        let note = Note::new(word(warning), warning.to_string());
        if !report.warnings.contains(&note) {
            report.warnings.push(note);
        }
    }
}

/// Tells what became of the cases. `asked`: what the policy asks for; `promoted`: the labels that were
/// written.
pub fn settled(
    asked: Consistency,
    cases: &[Case<'_>],
    judgement: &Judgement,
    promoted: &BTreeMap<SnapshotId, Consistency>,
    report: &mut RunReport,
) {
    let snapshots: BTreeMap<&SnapshotId, &Snapshot> =
        judgement.snapshots.iter().map(|snapshot| (&snapshot.id, snapshot)).collect();
    for (case, set) in cases.iter().zip(&judgement.settlement.sets) {
        let made_earlier = case.expected.means == Means::EarlierRun;
        // What an earlier run made and nothing can be added to was told by that run.
        if made_earlier && !matches!(set.outcome, Outcome::Promote { .. }) {
            continue;
        }
        notes(asked, case, set, report);
        if !set.members.is_empty() {
            report.restore_points.push(restore_point(case, set, &snapshots, promoted));
        }
    }
}

/// Tells how each instance did in a rehearsal.
pub fn rehearsed(cases: &[Case<'_>], report: &mut RunReport) {
    for case in cases {
        let instance = case.expected.instance.as_ref().map(ToString::to_string).unwrap_or_default();
        let went_well = case.report.as_ref().is_some_and(|report| report.verdict == Verdict::Rehearsed);
        if !went_well {
            let message = format!("it would not be frozen: {}", why_not(&case.evidence));
            report.failures.push(Note::about(instance.as_str(), "rehearsal-failed", message));
        }
        report.rehearsals.push(Rehearsed { instance, report: case.report.clone() });
    }
}

fn why_not(evidence: &Evidence) -> String {
    match evidence {
        Evidence::Reported(reported) => reported.reason.clone(),
        Evidence::NoReport { status } => status.clone(),
        Evidence::NotSent { cause } => format!("the order was not sent: {cause}"),
        Evidence::CallFailed { cause } | Evidence::Later { cause } => cause.clone(),
        Evidence::UnderWay | Evidence::Nothing | Evidence::SeenAfter { .. } => {
            "nothing is known of its order".to_owned()
        }
    }
}

fn notes(asked: Consistency, case: &Case<'_>, set: &Settled, report: &mut RunReport) {
    let instance = case.expected.instance.as_ref().map(ToString::to_string);
    let note = |reason: &str, message: String| Note {
        instance: instance.clone(),
        reason: reason.to_owned(),
        message: match &set.target {
            Target::Instance(_) => message,
            Target::Volume(volume) => format!("{volume}: {message}"),
        },
    };
    match &set.outcome {
        Outcome::Failed { reason } => report.failures.push(note("no-snapshot", reason.clone())),
        Outcome::Fallback { reason } => {
            let why = match &case.fallback {
                Some(Err(cause)) => format!("{reason}; the crash-consistent set failed too: {cause}"),
                _ => format!("{reason}; no crash-consistent set was made"),
            };
            report.failures.push(note("no-snapshot", why));
        }
        Outcome::Requeue { reason } => report.failures.push(note("throttled", reason.clone())),
        Outcome::Later { reason } => report.warnings.push(note("later", reason.clone())),
        Outcome::Crash { reason } if asked > Consistency::Crash => {
            report.warnings.push(note("crash-consistent", reason.clone()));
        }
        Outcome::Wait => report.warnings.push(note("under-way", "the order has not ended".to_owned())),
        Outcome::Crash { .. } | Outcome::Promote { .. } => {}
    }
    for member in &set.members {
        if !case.expected.volumes.contains(&member.volume) {
            report.warnings.push(note(
                "not-planned",
                format!(
                    "{} was attached after the plan was made: {} is in the set and stays crash",
                    member.volume, member.snapshot
                ),
            ));
        }
    }
}

fn restore_point(
    case: &Case<'_>,
    set: &Settled,
    snapshots: &BTreeMap<&SnapshotId, &Snapshot>,
    promoted: &BTreeMap<SnapshotId, Consistency>,
) -> RestorePoint {
    let reason = match &set.outcome {
        Outcome::Crash { reason } => Some(reason.as_str()),
        _ => None,
    };
    let mut members: Vec<PointSnapshot> = set
        .members
        .iter()
        .map(|member| {
            let label = promoted.get(&member.snapshot).copied().unwrap_or(Consistency::Crash);
            point_snapshot(member, label, reason, snapshots, case.report.as_ref())
        })
        .collect();
    members.sort_by(|a, b| a.volume.cmp(&b.volume));
    RestorePoint {
        instance: case.expected.instance.as_ref().map(ToString::to_string),
        run: set.run.to_string(),
        label: members.iter().map(|member| member.label).min().unwrap_or(Consistency::Crash),
        snapshots: members,
        phases: case.report.as_ref().map(|report| report.phases),
        flush: case.report.as_ref().map(|report| report.flush),
    }
}

fn point_snapshot(
    member: &Member,
    label: Consistency,
    reason: Option<&str>,
    snapshots: &BTreeMap<&SnapshotId, &Snapshot>,
    report: Option<&Report>,
) -> PointSnapshot {
    // The snapshot's own tags say what is on it: what the signal function wrote while it was frozen.
    let record = snapshots
        .get(&member.snapshot)
        .and_then(|snapshot| snapshot.layout().ok())
        .and_then(|records| records.into_iter().find(|record| record.volume == member.volume));
    let (mount_point, fs_type) = record
        .map(|record| (record.mount_point, record.fs_type))
        .map_or((None, None), |(mount, kind)| (filled(mount), filled(kind)));
    let frozen_us = mount_point.as_ref().zip(report).and_then(|(mount_point, report)| {
        report
            .filesystems
            .iter()
            .find(|filesystem| {
                &filesystem.mount_point == mount_point && filesystem.verdict == FileSystemVerdict::Frozen
            })
            .map(|filesystem| filesystem.frozen_us)
    });
    PointSnapshot {
        volume: member.volume.to_string(),
        snapshot: member.snapshot.to_string(),
        label,
        mount_point,
        fs_type,
        frozen_us,
        reason: match member.left {
            Some(left) => Some(left_reason(left).to_owned()),
            None => reason.filter(|reason| !reason.is_empty()).map(str::to_owned),
        },
    }
}

fn left_reason(left: LeftReason) -> &'static str {
    match left {
        LeftReason::NotFrozen => "nothing on the volume was frozen",
        LeftReason::NotPlanned => "attached after the plan was made",
        LeftReason::NotReported => "the helper's report does not name it",
        LeftReason::Moved => "the volume was not where it had been",
    }
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The word by which the plan's data names a reason: `in-progress`.
pub fn word(reason: &impl Serialize) -> String {
    use serde_json::Value;
    match serde_json::to_value(reason) {
        Ok(Value::String(word)) => word,
        Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    }
}

/// Why a helper that should be told to thaw is told so.
pub fn thaw_note(instance: &str, sent: Result<(), String>) -> Note {
    match sent {
        Ok(()) => Note::about(
            instance,
            "thaw-sent",
            "the helper ended without proof that all is thawed: told to thaw",
        ),
        Err(cause) => Note::about(
            instance,
            "thaw-not-sent",
            format!(
                "the helper ended without proof that all is thawed, and could not be told to thaw: {cause}; \
                 run `stillframe-helper thaw` there"
            ),
        ),
    }
}
