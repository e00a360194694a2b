//! Whether a volume can be snapshotted now, and where it stands: the reasons to leave one alone that do
//! not depend on any other volume.

use crate::backup::{Limits, SkipReason};
use crate::history::Numbers;
use crate::observed::{
    Attachment, AttachmentState, Instance, InstanceState, Observed, Snapshot, SnapshotState, Volume,
    VolumeState,
};
use crate::{InstanceId, RunId, SnapshotId, VolumeId, tags};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};

/// Where a volume stands that can be snapshotted now.
pub(crate) enum Place<'a> {
    On(&'a Instance),
    Detached,
}

/// What was seen, arranged for looking things up.
pub(crate) struct Places<'a> {
    now: DateTime<Utc>,
    limits: &'a Limits,
    pub(crate) instances: BTreeMap<&'a InstanceId, &'a Instance>,
    /// Numbers of the volumes.
    volumes: Numbers<'a>,
    snapshots: Vec<Recent<'a>>,
    orders_under_way: &'a BTreeMap<InstanceId, RunId>,
    finished: BTreeMap<VolumeId, SkipReason>,
}

/// What EC2's limits count of one volume's snapshots.
#[derive(Default)]
struct Recent<'a> {
    pending: BTreeSet<&'a SnapshotId>,
    failed: BTreeSet<&'a SnapshotId>,
    newest: Option<DateTime<Utc>>,
}

impl<'a> Recent<'a> {
    fn add(&mut self, snapshot: &'a Snapshot) {
        self.newest = self.newest.max(Some(snapshot.started_at));
        match snapshot.state {
            SnapshotState::Pending => self.pending.insert(&snapshot.id),
            SnapshotState::Error => self.failed.insert(&snapshot.id),
            _ => false,
        };
    }
}

impl<'a> Places<'a> {
    /// `finished`: volumes that need nothing more in this slot.
    pub(crate) fn of(
        observed: &'a Observed,
        limits: &'a Limits,
        finished: BTreeMap<VolumeId, SkipReason>,
    ) -> Self {
        let mut volumes = Numbers::default();
        for volume in &observed.volumes {
            volumes.of(volume.id.as_str());
        }
        let mut snapshots: Vec<Recent<'_>> = observed.volumes.iter().map(|_| Recent::default()).collect();
        for snapshot in &observed.snapshots {
            // Of volumes that are gone there is nothing to be counted.
            let number = volumes.get(snapshot.volume.as_str());
            if let Some(recent) = number.and_then(|number| snapshots.get_mut(number)) {
                recent.add(snapshot);
            }
        }
        Self {
            now: observed.now,
            limits,
            instances: observed.instances.iter().map(|instance| (&instance.id, instance)).collect(),
            volumes,
            snapshots,
            orders_under_way: &observed.orders_under_way,
            finished,
        }
    }

    /// Where a selected volume stands, or why it is left alone.
    pub(crate) fn place(&self, volume: &'a Volume) -> Result<Place<'a>, SkipReason> {
        if volume.tags.contains_key(tags::SKIP) {
            return Err(SkipReason::SkipTag);
        }
        if let Some(reason) = self.finished.get(&volume.id) {
            return Err(reason.clone());
        }
        let place = match (volume.state, volume.current_attachment()) {
            (VolumeState::Available, None) => Place::Detached,
            (VolumeState::InUse, Some(attachment)) if attachment.state == AttachmentState::Attached => {
                Place::On(self.usable_instance(attachment)?)
            }
            (VolumeState::InUse | VolumeState::Available, Some(attachment)) => {
                return Err(SkipReason::Attachment(attachment.state));
            }
            (state, _) => return Err(SkipReason::Volume(state)),
        };
        self.check_limits(volume)?;
        Ok(place)
    }

    fn usable_instance(&self, attachment: &Attachment) -> Result<&'a Instance, SkipReason> {
        let Some(instance) = self.instances.get(&attachment.instance).copied() else {
            return Err(SkipReason::InstanceUnseen { instance: attachment.instance.clone() });
        };
        if let Some(run) = self.orders_under_way.get(&instance.id) {
            return Err(SkipReason::OrderUnderWay { run: run.clone() });
        }
        match instance.state {
            InstanceState::Running | InstanceState::Stopped => Ok(instance),
            other => Err(SkipReason::Instance(other)),
        }
    }

    fn check_limits(&self, volume: &Volume) -> Result<(), SkipReason> {
        let number = self.volumes.get(volume.id.as_str());
        let Some(recent) = number.and_then(|number| self.snapshots.get(number)) else { return Ok(()) };
        let (pending, failed) = (recent.pending.len(), recent.failed.len());
        let limit = match volume.kind.as_str() {
            "st1" | "sc1" => self.limits.pending_per_throughput_volume,
            _ => self.limits.pending_per_volume,
        };
        if pending + failed >= limit {
            return Err(SkipReason::PendingLimit { pending, failed, limit });
        }
        let wait = recent.newest.map_or(TimeDelta::zero(), |newest| {
            newest + TimeDelta::seconds(self.limits.seconds_between_snapshots) - self.now
        });
        if wait > TimeDelta::zero() {
            let wait_s = u64::try_from(wait.num_milliseconds()).unwrap_or(0).div_ceil(1_000);
            return Err(SkipReason::TooSoon { wait_s });
        }
        Ok(())
    }
}
