//! Planning: from a policy and what was seen to what will be done. Decides; looks at nothing else and
//! changes nothing.

use super::set_tags;
use crate::backup::place::{Place, Places};
use crate::backup::progress::Progress;
use crate::backup::{
    CrashReason, DirectSet, DirectVolume, Limits, Order, Plan, PlannedVolume, SetCall, SkipReason, Skipped,
    StoppedBefore, Way,
};
use crate::observed::{Agent, Instance, InstanceState, LastStop, Observed, Volume};
use crate::policy::{Policy, Slot, overrides};
use crate::warning::Warning;
use crate::{Consistency, InstanceId, RunId, VolumeId};
use std::collections::{BTreeMap, BTreeSet};

/// Plans one run of a policy.
#[must_use]
pub fn plan(policy: &Policy, run: &RunId, observed: &Observed, limits: &Limits) -> Plan {
    let slot = Slot::of(policy.every, policy.timezone, observed.now);
    let progress = Progress::of(policy, &slot, &observed.snapshots);
    // A rehearsal is of what the next slot will be.
    let finished = if policy.rehearse { BTreeMap::new() } else { progress.finished };
    let volumes: BTreeMap<_, _> = observed.volumes.iter().map(|volume| (&volume.id, volume)).collect();
    let planner = Planner {
        policy,
        run,
        slot: &slot,
        observed,
        limits,
        attached: by_instance(volumes.values().copied()),
        volumes,
        places: Places::of(observed, limits, finished),
    };
    let mut plan = Plan {
        policy: policy.name.clone(),
        run: run.clone(),
        slot: slot.clone(),
        consistency: policy.consistency,
        dry_run: policy.dry_run,
        rehearsal: policy.rehearse,
        orders: Vec::new(),
        sets: Vec::new(),
        volumes: Vec::new(),
        skipped: Vec::new(),
        unsettled: progress.unsettled,
        warnings: Vec::new(),
    };
    planner.decide(&mut plan);
    plan.volumes.sort_by(|a, b| a.volume.cmp(&b.volume));
    plan.skipped.sort_by(|a, b| a.volume.cmp(&b.volume));
    plan
}

fn by_instance<'a>(volumes: impl Iterator<Item = &'a Volume>) -> BTreeMap<&'a InstanceId, Vec<&'a Volume>> {
    let mut attached: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for volume in volumes {
        if let Some(attachment) = volume.current_attachment() {
            attached.entry(&attachment.instance).or_default().push(volume);
        }
    }
    attached
}

struct Planner<'a> {
    policy: &'a Policy,
    run: &'a RunId,
    slot: &'a Slot,
    observed: &'a Observed,
    limits: &'a Limits,
    volumes: BTreeMap<&'a VolumeId, &'a Volume>,
    attached: BTreeMap<&'a InstanceId, Vec<&'a Volume>>,
    places: Places<'a>,
}

/// How the volumes of one instance are taken.
enum How {
    ByOrder,
    Direct(Way),
}

impl<'a> Planner<'a> {
    fn decide(&self, plan: &mut Plan) {
        let mut attached: BTreeMap<&InstanceId, (&Instance, Vec<&Volume>)> = BTreeMap::new();
        let mut selected = false;
        for volume in self.volumes.values().copied().filter(|volume| self.is_selected(volume)) {
            selected = true;
            plan.warnings.extend(overrides::warnings(volume));
            match self.places.place(volume) {
                Err(reason) => plan.skipped.push(skipped(volume, reason)),
                Ok(Place::Detached) => self.take_volume(plan, volume, None, Way::Detached),
                Ok(Place::On(instance)) if volume.multi_attach => {
                    let reason = self.crash_reason(CrashReason::MultiAttach);
                    self.take_one_by_one(plan, instance, &[volume], &Way::Crash(reason));
                }
                Ok(Place::On(instance)) => {
                    attached.entry(&instance.id).or_insert((instance, Vec::new())).1.push(volume);
                }
            }
        }
        if !selected {
            plan.warnings.push(Warning::NothingSelected);
        }
        for (instance, volumes) in attached.into_values() {
            self.take_instance(plan, instance, &volumes);
        }
    }

    fn is_selected(&self, volume: &Volume) -> bool {
        let instance = volume
            .current_attachment()
            .and_then(|attachment| self.places.instances.get(&attachment.instance));
        self.policy.select.matches(&volume.tags, instance.map(|instance| &instance.tags))
    }

    fn take_instance(&self, plan: &mut Plan, instance: &Instance, volumes: &[&Volume]) {
        let excluded = self.excluded(instance, volumes);
        let too_many = excluded.data.len() > self.limits.excluded_volumes;
        match self.how(instance, volumes, &excluded) {
            How::Direct(way) if instance.hibernation_configured || too_many => {
                self.take_one_by_one(plan, instance, volumes, &way);
            }
            How::Direct(Way::Crash(reason)) if !self.may_crash(reason) => {
                plan.skipped
                    .extend(volumes.iter().map(|volume| skipped(volume, SkipReason::CrashOnly(reason))));
            }
            how => self.take_set(plan, instance, volumes, excluded, how),
        }
    }

    fn how(&self, instance: &Instance, volumes: &[&Volume], excluded: &Excluded) -> How {
        let reason = match (instance.state, self.observed.agents.get(&instance.id)) {
            (InstanceState::Stopped, _) => match instance.last_stop {
                _ if instance.hibernation_configured => CrashReason::Hibernation,
                LastStop::Forced => CrashReason::ForcedStop,
                LastStop::Unknown => CrashReason::UnknownStop,
                LastStop::ByItsSystem | LastStop::ByUser => {
                    return How::Direct(Way::Stopped(StoppedBefore::of(instance)));
                }
            },
            _ if self.policy.consistency == Consistency::Crash => CrashReason::Asked,
            _ if instance.hibernation_configured => CrashReason::Hibernation,
            (_, None) => CrashReason::NoAgent,
            (_, Some(Agent::Offline)) => CrashReason::AgentOffline,
            _ if !self.policy.freeze_root && volumes.iter().all(|volume| instance.boots_from(volume)) => {
                CrashReason::BootOnly
            }
            _ if excluded.data.len() > self.limits.excluded_volumes => CrashReason::TooManyToExclude {
                excluded: excluded.data.len(),
                limit: self.limits.excluded_volumes,
            },
            (_, Some(Agent::Online)) => return How::ByOrder,
        };
        How::Direct(Way::Crash(self.crash_reason(reason)))
    }

    /// A policy that asks for no more than a crash-consistent snapshot needs no other reason.
    fn crash_reason(&self, reason: CrashReason) -> CrashReason {
        if self.policy.consistency == Consistency::Crash { CrashReason::Asked } else { reason }
    }

    fn may_crash(&self, reason: CrashReason) -> bool {
        reason == CrashReason::Asked || self.policy.takes_crash()
    }

    /// What `CreateSnapshots` has to leave out so that it takes exactly these volumes.
    fn excluded(&self, instance: &Instance, wanted: &[&Volume]) -> Excluded {
        let mut excluded = Excluded { boot: false, data: Vec::new() };
        let wanted: BTreeSet<&VolumeId> = wanted.iter().map(|volume| &volume.id).collect();
        for volume in self.attached.get(&instance.id).into_iter().flatten() {
            if wanted.contains(&volume.id) {
                continue;
            }
            if instance.boots_from(volume) {
                excluded.boot = true;
            } else {
                excluded.data.push(volume.id.clone());
            }
        }
        excluded
    }

    fn take_set(
        &self,
        plan: &mut Plan,
        instance: &Instance,
        volumes: &[&Volume],
        excluded: Excluded,
        how: How,
    ) {
        let common = set_tags::common(self.policy, self.run, self.slot, Some(instance));
        let set = set_tags::of_instance(self.policy, instance, volumes, common);
        let planned: Vec<PlannedVolume> = volumes.iter().map(|volume| planned(instance, volume)).collect();
        plan.warnings.extend(set.warning.clone());
        let complete = set_tags::with_bare_layout(instance, &planned, &set).unwrap_or_else(|warning| {
            plan.warnings.push(warning);
            set.tags.clone()
        });
        let call = |tags| SetCall {
            instance: instance.id.clone(),
            volumes: planned.clone(),
            exclude_boot: excluded.boot,
            exclude_volumes: excluded.data.clone(),
            tags,
            copy_volume_tags: set.copy,
            description: self.description(),
        };
        match how {
            How::Direct(way) => plan.sets.push(DirectSet { call: call(complete), way }),
            How::ByOrder => plan.orders.push(Order {
                call: call(set.tags.clone()),
                layout_tags: set.room,
                max_freeze_ms: self.policy.max_freeze_ms,
                hooks: volumes.iter().all(|volume| overrides::hooks(volume).unwrap_or(true)),
                freeze_root: self.policy.freeze_root,
                expedite_rcu: self.policy.expedite_rcu,
                rehearse: self.policy.rehearse,
                fallback: self.policy.takes_crash().then(|| call(complete)),
            }),
        }
    }

    fn take_one_by_one(&self, plan: &mut Plan, instance: &Instance, volumes: &[&Volume], way: &Way) {
        for volume in volumes {
            match way {
                Way::Crash(reason) if !self.may_crash(*reason) => {
                    plan.skipped.push(skipped(volume, SkipReason::CrashOnly(*reason)));
                }
                way => self.take_volume(plan, volume, Some(instance), way.clone()),
            }
        }
    }

    fn take_volume(&self, plan: &mut Plan, volume: &Volume, instance: Option<&Instance>, way: Way) {
        let device = volume.current_attachment().map_or("", |attachment| attachment.device.as_str());
        let common = set_tags::common(self.policy, self.run, self.slot, instance);
        let (tags, warning) = set_tags::of_volume(self.policy, volume, device, common);
        plan.warnings.extend(warning);
        plan.volumes.push(DirectVolume {
            volume: volume.id.clone(),
            size_gib: volume.size_gib,
            instance: instance.map(|instance| instance.id.clone()),
            device: device.to_owned(),
            tags,
            description: self.description(),
            way,
        });
    }

    fn description(&self) -> String {
        if self.policy.description.is_empty() {
            format!("stillframe {} {}", self.policy.name, self.slot)
        } else {
            self.policy.description.clone()
        }
    }
}

struct Excluded {
    boot: bool,
    data: Vec<VolumeId>,
}

impl StoppedBefore {
    fn of(instance: &Instance) -> Self {
        Self { launched_at: instance.launched_at, last_stop: instance.last_stop }
    }
}

fn planned(instance: &Instance, volume: &Volume) -> PlannedVolume {
    PlannedVolume {
        id: volume.id.clone(),
        device: volume.current_attachment().map_or_else(String::new, |attachment| attachment.device.clone()),
        size_gib: volume.size_gib,
        boot: instance.boots_from(volume),
    }
}

fn skipped(volume: &Volume, reason: SkipReason) -> Skipped {
    let instance = volume.current_attachment().map(|attachment| attachment.instance.clone());
    Skipped { volume: volume.id.clone(), instance, reason }
}

#[cfg(test)]
#[path = "planner_properties.rs"]
mod properties;
#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
