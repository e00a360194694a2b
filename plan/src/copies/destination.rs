//! A region that copies go to, as it was seen, and as pruning sees it.

use crate::observed::{Observed, Snapshot, SnapshotState, Volume};
use crate::{SnapshotId, tags};
use std::collections::BTreeSet;

/// The volume id that EC2 gives to every copy.
const ANY_VOLUME: &str = "vol-ffffffff";

/// What was seen of one destination, and what is known of it though it was not seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destination {
    /// At least those that carry the policy's name, and all that are pending.
    pub snapshots: Vec<Snapshot>,
    /// Sources of which a copy was asked for lately: EC2 may take a moment to show it.
    pub begun: BTreeSet<SnapshotId>,
}

impl Destination {
    /// The copies that a policy has made here from its region, as if they had been made here: for
    /// [`prune`](crate::prune) and everything else that works on restore points. Volumes' own rules are
    /// for their own region and left out; that the volumes live there counts here too. What EC2 protects
    /// here is for the caller to write in.
    #[must_use]
    pub fn as_observed(&self, policy: &str, home: &str, source: &Observed) -> Observed {
        let ours = self.snapshots.iter().filter(|one| is_ours(one, policy, home));
        let without_keep = |volume: &Volume| {
            let mut volume = volume.clone();
            volume.tags.remove(tags::KEEP);
            volume
        };
        Observed {
            now: source.now,
            instances: Vec::new(),
            volumes: source.volumes.iter().map(without_keep).collect(),
            snapshots: ours.map(as_made_here).collect(),
            agents: Default::default(),
            orders_under_way: Default::default(),
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        }
    }

    /// Copies on their way to this region, whoever began them: EC2's limit counts all.
    pub(super) fn in_flight(&self) -> usize {
        let pending = self.snapshots.iter().filter(|one| one.state == SnapshotState::Pending);
        let copies = pending.filter(|one| source_of(one).is_some() || one.volume.as_str() == ANY_VOLUME);
        let seen: BTreeSet<&SnapshotId> = copies.map(|one| &one.id).collect();
        seen.len() + self.not_seen().count()
    }

    /// Sources of copies that were asked for and are not to be seen.
    pub fn not_seen(&self) -> impl Iterator<Item = &SnapshotId> {
        let seen: BTreeSet<&str> = self.snapshots.iter().filter_map(source_of).collect();
        self.begun.iter().filter(move |source| !seen.contains(source.as_str()))
    }
}

/// Whether a snapshot is a copy that this policy made from this region.
fn is_ours(snapshot: &Snapshot, policy: &str, home: &str) -> bool {
    snapshot.policy() == Some(policy) && snapshot.copied_from() == Some(home)
}

/// The snapshot that one was copied from.
pub(super) fn source_of(snapshot: &Snapshot) -> Option<&str> {
    snapshot.tags.get(tags::SOURCE_SNAPSHOT)
}

/// A snapshot, wherever it lies, as one of the region that is looked at.
pub(super) fn as_made_here(snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.tags.remove(tags::SOURCE_REGION);
    snapshot.tags.remove(tags::KEEP);
    snapshot
}
