//! The cut: `CreateSnapshots` while the instance is frozen, within what is left of the freeze.
//!
//! Only what was certainly not executed is repeated. After anything else there is no second call here:
//! looking for snapshots by run tag, and what follows from it, is the backup function's, with nobody
//! frozen.

use super::refusal;
use crate::{
    aws::{CallError, Cause, CreateSnapshots, MadeSnapshot, SetRequest},
    clock::Clock,
};
use chrono::SecondsFormat;
use std::time::{Duration, Instant};
use stillframe_wire::{Cut, CutSnapshot, Refusal, RefusalReason, SnapshotId, VolumeId, WorkOrder};

/// What the answer's way back to the helper is given.
const WAY_BACK: Duration = Duration::from_millis(100);
/// First pause after a throttled call; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A call with less time than this is not begun: its answer would come too late.
const LEAST_CALL: Duration = Duration::from_millis(200);

/// The time that an answer has.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    ends: Instant,
}

impl Budget {
    /// A budget that runs from now; a part of it is kept for the answer's way back.
    pub fn new(total: Duration) -> Self {
        Self { ends: Instant::now() + total.saturating_sub(WAY_BACK) }
    }

    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }
}

/// Takes the snapshots.
///
/// # Errors
/// The refusal to answer with. [`RefusalReason::Unknown`] means that snapshots may exist.
pub async fn cut(
    create: &CreateSnapshots,
    clock: &Clock,
    order: &WorkOrder,
    request: &SetRequest,
    budget: &Budget,
) -> Result<Cut, Refusal> {
    let mut pause = FIRST_PAUSE;
    loop {
        if budget.left() < LEAST_CALL {
            return Err(refusal(
                RefusalReason::Throttled,
                "nothing was made: too little of the freeze is left for a CreateSnapshots call".to_owned(),
            ));
        }
        let asked_at = clock.now();
        match create.call(request, budget.left()).await {
            Ok(made) => {
                return Ok(Cut {
                    run: order.run.clone(),
                    snapshots: complete(order, &made)?,
                    asked_at: asked_at.to_rfc3339_opts(SecondsFormat::Millis, true),
                    answered_at: clock.now().to_rfc3339_opts(SecondsFormat::Millis, true),
                });
            }
            Err(error) if error.cause() == Cause::Throttled && budget.left() > pause + LEAST_CALL => {
                tracing::warn!(%error, "repeated");
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            Err(error) => return Err(refused(&error)),
        }
    }
}

fn refused(error: &CallError) -> Refusal {
    let reason = match error.cause() {
        Cause::Throttled => RefusalReason::Throttled,
        Cause::PendingLimit => RefusalReason::PendingLimit,
        Cause::Refused => RefusalReason::CreateFailed,
        Cause::Unknown => RefusalReason::Unknown,
    };
    refusal(reason, error.to_string())
}

/// The snapshots, if every ordered volume has one that has not failed.
fn complete(order: &WorkOrder, made: &[MadeSnapshot]) -> Result<Vec<CutSnapshot>, Refusal> {
    let exists = |what: String| refusal(RefusalReason::Unknown, format!("snapshots were made, but {what}"));
    let snapshots = made
        .iter()
        .map(|one| {
            if one.failed {
                return Err(exists(format!("{} of {} has failed", one.snapshot, one.volume)));
            }
            let unreadable = |error: stillframe_wire::IdError| exists(error.to_string());
            Ok(CutSnapshot {
                volume: VolumeId::new(one.volume.as_str()).map_err(unreadable)?,
                snapshot: SnapshotId::new(one.snapshot.as_str()).map_err(unreadable)?,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    match order.volumes.iter().find(|volume| !snapshots.iter().any(|made| made.volume == volume.id)) {
        Some(missing) => Err(exists(format!("none of {}", missing.id))),
        None => Ok(snapshots),
    }
}
