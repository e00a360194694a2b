//! The backup function: takes the lease of a policy, runs the policy, reports. Where an event only asks
//! something, it answers and does none of this.

mod case;
mod concerned;
pub(crate) mod deadline;
mod direct;
mod dispatch;
mod event;
mod evidence;
mod gather;
pub(crate) mod guarded;
pub(crate) mod hold;
pub(crate) mod lease;
mod looks;
mod observe;
mod order;
pub(crate) mod pace;
pub(crate) mod prune;
mod report;
mod run;
mod settle;
mod still_open;
pub(crate) mod stop;
mod tell;

pub use report::{Note, PointSnapshot, RestorePoint, RunReport, Skipped, Status};

use crate::{
    ask::{self, Ask},
    aws::{
        Account, CallError, CreateSnapshot, CreateSnapshots, CreateTags, DeleteSnapshot, Guards, Invocations,
        InvokeSelf, Observe, Parameters, SendCommand, StopHistory,
    },
    config::Config,
    copy::Copier,
    metrics::RunMetrics,
    timer,
};
use chrono::{DateTime, SecondsFormat, Utc};
use deadline::Deadline;
use direct::Direct;
use dispatch::Dispatch;
use event::{Action, Continuation, Event, MOST_HOPS};
use gather::Gather;
use hold::{Held, Taken};
use lease::{HandedOver, Lease};
use observe::Eyes;
use run::{Hands, Run};
use serde::Serialize;
use serde_json::Value;
use settle::Settle;
use std::time::{Duration, Instant, SystemTime};
use stillframe_plan::{Completion, Policy, PolicyError, RunId, Slot};
use stop::Stop;

/// How long after Lambda's deadline a lease goes stale: nothing of its holder runs by then.
pub(crate) const STALE_AFTER: Duration = Duration::from_secs(60);

/// The function's environment.
#[derive(Debug)]
pub struct BackupFunction {
    hands: Hands,
    invoke_self: InvokeSelf,
}

/// What ends an invocation without a result.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The event is no policy; nothing was changed.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The system gives no random numbers, so no run can have a name.
    #[error("failed to name the run: {0}")]
    Random(getrandom::Error),
    /// What was asked cannot be answered.
    #[error("failed to look at the account: {0}")]
    Look(CallError),
}

impl Unfit {
    /// Lambda's word for it.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Self::Policy(_) => "BadEvent",
            Self::Random(_) => "NoRandomNumbers",
            Self::Look(_) => "LookFailed",
        }
    }
}

/// The function's result.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Of a run.
    Run(Box<RunReport>),
    /// To a question.
    Answer(Box<ask::Answer>),
}

impl BackupFunction {
    /// Prepares the environment; makes no call.
    pub async fn start(config: Config) -> Self {
        Self::start_in(&Account::from_environment().await, config)
    }

    /// The same in this account.
    #[must_use]
    pub fn start_in(account: &Account, config: Config) -> Self {
        let invocations = Invocations::new(account, &config.document_prefix);
        let observe = Observe::new(account);
        Self {
            invoke_self: InvokeSelf::new(account, config.own_function.clone()),
            hands: Hands {
                parameters: Parameters::new(account),
                eyes: Eyes {
                    observe: observe.clone(),
                    guards: Guards::new(account),
                    invocations: invocations.clone(),
                    stop_history: StopHistory::new(account),
                    clock: config.clock,
                },
                direct: Direct {
                    create_snapshots: CreateSnapshots::new(account),
                    create_snapshot: CreateSnapshot::new(account),
                    observe: observe.clone(),
                    stop_history: StopHistory::new(account),
                },
                dispatch: Dispatch::new(
                    SendCommand::new(account, &config.document_prefix),
                    config.clock,
                    config.signal_function.clone(),
                ),
                gather: Gather::new(invocations, config.clock),
                settle: Settle { observe, create_tags: CreateTags::new(account) },
                delete_snapshot: DeleteSnapshot::new(account),
                copier: Copier::new(account, &config),
                config,
            },
        }
    }

    /// Handles one event; `ends` is when Lambda ends the process.
    ///
    /// # Errors
    /// The event cannot be read, or what it asks not be looked up. Whatever goes wrong with a run is told by
    /// its report.
    pub async fn handle(&self, event: Value, ends: SystemTime) -> Result<Outcome, Unfit> {
        let event = Event::read(event)?;
        self.check_home(&event.policy)?;
        let eyes = &self.hands.eyes;
        let ask = Ask { observe: &eyes.observe, guards: &eyes.guards, clock: self.hands.config.clock };
        let answer = match &event.action {
            Action::Backup => return Ok(Outcome::Run(Box::new(Box::pin(self.run(event, ends)).await?))),
            Action::Explain { keep_instead } => ask.explain(&event.policy, keep_instead.as_ref()).await,
            Action::Copy { completion } => {
                let deadline = Deadline::at(ends);
                let copied = Box::pin(self.copy(&event.policy, completion.as_ref(), &deadline)).await?;
                return Ok(Outcome::Run(Box::new(copied)));
            }
            Action::Status => ask.status(&event.policy).await,
        };
        Ok(Outcome::Answer(Box::new(answer.map_err(Unfit::Look)?)))
    }

    /// Runs a policy.
    async fn run(&self, event: Event, ends: SystemTime) -> Result<RunReport, Unfit> {
        let deadline = Deadline::at(ends);
        let (policy, now) = (&event.policy, self.hands.config.clock.now());
        let began_at = event.continuation.as_ref().map_or(now, |continuation| continuation.began_at);
        let slot = Slot::of(policy.every, policy.timezone, began_at);
        let run = match &event.continuation {
            Some(continuation) => continuation.run.clone(),
            None => RunId::from(format!("{}/{}/{}", policy.name, slot.name, random_word(6)?)),
        };
        let mut run = Run {
            hands: &self.hands,
            policy,
            report: RunReport {
                policy: policy.name.clone(),
                slot: slot.name.clone(),
                run: run.to_string(),
                ..RunReport::default()
            },
            run,
            slot,
            continues: event.continuation.is_some(),
            settled_until: event.continuation.as_ref().and_then(|continuation| continuation.settled_until),
            in_air_since: None,
            deadline,
            metrics: RunMetrics::default(),
        };
        let started = timer::now();
        // A dry run changes nothing, so it takes no lease and may run beside anything.
        let held = if policy.dry_run {
            None
        } else {
            match self.take_lease(&event, &run).await {
                Ok(Taken::Held(held)) => Some(held),
                Ok(Taken::Elsewhere { run: other, until }) => {
                    run.report.status = Status::LeaseHeld;
                    run.report.warnings.push(lease_held(&other, until));
                    return Ok(run.report);
                }
                Err(error) => return Ok(self.tell(run, &Err(Stop::at("take the lease")(error)), started)),
            }
        };
        let ended = run.through().await;
        if matches!(ended, Err(Stop::OutOfTime))
            && let Some(held) = &held
            && self.hand_over(&event, &mut run, held, began_at).await
        {
            run.report.status = Status::Continued;
            run.report.shorten();
            return Ok(run.report);
        }
        if let Some(held) = held {
            held.finish().await;
        }
        Ok(self.tell(run, &ended, started))
    }

    fn check_home(&self, policy: &Policy) -> Result<(), PolicyError> {
        self.hands.config.region.as_deref().map_or(Ok(()), |region| policy.check_home(region))
    }

    /// Makes a policy's copies, if that is what the event is about. What fails is told by the report; the
    /// next backup's sweep makes good for it.
    async fn copy(
        &self,
        policy: &Policy,
        completion: Option<&Completion>,
        deadline: &Deadline,
    ) -> Result<RunReport, Unfit> {
        let copier = &self.hands.copier;
        let now = self.hands.config.clock.now();
        let run = format!("{}/copies/{}", policy.name, random_word(6)?);
        let mut report = RunReport {
            policy: policy.name.clone(),
            slot: Slot::of(policy.every, policy.timezone, now).name,
            run: run.clone(),
            ..RunReport::default()
        };
        let concerned = match completion {
            Some(event) => copier.concerns(policy, &event.region, &event.snapshots).await,
            None => Ok(true),
        };
        let ended = match concerned {
            Ok(true) if policy.dry_run => {
                let outlook = copier.outlook(policy).await.map_err(Stop::at("look at the copies"));
                report.status = Status::DryRun;
                outlook.map(|text| report.plan = Some(text))
            }
            Ok(true) => {
                let ended = copier.sweep(policy, &run, random_word(24)?, deadline, &mut report).await;
                report.status = report.how_it_ended();
                ended
            }
            Ok(false) => {
                report.status = Status::NothingToDo;
                Ok(())
            }
            Err(error) => Err(Stop::at("look at the snapshots of the event")(error)),
        };
        if let Err(stop) = ended {
            tracing::error!(run, %stop, "copying ended early");
            report.status = Status::Failed;
            report.failures.push(Note::new("ended-early", stop.to_string()));
        }
        Ok(report)
    }

    async fn take_lease(&self, event: &Event, run: &Run<'_>) -> Result<Taken, CallError> {
        let now = self.hands.config.clock.now().timestamp();
        let holds = run.deadline.remaining() + STALE_AFTER;
        let wanted = Lease {
            run: run.run.to_string(),
            // Without random numbers no run would have got this far.
            holder: random_word(24).unwrap_or_default(),
            expires: now.saturating_add(i64::try_from(holds.as_secs()).unwrap_or(i64::MAX)),
            finished: false,
        };
        let handed_over = event.continuation.as_ref().map(|continuation| HandedOver {
            run: continuation.run.to_string(),
            generation: continuation.generation,
        });
        let path = self.hands.config.lease_path(&event.policy.name);
        hold::take(&self.hands.parameters, &path, wanted, now, handed_over.as_ref()).await
    }

    /// Queues the event that goes on with the run, under the next generation of the lease. Whether it
    /// was queued.
    async fn hand_over(
        &self,
        event: &Event,
        run: &mut Run<'_>,
        held: &Held,
        began_at: DateTime<Utc>,
    ) -> bool {
        let hop = event.continuation.as_ref().map_or(0, |continuation| continuation.hop) + 1;
        if hop > MOST_HOPS {
            let message =
                format!("the run was not done after {MOST_HOPS} continuations; the next firing goes on");
            run.report.failures.push(Note::new("too-many-continuations", message));
            return false;
        }
        let next = Continuation {
            run: run.run.clone(),
            hop,
            generation: held.generation,
            began_at,
            settled_until: run.settled_until,
        };
        match self.invoke_self.call(&event.continued(&next)).await {
            Ok(()) => true,
            Err(error) => {
                let message = format!("failed to continue the run: {error}; the next firing goes on");
                run.report.failures.push(Note::new("not-continued", message));
                false
            }
        }
    }

    /// The result of a run that has ended, and its metrics on stdout.
    fn tell(&self, mut run: Run<'_>, ended: &Result<(), Stop>, started: Instant) -> RunReport {
        if let Err(stop) = ended {
            tracing::error!(run = %run.run, %stop, "run ended early");
            run.report.status = Status::Failed;
            run.report.failures.push(Note::new("ended-early", stop.to_string()));
        }
        if !matches!(run.report.status, Status::DryRun | Status::Rehearsed) {
            let metrics = counted(&run.report, run.policy, run.metrics, started);
            println!(
                "{}",
                metrics.document(
                    &self.hands.config.metrics_namespace,
                    &run.policy.name,
                    self.hands.config.clock.now()
                )
            );
        }
        run.report.shorten();
        run.report
    }
}

fn counted(report: &RunReport, policy: &Policy, metrics: RunMetrics, started: Instant) -> RunMetrics {
    RunMetrics {
        restore_points_made: report.restore_points.len(),
        crash_consistent_fallbacks: report.fallbacks(policy.consistency),
        frozen_ms: report.frozen_ms(),
        failures: report.failures.len(),
        duration_ms: timer::now().duration_since(started).as_secs_f64() * 1_000.0,
        ..metrics
    }
}

fn lease_held(run: &str, until: i64) -> Note {
    let who = if run.is_empty() { "another run" } else { run };
    let until = DateTime::from_timestamp(until, 0).map_or_else(String::new, |until| {
        format!(" until {} at most", until.to_rfc3339_opts(SecondsFormat::Secs, true))
    });
    Note::new("lease-held", format!("{who} holds the lease of this policy{until}"))
}

/// Random letters and digits.
fn random_word(length: usize) -> Result<String, Unfit> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).map_err(Unfit::Random)?;
    Ok(bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}
