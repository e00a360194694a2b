//! Pruning, carried out: deletes what the plan's verdicts delete, one snapshot at a time. A deletion is
//! believed when a later look no longer shows the snapshot; the next run looks.

use super::{
    deadline::Deadline,
    pace::Pace,
    report::{Note, RunReport},
    stop::Stop,
};
use crate::aws::{DeleteSnapshot, Deleted};
use stillframe_plan::{PauseReason, Prune};

/// Deletes every snapshot of the restore points to be deleted, and reports what held it back. A
/// restore point of which EC2 keeps a snapshot keeps the others too.
///
/// # Errors
/// Time is nearly up; the rest is for the continuation.
pub async fn delete(
    verb: &DeleteSnapshot,
    prune: &Prune,
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

/// What holds deletions back, as notes.
#[must_use]
pub fn notes(prune: &Prune) -> Vec<Note> {
    let hold = prune.hold.as_ref().map(|hold| Note::new("held", hold.to_string()));
    let paused = prune
        .paused
        .iter()
        .map(|paused| Note::new("paused", format!("{}: {}", paused.volume, paused.reason)));
    hold.into_iter().chain(paused).collect()
}

/// How many reasons hold deletions back that somebody should look at. A volume that has never had a
/// good restore point has nothing to delete.
#[must_use]
pub fn blocked(prune: &Prune) -> usize {
    let paused = prune.paused.iter().filter(|paused| paused.reason != PauseReason::NeverGood).count();
    usize::from(prune.hold.is_some()) + paused
}
