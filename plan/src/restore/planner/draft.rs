//! One volume of a restore: what it is made from, with which arguments, or which volume stands in for it.

use super::Planner;
use crate::VolumeId;
use crate::restore::picks::Pick;
use crate::restore::plan::{RestoreNote, RestoreWay, RestoredVolume, VolumeCall};
use crate::restore::present::{Earlier, Known};
use crate::restore::scene::{BLANK, RESTORED_FOR, RESTORED_FROM, RESTORED_MOUNT, RESTORED_VOLUME};
use crate::restore::spec::{BLANK_GIB, VolumeShape, VolumeSpec, VolumeType};
use crate::restore::{MadeVolume, token};
use crate::tags::{self, Tags};

/// IOPS that a `gp3` volume has at no cost.
const GP3_IOPS: u32 = 3_000;

/// A volume whose device name is still open.
pub(super) struct Draft<'c> {
    pub(super) volume: RestoredVolume,
    pub(super) pick: Pick<'c>,
    pub(super) blank: bool,
    /// Serves its mount points without being what this restore would make.
    pub(super) other: bool,
}

impl<'c> Planner<'c, '_> {
    /// Everything about a volume but its device name.
    pub(super) fn draft(&mut self, pick: Pick<'c>) -> Draft<'c> {
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
                // Marked is not mounted: one that was made blank may have no file system yet.
                return Draft { volume: kept, pick, blank, other: false };
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
