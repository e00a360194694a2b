//! What is in use already is left as it is.

use super::{Planner, order, outer_first};
use crate::VolumeId;
use crate::restore::plan::{PlannedMount, RestorePlan, RestoredVolume};
use crate::restore::spec::{BLANK_FILE_SYSTEM, VolumeShape, VolumeSpec};
use std::collections::{BTreeMap, BTreeSet};

impl Planner<'_, '_> {
    /// Where everything wanted is in use already, as it is after every later start, there is nothing to
    /// choose: no set may be left to choose from.
    pub(super) fn all_there(&mut self) -> Option<RestorePlan> {
        if self.spec.names_a_point() || self.present.is_interrupted() {
            return None;
        }
        let by_layout = self.spec.volumes.is_empty();
        let used = || self.present.of_this_instance().filter(|made| by_layout && made.was_used());
        let wanted: Vec<(String, VolumeShape, bool)> = if by_layout {
            let mounts: BTreeSet<&str> = used().flat_map(|made| made.mounts()).collect();
            mounts.into_iter().map(|mount| (mount.to_owned(), self.spec.shape.clone(), false)).collect()
        } else {
            let wanted = |volume: &VolumeSpec| {
                let shape = volume.shape.or(&self.spec.shape);
                (volume.mount_point.clone(), shape, self.spec.may_be_blank(volume))
            };
            self.spec.volumes.iter().map(wanted).collect()
        };
        let mut serving: BTreeMap<&VolumeId, Vec<String>> = BTreeMap::new();
        for (mount, ..) in &wanted {
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
        let mounts = wanted.iter().map(|(mount, shape, may_be_blank)| {
            let on = || volumes.iter().enumerate().filter(|(_, one)| one.mount_points.contains(mount));
            let made_blank = |(_, volume): (usize, &RestoredVolume)| {
                volume.way.volume().is_some_and(|volume| self.present.is_made_blank(volume))
            };
            // An earlier try may have ended before it was mounted, and so before it had a file system.
            let blank = *may_be_blank && on().all(made_blank);
            let usual = if blank { BLANK_FILE_SYSTEM } else { "" };
            let asked = || shape.file_system.clone().unwrap_or_else(|| usual.to_owned());
            let known = self.known_type(mount).filter(|_| !blank);
            PlannedMount {
                mount_point: mount.clone(),
                file_system: known.unwrap_or_else(asked),
                options: shape.mount_options.clone().unwrap_or_default(),
                volumes: on().map(|(at, _)| at).collect(),
                blank,
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
}
