//! From which set each volume comes: one set for all of them, or, where the spec says `mixed`, the best one
//! for each mount point; blank where there is none and the spec allows it.

use crate::restore::choice::{judge, known_mounts};
use crate::restore::content::{Candidate, Held};
use crate::restore::present::Present;
use crate::restore::reason::{PassedOver, Refusal};
use crate::restore::{Scene, Spec, VolumeSpec};
use std::collections::BTreeSet;

/// One volume to be had.
#[derive(Debug, Clone)]
pub(super) struct Pick<'c> {
    /// The set and the volume of it; none for a blank one.
    pub(super) from: Option<(usize, &'c Held)>,
    /// The entries of the spec that it serves; none where the layout says it all.
    pub(super) specs: Vec<&'c VolumeSpec>,
}

/// Chooses; keeps what it passed over.
pub(super) struct Choice<'c, 'a> {
    pub(super) spec: &'c Spec,
    pub(super) scene: &'a Scene,
    pub(super) candidates: &'c [Candidate<'a>],
    pub(super) present: &'c Present<'c>,
    pub(super) passed_over: Vec<PassedOver>,
}

impl<'c> Choice<'c, '_> {
    /// Everything that is wanted.
    pub(super) fn all(&mut self) -> Result<Vec<Pick<'c>>, Refusal> {
        let volumes: Vec<&'c VolumeSpec> = self.spec.volumes.iter().collect();
        if self.spec.mixed && !volumes.is_empty() {
            let mut picks = Vec::new();
            for volume in volumes {
                picks.extend(self.one_set(&[volume])?);
            }
            return Ok(merged(picks));
        }
        if volumes.is_empty() {
            return match self.newest(None) {
                Some((at, needed)) => Ok(picks_of(at, needed, &[])),
                None if self.spec.blank => Err(Refusal::BlankWithoutVolumes),
                None => Err(self.none()),
            };
        }
        self.one_set(&volumes)
    }

    /// All of these from one set; those that no set of the lineage ever knew may be blank beside it.
    fn one_set(&mut self, volumes: &[&'c VolumeSpec]) -> Result<Vec<Pick<'c>>, Refusal> {
        let blank = |volume: &VolumeSpec| self.spec.may_be_blank(volume);
        let is_begun =
            |volume: &&VolumeSpec| blank(volume) && self.present.is_begun_blank(&volume.mount_point);
        let (begun, open): (Vec<&VolumeSpec>, Vec<&VolumeSpec>) = volumes.iter().copied().partition(is_begun);
        // What it made blank stays so beside the set that it began with, whatever that set is known to hold
        // by now; and whatever set came since where some of it is in use.
        let others = if begun.is_empty() {
            None
        } else if !self.present.is_in_use() {
            self.begun_set(Some(&open)).map(|(at, needed)| picks_of(at, needed, &open))
        } else if open.is_empty() {
            Some(Vec::new())
        } else {
            Some(self.one_set(&open)?)
        };
        if let Some(mut picks) = others {
            picks.extend(begun.into_iter().map(blank_pick));
            return Ok(picks);
        }
        if let Some((at, needed)) = self.newest(Some(volumes)) {
            return Ok(picks_of(at, needed, volumes));
        }
        let known = known_mounts(self.candidates);
        let (old, new): (Vec<&VolumeSpec>, Vec<&VolumeSpec>) =
            volumes.iter().partition(|volume| known.contains(volume.mounted_in_set_at()) || !blank(volume));
        if !old.is_empty()
            && !new.is_empty()
            && let Some((at, needed)) = self.newest(Some(&old))
        {
            let mut picks = picks_of(at, needed, &old);
            picks.extend(new.into_iter().map(blank_pick));
            return Ok(picks);
        }
        if volumes.iter().all(|volume| blank(volume)) {
            return Ok(volumes.iter().copied().map(blank_pick).collect());
        }
        Err(self.none())
    }

    fn none(&self) -> Refusal {
        if self.candidates.is_empty() {
            Refusal::NoSet { filter: self.scene.filter(self.spec) }
        } else {
            Refusal::NoneUsable
        }
    }

    /// The newest set that holds all of these, before any other one that an interrupted try has attached
    /// volumes of.
    fn newest(&mut self, wanted: Option<&[&VolumeSpec]>) -> Option<(usize, Vec<&'c Held>)> {
        if let Some(begun) = self.begun_set(wanted) {
            return Some(begun);
        }
        let runs = self.begun_runs(wanted);
        let candidates = self.candidates.iter().enumerate();
        let then = candidates.filter(|(_, candidate)| !runs.contains(candidate.point.run.as_str()));
        for (at, candidate) in then {
            match judge(self.spec, self.scene, candidate, wanted) {
                Ok(needed) => return Some((at, needed)),
                Err(reason) => self.pass_over(candidate, reason),
            }
        }
        None
    }

    /// The newest set that holds all of these and that an interrupted try has attached volumes of.
    fn begun_set(&self, wanted: Option<&[&VolumeSpec]>) -> Option<(usize, Vec<&'c Held>)> {
        let runs = self.begun_runs(wanted);
        let begun = self.candidates.iter().enumerate();
        let mut begun = begun.filter(|(_, candidate)| runs.contains(candidate.point.run.as_str()));
        begun.find_map(|(at, candidate)| Some((at, judge(self.spec, self.scene, candidate, wanted).ok()?)))
    }

    /// The runs of what is attached; where sets may be mixed, for these mount points.
    fn begun_runs(&self, wanted: Option<&[&VolumeSpec]>) -> BTreeSet<&'c str> {
        let wanted = wanted.filter(|_| self.spec.mixed);
        let mounts: Option<BTreeSet<&str>> =
            wanted.map(|wanted| wanted.iter().map(|volume| volume.mount_point.as_str()).collect());
        self.present.begun(mounts.as_ref())
    }

    fn pass_over(&mut self, candidate: &Candidate<'_>, reason: crate::restore::PassReason) {
        let point = &candidate.point;
        if self.passed_over.iter().any(|set| set.run == point.run && set.target == point.target) {
            return;
        }
        self.passed_over.push(PassedOver {
            run: point.run.clone(),
            target: point.target.clone(),
            started_at: point.started_at,
            reason,
        });
    }
}

fn blank_pick(volume: &VolumeSpec) -> Pick<'_> {
    Pick { from: None, specs: vec![volume] }
}

fn picks_of<'c>(at: usize, needed: Vec<&'c Held>, volumes: &[&'c VolumeSpec]) -> Vec<Pick<'c>> {
    let serves = |held: &Held| {
        let wanted = volumes.iter().copied();
        wanted.filter(|volume| held.mounts.contains_key(volume.mounted_in_set_at())).collect()
    };
    needed.into_iter().map(|held| Pick { specs: serves(held), from: Some((at, held)) }).collect()
}

/// A volume that serves several mount points of one set is one volume.
fn merged(picks: Vec<Pick<'_>>) -> Vec<Pick<'_>> {
    let mut merged: Vec<Pick<'_>> = Vec::new();
    for pick in picks {
        let same = |other: &&mut Pick<'_>| match (&other.from, &pick.from) {
            (Some((set, held)), Some((its_set, its))) => set == its_set && held.source == its.source,
            _ => false,
        };
        match merged.iter_mut().find(same) {
            Some(other) => other.specs.extend(pick.specs),
            None => merged.push(pick),
        }
    }
    merged
}
