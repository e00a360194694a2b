//! Lineage: what a snapshot is a backup *of*, across replaced volumes and instances.
//!
//! A volume is known by what its newest snapshot says: the values of the policy's lineage tags (the
//! volume's own, copied along, else those of its instance) and the mount point, from its newest record that
//! knows one. A volume of which no such tag or no mount point is known is a lineage of its own. This is
//! found out from the tags whenever it is needed, so a change of the policy's keys re-groups old snapshots
//! too.
//!
//! Replicas have the same tags and mount point and live at the same time. They are told apart: volumes of
//! one key are laid out over as few lineages as their lives need, no two of which overlap in one lineage. In
//! the order of their beginnings each volume continues the lineage that ended last before it began. A volume
//! begins when it is made, which its snapshots tell (see `born`), and ends with its last snapshot.

use crate::history::{Grouping, RestorePoint};
use crate::observed::{Observed, Snapshot, TagReader, Volume, VolumeState, born};
use crate::policy::Policy;
use crate::{VolumeId, tags};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One lineage: the volumes that followed each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lineage {
    /// What they have in common.
    pub key: LineageKey,
    /// Which of the lineages of this key it is, from 0, in the order of their beginnings.
    pub replica: u32,
    /// Its volumes, the oldest first. At most the last one lives.
    pub volumes: Vec<VolumeId>,
    /// The last one, if it lives.
    pub live: Option<VolumeId>,
}

/// What the volumes of a lineage have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineageKey {
    /// A role in the fleet.
    Role {
        /// The lineage tags that are present.
        tags: BTreeMap<String, String>,
        /// Where it is mounted.
        mount_point: String,
    },
    /// Nothing is known of the volume but its id.
    Volume(VolumeId),
}

/// The lineages of a policy, in order of their keys.
#[must_use]
pub fn lineages(policy: &Policy, observed: &Observed) -> Vec<Lineage> {
    let mut lineages = History::of(policy, observed).lineages;
    lineages.sort_by(|a, b| (&a.key, a.replica).cmp(&(&b.key, b.replica)));
    lineages
}

/// The restore points of a policy and the lineages that they are of.
pub(crate) struct History<'a> {
    /// Newest first.
    pub(crate) points: Vec<RestorePoint<'a>>,
    pub(crate) lineages: Vec<Lineage>,
    /// The lineage of each volume, by its number.
    lineage_of: Vec<u32>,
    /// The volume as it lives, by its number.
    live: Vec<Option<&'a Volume>>,
}

impl<'a> History<'a> {
    pub(crate) fn of(policy: &Policy, observed: &'a Observed) -> Self {
        // What was copied here is for the policy that copies it: see `copies`.
        let mut copied = TagReader::new(tags::SOURCE_REGION);
        let made_here = observed.snapshots.iter().filter(|one| one.tags.read(&mut copied).is_none());
        let Grouping { points, volumes } = Grouping::of(&policy.name, made_here);
        let mut live = vec![None; volumes.len()];
        let is_live =
            |volume: &&Volume| !matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted);
        for volume in observed.volumes.iter().filter(is_live) {
            let number = volumes.binary_search(&volume.id).ok();
            if let Some(slot) = number.and_then(|number| live.get_mut(number)) {
                *slot = Some(volume);
            }
        }
        let traces = traces(&points, volumes.len());
        let reading = Reading::of(policy);
        let seen = volumes.iter().zip(&traces).zip(&live).enumerate();
        let lives = seen.map(|(number, ((volume, trace), live))| reading.life(number, volume, trace, *live));
        let (lineages, lineage_of) = arrange(lives.collect(), &policy.lineage);
        Self { points, lineages, lineage_of, live }
    }

    /// The number of the lineage that a member's volume belongs to.
    pub(crate) fn lineage_of(&self, volume_number: u32) -> u32 {
        self.lineage_of.get(volume_number as usize).copied().unwrap_or(u32::MAX)
    }

    /// The volume with this number, if it lives.
    pub(crate) fn live(&self, volume_number: u32) -> Option<&'a Volume> {
        self.live.get(volume_number as usize).copied().flatten()
    }
}

/// What the snapshots of one volume leave to be seen of it.
#[derive(Clone, Copy, Default)]
struct Trace<'a, 'b> {
    newest: Option<&'a Snapshot>,
    mount_point: Option<&'b str>,
    first: Option<DateTime<Utc>>,
    last: Option<DateTime<Utc>>,
}

/// By volume number. `points`: newest first.
fn traces<'a, 'b>(points: &'b [RestorePoint<'a>], volumes: usize) -> Vec<Trace<'a, 'b>> {
    let mut traces = vec![Trace::default(); volumes];
    for point in points {
        for members in point.by_volume() {
            let Some(member) = members.first() else { continue };
            let Some(trace) = traces.get_mut(member.number as usize) else { continue };
            trace.newest = trace.newest.or(Some(member.snapshot));
            trace.mount_point = trace.mount_point.or_else(|| point.mount_point(&member.volume));
            trace.last = trace.last.max(Some(point.started_at));
            trace.first = trace.first.min(Some(point.started_at)).or(Some(point.started_at));
        }
    }
    traces
}

/// A volume's key as it stands in the tags. In the order of the policy's keys; those that are absent are
/// part of it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Role(Vec<Option<&'a str>>, &'a str),
    Volume(&'a VolumeId),
}

/// When a volume lived.
struct Life<'a> {
    key: Key<'a>,
    began: DateTime<Utc>,
    /// None while it lives.
    ended: Option<DateTime<Utc>>,
    volume: &'a VolumeId,
    number: usize,
}

/// What turns the traces of volumes into lives.
struct Reading<'a> {
    policy: &'a Policy,
    /// The policy's lineage keys as snapshots carry them for their instance.
    on_instance: Vec<String>,
}

impl<'a> Reading<'a> {
    fn of(policy: &'a Policy) -> Self {
        Self { policy, on_instance: policy.lineage.iter().map(|key| tags::instance_key(key)).collect() }
    }

    fn life(
        &self,
        number: usize,
        volume: &'a VolumeId,
        trace: &Trace<'a, 'a>,
        live: Option<&Volume>,
    ) -> Life<'a> {
        let key = match (trace.mount_point, trace.newest.map(|newest| self.values(newest))) {
            (Some(mount_point), Some(values)) if values.iter().any(Option::is_some) => {
                Key::Role(values, mount_point)
            }
            _ => Key::Volume(volume),
        };
        let first = trace.first.unwrap_or_default();
        let told = || trace.newest.and_then(|newest| born::of(&newest.tags, volume));
        let made_at = live.map(|live| live.created_at).or_else(told);
        Life {
            key,
            began: made_at.map_or(first, |made_at| made_at.min(first)),
            ended: live.is_none().then(|| trace.last.unwrap_or_default()),
            volume,
            number,
        }
    }

    /// The values of the policy's lineage keys: the volume's own before those of its instance.
    fn values(&self, snapshot: &'a Snapshot) -> Vec<Option<&'a str>> {
        let keys = self.policy.lineage.iter().zip(&self.on_instance);
        keys.map(|(own, on_instance)| snapshot.tags.get(own).or_else(|| snapshot.tags.get(on_instance)))
            .collect()
    }
}

/// Lays the lives out over lineages; gives these, and the number of the lineage of each volume. `names`: the
/// policy's lineage keys.
fn arrange(mut lives: Vec<Life<'_>>, names: &[String]) -> (Vec<Lineage>, Vec<u32>) {
    lives.sort_unstable_by(|a, b| (&a.key, a.began, a.volume).cmp(&(&b.key, b.began, b.volume)));
    let mut lineages: Vec<Lineage> = Vec::new();
    let mut lineage_of = vec![u32::MAX; lives.len()];
    for same_key in lives.chunk_by(|a, b| a.key == b.key) {
        let first = lineages.len();
        // Lineages of this key whose last volume is gone, by its end.
        let mut ended: BTreeSet<(DateTime<Utc>, usize)> = BTreeSet::new();
        for life in same_key {
            let free = ended.range(..(life.began, 0)).next_back().copied();
            let at = match free {
                Some((end, at)) => {
                    ended.remove(&(end, at));
                    at
                }
                None => {
                    let replica = u32::try_from(lineages.len() - first).unwrap_or(u32::MAX);
                    let key = life.key.to_owned(names);
                    lineages.push(Lineage { key, replica, volumes: Vec::new(), live: None });
                    lineages.len() - 1
                }
            };
            if let Some(lineage) = lineages.get_mut(at) {
                lineage.volumes.push(life.volume.clone());
                lineage.live = life.ended.is_none().then(|| life.volume.clone());
            }
            if let Some(slot) = lineage_of.get_mut(life.number) {
                *slot = u32::try_from(at).unwrap_or(u32::MAX);
            }
            ended.extend(life.ended.map(|end| (end, at)));
        }
    }
    (lineages, lineage_of)
}

impl Key<'_> {
    fn to_owned(&self, names: &[String]) -> LineageKey {
        match self {
            Self::Volume(volume) => LineageKey::Volume((*volume).clone()),
            Self::Role(values, mount_point) => LineageKey::Role {
                tags: names
                    .iter()
                    .zip(values)
                    .filter_map(|(name, value)| Some((name.clone(), (*value)?.to_owned())))
                    .collect(),
                mount_point: (*mount_point).to_owned(),
            },
        }
    }
}

impl fmt::Display for LineageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Volume(volume) => volume.fmt(f),
            Self::Role { tags, mount_point } => {
                for (key, value) in tags {
                    write!(f, "{key}={value} ")?;
                }
                f.write_str(mount_point)
            }
        }
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)?;
        if self.replica > 0 { write!(f, " ({})", self.replica + 1) } else { Ok(()) }
    }
}

#[cfg(test)]
#[path = "lineage_tests.rs"]
mod tests;
