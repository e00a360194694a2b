//! How far a slot has got: which volumes have their snapshot, and which sets wait to be settled.

use crate::backup::{SkipReason, Unsettled};
use crate::history::{Grouping, Member, RestorePoint, Target};
use crate::observed::{Snapshot, SnapshotState, TagReader};
use crate::policy::{Policy, Slot};
use crate::{VolumeId, tags};
use std::collections::{BTreeMap, BTreeSet};

/// What the snapshots of a policy say of one slot.
pub(crate) struct Progress {
    /// Volumes that need nothing more in this slot.
    pub(crate) finished: BTreeMap<VolumeId, SkipReason>,
    /// Sets whose labels are behind what the policy asks. Only those of instances: of a detached
    /// volume no report is left that could be looked up.
    pub(crate) unsettled: Vec<Unsettled>,
}

impl Progress {
    pub(crate) fn of(policy: &Policy, slot: &Slot, snapshots: &[Snapshot]) -> Self {
        let mut progress = Self { finished: BTreeMap::new(), unsettled: Vec::new() };
        let is_of_slot = |snapshot: &Snapshot| snapshot.slot() == Some(&slot.name);
        let mut slot_tag = TagReader::new(tags::SLOT);
        let of_slot = snapshots.iter().filter(|one| one.tags.read(&mut slot_tag) == Some(slot.name.as_str()));
        // Copies from another region are of another policy of this name.
        let made_here = of_slot.filter(|snapshot| snapshot.copied_from().is_none());
        let runs: BTreeSet<&str> = made_here.filter_map(Snapshot::run).collect();
        if runs.is_empty() {
            return progress;
        }
        let of_runs =
            snapshots.iter().filter(|snapshot| snapshot.run().is_some_and(|run| runs.contains(run)));
        for point in Grouping::of(&policy.name, of_runs).points.into_iter().rev() {
            let mut behind = Vec::new();
            for member in point.members().iter().filter(|member| is_of_slot(member.snapshot)) {
                if let Some(reason) = finishes(policy, &point, member) {
                    progress.record(&member.volume, reason);
                }
                if holds_data(member.snapshot) && !point.is_as_asked(policy, member) {
                    behind.push((member.volume.clone(), member.snapshot.id.clone()));
                }
            }
            if !behind.is_empty() && matches!(point.target, Target::Instance(_)) {
                progress.unsettled.push(Unsettled {
                    run: point.run.clone(),
                    target: point.target.clone(),
                    snapshots: behind,
                });
            }
        }
        progress
    }

    /// A finished snapshot says more than one in progress.
    fn record(&mut self, volume: &VolumeId, reason: SkipReason) {
        let known = self.finished.get(volume);
        if !matches!(known, Some(SkipReason::Done { .. })) {
            self.finished.insert(volume.clone(), reason);
        }
    }
}

fn holds_data(snapshot: &Snapshot) -> bool {
    matches!(snapshot.state, SnapshotState::Pending | SnapshotState::Completed)
}

/// Whether a snapshot leaves nothing to do for its volume in its slot. While one is pending the answer
/// is yes, whatever its label: it may yet be promoted, and EC2 takes few at a time.
fn finishes(policy: &Policy, point: &RestorePoint<'_>, member: &Member<'_>) -> Option<SkipReason> {
    let snapshot = member.snapshot;
    let (id, run) = (snapshot.id.clone(), point.run.clone());
    match snapshot.state {
        SnapshotState::Pending => Some(SkipReason::InProgress { snapshot: id, run }),
        SnapshotState::Completed if policy.takes_crash() || point.is_as_asked(policy, member) => {
            Some(SkipReason::Done { snapshot: id, run, label: member.label })
        }
        SnapshotState::Completed
        | SnapshotState::Error
        | SnapshotState::Recoverable
        | SnapshotState::Recovering => None,
    }
}
