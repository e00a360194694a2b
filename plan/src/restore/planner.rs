//! Plans a restore: from what is wanted and what was seen to what will be done. Decides; looks at nothing
//! else and changes nothing.

use crate::VolumeId;
use crate::observed::InstanceState;
use crate::restore::content::{Candidate, candidates};
use crate::restore::device::Places;
use crate::restore::picks::{Choice, Pick};
use crate::restore::plan::{
    ChosenSet, Leftover, PlannedMount, RestoreNote, RestorePlan, RestoreWay, RestoredVolume, VolumeCall,
};
use crate::restore::present::{Earlier, Known, Present};
use crate::restore::reason::{PassedOver, Refusal, Refused};
use crate::restore::scene::{BLANK, RESTORED_FOR, RESTORED_FROM, RESTORED_MOUNT, RESTORED_VOLUME, Scene};
use crate::restore::spec::{BLANK_FILE_SYSTEM, BLANK_GIB, Spec, VolumeShape, VolumeSpec, VolumeType};
use crate::restore::{DeviceWish, MadeVolume, token};
use crate::tags::{self, Tags};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// IOPS that a `gp3` volume has at no cost.
const GP3_IOPS: u32 = 3_000;

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

/// A volume whose device name is still open.
struct Draft<'c> {
    volume: RestoredVolume,
    pick: Pick<'c>,
    blank: bool,
    /// Serves its mount points without being what this restore would make.
    other: bool,
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

    /// Where everything wanted is in use already, as it is after every later start, there is nothing to
    /// choose: no set may be left to choose from.
    fn all_there(&mut self) -> Option<RestorePlan> {
        if self.spec.names_a_point() || self.present.is_interrupted() {
            return None;
        }
        let by_layout = self.spec.volumes.is_empty();
        let used = || self.present.of_this_instance().filter(|made| by_layout && made.was_used());
        let wanted: Vec<(String, VolumeShape)> = if by_layout {
            let mounts: BTreeSet<&str> = used().flat_map(|made| made.mounts()).collect();
            mounts.into_iter().map(|mount| (mount.to_owned(), self.spec.shape.clone())).collect()
        } else {
            let volumes = self.spec.volumes.iter();
            volumes.map(|volume| (volume.mount_point.clone(), volume.shape.or(&self.spec.shape))).collect()
        };
        let mut serving: BTreeMap<&VolumeId, Vec<String>> = BTreeMap::new();
        for (mount, _) in &wanted {
            let volumes = self.present.serving(mount);
            if volumes.is_empty() {
                return None;
            }
            for volume in volumes {
                serving.entry(volume).or_default().push(mount.clone());
            }
        }
        for raw in used().filter(|made| made.is_raw()) {
            serving.entry(self.present.raw(raw.source()?)?).or_default();
        }
        if serving.is_empty() {
            return None;
        }
        let mut volumes: Vec<RestoredVolume> =
            serving.into_iter().map(|(volume, mounts)| self.kept(volume, mounts)).collect();
        volumes.sort_by(|a, b| order(a).cmp(&order(b)));
        let mounts = wanted.iter().map(|(mount, shape)| {
            let on =
                |(at, volume): (usize, &RestoredVolume)| volume.mount_points.contains(mount).then_some(at);
            PlannedMount {
                mount_point: mount.clone(),
                file_system: self.known_type(mount).or(shape.file_system.clone()).unwrap_or_default(),
                options: shape.mount_options.clone().unwrap_or_default(),
                volumes: volumes.iter().enumerate().filter_map(on).collect(),
                blank: false,
            }
        });
        let mounts = outer_first(mounts.collect());
        let leftovers = self.leftovers(volumes.iter().filter_map(|volume| volume.way.volume()));
        Some(self.finished(Vec::new(), volumes, mounts, leftovers))
    }

    fn known_type(&self, mount: &str) -> Option<String> {
        let mut held = self.candidates.iter().flat_map(|candidate| &candidate.held);
        held.find_map(|held| held.mounts.get(mount).filter(|name| !name.is_empty())).cloned()
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

    /// Everything about a volume but its device name.
    fn draft(&mut self, pick: Pick<'c>) -> Draft<'c> {
        let mount_points = targets(&pick);
        let run = match pick.from {
            Some((at, _)) => self.candidates.get(at).map_or(BLANK, |set| set.point.run.as_str()),
            None => BLANK,
        };
        let shape = pick
            .specs
            .iter()
            .fold(VolumeShape::default(), |shape, volume| shape.or(&volume.shape))
            .or(&self.spec.shape);
        let call = self.call(&pick, &mount_points, run, &shape);
        let source = pick.from.map(|(_, held)| &held.source);
        let known = Known { run, source: source.map(VolumeId::as_str), mount_points: &mount_points };
        let blank = pick.from.is_none();
        let earlier = self.present.earlier(known, &call);
        let goes_along = Some(shape.delete_on_termination.unwrap_or(true));
        let mut volume = RestoredVolume {
            mount_points: mount_points.clone(),
            source: source.cloned(),
            way: RestoreWay::Keep { volume: VolumeId::from("") },
            device: String::new(),
            delete_on_termination: goes_along,
        };
        let device_of = |made: &MadeVolume| {
            made.volume.current_attachment().map(|attachment| attachment.device.clone()).unwrap_or_default()
        };
        let serving = || self.serving(&mount_points, source);
        volume.way = match earlier {
            Some(Earlier::InUse(made)) => {
                let kept =
                    RestoredVolume { source: volume.source, ..self.kept(&made.volume.id, mount_points) };
                return Draft { volume: kept, pick, blank: false, other: false };
            }
            Some(Earlier::Attached(made)) => {
                volume.device = device_of(made);
                RestoreWay::Mark { volume: made.volume.id.clone() }
            }
            made => match (serving(), made) {
                // Nothing is made where something serves already.
                (Some(there), _) => {
                    let there = self.kept(there, mount_points);
                    return Draft { volume: there, pick, blank: false, other: true };
                }
                (None, Some(Earlier::Fresh(made))) => RestoreWay::Attach { volume: made.volume.id.clone() },
                (None, _) => {
                    let token = token(&self.scene.host.instance.id, &call, self.present.spent(known, &call));
                    RestoreWay::Create(VolumeCall { token, ..call })
                }
            },
        };
        if mount_points.is_empty()
            && let Some(source) = source
        {
            self.notes.push(RestoreNote::NoMount { source: source.clone() });
        }
        Draft { volume, pick, blank, other: false }
    }

    /// What is in use at one of these mount points; of a volume without any, the very one that was copied.
    fn serving(&self, mount_points: &[String], source: Option<&VolumeId>) -> Option<&VolumeId> {
        if mount_points.is_empty() {
            let source = source?;
            let itself = self.scene.host.attached.values().find(|there| *there == source);
            return itself.or_else(|| self.present.raw(source.as_str()));
        }
        let mut serving = mount_points.iter().flat_map(|mount| self.present.serving(mount));
        let found = serving.find(|volume| Some(*volume) == source);
        let first = || mount_points.iter().flat_map(|mount| self.present.serving(mount)).next();
        found.or_else(first)
    }

    fn call(
        &mut self,
        pick: &Pick<'c>,
        mount_points: &[String],
        run: &str,
        shape: &VolumeShape,
    ) -> VolumeCall {
        let kind = shape.kind.unwrap_or_default();
        let mount_point = || mount_points.first().cloned().unwrap_or_default();
        let asked = pick.specs.iter().filter_map(|volume| volume.size_gib).max();
        let least = pick.from.map_or(1, |(_, held)| held.size_gib).max(kind.smallest_gib());
        let usual = if pick.from.is_some() { least } else { BLANK_GIB.max(least) };
        let size_gib = asked.unwrap_or(usual).max(least);
        if let Some(asked) = asked.filter(|asked| *asked < size_gib) {
            self.notes.push(RestoreNote::SizeRaised { mount_point: mount_point(), asked, to: size_gib });
        }
        let mut iops = shape.iops.filter(|_| kind.iops().is_some());
        if let Some(asked) = iops
            && kind == VolumeType::Gp3
            && asked < GP3_IOPS
        {
            self.notes.push(RestoreNote::IopsRaised { mount_point: mount_point(), asked });
            iops = Some(GP3_IOPS);
        }
        VolumeCall {
            token: String::new(),
            zone: self.scene.host.zone.clone(),
            snapshot: pick.from.map(|(_, held)| held.snapshot.clone()),
            size_gib,
            kind,
            iops,
            throughput: shape.throughput.filter(|_| kind == VolumeType::Gp3),
            kms_key: shape.kms_key.clone(),
            initialization_rate: shape.initialization_rate.filter(|_| pick.from.is_some()),
            tags: self.tags(pick, mount_points, run),
        }
    }

    /// The volume's own tags come back, so that it is backed up, and is of its lineage, as before. A blank
    /// one gets those that tell its lineage.
    fn tags(&self, pick: &Pick<'_>, mount_points: &[String], run: &str) -> Tags {
        let mut ours = Tags::from([
            (RESTORED_FOR.to_owned(), self.scene.host.instance.id.to_string()),
            (RESTORED_FROM.to_owned(), run.to_owned()),
            (RESTORED_MOUNT.to_owned(), joined(mount_points)),
        ]);
        if let Some((_, held)) = pick.from {
            ours.insert(RESTORED_VOLUME.to_owned(), held.source.to_string());
        }
        let more = if let Some((_, held)) = pick.from { held.tags.clone() } else { self.filter.clone() };
        let mut others = self.spec.tags.clone();
        for (key, value) in more {
            others.entry(key).or_insert(value);
        }
        // One place is for the mark that it is in use.
        let room = tags::MOST - 1 - ours.len();
        for (key, value) in others.into_iter().take(room) {
            ours.entry(key).or_insert(value);
        }
        ours
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

    fn name_devices(&self, drafts: &mut [Draft<'_>], leftovers: &[Leftover]) -> Result<(), Refusal> {
        let going: BTreeSet<&VolumeId> = leftovers.iter().map(|leftover| &leftover.volume).collect();
        let attached = self.scene.host.attached.iter().filter(|(_, volume)| !going.contains(volume));
        let attached: Vec<(&String, &VolumeId)> = attached.collect();
        let boot = self.scene.host.instance.root_device.iter();
        let mut places =
            Places::of(attached.iter().map(|(device, _)| device.as_str()).chain(boot.map(String::as_str)));
        let is_to_come =
            |draft: &Draft<'_>| matches!(draft.volume.way, RestoreWay::Create(_) | RestoreWay::Attach { .. });
        let wanted = drafts.iter().filter(|draft| is_to_come(draft)).count();
        if let Some(limit) = self.scene.host.most_volumes
            && attached.len() + wanted > limit
            && wanted > 0
        {
            return Err(Refusal::AttachLimit { attached: attached.len(), wanted, limit });
        }
        let mut asked: BTreeSet<&str> = BTreeSet::new();
        for draft in drafts.iter_mut().filter(|draft| is_to_come(draft)) {
            let wish = draft.pick.specs.iter().find_map(|volume| {
                // Of several volumes for one mount point the first has the name.
                let wish = volume.device.as_ref().filter(|wish| wish.is_binding())?;
                asked.insert(wish.place()).then_some((wish, *volume))
            });
            let Some((wish, volume)) = wish else { continue };
            if !places.take(wish.as_str()) {
                let same = |device: &str| Places::of([device]).has(wish.as_str());
                let by =
                    attached.iter().find(|(device, _)| same(device)).map(|(_, volume)| (*volume).clone());
                let (device, mount_point) = (wish.as_str().to_owned(), volume.mount_point.clone());
                return Err(Refusal::DeviceTaken { device, by, mount_point });
            }
            draft.volume.device = wish.as_str().to_owned();
        }
        let unnamed = |draft: &&mut Draft<'_>| is_to_come(draft) && draft.volume.device.is_empty();
        // The names that they had, as far as these can be had again; then whatever is free.
        for draft in drafts.iter_mut().filter(unnamed) {
            let before = draft.pick.from.map(|(_, held)| held.device.as_str()).unwrap_or_default();
            let can_be = DeviceWish::new(before).is_ok_and(|wish| wish.is_binding());
            if can_be && places.take(before) {
                draft.volume.device = before.to_owned();
            }
        }
        for draft in drafts.iter_mut().filter(unnamed) {
            draft.volume.device = places.take_any().ok_or(Refusal::NoDeviceFree)?;
        }
        Ok(())
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

/// Where a volume is to be mounted.
fn targets(pick: &Pick<'_>) -> Vec<String> {
    let mut targets: Vec<String> = match pick.from {
        Some((_, held)) if pick.specs.is_empty() => held.mounts.keys().cloned().collect(),
        _ => pick.specs.iter().map(|volume: &&VolumeSpec| volume.mount_point.clone()).collect(),
    };
    targets.sort();
    targets
}

/// Paths for a tag: as many as fit.
fn joined(mount_points: &[String]) -> String {
    let mut text = String::new();
    for mount in mount_points {
        let gap = usize::from(!text.is_empty());
        if text.chars().count() + gap + mount.chars().count() <= tags::LONGEST_VALUE {
            if gap > 0 {
                text.push(':');
            }
            text.push_str(mount);
        }
    }
    text
}

fn order(volume: &RestoredVolume) -> (bool, &[String], Option<&VolumeId>, Option<&VolumeId>) {
    (volume.mount_points.is_empty(), &volume.mount_points, volume.source.as_ref(), volume.way.volume())
}

fn outer_first(mut mounts: Vec<PlannedMount>) -> Vec<PlannedMount> {
    mounts.sort_by(|a, b| a.mount_point.split('/').cmp(b.mount_point.split('/')));
    mounts
}
