//! Plans a restore: from what is wanted and what was seen to what will be done. Decides; looks at nothing
//! else and changes nothing.

mod draft;
mod naming;
mod there;

use crate::VolumeId;
use crate::observed::InstanceState;
use crate::restore::MadeVolume;
use crate::restore::content::{Candidate, candidates};
use crate::restore::picks::Choice;
use crate::restore::plan::{
    ChosenSet, Leftover, PlannedMount, RestoreNote, RestorePlan, RestoreWay, RestoredVolume,
};
use crate::restore::present::Present;
use crate::restore::reason::{PassedOver, Refusal, Refused};
use crate::restore::scene::Scene;
use crate::restore::spec::{BLANK_FILE_SYSTEM, Spec};
use crate::tags::Tags;
use draft::Draft;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Plans the restore of a spec onto the scene's host.
///
/// # Errors
/// Nothing can be restored as the spec asks; the error says why, and which sets were looked at.
pub fn restore(spec: &Spec, scene: &Scene) -> Result<RestorePlan, Refused> {
    let filter = scene.filter(spec);
    let candidates = candidates(spec, &filter, scene);
    let present = Present::of(scene, &candidates);
    let choice = Choice { spec, scene, candidates: &candidates, present: &present, passed_over: Vec::new() };
    let mut planner = Planner {
        spec,
        scene,
        filter,
        candidates: &candidates,
        present: &present,
        choice,
        notes: Vec::new(),
    };
    match planner.plan() {
        Ok(plan) => Ok(plan),
        Err(refusal) => Err(Refused { refusal, passed_over: newest_first(planner.choice.passed_over) }),
    }
}

fn newest_first(mut passed_over: Vec<PassedOver>) -> Vec<PassedOver> {
    passed_over.sort_by(|a, b| {
        (Reverse(a.started_at), &a.run, &a.target).cmp(&(Reverse(b.started_at), &b.run, &b.target))
    });
    passed_over
}

struct Planner<'c, 'a> {
    spec: &'c Spec,
    scene: &'a Scene,
    filter: Tags,
    candidates: &'c [Candidate<'a>],
    present: &'c Present<'c>,
    choice: Choice<'c, 'a>,
    notes: Vec<RestoreNote>,
}

impl<'c> Planner<'c, '_> {
    fn plan(&mut self) -> Result<RestorePlan, Refusal> {
        let state = self.scene.host.instance.state;
        if !matches!(state, InstanceState::Running | InstanceState::Stopped) {
            return Err(Refusal::Instance { state });
        }
        if self.filter.is_empty() && self.spec.from_instance.is_none() && self.spec.run.is_none() {
            return Err(Refusal::NothingToGoBy { keys: self.spec.filter_tags.clone() });
        }
        if let Some(plan) = self.all_there() {
            return Ok(plan);
        }
        let picks = self.choice.all()?;
        let blank = picks.iter().any(|pick| pick.from.is_none());
        if blank && !self.choice.passed_over.is_empty() && picks.iter().all(|pick| pick.from.is_none()) {
            self.notes.push(RestoreNote::BlankDespiteSets { sets: self.choice.passed_over.len() });
        }
        let mut drafts: Vec<Draft<'c>> = picks.into_iter().map(|pick| self.draft(pick)).collect();
        self.is_one_instant(&drafts)?;
        let from = drafts.iter().filter(|draft| !draft.other).filter_map(|draft| draft.pick.from);
        let sets: BTreeSet<usize> = from.map(|(at, _)| at).collect();
        drafts.sort_by(|a, b| order(&a.volume).cmp(&order(&b.volume)));
        let leftovers = self.leftovers(drafts.iter().filter_map(|draft| draft.volume.way.volume()));
        self.name_devices(&mut drafts, &leftovers)?;
        let mounts = self.mounts(&drafts);
        let sets: Vec<ChosenSet> =
            sets.into_iter().filter_map(|at| self.candidates.get(at)).map(chosen).collect();
        Ok(self.finished(sets, drafts.into_iter().map(|draft| draft.volume).collect(), mounts, leftovers))
    }

    fn kept(&self, volume: &VolumeId, mount_points: Vec<String>) -> RestoredVolume {
        let device = self.scene.host.attached.iter().find(|(_, on)| *on == volume);
        RestoredVolume {
            mount_points,
            source: None,
            way: RestoreWay::Keep { volume: volume.clone() },
            device: device.map(|(device, _)| device.clone()).unwrap_or_default(),
            delete_on_termination: None,
        }
    }

    fn finished(
        &mut self,
        mut sets: Vec<ChosenSet>,
        volumes: Vec<RestoredVolume>,
        mounts: Vec<PlannedMount>,
        leftovers: Vec<Leftover>,
    ) -> RestorePlan {
        sets.sort_by(|a, b| b.cmp(a));
        // One that was looked at for more than it holds, and then taken for what it does.
        let mut passed_over = newest_first(std::mem::take(&mut self.choice.passed_over));
        passed_over
            .retain(|set| !sets.iter().any(|chosen| chosen.run == set.run && chosen.target == set.target));
        let in_use: BTreeSet<&VolumeId> = volumes.iter().filter_map(|volume| volume.way.volume()).collect();
        let alone = self.present.left_alone().filter(|volume| !in_use.contains(volume));
        self.notes.extend(alone.map(|volume| RestoreNote::LeftAlone { volume: volume.clone() }));
        RestorePlan {
            instance: self.scene.host.instance.id.clone(),
            zone: self.scene.host.zone.clone(),
            sets,
            passed_over,
            volumes,
            mounts,
            leftovers,
            notes: std::mem::take(&mut self.notes),
        }
    }

    /// What serves already and what would come are of different instants, unless the spec says `mixed`.
    fn is_one_instant(&self, drafts: &[Draft<'_>]) -> Result<(), Refusal> {
        let others: Vec<&Draft<'_>> = drafts.iter().filter(|draft| draft.other).collect();
        let Some(first) = others.first() else { return Ok(()) };
        if self.spec.names_a_point() {
            let volume = first.volume.way.volume().cloned().unwrap_or_else(|| VolumeId::from(""));
            return Err(Refusal::Occupied { mount_point: first.volume.mount_points.join(", "), volume });
        }
        let is_coming =
            |draft: &&Draft<'_>| !draft.blank && !matches!(draft.volume.way, RestoreWay::Keep { .. });
        let coming: Vec<&Draft<'_>> = drafts.iter().filter(is_coming).collect();
        if coming.is_empty() || self.spec.mixed {
            return Ok(());
        }
        let mounts = |drafts: &[&Draft<'_>]| {
            let mut mounts: Vec<String> =
                drafts.iter().flat_map(|draft| draft.volume.mount_points.iter().cloned()).collect();
            mounts.sort();
            mounts
        };
        Err(Refusal::PartlyAttached { present: mounts(&others), missing: mounts(&coming) })
    }

    fn leftovers<'b>(&self, kept: impl Iterator<Item = &'b VolumeId>) -> Vec<Leftover>
    where
        'c: 'b,
    {
        let kept: BTreeSet<&VolumeId> = kept.collect();
        let leftover = |made: &MadeVolume| Leftover {
            volume: made.volume.id.clone(),
            attached: self.present.is_here(made),
        };
        self.present.leftovers(&kept).into_iter().map(leftover).collect()
    }

    fn mounts(&mut self, drafts: &[Draft<'_>]) -> Vec<PlannedMount> {
        let mut mounts: BTreeMap<&str, PlannedMount> = BTreeMap::new();
        for (at, draft) in drafts.iter().enumerate() {
            for mount_point in &draft.volume.mount_points {
                let of_spec = draft.pick.specs.iter().find(|volume| volume.mount_point == *mount_point);
                let shape = of_spec
                    .map_or_else(|| self.spec.shape.clone(), |volume| volume.shape.or(&self.spec.shape));
                let in_set = of_spec.map_or(mount_point.as_str(), |volume| volume.mounted_in_set_at());
                let found = draft.pick.from.and_then(|(_, held)| held.mounts.get(in_set));
                let found = found.filter(|found| !found.is_empty());
                if let (Some(asked), Some(found)) = (&shape.file_system, found)
                    && asked != found
                    && !mounts.contains_key(mount_point.as_str())
                {
                    let (mount_point, asked, found) = (mount_point.clone(), asked.clone(), found.clone());
                    self.notes.push(RestoreNote::FileSystemDiffers { mount_point, asked, found });
                }
                let usual = if draft.blank { BLANK_FILE_SYSTEM } else { "" };
                let asked = || shape.file_system.clone().unwrap_or_else(|| usual.to_owned());
                let mount = mounts.entry(mount_point).or_insert_with(|| PlannedMount {
                    mount_point: mount_point.clone(),
                    file_system: found.cloned().unwrap_or_else(asked),
                    options: shape.mount_options.clone().unwrap_or_default(),
                    volumes: Vec::new(),
                    blank: draft.blank,
                });
                mount.volumes.push(at);
            }
        }
        outer_first(mounts.into_values().collect())
    }
}

fn chosen(candidate: &Candidate<'_>) -> ChosenSet {
    let point = &candidate.point;
    ChosenSet { started_at: point.started_at, run: point.run.clone(), target: point.target.clone() }
}

fn order(volume: &RestoredVolume) -> (bool, &[String], Option<&VolumeId>, Option<&VolumeId>) {
    (volume.mount_points.is_empty(), &volume.mount_points, volume.source.as_ref(), volume.way.volume())
}

fn outer_first(mut mounts: Vec<PlannedMount>) -> Vec<PlannedMount> {
    mounts.sort_by(|a, b| a.mount_point.split('/').cmp(b.mount_point.split('/')));
    mounts
}
