//! What of a restore is there already: volumes that serve a mount point of the instance, and volumes that
//! earlier tries made for it.

use crate::observed::VolumeState;
use crate::restore::content::Candidate;
use crate::restore::scene::BLANK;
use crate::restore::{MadeVolume, Scene, VolumeCall};
use crate::{InstanceId, VolumeId};
use std::collections::{BTreeMap, BTreeSet};

/// What is attached to the instance, and what earlier tries made for it.
pub(super) struct Present<'a> {
    scene: &'a Scene,
    made: Vec<&'a MadeVolume>,
    /// Volumes in use by where they are mounted: earlier restores' and those that the sets were taken of.
    serving: BTreeMap<&'a str, BTreeSet<&'a VolumeId>>,
}

/// What a volume of a restore is known by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'b> {
    pub(super) run: &'b str,
    pub(super) source: Option<&'b str>,
    pub(super) mount_points: &'b [String],
}

/// An earlier try's volume.
pub(super) enum Earlier<'a> {
    /// Attached, and in use for all that is known.
    InUse(&'a MadeVolume),
    /// Attached, and not marked: the try was interrupted.
    Attached(&'a MadeVolume),
    /// Attached nowhere, and never was.
    Fresh(&'a MadeVolume),
}

impl<'a> Present<'a> {
    pub(super) fn of(scene: &'a Scene, candidates: &'a [Candidate<'_>]) -> Self {
        let mut present = Self { scene, made: scene.made(), serving: BTreeMap::new() };
        let in_use = present.of_this_instance().filter(|made| made.was_used() && present.is_here(made));
        for made in in_use.collect::<Vec<_>>() {
            for mount in made.mounts() {
                present.serving.entry(mount).or_default().insert(&made.volume.id);
            }
        }
        let here: BTreeSet<&VolumeId> = scene.host.attached.values().collect();
        for held in candidates.iter().flat_map(|candidate| &candidate.held).filter(|held| !held.is_boot()) {
            let Some(volume) = here.get(&held.source) else { continue };
            for mount in held.mounts.keys() {
                present.serving.entry(mount).or_default().insert(volume);
            }
        }
        present
    }

    /// Those that were made for this instance.
    pub(super) fn of_this_instance(&self) -> impl Iterator<Item = &'a MadeVolume> + use<'a> {
        let host = self.host().as_str();
        self.made.clone().into_iter().filter(move |made| made.made_for() == Some(host))
    }

    fn host(&self) -> &'a InstanceId {
        &self.scene.host.instance.id
    }

    /// The volumes in use at a mount point.
    pub(super) fn serving(&self, mount_point: &str) -> Vec<&'a VolumeId> {
        self.serving.get(mount_point).into_iter().flatten().copied().collect()
    }

    /// Whether a volume is attached to the instance, or nearly so.
    pub(super) fn is_here(&self, made: &MadeVolume) -> bool {
        made.volume.current_attachment().is_some_and(|attachment| attachment.instance == *self.host())
    }

    /// Where a try was interrupted, the runs of the volumes that are attached, blank ones not counted; where
    /// mount points are given, only of those that are for one of them.
    pub(super) fn begun(&self, mounts: Option<&BTreeSet<&str>>) -> BTreeSet<&'a str> {
        if !self.is_interrupted() {
            return BTreeSet::new();
        }
        let here = self.of_this_instance().filter(|made| self.is_here(made));
        let wanted =
            here.filter(|made| mounts.is_none_or(|mounts| made.mounts().any(|mount| mounts.contains(mount))));
        wanted.filter_map(MadeVolume::run).filter(|run| *run != BLANK).collect()
    }

    /// Whether an interrupted try attached anything.
    pub(super) fn is_interrupted(&self) -> bool {
        self.of_this_instance().any(|made| !made.was_used() && self.is_here(made))
    }

    /// Whether an interrupted try attached a blank volume for this mount point.
    pub(super) fn is_begun_blank(&self, mount_point: &str) -> bool {
        let here = || self.of_this_instance().filter(|made| self.is_here(made));
        let is_it =
            |made: &MadeVolume| made.run() == Some(BLANK) && made.mounts().any(|mount| mount == mount_point);
        self.is_interrupted() && here().any(is_it)
    }

    /// Whether something that was made for the instance is in use here. An interrupted try had attached all
    /// of its volumes by then.
    pub(super) fn is_in_use(&self) -> bool {
        self.of_this_instance().any(|made| made.was_used() && self.is_here(made))
    }

    /// Whether an earlier try made this volume blank for the instance. A file system may be missing on it
    /// still: marks come before mounts. The helper makes one only where nothing is.
    pub(super) fn is_made_blank(&self, volume: &VolumeId) -> bool {
        self.of_this_instance().any(|made| made.volume.id == *volume && made.run() == Some(BLANK))
    }

    /// The copy of a volume without a mount point that an earlier restore made, in use here.
    pub(super) fn raw(&self, source: &str) -> Option<&'a VolumeId> {
        let mut here = self.of_this_instance().filter(|made| made.was_used() && self.is_here(made));
        let made = here.find(|made| made.is_raw() && made.source() == Some(source))?;
        Some(&made.volume.id)
    }

    fn all(&self, known: Known<'_>) -> impl Iterator<Item = &'a MadeVolume> {
        self.of_this_instance().filter(move |made| {
            made.run() == Some(known.run)
                && made.source() == known.source
                && (known.source.is_some() || made.mounts().eq(known.mount_points.iter().map(String::as_str)))
        })
    }

    /// What earlier tries made for one volume of the restore, if it can be used; `call`: what would be made.
    pub(super) fn earlier(&self, known: Known<'_>, call: &VolumeCall) -> Option<Earlier<'a>> {
        let here = || self.all(known).filter(|made| self.is_here(made));
        let in_use = here().find(|made| made.was_used()).map(Earlier::InUse);
        let attached = || here().next().map(Earlier::Attached);
        let fresh = || {
            let mut usable: Vec<_> =
                self.all(known).filter(|made| is_fresh(made) && is_as(made, call)).collect();
            usable.sort_by_key(|made| (made.volume.state != VolumeState::Available, &made.volume.id));
            usable.first().copied().map(Earlier::Fresh)
        };
        in_use.or_else(attached).or_else(fresh)
    }

    /// How many volumes the same call made that can be used no more: the next one needs another token.
    pub(super) fn spent(&self, known: Known<'_>, call: &VolumeCall) -> usize {
        self.all(known).filter(|made| is_as(made, call)).count()
    }

    /// Volumes in none of these places that nobody ever used: of this instance, and of those that are gone.
    pub(super) fn leftovers(&self, kept: &BTreeSet<&VolumeId>) -> Vec<&'a MadeVolume> {
        let host = self.host().as_str();
        let nobodys = |made: &&&MadeVolume| {
            let of_one_gone =
                made.made_for().is_some_and(|id| self.scene.gone.contains(&InstanceId::from(id)));
            let of_this = made.made_for() == Some(host);
            let interrupted = of_this && !made.was_used() && self.is_here(made);
            !made.was_used()
                && !kept.contains(&made.volume.id)
                && !matches!(made.volume.state, VolumeState::Deleting | VolumeState::Deleted)
                && ((made.volume.current_attachment().is_none() && (of_this || of_one_gone)) || interrupted)
        };
        self.made.iter().filter(nobodys).copied().collect()
    }

    /// Volumes of this instance that were in use and are attached nowhere now.
    pub(super) fn left_alone(&self) -> impl Iterator<Item = &'a VolumeId> {
        let idle = |made: &&MadeVolume| {
            made.was_used()
                && made.volume.current_attachment().is_none()
                && !matches!(made.volume.state, VolumeState::Deleting | VolumeState::Deleted)
        };
        self.of_this_instance().filter(idle).map(|made| &made.volume.id)
    }
}

fn is_fresh(made: &MadeVolume) -> bool {
    !made.was_used()
        && made.volume.current_attachment().is_none()
        && matches!(made.volume.state, VolumeState::Creating | VolumeState::Available)
}

/// Whether a volume is what the call would make.
fn is_as(made: &MadeVolume, call: &VolumeCall) -> bool {
    made.zone == call.zone && made.volume.size_gib == call.size_gib && made.volume.kind == call.kind.as_str()
}
