//! Carries a restore plan out, step by step: all volumes of a step at the same time. Every step may have been
//! done before, by a try that was interrupted; doing it again changes nothing.

use super::patience::Deadline;
use super::report::RestoreReport;
use crate::aws::{
    AtTermination, AttachVolume, Attaching, CallError, Cause, CreateTags, CreateVolume, DeleteVolume,
    Deleted, DetachVolume, ModifyInstanceAttribute, ObserveRestore,
};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use stillframe_plan::{
    AttachmentState, InstanceId, MadeVolume, RESTORED_USED, RestorePlan, RestoreStep, RestoreWay, VolumeCall,
    VolumeId, VolumeState, token,
};
use tokio::task::JoinSet;

/// How long a volume that was made may not be seen: EC2's records follow each other.
const SHOWS_UP: Duration = Duration::from_secs(15);
/// How many volumes are made, one after another, where EC2 names one that is gone.
const MOST_GENERATIONS: usize = 4;

/// Why the volumes are not all attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// No: doing it again would end the same way.
    ForGood(String),
    /// It was interrupted: doing it again goes on.
    ForNow(String),
}

/// The verbs that change something.
#[derive(Debug, Clone)]
pub struct Hands {
    pub(super) observe: ObserveRestore,
    pub(super) create_volume: CreateVolume,
    pub(super) attach_volume: AttachVolume,
    pub(super) detach_volume: DetachVolume,
    pub(super) delete_volume: DeleteVolume,
    pub(super) modify: ModifyInstanceAttribute,
    pub(super) create_tags: CreateTags,
}

/// A plan on its way.
pub struct Carrying<'a> {
    pub(super) hands: &'a Hands,
    pub(super) plan: &'a RestorePlan,
    pub(super) deadline: Deadline,
    /// By place in the plan.
    pub(super) ids: BTreeMap<usize, VolumeId>,
    pub(super) now: String,
}

impl Carrying<'_> {
    /// Everything but the mounts; what was deleted goes into the report. The volumes, in order.
    ///
    /// # Errors
    /// A step failed. Where that is for good, what was made and cannot be used is deleted.
    pub async fn out(mut self, report: &mut RestoreReport) -> Result<Vec<VolumeId>, Stopped> {
        for (at, volume) in self.plan.volumes.iter().enumerate() {
            self.ids.extend(volume.way.volume().map(|id| (at, id.clone())));
        }
        let done = self.steps(report).await;
        for (at, volume) in report.volumes.iter_mut().enumerate() {
            volume.volume = self.ids.get(&at).cloned();
        }
        match done {
            Ok(()) => Ok(self.ids.into_values().collect()),
            Err(Stopped::ForGood(message)) => {
                self.delete_unused(report).await;
                Err(Stopped::ForGood(message))
            }
            Err(stopped) => Err(stopped),
        }
    }

    async fn steps(&mut self, report: &mut RestoreReport) -> Result<(), Stopped> {
        let steps = self.plan.steps();
        let same = |a: &RestoreStep, b: &RestoreStep| std::mem::discriminant(a) == std::mem::discriminant(b);
        for together in steps.chunk_by(same) {
            let places: Vec<usize> = together
                .iter()
                .filter_map(|step| match step {
                    RestoreStep::Create(at)
                    | RestoreStep::Attach(at)
                    | RestoreStep::DeleteOnTermination(at)
                    | RestoreStep::Mark(at) => Some(*at),
                    _ => None,
                })
                .collect();
            let volumes = together.iter().filter_map(|step| match step {
                RestoreStep::Detach(volume) | RestoreStep::Delete(volume) => Some(volume.clone()),
                _ => None,
            });
            match together.first() {
                Some(RestoreStep::Detach(_)) => self.detach(volumes.collect()).await?,
                Some(RestoreStep::Create(_)) => self.create(&places).await?,
                Some(RestoreStep::Attach(_)) => self.attach(&places).await?,
                Some(RestoreStep::DeleteOnTermination(_)) => self.at_termination(&places).await?,
                Some(RestoreStep::Mark(_)) => self.mark(&places).await?,
                Some(RestoreStep::Delete(_)) => self.delete(volumes.collect(), report).await,
                Some(RestoreStep::Mount) | None => {}
            }
        }
        Ok(())
    }

    async fn detach(&self, volumes: Vec<VolumeId>) -> Result<(), Stopped> {
        for volume in &volumes {
            let detached = self.hands.detach_volume.call(volume, &self.plan.instance).await;
            detached.map_err(|error| stopped("detach what an earlier try left over", &error))?;
        }
        self.wait(&volumes, "be detached", |made| made.volume.current_attachment().is_none()).await
    }

    /// Makes all volumes at once and waits until they are available.
    async fn create(&mut self, places: &[usize]) -> Result<(), Stopped> {
        let mut left: Vec<(usize, VolumeCall)> = places
            .iter()
            .filter_map(|at| match &self.plan.volumes.get(*at)?.way {
                RestoreWay::Create(call) => Some((*at, call.clone())),
                _ => None,
            })
            .collect();
        for generation in 0..MOST_GENERATIONS {
            let mut calls = JoinSet::new();
            for (at, mut call) in left.clone() {
                // EC2 remembers a token longer than its volume lives.
                if generation > 0 {
                    call.token = token(&self.plan.instance, &call, MOST_GENERATIONS * 1_000 + generation);
                }
                let verb = self.hands.create_volume.clone();
                calls.spawn(async move { (at, verb.call(&call).await) });
            }
            let mut failed = None;
            while let Some(done) = calls.join_next().await {
                match done {
                    Ok((at, Ok(id))) => {
                        self.ids.insert(at, id);
                    }
                    Ok((_, Err(error))) => failed = Some(stopped("make a volume", &error)),
                    Err(error) => failed = Some(Stopped::ForNow(error.to_string())),
                }
            }
            if let Some(failed) = failed {
                return Err(failed);
            }
            let gone = self.wait_for_made(&left).await?;
            left.retain(|(at, _)| self.ids.get(at).is_some_and(|id| gone.contains(id)));
            if left.is_empty() {
                return Ok(());
            }
        }
        let ids: Vec<String> =
            left.iter().filter_map(|(at, _)| self.ids.get(at)).map(ToString::to_string).collect();
        Err(Stopped::ForGood(format!(
            "failed to make a volume: {} vanished; the rights to its key may be missing",
            ids.join(", ")
        )))
    }

    /// Waits until these are available; those that are gone instead.
    async fn wait_for_made(&self, made: &[(usize, VolumeCall)]) -> Result<Vec<VolumeId>, Stopped> {
        let ids: Vec<VolumeId> = made.iter().filter_map(|(at, _)| self.ids.get(at).cloned()).collect();
        let (mut patience, began) = (self.deadline.patience(), Instant::now());
        loop {
            match self.hands.observe.these(&ids).await {
                Ok(seen) => {
                    let state = |id: &VolumeId| {
                        seen.iter().find(|made| made.volume.id == *id).map(|made| made.volume.state)
                    };
                    if let Some(id) = ids.iter().find(|id| state(id) == Some(VolumeState::Error)) {
                        return Err(Stopped::ForGood(format!("failed to make {id}: EC2 calls it failed")));
                    }
                    let is_gone = |state| match state {
                        Some(VolumeState::Deleting | VolumeState::Deleted) => true,
                        Some(_) => false,
                        None => began.elapsed() > SHOWS_UP,
                    };
                    let ready = |state| matches!(state, Some(VolumeState::Available | VolumeState::InUse));
                    if ids.iter().all(|id| ready(state(id)) || is_gone(state(id))) {
                        return Ok(ids.iter().filter(|id| is_gone(state(id))).cloned().collect());
                    }
                }
                Err(error) => tracing::warn!(%error, "volumes not seen; looking again"),
            }
            if !patience.look_again().await {
                return Err(Stopped::ForNow("the volumes were not made in time".to_owned()));
            }
        }
    }

    async fn attach(&self, places: &[usize]) -> Result<(), Stopped> {
        let mut calls = JoinSet::new();
        let mut volumes = Vec::new();
        for at in places {
            let (Some(id), Some(volume)) = (self.ids.get(at), self.plan.volumes.get(*at)) else { continue };
            volumes.push(id.clone());
            let (verb, id, device) = (self.hands.attach_volume.clone(), id.clone(), volume.device.clone());
            let instance = self.plan.instance.clone();
            calls.spawn(async move { verb.call(&id, &instance, &device).await });
        }
        let mut failed = None;
        while let Some(done) = calls.join_next().await {
            match done {
                Ok(Ok(Attaching::Accepted | Attaching::InUse)) => {}
                Ok(Err(error)) => failed = Some(stopped("attach a volume", &error)),
                Err(error) => failed = Some(Stopped::ForNow(error.to_string())),
            }
        }
        // An earlier call whose answer was lost, or the same restore beside this one, may have attached them:
        // then EC2 finds the volume in use, or its name, which comes to the same.
        if let Some(failed) = failed {
            let seen = self.hands.observe.these(&volumes).await.unwrap_or_default();
            let on_its_way = |id: &VolumeId| {
                let made = seen.iter().find(|made| made.volume.id == *id);
                let on = made.and_then(|made| made.volume.current_attachment());
                on.is_some_and(|attachment| attachment.instance == self.plan.instance)
            };
            if !volumes.iter().all(on_its_way) {
                return Err(failed);
            }
        }
        let here = |made: &MadeVolume| is_on(made, &self.plan.instance, AttachmentState::Attached);
        self.wait(&volumes, "be attached", here).await
    }

    /// Waits until all of these are so.
    async fn wait(
        &self,
        volumes: &[VolumeId],
        what: &str,
        is_so: impl Fn(&MadeVolume) -> bool,
    ) -> Result<(), Stopped> {
        let mut patience = self.deadline.patience();
        loop {
            match self.hands.observe.these(volumes).await {
                Ok(seen) => {
                    let elsewhere = seen.iter().find(|made| {
                        let on = made.volume.current_attachment();
                        on.is_some_and(|attachment| attachment.instance != self.plan.instance)
                    });
                    if let Some(made) = elsewhere {
                        let id = &made.volume.id;
                        return Err(Stopped::ForGood(format!("{id} is attached to another instance")));
                    }
                    let done = |id: &VolumeId| seen.iter().any(|made| made.volume.id == *id && is_so(made));
                    if volumes.iter().all(done) {
                        return Ok(());
                    }
                }
                Err(error) => tracing::warn!(%error, "volumes not seen; looking again"),
            }
            if !patience.look_again().await {
                return Err(Stopped::ForNow(format!("waited in vain for volumes to {what}")));
            }
        }
    }

    async fn at_termination(&self, places: &[usize]) -> Result<(), Stopped> {
        let volumes: Vec<AtTermination> = places
            .iter()
            .filter_map(|at| {
                let planned = self.plan.volumes.get(*at)?;
                Some(AtTermination {
                    device: planned.device.clone(),
                    volume: self.ids.get(at)?.clone(),
                    delete: planned.delete_on_termination?,
                })
            })
            .collect();
        let set = self.hands.modify.at_termination(&self.plan.instance, &volumes).await;
        set.map_err(|error| stopped("say what becomes of the volumes", &error))
    }

    async fn mark(&self, places: &[usize]) -> Result<(), Stopped> {
        let volumes: Vec<VolumeId> = places.iter().filter_map(|at| self.ids.get(at).cloned()).collect();
        let mark = BTreeMap::from([(RESTORED_USED.to_owned(), self.now.clone())]);
        let marked = self.hands.create_tags.on_volumes(&volumes, &mark).await;
        marked.map_err(|error| stopped("mark the volumes as used", &error))
    }

    async fn delete(&self, volumes: Vec<VolumeId>, report: &mut RestoreReport) {
        for volume in volumes {
            match self.hands.delete_volume.call(&volume).await {
                Ok(Deleted::Accepted | Deleted::WasGone) => report.deleted.push(volume),
                Ok(Deleted::Kept { code, message }) => {
                    report.kept.push((volume, format!("{code}: {message}")))
                }
                Err(error) => report.kept.push((volume, error.to_string())),
            }
        }
    }

    /// What was made now and is attached nowhere. EC2 keeps what is attached after all.
    async fn delete_unused(&self, report: &mut RestoreReport) {
        let made = |(at, _): &(&usize, &VolumeId)| {
            self.plan.volumes.get(**at).is_some_and(|volume| {
                !matches!(volume.way, RestoreWay::Keep { .. } | RestoreWay::Mark { .. })
            })
        };
        let ids: Vec<VolumeId> = self.ids.iter().filter(made).map(|(_, id)| id.clone()).collect();
        if ids.is_empty() {
            return;
        }
        let Ok(seen) = self.hands.observe.these(&ids).await else { return };
        let unused =
            seen.into_iter().filter(|made| made.volume.current_attachment().is_none() && !made.was_used());
        self.delete(unused.map(|made| made.volume.id).collect(), report).await;
    }
}

fn is_on(made: &MadeVolume, instance: &InstanceId, state: AttachmentState) -> bool {
    made.volume
        .current_attachment()
        .is_some_and(|attachment| attachment.instance == *instance && attachment.state == state)
}

fn stopped(what: &str, error: &CallError) -> Stopped {
    let message = format!("failed to {what}: {error}");
    match error.cause() {
        Cause::Refused | Cause::PendingLimit => Stopped::ForGood(message),
        Cause::Throttled | Cause::Unknown => Stopped::ForNow(message),
    }
}
