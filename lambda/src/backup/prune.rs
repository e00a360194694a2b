//! Pruning, carried out: deletes what the plan's verdicts delete, one snapshot at a time, then looks.
//!
//! A deletion is believed when a look no longer shows the snapshot. EC2 may show one for a moment after it
//! took the call, so the look is repeated a few times; what is still to be seen then is told, counted as
//! nothing, and met again by the next run.
//!
//! EC2 deletes no sets, only snapshots, so a restore point may come to be in pieces: the function is killed
//! in between, or EC2 refuses a member because somebody registered an image or set a lock since we looked.
//! What is left of it never passes for more than it is: every member carries the manifest of the whole set,
//! so the point is incomplete from the first deletion on, good for no rule and for no restore. The next
//! run deletes the rest. After a refusal the other members stay, at the price of their storage: somebody has
//! just laid hands on this set, and a deletion cannot be taken back. The next run sees the guard beforehand,
//! keeps all that is left for as long as it holds, and says so.

use super::{
    deadline::Deadline,
    pace::Pace,
    report::{Note, RunReport},
    stop::Stop,
};
use crate::{
    aws::{CallError, Cause, DeleteSnapshot, Deleted, Observe},
    timer,
};
use std::{collections::BTreeSet, time::Duration};
use stillframe_plan::{Judged, KeepReason, PauseReason, Prune, Snapshot, SnapshotId, SnapshotState, Verdict};

/// Pauses between looks for snapshots that should be gone.
const PAUSES: [Duration; 4] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(3)];
/// Pauses before a deletion is asked for again that was throttled, or of which nobody knows.
const AGAIN: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];
/// Most ids in one note.
const MOST_IDS: usize = 20;

/// The hands of a pruning.
#[derive(Debug, Clone, Copy)]
pub struct Hands<'a> {
    /// Deletes.
    pub delete: &'a DeleteSnapshot,
    /// Looks afterwards.
    pub observe: &'a Observe,
}

impl Hands<'_> {
    /// Deletes every snapshot of the restore points to be deleted, looks whether they are gone, and reports
    /// both.
    ///
    /// # Errors
    /// Time is nearly up; the rest is for the continuation.
    pub async fn carry_out(
        self,
        prune: &Prune<'_>,
        deadline: &Deadline,
        report: &mut RunReport,
    ) -> Result<(), Stop> {
        let mut asked = Vec::new();
        let ended = self.delete(prune, deadline, &mut asked, report).await;
        // One look is within what is kept in hand for the end.
        self.confirm(asked, deadline, report).await;
        ended
    }

    /// `asked`: what EC2 took, or no longer knew.
    async fn delete(
        self,
        prune: &Prune<'_>,
        deadline: &Deadline,
        asked: &mut Vec<SnapshotId>,
        report: &mut RunReport,
    ) -> Result<(), Stop> {
        let mut pace = Pace::of_deletions();
        for point in prune.deletions() {
            for (gone, snapshot) in point.snapshots.iter().enumerate() {
                deadline.check()?;
                let (code, cause) = match self.one(snapshot, &mut pace).await {
                    Ok(Deleted::Accepted | Deleted::WasGone) => {
                        asked.push((*snapshot).clone());
                        continue;
                    }
                    Ok(Deleted::Kept { code, message }) => {
                        (code, format!("EC2 does not delete {snapshot}: {message}"))
                    }
                    Err(error) => {
                        ("delete-failed".to_owned(), format!("failed to delete {snapshot}: {error}"))
                    }
                };
                report.prune.push(Note::new(code, not_deleted(point, gone, &cause)));
                break;
            }
        }
        Ok(())
    }

    /// Has one snapshot deleted: asks until EC2 says what becomes of it, and more slowly after it was asked too
    /// often.
    ///
    /// # Errors
    /// It never said; a later look will tell.
    pub async fn one(self, snapshot: &SnapshotId, pace: &mut Pace) -> Result<Deleted, CallError> {
        let mut pauses = AGAIN.iter();
        loop {
            pace.token().await;
            match self.delete.call(snapshot).await {
                Err(error) if let Some(pause) = pauses.next() => {
                    tracing::warn!(%error, %snapshot, "deletion asked for again");
                    if error.cause() == Cause::Throttled {
                        pace.throttled();
                    }
                    timer::sleep(*pause).await;
                }
                answer => return answer,
            }
        }
    }

    async fn confirm(self, asked: Vec<SnapshotId>, deadline: &Deadline, report: &mut RunReport) {
        report.deletions_agreed += asked.len();
        let mut pauses = PAUSES.iter();
        let mut unconfirmed = asked.clone();
        while !unconfirmed.is_empty() {
            let visible = match self.observe.these_snapshots(&unconfirmed).await {
                Ok(visible) => visible,
                Err(error) => {
                    let message = format!(
                        "failed to look whether these are gone, which EC2 agreed to delete: {}: {error}",
                        listed(unconfirmed.iter())
                    );
                    report.prune.push(Note::new("not-confirmed", message));
                    break;
                }
            };
            unconfirmed = visible.iter().map(|snapshot| snapshot.id.clone()).collect();
            match pauses.next().filter(|pause| deadline.working_time() > **pause) {
                Some(pause) if !unconfirmed.is_empty() => timer::sleep(*pause).await,
                _ => {
                    report.prune.extend(still_there(&visible));
                    break;
                }
            }
        }
        let unconfirmed: BTreeSet<SnapshotId> = unconfirmed.into_iter().collect();
        let gone = asked.iter().filter(|id| !unconfirmed.contains(id));
        report.pruned.extend(gone.map(ToString::to_string));
    }
}

/// What became of a restore point of which a member was not deleted after `gone` others were.
fn not_deleted(point: &Judged<'_>, gone: usize, cause: &str) -> String {
    let of = name(point);
    match gone {
        0 => format!("the restore point {of} is kept: {cause}"),
        _ => format!(
            "of the restore point {of} {gone} of {} snapshots are deleted and the others kept, from which it \
             cannot be restored: {cause}",
            point.snapshots.len()
        ),
    }
}

/// Snapshots that EC2 agreed to delete and still shows.
fn still_there(visible: &[Snapshot]) -> Vec<Note> {
    let in_bin = |snapshot: &&Snapshot| {
        matches!(snapshot.state, SnapshotState::Recoverable | SnapshotState::Recovering)
    };
    let (binned, shown): (Vec<&Snapshot>, Vec<&Snapshot>) = visible.iter().partition(in_bin);
    let note = |reason: &str, these: &[&Snapshot], what: &str| {
        let message = format!("{what}: {}", listed(these.iter().map(|snapshot| &snapshot.id)));
        (!these.is_empty()).then(|| Note::new(reason, message))
    };
    let shown =
        note("still-there", &shown, "EC2 agreed to delete these and still shows them; the next run looks");
    let binned = note("in-recycle-bin", &binned, "in the Recycle Bin, where it costs what it did");
    shown.into_iter().chain(binned).collect()
}

fn listed<'a>(ids: impl ExactSizeIterator<Item = &'a SnapshotId>) -> String {
    let more = ids.len().saturating_sub(MOST_IDS);
    let named: Vec<&str> = ids.take(MOST_IDS).map(SnapshotId::as_str).collect();
    match more {
        0 => named.join(", "),
        _ => format!("{} and {more} more", named.join(", ")),
    }
}

fn name(point: &Judged<'_>) -> String {
    format!("{} of {}", point.target, point.started_at.format("%Y-%m-%dT%H:%MZ"))
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
        Some(Note::new(
            "guarded",
            format!("the restore point {} is kept though no rule keeps it: {guards}", name(point)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use stillframe_plan::{DeleteReason, RunId, SharedTags, Target, Tier};

    fn snapshot(id: &str, state: SnapshotState) -> Snapshot {
        Snapshot {
            id: id.into(),
            volume: "vol-1".into(),
            state,
            started_at: DateTime::UNIX_EPOCH,
            tags: SharedTags::default(),
            size_gib: 1,
            tier: Tier::Standard,
            description: stillframe_plan::Word::default(),
        }
    }

    #[test]
    fn what_is_still_shown_is_told_by_where_it_is() {
        let visible = [
            snapshot("snap-1", SnapshotState::Completed),
            snapshot("snap-2", SnapshotState::Recoverable),
            snapshot("snap-3", SnapshotState::Completed),
        ];
        let notes = still_there(&visible);
        assert_eq!(
            notes.iter().map(|note| note.reason.as_str()).collect::<Vec<_>>(),
            ["still-there", "in-recycle-bin"]
        );
        assert!(notes[0].message.ends_with("the next run looks: snap-1, snap-3"), "{}", notes[0].message);
        assert!(
            notes[1].message.starts_with("in the Recycle Bin") && notes[1].message.ends_with(": snap-2"),
            "{}",
            notes[1].message
        );
        assert_eq!(still_there(&[]), []);
    }

    #[test]
    fn a_note_names_some_and_counts_the_rest() {
        let ids: Vec<SnapshotId> = (0..30).map(|n| SnapshotId::from(format!("snap-{n}"))).collect();
        assert!(listed(ids.iter()).ends_with("snap-19 and 10 more"));
        assert_eq!(listed(ids[..2].iter()), "snap-0, snap-1");
    }

    #[test]
    fn a_set_that_is_kept_and_one_in_pieces_are_told_apart() {
        let ids = ["snap-1", "snap-2", "snap-3"].map(SnapshotId::from);
        let point = Judged {
            run: RunId::from("daily/2026-11-22/a"),
            target: Target::Instance("i-1".into()),
            started_at: DateTime::UNIX_EPOCH,
            snapshots: ids.iter().collect(),
            good: true,
            verdict: Verdict::Delete(DeleteReason::Outlived),
        };
        assert_eq!(
            not_deleted(&point, 0, "in use"),
            "the restore point i-1 of 1970-01-01T00:00Z is kept: in use"
        );
        assert_eq!(
            not_deleted(&point, 2, "in use"),
            "of the restore point i-1 of 1970-01-01T00:00Z 2 of 3 snapshots are deleted and the others kept, from \
             which it cannot be restored: in use"
        );
    }
}
