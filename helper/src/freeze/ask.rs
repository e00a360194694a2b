//! What the worker asks of the signal function, and what it believes of the answers.

use super::Prepared;
use crate::clock::Boottime;
use crate::describe;
use crate::signal::{SignalError, Signaller, WrongAnswer, check_cut, check_run};
use std::pin::Pin;
use std::time::Duration;
use stillframe_wire::{
    Answer, CutSnapshot, FileSystem, Frozen, Ready, Reason, Refusal, RefusalReason, Signal, WorkOrder,
};

/// READY is sent again when it is older than this: the connection and the function may be cold again.
pub(super) const READY_KEEPS: Duration = Duration::from_secs(30);

/// Time for READY: name look-up, TLS, credentials, a cold function.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// A signal on its way: the client, when it is a new one, and the answer.
pub(super) type Call = Pin<Box<dyn Future<Output = (Option<Signaller>, Result<Answer, SignalError>)>>>;

/// What stands against an answer: its name in the report, and the same for people.
pub(super) type Objection = (Reason, String);

/// READY, with the client that is known, or a new one.
pub(super) fn ready(prepared: &Prepared, known: Option<Signaller>) -> Call {
    let function = prepared.order.signal_function.clone();
    // Nothing may want new credentials until the last thaw.
    let longest = READY_KEEPS + Duration::from_millis(2 * prepared.order.max_freeze_ms);
    let signal = Signal::Ready(Ready {
        order: prepared.token.clone(),
        filesystems: filesystems(prepared),
        rehearse: prepared.is_rehearsal(),
    });
    Box::pin(async move {
        let asked = tokio::time::timeout(READY_LIMIT, async {
            let signaller = match known {
                Some(known) => known,
                None => Signaller::connect(&function, longest).await?,
            };
            let answer = signaller.send(&signal, READY_LIMIT).await?;
            Ok((signaller, answer))
        });
        match asked.await {
            Ok(Ok((signaller, answer))) => (Some(signaller), Ok(answer)),
            Ok(Err(error)) => (None, Err(error)),
            Err(_) => (None, Err(SignalError::Silent { function, s: READY_LIMIT.as_secs() })),
        }
    })
}

/// FROZEN, with what is left until the deadline.
pub(super) fn frozen(prepared: &Prepared, signaller: Signaller) -> Call {
    let left = prepared.ledger.deadline().since(Boottime::now());
    let signal = Signal::Frozen(Frozen {
        order: prepared.token.clone(),
        budget_ms: u64::try_from(left.as_millis()).unwrap_or(0),
        filesystems: filesystems(prepared),
    });
    Box::pin(async move { (None, signaller.send(&signal, left).await) })
}

/// Whether READY was answered with a yes to our run.
pub(super) fn judge_ready(answer: Result<Answer, SignalError>, order: &WorkOrder) -> Result<(), Objection> {
    match answer {
        Ok(Answer::Ready(ready)) => {
            check_run(&ready.run, order).map_err(|error| (Reason::BadAnswer, describe(&error)))
        }
        Ok(Answer::Refused(refusal)) => Err(refused(&refusal)),
        Ok(Answer::Cut(_)) => Err((Reason::BadAnswer, describe(&WrongAnswer::OtherSignal))),
        Err(error @ SignalError::Throttled { .. }) => Err((Reason::Throttled, describe(&error))),
        Err(error) => Err((Reason::SignalUnreachable, describe(&error))),
    }
}

/// The snapshots that FROZEN's answer names for our run, and whether they are all that was ordered.
pub(super) fn judge_cut(
    answer: Result<Answer, SignalError>,
    order: &WorkOrder,
) -> (Vec<CutSnapshot>, Result<(), Objection>) {
    let objection = match answer {
        Ok(Answer::Cut(cut)) => {
            let judged = check_cut(&cut, order).map_err(|error| (Reason::BadAnswer, describe(&error)));
            let snapshots = if cut.run == order.run { cut.snapshots } else { Vec::new() };
            return (snapshots, judged);
        }
        Ok(Answer::Refused(refusal)) => refused(&refusal),
        Ok(Answer::Ready(_)) => (Reason::BadAnswer, describe(&WrongAnswer::OtherSignal)),
        Err(error @ SignalError::Silent { .. }) => (Reason::Deadline, describe(&error)),
        Err(error @ SignalError::Throttled { .. }) => (Reason::Throttled, describe(&error)),
        Err(error) => (Reason::BadAnswer, describe(&error)),
    };
    (Vec::new(), Err(objection))
}

fn refused(refusal: &Refusal) -> Objection {
    let reason = match refusal.reason {
        RefusalReason::Throttled => Reason::Throttled,
        RefusalReason::PendingLimit => Reason::PendingLimit,
        // The snapshots may exist, but nobody says which.
        RefusalReason::Unknown => Reason::BadAnswer,
        _ => Reason::RefusedBySignal,
    };
    (reason, format!("the signal function refused ({}): {}", refusal.reason.as_str(), refusal.message))
}

fn filesystems(prepared: &Prepared) -> Vec<FileSystem> {
    let with_handles = prepared.targets.iter().zip(prepared.kept.iter());
    with_handles
        .map(|(target, kept)| FileSystem {
            mount_point: kept.mount_point.to_string_lossy().into_owned(),
            fs_type: target.fs_type.clone(),
            uuid: kept.uuid.clone(),
            volumes: target.volumes.clone(),
            layout: target.layout.clone(),
        })
        .collect()
}
