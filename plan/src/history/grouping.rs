//! Finds the restore points of a policy among all snapshots, by their tags.
//!
//! Snapshots that do not carry a policy's tags are nobody's restore point here, so nothing that works
//! on restore points can ever touch them.
//!
//! A million snapshots lie wide apart in memory, so each is read once: into a small entry, and into a key by
//! which they are put in order without being touched.

use crate::history::keys::{Key, TargetNumber};
use crate::history::layouts::{LayoutNumber, Layouts};
use crate::history::{Member, Numbers, RestorePoint, Target};
use crate::observed::{Snapshot, SnapshotState, TagReader, Tier};
use crate::{Consistency, InstanceId, RunId, VolumeId, tags};
use chrono::{DateTime, Utc};
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

/// The restore points of a policy, oldest first. The order of the snapshots makes no difference, nor
/// does one that is given twice.
#[must_use]
pub fn restore_points<'a>(policy: &str, snapshots: &'a [Snapshot]) -> Vec<RestorePoint<'a>> {
    let mut points = Grouping::of(policy, snapshots.iter()).points;
    points.reverse();
    points
}

/// The restore points of a policy, newest first, and the volumes that they are of.
pub(crate) struct Grouping<'a> {
    pub(crate) points: Vec<RestorePoint<'a>>,
    /// By the number that the members carry, which is their order.
    pub(crate) volumes: Vec<VolumeId>,
}

/// What is read of one snapshot, beside its [`Key`].
struct Entry<'a> {
    layout: Option<LayoutNumber>,
    label: Consistency,
    state: SnapshotState,
    tier: Tier,
    started_at: DateTime<Utc>,
    snapshot: &'a Snapshot,
}

impl<'a> Grouping<'a> {
    pub(crate) fn of(policy: &str, snapshots: impl Iterator<Item = &'a Snapshot>) -> Self {
        let (mut runs, mut instances, mut volumes) =
            (Numbers::default(), Numbers::default(), Numbers::default());
        let mut layouts = Layouts::default();
        let most = snapshots.size_hint().0;
        let (mut keys, mut entries) = (Vec::with_capacity(most), Vec::<Entry<'a>>::with_capacity(most));
        let [mut policy_tag, mut run_tag, mut instance_tag, mut label_tag] =
            [tags::POLICY, tags::RUN, tags::INSTANCE, tags::CONSISTENCY].map(TagReader::new);
        for snapshot in snapshots {
            if snapshot.tags.read(&mut policy_tag) != Some(policy) {
                continue;
            }
            let Some(run) = snapshot.tags.read(&mut run_tag) else { continue };
            let (origin, started_at) = snapshot.content();
            let volume = volumes.of(origin);
            let target = match snapshot.tags.read(&mut instance_tag) {
                Some(instance) => TargetNumber::Instance(instances.of_shared(instance)),
                None => TargetNumber::Volume(volume),
            };
            keys.push(Key::new(runs.of_shared(run), target, volume, entries.len()));
            entries.push(Entry {
                layout: layouts.number(&snapshot.tags),
                label: Consistency::from_label(snapshot.tags.read(&mut label_tag)),
                state: snapshot.state,
                tier: snapshot.tier,
                started_at,
                snapshot,
            });
        }
        let names = Names::of(runs, instances, volumes, &mut keys);
        keys.sort_unstable();

        let instant = |set: &[Key]| entries_of(set, &entries).map(|(_, entry)| entry.started_at).max();
        let mut sets: Vec<(Reverse<DateTime<Utc>>, &[Key])> = keys
            .chunk_by(|a, b| a.set() == b.set())
            .map(|set| (Reverse(instant(set).unwrap_or_default()), set))
            .collect();
        // They stand in the order of their runs and targets, which decides between those of one instant.
        sets.reverse();
        sets.sort_by_key(|(instant, _)| *instant);
        let mut members = Vec::with_capacity(keys.len());
        let found: Vec<Found> = sets
            .into_iter()
            .filter_map(|(Reverse(instant), set)| found(&names, set, &entries, instant, &mut members))
            .collect();
        let members = Arc::new(members);
        let point = |found: Found| found.point(&names, &layouts, &members);
        let points = found.into_iter().filter_map(point).collect();
        Self { points, volumes: names.volumes }
    }
}

/// The entries of these keys, each with the number of its volume.
fn entries_of<'e, 'a>(
    keys: &'e [Key],
    entries: &'e [Entry<'a>],
) -> impl Iterator<Item = (u32, &'e Entry<'a>)> {
    keys.iter().filter_map(|key| Some((key.volume(), entries.get(key.place())?)))
}

/// The names that the numbers of keys stand for, each list in order.
struct Names {
    runs: Vec<RunId>,
    instances: Vec<InstanceId>,
    volumes: Vec<VolumeId>,
}

impl Names {
    /// Makes the numbers of the keys those of these lists.
    fn of(runs: Numbers<'_>, instances: Numbers<'_>, volumes: Numbers<'_>, keys: &mut [Key]) -> Self {
        let ((runs, run_ranks), (instances, instance_ranks), (volumes, volume_ranks)) =
            (runs.ranks(), instances.ranks(), volumes.ranks());
        let rank = |ranks: &[u32], number: u32| ranks.get(number as usize).copied().unwrap_or(number);
        for key in keys {
            let volume = rank(&volume_ranks, key.volume());
            let target = match key.target() {
                TargetNumber::Instance(number) => TargetNumber::Instance(rank(&instance_ranks, number)),
                TargetNumber::Volume(_) => TargetNumber::Volume(volume),
            };
            *key = Key::new(rank(&run_ranks, key.run()), target, volume, key.place());
        }
        Self {
            runs: runs.into_iter().map(RunId::from).collect(),
            instances: instances.into_iter().map(InstanceId::from).collect(),
            volumes: volumes.into_iter().map(VolumeId::from).collect(),
        }
    }
}

/// A restore point whose members have their place among all members.
struct Found {
    run: u32,
    target: TargetNumber,
    instant: DateTime<Utc>,
    own: Range<usize>,
    layout: Option<LayoutNumber>,
    other_layouts: Vec<LayoutNumber>,
}

/// Puts the snapshots of one run and target, which stand in order of their volumes, among all members.
fn found<'a>(
    names: &Names,
    set: &[Key],
    entries: &[Entry<'a>],
    instant: DateTime<Utc>,
    members: &mut Vec<Member<'a>>,
) -> Option<Found> {
    let (run, target) = set.first().map(|key| (key.run(), key.target()))?;
    let mut own: Vec<(u32, &Entry<'a>)> = entries_of(set, entries).collect();
    for of_volume in own.chunk_by_mut(|(a, _), (b, _)| a == b).filter(|members| members.len() > 1) {
        // Of a snapshot that is given twice, and changed in between, the lesser version counts.
        of_volume.sort_unstable_by(|(_, a), (_, b)| {
            let key = |entry: &Entry<'a>| (entry.state, entry.label, entry.started_at);
            (&a.snapshot.id, key(a)).cmp(&(&b.snapshot.id, key(b)))
        });
    }
    let layout = own.first()?.1.layout;
    let mut found =
        Found { run, target, instant, own: members.len()..members.len(), layout, other_layouts: Vec::new() };
    let mut before: Option<(u32, &Entry<'a>)> = None;
    for (volume, entry) in own {
        let given_twice =
            |(before, other): (u32, &Entry<'a>)| before == volume && other.snapshot.id == entry.snapshot.id;
        if before.is_some_and(given_twice) {
            continue;
        }
        before = Some((volume, entry));
        members.push(Member {
            volume: names.volumes.get(volume as usize)?.clone(),
            snapshot: entry.snapshot,
            label: entry.label,
            state: entry.state,
            tier: entry.tier,
            number: volume,
        });
        if entry.layout != found.layout {
            found.add_layout(entry.layout);
        }
    }
    found.own.end = members.len();
    Some(found)
}

impl Found {
    fn add_layout(&mut self, layout: Option<LayoutNumber>) {
        let Some(layout) = layout else { return };
        if self.layout.is_none() {
            self.layout = Some(layout);
        } else if !self.other_layouts.contains(&layout) {
            self.other_layouts.push(layout);
        }
    }

    fn point<'a>(
        self,
        names: &Names,
        layouts: &Layouts<'_>,
        members: &Arc<Vec<Member<'a>>>,
    ) -> Option<RestorePoint<'a>> {
        let run = names.runs.get(self.run as usize)?.clone();
        let target = match self.target {
            TargetNumber::Instance(number) => Target::Instance(names.instances.get(number as usize)?.clone()),
            TargetNumber::Volume(number) => Target::Volume(names.volumes.get(number as usize)?.clone()),
        };
        let said = self.layout.into_iter().chain(self.other_layouts);
        let said = said.filter_map(|number| layouts.get(number).cloned());
        Some(RestorePoint::new(run, target, self.instant, (Arc::clone(members), self.own), said))
    }
}
