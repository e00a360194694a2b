//! Under which name each volume is attached: the one that the spec asks for, the one that it had, or whichever
//! is free.

use super::Planner;
use super::draft::Draft;
use crate::VolumeId;
use crate::restore::DeviceWish;
use crate::restore::device::Places;
use crate::restore::plan::{Leftover, RestoreWay};
use crate::restore::reason::Refusal;
use std::collections::BTreeSet;

impl Planner<'_, '_> {
    /// Names every volume that is to come.
    ///
    /// # Errors
    /// More than the instance takes, a name that is taken, or none free.
    pub(super) fn name_devices(
        &self,
        drafts: &mut [Draft<'_>],
        leftovers: &[Leftover],
    ) -> Result<(), Refusal> {
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
}
