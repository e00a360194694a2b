//! Finds the restore points of a policy among all snapshots, by their tags.
//!
//! Snapshots that do not carry a policy's tags are nobody's restore point here, so nothing that works
//! on restore points can ever touch them.

use crate::layouts::Layouts;
use crate::numbers::Numbers;
use crate::observed::Snapshot;
use crate::restore_point::{Member, RestorePoint, Target};
use crate::{InstanceId, RunId, VolumeId};
use std::sync::Arc;

/// The restore points of a policy, oldest first. The order of the snapshots makes no difference, nor
/// does one that is given twice.
#[must_use]
pub fn restore_points<'a>(policy: &str, snapshots: &'a [Snapshot]) -> Vec<RestorePoint<'a>> {
    Grouping::of(policy, snapshots.iter()).points
}

/// The restore points of a policy, oldest first, and the volumes that they are of.
pub(crate) struct Grouping<'a> {
    pub(crate) points: Vec<RestorePoint<'a>>,
    /// By the number that the members carry.
    pub(crate) volumes: Vec<VolumeId>,
    pub(crate) numbers: Numbers<'a>,
}

/// One snapshot with what groups it: run, target, volume.
type Entry<'a> = (u32, TargetNumber, u32, &'a Snapshot);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TargetNumber {
    Instance(u32),
    Volume(u32),
}

impl<'a> Grouping<'a> {
    pub(crate) fn of(policy: &str, snapshots: impl Iterator<Item = &'a Snapshot>) -> Self {
        let (mut runs, mut instances, mut volumes) =
            (Numbers::default(), Numbers::default(), Numbers::default());
        let mut entries: Vec<Entry<'a>> = Vec::with_capacity(snapshots.size_hint().0);
        for snapshot in snapshots.filter(|snapshot| snapshot.policy() == Some(policy)) {
            let Some(run) = snapshot.run() else { continue };
            let volume = volumes.of(snapshot.origin());
            let target = match snapshot.instance() {
                Some(instance) => TargetNumber::Instance(instances.of(instance)),
                None => TargetNumber::Volume(volume),
            };
            entries.push((runs.of(run), target, volume, snapshot));
        }
        entries.sort_unstable_by_key(|(run, target, volume, _)| (*run, *target, *volume));

        let runs: Vec<RunId> = runs.names().iter().map(|name| (*name).into()).collect();
        let instances: Vec<InstanceId> = instances.names().iter().map(|name| (*name).into()).collect();
        let volume_ids: Vec<VolumeId> = volumes.names().iter().map(|name| (*name).into()).collect();
        let mut layouts = Layouts::default();
        let mut points: Vec<RestorePoint<'a>> = entries
            .chunk_by(|a, b| (a.0, a.1) == (b.0, b.1))
            .filter_map(|set| {
                let (run, target, ..) = set.first()?;
                let target = match target {
                    TargetNumber::Instance(number) => {
                        Target::Instance(instances.get(*number as usize)?.clone())
                    }
                    TargetNumber::Volume(number) => Target::Volume(volume_ids.get(*number as usize)?.clone()),
                };
                Some(point(runs.get(*run as usize)?.clone(), target, set, &volume_ids, &mut layouts))
            })
            .collect();
        points.sort_unstable_by(|a, b| {
            (a.started_at, &a.run, &a.target).cmp(&(b.started_at, &b.run, &b.target))
        });
        Self { points, volumes: volume_ids, numbers: volumes }
    }
}

fn point<'a>(
    run: RunId,
    target: Target,
    set: &[Entry<'a>],
    volumes: &[VolumeId],
    layouts: &mut Layouts<'a>,
) -> RestorePoint<'a> {
    let mut members: Vec<Member<'a>> = Vec::with_capacity(set.len());
    members.extend(set.iter().filter_map(|(_, _, number, snapshot)| {
        let volume = volumes.get(*number as usize)?.clone();
        Some(Member { volume, snapshot, label: snapshot.label(), number: *number })
    }));
    // Of a snapshot that is given twice, and changed in between, the lesser version counts.
    members.sort_unstable_by(|a, b| {
        let key = |member: &Member<'a>| (member.snapshot.state, member.label, member.snapshot.started_at);
        (&a.volume, &a.snapshot.id, key(a)).cmp(&(&b.volume, &b.snapshot.id, key(b)))
    });
    members.dedup_by(|a, b| a.snapshot.id == b.snapshot.id);
    let mut said = Vec::with_capacity(1);
    for member in &members {
        if let Some(layout) = layouts.of(&member.snapshot.tags)
            && !said.iter().any(|other| Arc::ptr_eq(other, &layout))
        {
            said.push(layout);
        }
    }
    RestorePoint::new(run, target, members, said)
}
