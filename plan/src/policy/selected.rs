//! The volumes of an account that a policy means.

use crate::observed::{Instance, Observed, Volume, VolumeState};
use crate::policy::Policy;
use crate::{InstanceId, VolumeId, tags};
use std::collections::BTreeMap;

/// What a policy selects of what was seen.
pub(crate) struct Selected<'a> {
    /// Those that live, tagged to be skipped or not, each with the instance that it is attached to.
    pub(crate) volumes: BTreeMap<&'a VolumeId, (&'a Volume, Option<&'a Instance>)>,
}

impl<'a> Selected<'a> {
    pub(crate) fn of(policy: &Policy, observed: &'a Observed) -> Self {
        let instances: BTreeMap<&InstanceId, &Instance> =
            observed.instances.iter().map(|instance| (&instance.id, instance)).collect();
        let volumes = observed.volumes.iter().filter_map(|volume| {
            if matches!(volume.state, VolumeState::Deleting | VolumeState::Deleted) {
                return None;
            }
            let attachment = volume.current_attachment();
            let instance = attachment.and_then(|at| instances.get(&at.instance).copied());
            let is_meant = policy.select.matches(&volume.tags, instance.map(|instance| &instance.tags));
            is_meant.then_some((&volume.id, (volume, instance)))
        });
        Self { volumes: volumes.collect() }
    }

    /// Whether the policy goes on making restore points of a volume.
    pub(crate) fn is_backed_up(&self, volume: &VolumeId) -> bool {
        self.volumes.get(volume).is_some_and(|(volume, _)| !volume.tags.contains_key(tags::SKIP))
    }
}
