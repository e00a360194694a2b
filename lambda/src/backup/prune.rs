//! Pruning, carried out: deletes what the plan's verdicts delete, one snapshot at a time. A deletion is
//! believed when a later look no longer shows the snapshot; the next run looks.

use super::{
    deadline::Deadline,
    pace::Pace,
    report::{Note, RunReport},
    stop::Stop,
};
use crate::aws::{DeleteSnapshot, Deleted};
use std::collections::BTreeSet;
use stillframe_plan::{KeepReason, PauseReason, Prune, Verdict};

/// Deletes every snapshot of the restore points to be deleted, and reports what held it back. A
/// restore point of which EC2 keeps a snapshot keeps the others too.
///
/// # Errors
/// Time is nearly up; the rest is for the continuation.
pub async fn delete(
    verb: &DeleteSnapshot,
    prune: &Prune<'_>,
    deadline: &Deadline,
    report: &mut RunReport,
) -> Result<(), Stop> {
    let mut pace = Pace::of_deletions();
    for point in prune.deletions() {
        for snapshot in &point.snapshots {
            deadline.check()?;
            pace.token().await;
            match verb.call(snapshot).await {
                Ok(Deleted::Accepted | Deleted::WasGone) => report.pruned.push(snapshot.to_string()),
                Ok(Deleted::Kept { code, message }) => {
                    let message = format!("{snapshot} is kept, EC2 does not delete it: {message}");
                    report.prune.push(Note::new(code, message));
                    break;
                }
                Err(error) => {
                    report
                        .prune
                        .push(Note::new("delete-failed", format!("failed to delete {snapshot}: {error}")));
                    break;
                }
            }
        }
    }
    Ok(())
}

/// What holds deletions back, as notes: first what holds all of them, then pauses, then the guards, each
/// restore point once.
#[must_use]
pub fn notes(prune: &Prune<'_>) -> Vec<Note> {
    let hold = prune.hold.as_ref().map(|hold| Note::new("held", hold.to_string()));
    let paused = prune
        .paused
        .iter()
        .map(|paused| Note::new("paused", format!("{}: {}", paused.volume, paused.reason)));
    let guarded = prune.points.iter().filter_map(|point| {
        let Verdict::Keep(kept) = &point.verdict else { return None };
        // What a rule or a pause keeps as well is not to be deleted anyway.
        let guards: Option<BTreeSet<KeepReason>> =
            kept.iter().map(|(_, reason)| is_guard(*reason).then_some(*reason)).collect();
        let guards = guards?.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let of = format!("{} of {}", point.target, point.started_at.format("%Y-%m-%dT%H:%MZ"));
        Some(Note::new(
            "guarded",
            format!("the restore point {of} is kept though no rule keeps it: {guards}"),
        ))
    });
    hold.into_iter().chain(paused).chain(guarded).collect()
}

fn is_guard(reason: KeepReason) -> bool {
    matches!(
        reason,
        KeepReason::Locked | KeepReason::UsedByImage | KeepReason::Archived | KeepReason::RecycleBin
    )
}

/// How many reasons hold deletions back that somebody should look at. A volume that has never had a
/// good restore point has nothing to delete.
#[must_use]
pub fn blocked(prune: &Prune<'_>) -> usize {
    let paused = prune.paused.iter().filter(|paused| paused.reason != PauseReason::NeverGood).count();
    usize::from(prune.hold.is_some()) + paused
}
