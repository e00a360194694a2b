//! What an ended order proves, as evidence for settling. Pure: nothing here concludes anything.

use crate::aws::{Invocation, Stage};
use stillframe_plan::{Evidence, InstanceId, Reported, ReportedSnapshot, RunId, SnapshotId, VolumeId};
use stillframe_wire::{Exit, Reason, Report, Verdict};

/// The evidence of a report, if it is the run's own for this instance.
#[must_use]
pub fn of_report(report: &Report, instance: &InstanceId, run: &RunId) -> Evidence {
    let same_run = report.run.as_ref().is_none_or(|id| id.as_str() == run.as_str());
    let same_instance = report.instance.as_ref().is_none_or(|id| id.as_str() == instance.as_str());
    if !same_run || !same_instance {
        return Evidence::NoReport { status: "its report is of another run or instance".to_owned() };
    }
    if report.reason == Some(Reason::PendingLimit) && report.snapshots.is_empty() {
        return Evidence::Later { cause: reason(report) };
    }
    let proved = report.run.is_some() && report.instance.is_some();
    Evidence::Reported(Reported {
        consistent: report.verdict == Verdict::Consistent && proved,
        snapshots: report
            .snapshots
            .iter()
            .map(|one| ReportedSnapshot {
                volume: VolumeId::from(one.volume.as_str()),
                snapshot: SnapshotId::from(one.snapshot.as_str()),
                frozen: one.frozen,
            })
            .collect(),
        reason: reason(report),
        // In both cases nothing was made, and waiting may cure it.
        retry_later: matches!(report.reason, Some(Reason::Throttled | Reason::Busy))
            && report.snapshots.is_empty(),
    })
}

/// The evidence of an order that ended without a readable report.
#[must_use]
pub fn of_silence(stage: &Stage) -> Evidence {
    let status = match stage {
        Stage::Ended { exit: 127 } => "stillframe-helper is not installed on the instance".to_owned(),
        Stage::Ended { exit } => format!("it exited with code {exit}"),
        Stage::Lost { details } => details.clone(),
        Stage::UnderWay => return Evidence::UnderWay,
    };
    Evidence::NoReport { status }
}

/// The report's reason in a few words.
#[must_use]
pub fn reason(report: &Report) -> String {
    let word = report
        .reason
        .and_then(|reason| serde_json::to_value(reason).ok())
        .and_then(|word| word.as_str().map(str::to_owned));
    match (word, &report.error) {
        (Some(word), Some(error)) => format!("{word}: {error}"),
        (Some(word), None) => word,
        (None, Some(error)) => error.clone(),
        (None, None) => String::new(),
    }
}

/// Whether something may still be frozen: the helper said so, or it was ended by force, or nobody knows
/// how it ended. (Its guardian has thawed by then, unless it was killed too.)
#[must_use]
pub fn needs_thaw(invocation: &Invocation) -> bool {
    match &invocation.stage {
        Stage::UnderWay => false,
        Stage::Lost { .. } => !invocation.never_ran(),
        // 126 and 127 are the shell's: the helper has not run. 1 is the shell's too, or an odd end.
        Stage::Ended { exit: 126 | 127 } => false,
        Stage::Ended { exit } => {
            !Exit::ALL.iter().any(|known| i32::from(known.code()) == *exit && *known != Exit::ThawUncertain)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "daily/2026-11-22/k3v9x2";
    const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

    fn report(verdict: Verdict) -> Report {
        let mut report = Report::new(verdict);
        report.run = Some(stillframe_wire::RunId::new(RUN).unwrap());
        report.instance = Some(stillframe_wire::InstanceId::new(INSTANCE).unwrap());
        report
    }

    fn evidence(report: &Report) -> Evidence {
        of_report(report, &INSTANCE.into(), &RUN.into())
    }

    fn reported(report: &Report) -> Reported {
        match evidence(report) {
            Evidence::Reported(reported) => reported,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_verdict_of_this_run_and_instance_is_consistent() {
        assert!(reported(&report(Verdict::Consistent)).consistent);
        for verdict in [Verdict::Unproved, Verdict::Refused, Verdict::NotFrozen, Verdict::ThawUncertain] {
            assert!(!reported(&report(verdict)).consistent, "{verdict:?}");
        }
        let mut other = report(Verdict::Consistent);
        other.run = Some(stillframe_wire::RunId::new("daily/2026-11-21/x").unwrap());
        assert!(matches!(evidence(&other), Evidence::NoReport { .. }));
        let mut other = report(Verdict::Consistent);
        other.instance = Some(stillframe_wire::InstanceId::new("i-0bbbbbbbbbbbbbbb2").unwrap());
        assert!(matches!(evidence(&other), Evidence::NoReport { .. }));
        let mut nameless = report(Verdict::Consistent);
        nameless.run = None;
        assert!(!reported(&nameless).consistent, "a report that names no run proves nothing");
    }

    #[test]
    fn waiting_cures_throttling_and_a_busy_instance_and_nothing_else() {
        for (reason, cured) in [
            (Reason::Throttled, true),
            (Reason::Busy, true),
            (Reason::Deadline, false),
            (Reason::BadAnswer, false),
            (Reason::RefusedBySignal, false),
            (Reason::HookFailed, false),
        ] {
            let mut one = report(Verdict::Refused);
            one.reason = Some(reason);
            assert_eq!(reported(&one).retry_later, cured, "{reason:?}");
        }
    }

    #[test]
    fn a_limit_of_ec2_is_for_later_as_long_as_nothing_was_made() {
        let mut one = report(Verdict::Unproved);
        one.reason = Some(Reason::PendingLimit);
        assert!(matches!(evidence(&one), Evidence::Later { .. }), "{:?}", evidence(&one));
        one.snapshots.push(stillframe_wire::SnapshotReport {
            volume: stillframe_wire::VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap(),
            snapshot: stillframe_wire::SnapshotId::new("snap-0aaaaaaaaaaaaaa01").unwrap(),
            frozen: false,
        });
        assert!(!reported(&one).retry_later);
    }

    #[test]
    fn a_thaw_is_sent_unless_the_end_proves_that_nothing_is_frozen() {
        let ended = |exit| Stage::Ended { exit };
        let lost = |details: &str| Stage::Lost { details: details.to_owned() };
        for (stage, thaw) in [
            (ended(0), false),
            (ended(2), false),
            (ended(10), false),
            (ended(11), false),
            (ended(12), false),
            (ended(13), true),
            (ended(127), false),
            (ended(137), true),
            (ended(1), true),
            (lost("ExecutionTimedOut"), true),
            (lost("Cancelled"), true),
            (lost("Failed"), true),
            (lost("DeliveryTimedOut"), false),
            (lost("Undeliverable"), false),
            (Stage::UnderWay, false),
        ] {
            let invocation = Invocation {
                command: String::new(),
                instance: INSTANCE.into(),
                comment: String::new(),
                sent_at: None,
                stage: stage.clone(),
                output: String::new(),
            };
            assert_eq!(needs_thaw(&invocation), thaw, "{stage:?}");
        }
    }
}
