//! The cut: `CreateSnapshots` while the instance is frozen, within what is left of the freeze.
//!
//! Only what was certainly not executed is repeated. After anything else there is no second call here:
//! looking for snapshots by run tag, and what follows from it, is the backup function's, with nobody
//! frozen.

use super::refusal;
use crate::{
    aws::{CallError, Cause, CreateSnapshots, MadeSnapshot, SetRequest},
    clock::Clock,
    timer,
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
        Self { ends: timer::now() + total.saturating_sub(WAY_BACK) }
    }

    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(timer::now())
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
                timer::sleep(pause).await;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use stillframe_wire::{AUDIENCE, InstanceId, OrderedVolume, RunId};

    const FIRST: &str = "vol-0aaaaaaaaaaaaaa01";
    const SECOND: &str = "vol-0aaaaaaaaaaaaaa02";

    fn order() -> WorkOrder {
        let volume = |id: &str| OrderedVolume { id: VolumeId::new(id).unwrap(), device: String::new() };
        WorkOrder {
            v: 1,
            aud: AUDIENCE.to_owned(),
            instance: InstanceId::new("i-0aaaaaaaaaaaaaaa1").unwrap(),
            expires: 0,
            run: RunId::new("daily/2026-11-22/k3v9x2").unwrap(),
            policy: String::new(),
            slot: String::new(),
            volumes: vec![volume(FIRST), volume(SECOND)],
            exclude_volumes: vec![],
            exclude_boot: true,
            tags: BTreeMap::new(),
            copy_volume_tags: true,
            description: String::new(),
            layout_tags: 1,
            max_freeze_ms: 1_000,
            hooks: true,
            freeze_root: false,
            expedite_rcu: false,
            rehearse: false,
            signal_function: "signal".to_owned(),
        }
    }

    fn made(volume: &str, snapshot: &str, failed: bool) -> MadeSnapshot {
        MadeSnapshot { volume: volume.into(), snapshot: snapshot.into(), failed }
    }

    #[test]
    fn a_cut_holds_every_ordered_volume_and_names_one_that_was_attached_since() {
        let late = "vol-0aaaaaaaaaaaaaa09";
        let all = [
            made(FIRST, "snap-00000001", false),
            made(SECOND, "snap-00000002", false),
            made(late, "snap-00000003", false),
        ];
        let cut = complete(&order(), &all).unwrap();
        assert_eq!(cut.len(), 3);
        assert!(cut.iter().any(|one| one.volume.as_str() == late));
    }

    #[test]
    fn anything_less_is_an_unknown_outcome_since_snapshots_exist() {
        for (answer, named) in [
            (vec![made(FIRST, "snap-00000001", false)], SECOND),
            (vec![made(FIRST, "snap-00000001", true), made(SECOND, "snap-00000002", false)], "snap-00000001"),
            (vec![made(FIRST, "garbage", false), made(SECOND, "snap-00000002", false)], "garbage"),
            (vec![], FIRST),
        ] {
            let refusal = complete(&order(), &answer).unwrap_err();
            assert_eq!(refusal.reason, RefusalReason::Unknown);
            assert!(refusal.message.contains(named), "{refusal:?}");
        }
    }
}
