//! What the sets of a lineage hold: volumes, and what is mounted from them. A set that was taken of a stopped
//! instance, or as a fallback, knows no mounts: they are those of the volume's newest record that knows any.

use crate::history::{Grouping, Member, RestorePoint, Target};
use crate::observed::{Snapshot, SnapshotState, Tier};
use crate::restore::Spec;
use crate::restore::scene::{Scene, is_of_a_restore};
use crate::tags::{self, Tags};
use crate::{SnapshotId, VolumeId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Device names of boot volumes.
const BOOT_DEVICES: [&str; 3] = ["/dev/sda1", "/dev/xvda", "/dev/sda"];

/// A set of the lineage.
pub(super) struct Candidate<'a> {
    pub(super) point: RestorePoint<'a>,
    /// By volume id.
    pub(super) held: Vec<Held>,
}

/// One volume of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    /// The volume that the snapshot is of.
    pub(super) source: VolumeId,
    pub(super) snapshot: SnapshotId,
    pub(super) size_gib: u64,
    /// Under which name it was attached; empty when not known.
    pub(super) device: String,
    /// Types of file systems by where they are mounted; empty types where not known.
    pub(super) mounts: BTreeMap<String, String>,
    /// The volume's own tags.
    pub(super) tags: Tags,
}

impl Held {
    /// Whether an operating system boots from it: that is never restored beside another one.
    pub(super) fn is_boot(&self) -> bool {
        self.mounts.contains_key("/") || BOOT_DEVICES.contains(&self.device.as_str())
    }
}

/// Mounts by volume: where, and what type of file system.
type Mounts = BTreeMap<VolumeId, BTreeMap<String, String>>;

/// The sets of the spec's lineage, newest first.
pub(super) fn candidates<'a>(spec: &Spec, filter: &Tags, scene: &'a Scene) -> Vec<Candidate<'a>> {
    let policies: BTreeSet<&str> = scene.snapshots.iter().filter_map(Snapshot::policy).collect();
    let mut points: Vec<RestorePoint<'a>> =
        policies.into_iter().flat_map(|policy| Grouping::of(policy, scene.snapshots.iter()).points).collect();
    points.sort_by(|a, b| {
        (Reverse(a.started_at), &a.run, &a.target).cmp(&(Reverse(b.started_at), &b.run, &b.target))
    });
    let known = known_mounts(&points);
    let wanted = |point: &RestorePoint<'_>| {
        spec.run.as_ref().is_none_or(|run| *run == point.run)
            && match &spec.from_instance {
                Some(instance) => point.target == Target::Instance(instance.clone()),
                None => point.members().iter().any(|member| is_of(spec, filter, member.snapshot)),
            }
            && spec
                .policy
                .as_deref()
                .is_none_or(|policy| point.snapshots().any(|s| s.policy() == Some(policy)))
    };
    points.retain(wanted);
    points.into_iter().map(|point| Candidate { held: held(&point, &known), point }).collect()
}

/// Whether the values of all filter tags are those of the snapshot: its volume's own before its instance's.
fn is_of(spec: &Spec, filter: &Tags, snapshot: &Snapshot) -> bool {
    spec.filter_tags.iter().all(|key| {
        let value = snapshot.tags.get(key).or_else(|| snapshot.tags.get(&tags::instance_key(key)));
        value == filter.get(key).map(String::as_str)
    })
}

/// `points`: newest first.
fn known_mounts(points: &[RestorePoint<'_>]) -> Mounts {
    let mut known = Mounts::new();
    for point in points {
        for members in point.by_volume() {
            let Some(member) = members.first().filter(|member| !known.contains_key(&member.volume)) else {
                continue;
            };
            let mounts = own_mounts(point, &member.volume);
            if !mounts.is_empty() {
                known.insert(member.volume.clone(), mounts);
            }
        }
    }
    known
}

fn own_mounts(point: &RestorePoint<'_>, volume: &VolumeId) -> BTreeMap<String, String> {
    let records = point.records_of(volume).filter(|record| !record.mount_point.is_empty());
    records.map(|record| (record.mount_point.clone(), record.fs_type.clone())).collect()
}

fn held(point: &RestorePoint<'_>, known: &Mounts) -> Vec<Held> {
    let of = |members: &[Member<'_>]| {
        let best = best(members)?;
        let own = own_mounts(point, &best.volume);
        let mounts = if own.is_empty() { known.get(&best.volume).cloned().unwrap_or_default() } else { own };
        let device = point.records_of(&best.volume).map(|record| record.device.clone()).min();
        Some(Held {
            source: best.volume.clone(),
            snapshot: best.snapshot.id.clone(),
            size_gib: best.snapshot.size_gib,
            device: device.unwrap_or_default(),
            mounts,
            tags: own_tags(best.snapshot),
        })
    };
    point.by_volume().filter_map(of).collect()
}

/// Of several snapshots of one volume the one to take.
pub(super) fn best<'b, 'a>(members: &'b [Member<'a>]) -> Option<&'b Member<'a>> {
    members.iter().max_by_key(|member| {
        let whole = member.state == SnapshotState::Completed;
        (whole, member.tier == Tier::Standard, member.label, Reverse(&member.snapshot.id))
    })
}

/// The tags that the snapshot has from its volume.
fn own_tags(snapshot: &Snapshot) -> Tags {
    let own = snapshot.tags.iter().filter(|(key, _)| {
        !tags::is_ours_on_snapshots(key) && !tags::is_reserved(key) && !is_of_a_restore(key)
    });
    own.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}
