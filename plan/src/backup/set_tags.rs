//! What the snapshots of a set carry: whether the volumes' own tags can be copied, what stands in for
//! them where not, and how much room is left for the layout.

use crate::backup::PlannedVolume;
use crate::layout::{self, Record};
use crate::observed::{Instance, Volume};
use crate::policy::{Policy, Slot};
use crate::tags::{self, Tags};
use crate::warning::{CopyProblem, Warning};
use crate::{Consistency, RunId, born};
use std::collections::BTreeSet;

/// Room that a frozen set gets for its layout, characters per volume: its id, its device name, a file
/// system type and a mount point of ordinary length. The frozen instance may need more or less.
const LAYOUT_PER_VOLUME: usize = 96;

/// Tags of a set, and what may be added to them.
pub(crate) struct SetTags {
    pub(crate) tags: Tags,
    pub(crate) copy: bool,
    /// Layout tags that fit.
    pub(crate) room: usize,
    pub(crate) warning: Option<Warning>,
}

/// The tags that every snapshot of a set is born with, but for the layout: the policy's own, ours, and
/// what the instance says of its lineage.
pub(crate) fn common(policy: &Policy, run: &RunId, slot: &Slot, instance: Option<&Instance>) -> Tags {
    let mut common = policy.tags.clone();
    common.extend(
        [
            (tags::POLICY, policy.name.as_str()),
            (tags::RUN, run.as_str()),
            (tags::SLOT, slot.name.as_str()),
            (tags::CONSISTENCY, Consistency::Crash.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    if let Some(instance) = instance {
        common.insert(tags::INSTANCE.to_owned(), instance.id.to_string());
        common.extend(policy.lineage.iter().filter_map(|key| {
            let value = instance.tags.get(key)?;
            Some((tags::instance_key(key), value.clone()))
        }));
    }
    common
}

/// Decides for one instance. `common` is what [`common`] gives.
pub(crate) fn of_instance(
    policy: &Policy,
    instance: &Instance,
    volumes: &[&Volume],
    common: Tags,
) -> SetTags {
    let layout = (volumes.len() * LAYOUT_PER_VOLUME)
        .div_ceil(tags::LONGEST_VALUE)
        .min(tags::MOST.saturating_sub(common.len()));
    let room = tags::MOST.saturating_sub(common.len() + layout);
    let problem = volumes.iter().find_map(|volume| Some((&volume.id, copy_problem(volume, &common, room)?)));

    let Some((volume, cause)) = problem else {
        let largest = volumes.iter().map(|volume| own(volume).count()).max().unwrap_or(0);
        let mut tags = common;
        tell_born(&mut tags, volumes, layout + largest);
        let room = tags::MOST.saturating_sub(tags.len() + largest);
        return SetTags { tags, copy: true, room, warning: None };
    };
    let mut tags = common;
    let lineage_lost = carry_lineage(policy, volumes, &mut tags);
    let warning =
        Warning::TagsNotCopied { instance: instance.id.clone(), volume: volume.clone(), cause, lineage_lost };
    tell_born(&mut tags, volumes, layout);
    let room = tags::MOST.saturating_sub(tags.len());
    SetTags { tags, copy: false, room, warning: Some(warning) }
}

/// Adds when the volumes were made, where that leaves room for so many other tags: it helps to tell replicas
/// apart that are gone, and is worth neither a volume's own tags nor the layout.
fn tell_born(tags: &mut Tags, volumes: &[&Volume], others: usize) {
    let born = born::encode(volumes);
    if tags.len() + born.len() + others <= tags::MOST {
        tags.extend(born);
    }
}

/// The tags that would be copied. EC2's own (`aws:`) are neither copied nor counted.
fn own(volume: &Volume) -> impl Iterator<Item = (&String, &String)> {
    volume.tags.iter().filter(|(key, _)| !tags::is_reserved(key))
}

fn copy_problem(volume: &Volume, set: &Tags, room: usize) -> Option<CopyProblem> {
    if let Some((key, _)) =
        own(volume).find(|(key, _)| set.contains_key(*key) || tags::is_ours_on_snapshots(key))
    {
        return Some(CopyProblem::Collides { key: key.clone() });
    }
    let count = own(volume).count();
    (count > room).then_some(CopyProblem::TooMany { tags: count, room })
}

/// Keys of a volume's own that later decisions read from its snapshots.
fn carried_keys(policy: &Policy) -> impl Iterator<Item = &str> {
    policy.lineage.iter().map(String::as_str).chain([tags::KEEP])
}

/// Puts what the volumes agree on into the set's tags; returns the keys on which they differ.
fn carry_lineage(policy: &Policy, volumes: &[&Volume], tags: &mut Tags) -> Vec<String> {
    let mut lost = Vec::new();
    for key in carried_keys(policy) {
        let values: BTreeSet<Option<&String>> = volumes.iter().map(|volume| volume.tags.get(key)).collect();
        match (values.len(), values.last().copied().flatten()) {
            (1, Some(value)) => {
                tags.insert(key.to_owned(), value.clone());
            }
            (1, None) => {}
            _ => lost.push(key.to_owned()),
        }
    }
    lost
}

/// The records of volumes whose file systems are not known.
fn bare_records(volumes: &[PlannedVolume]) -> Vec<Record> {
    volumes.iter().map(|volume| Record::bare(volume.id.clone(), volume.device.clone())).collect()
}

/// Completes the tags of a set that is taken without a freeze.
pub(crate) fn with_bare_layout(
    instance: &Instance,
    volumes: &[PlannedVolume],
    set: &SetTags,
) -> Result<Tags, Warning> {
    let records = bare_records(volumes);
    let needed = layout::tags_needed(&records);
    if needed > set.room {
        return Err(Warning::LayoutDoesNotFit { instance: instance.id.clone(), needed, room: set.room });
    }
    let mut tags = set.tags.clone();
    tags.extend(layout::encode(&records));
    Ok(tags)
}

/// The tags of a volume taken by itself: its own, which `CreateSnapshot` does not copy, then the set's.
pub(crate) fn of_volume(
    policy: &Policy,
    volume: &Volume,
    device: &str,
    common: Tags,
) -> (Tags, Option<Warning>) {
    let mut set = common;
    set.extend(layout::encode(&[Record::bare(volume.id.clone(), device)]));
    let own: Tags = own(volume)
        .filter(|(key, _)| !set.contains_key(*key) && !tags::is_ours_on_snapshots(key))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if own.len() + set.len() <= tags::MOST {
        set.extend(own);
        tell_born(&mut set, &[volume], 0);
        return (set, None);
    }
    let before = own.len();
    let carried: BTreeSet<&str> = carried_keys(policy).collect();
    let kept: Tags = own.into_iter().filter(|(key, _)| carried.contains(key.as_str())).collect();
    let dropped = before - kept.len();
    set.extend(kept);
    tell_born(&mut set, &[volume], 0);
    (set, Some(Warning::TagsDropped { volume: volume.id.clone(), dropped }))
}
