//! Asking for copies: each once, and what came of it.

use super::{CopiedTo, StartedCopy};
use crate::{
    aws::{CallError, CopySnapshot},
    backup::{Note, RunReport, pace::Pace},
    timer,
};
use std::{collections::BTreeSet, time::Duration};
use stillframe_plan::{CopyMember, CopyTo, Destination, SnapshotId};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);
/// Pauses before a call is made again that was throttled, and so certainly not executed.
const THROTTLED: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// EC2's answer when as many copies are on their way to a region as it takes.
const FULL: &str = "ResourceLimitExceeded";
/// EC2's answer when a snapshot is gone.
const GONE: &str = "InvalidSnapshot.NotFound";

/// Begins one copy. Only what was certainly not executed is asked for again.
pub(super) async fn call(
    verb: &CopySnapshot,
    member: &CopyMember,
    kms_key: Option<&str>,
    pace: &mut Pace,
) -> Result<SnapshotId, CallError> {
    let mut pauses = THROTTLED.iter();
    loop {
        pace.token().await;
        match verb.call(member, kms_key, CALL).await {
            Err(CallError::Throttled { .. }) if let Some(pause) = pauses.next() => {
                pace.throttled();
                timer::sleep(*pause).await;
            }
            answer => return answer,
        }
    }
}

/// What was asked for in one destination.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Sources of copies that were begun, or may have been.
    pub(super) begun: BTreeSet<SnapshotId>,
    /// Sources that EC2 does not copy.
    pub(super) refused: BTreeSet<SnapshotId>,
    /// EC2 takes no more copies at the moment.
    pub(super) full: bool,
}

impl Attempts {
    pub(super) fn may_begin(&self, member: &CopyMember) -> bool {
        !self.full && !self.begun.contains(&member.snapshot) && !self.refused.contains(&member.snapshot)
    }

    pub(super) fn note(
        &mut self,
        member: &CopyMember,
        called: Result<SnapshotId, CallError>,
        to: &CopyTo,
        told: &mut CopiedTo,
        report: &mut RunReport,
    ) {
        let source = member.snapshot.clone();
        let about = format!("{source} of {} to {}", member.volume, to.region);
        match called {
            Ok(copy) => {
                self.begun.insert(source);
                told.started.push(StartedCopy::of(member, &copy));
            }
            Err(error @ CallError::Unknown { .. }) => {
                tracing::warn!(%error, about, "not known whether a copy was begun");
                self.begun.insert(source);
            }
            Err(error) if error.code() == Some(FULL) || matches!(error, CallError::Throttled { .. }) => {
                tracing::info!(%error, about, "no more copies for now");
                self.full = true;
            }
            Err(error) if error.code() == Some(GONE) => {
                let message = format!("the copy of {about}: the snapshot was deleted before it was copied");
                report.warnings.push(Note::new("copy-source-gone", message));
                self.refused.insert(source);
            }
            Err(error) => {
                let message = format!("failed to copy {about}: {error}");
                report.failures.push(Note::new("copy-refused", message));
                self.refused.insert(source);
            }
        }
    }

    /// A copy whose beginning was not answered, and that nobody sees: the next sweep looks again.
    pub(super) fn tell_unseen(&self, seen: &Destination, region: &str, report: &mut RunReport) {
        for source in seen.not_seen() {
            let message =
                format!("not known whether the copy of {source} to {region} was begun; the next run looks");
            report.warnings.push(Note::new("copy-unknown", message));
        }
    }
}
