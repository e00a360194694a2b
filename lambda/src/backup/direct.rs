//! Snapshots without a freeze: of stopped instances and detached volumes, and crash-consistent ones,
//! all as the plan says. What is certainly not executed is tried again; what may have been is left to
//! settling, which looks by run tag.

use super::{case::Case, deadline::Deadline, pace::Pace, stop::Stop};
use crate::aws::{
    CallError, Cause, CreateSnapshot, CreateSnapshots, MadeSnapshot, Observe, SetRequest, StopHistory,
};
use crate::timer;
use std::{future::Future, time::Duration};
use stillframe_plan::{Evidence, Expectation, Instance, InstanceState, Means, Plan, SetCall, Target, Way};

/// How long one call may take: nobody is frozen.
const LIMIT: Duration = Duration::from_secs(30);
/// How often a throttled call is tried.
const MOST_TRIES: u32 = 5;
/// First pause after a throttled call; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Takes snapshots.
#[derive(Debug)]
pub struct Direct {
    /// One instance at once.
    pub create_snapshots: CreateSnapshots,
    /// One volume by itself.
    pub create_snapshot: CreateSnapshot,
    /// The look afterwards.
    pub observe: Observe,
    /// How instances that are stopped afterwards came to be so: a describing call does not tell.
    pub stop_history: StopHistory,
}

impl Direct {
    /// Carries out the plan's sets and volumes, then looks at their instances and volumes again: the
    /// second half of the evidence that nothing could write. When time is nearly up the rest is left to
    /// a continuation, and only what was done has a case.
    ///
    /// # Errors
    /// The second look failed. The snapshots that were made stay `crash`.
    pub async fn all<'p>(
        &self,
        plan: &'p Plan,
        pace: &mut Pace,
        deadline: &Deadline,
    ) -> Result<Vec<Case<'p>>, Stop> {
        let mut cases: Vec<Case<'p>> = plan
            .expectations()
            .into_iter()
            .skip(plan.orders.len())
            .map(|expected| Case::new(expected, None))
            .collect();
        // The plan gives expectations in the order of its own lists.
        let mut answers = Vec::new();
        for set in plan.sets.iter().take_while(|_| !deadline.is_near()) {
            answers.push(self.set(&set.call, pace).await.map(|_| ()));
        }
        for volume in plan.volumes.iter().take_while(|_| !deadline.is_near()) {
            let call = || self.create_snapshot.call(&volume.volume, &volume.tags, &volume.description, LIMIT);
            answers.push(patiently(call, pace).await.map(|_| ()));
        }
        cases.truncate(answers.len());
        self.look_again(&mut cases, answers).await?;
        Ok(cases)
    }

    /// One `CreateSnapshots`.
    ///
    /// # Errors
    /// As the call; [`CallError::Unknown`] means that the set may exist.
    pub async fn set(&self, call: &SetCall, pace: &mut Pace) -> Result<Vec<MadeSnapshot>, CallError> {
        let request = SetRequest {
            instance: call.instance.clone(),
            exclude_boot: call.exclude_boot,
            exclude_volumes: call.exclude_volumes.clone(),
            tags: call.tags.clone(),
            copy_volume_tags: call.copy_volume_tags,
            description: call.description.clone(),
        };
        patiently(|| self.create_snapshots.call(&request, LIMIT), pace).await
    }

    async fn look_again(
        &self,
        cases: &mut [Case<'_>],
        answers: Vec<Result<(), CallError>>,
    ) -> Result<(), Stop> {
        if cases.is_empty() {
            return Ok(());
        }
        let instances: Vec<_> = cases.iter().filter_map(|case| case.expected.instance.clone()).collect();
        let volumes: Vec<_> = cases.iter().flat_map(|case| case.expected.volumes.iter().cloned()).collect();
        let (instances, volumes) =
            tokio::try_join!(self.observe.these_instances(&instances), self.observe.these_volumes(&volumes))
                .map_err(Stop::at("look at instances and volumes after their snapshots"))?;
        for (case, answer) in cases.iter_mut().zip(answers) {
            case.evidence = match answer {
                Err(error) if error.cause() == Cause::PendingLimit => {
                    Evidence::Later { cause: error.to_string() }
                }
                Err(error) => Evidence::CallFailed { cause: error.to_string() },
                Ok(()) => Evidence::SeenAfter {
                    instance: self.seen_after(&case.expected, &instances).await,
                    volumes: volumes
                        .iter()
                        .filter(|seen| case.expected.volumes.contains(&seen.id))
                        .cloned()
                        .collect(),
                },
            };
        }
        Ok(())
    }

    /// The instance of a set as it is now, with its last stop where a claim rests on that.
    async fn seen_after(&self, expected: &Expectation, instances: &[Instance]) -> Option<Instance> {
        let Target::Instance(id) = &expected.target else { return None };
        let mut instance = instances.iter().find(|seen| &seen.id == id).cloned()?;
        if matches!(expected.means, Means::Direct(Way::Stopped(_)))
            && instance.state == InstanceState::Stopped
        {
            match self.stop_history.call(&instance).await {
                Ok(stop) => instance.last_stop = stop,
                Err(error) => tracing::warn!(%error, %id, "not known how it was stopped"),
            }
        }
        Some(instance)
    }
}

/// Makes a call that makes snapshots, with a token for each try, until it is not throttled.
async fn patiently<T, F, A>(call: F, pace: &mut Pace) -> Result<T, CallError>
where
    F: Fn() -> A,
    A: Future<Output = Result<T, CallError>>,
{
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        pace.token().await;
        match call().await {
            Err(error) if error.cause() == Cause::Throttled && tries < MOST_TRIES => {
                pace.throttled();
                timer::sleep(pause).await;
                pause *= 2;
                tries += 1;
            }
            answer => return answer,
        }
    }
}
