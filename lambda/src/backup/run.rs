//! One run of a policy, from the first look to the last deletion. Each step is a few lines here and a
//! file of its own; what is decided on the way is decided by the plan.

use super::{
    case::Case,
    deadline::Deadline,
    direct::Direct,
    dispatch::Dispatch,
    gather::{Air, Flight, Gather},
    guarded::Guarded,
    observe::Eyes,
    pace::Paces,
    prune,
    report::{Note, RunReport, Status},
    settle::{Judgement, Settle, fall_back, judge_by, relabel, requeued},
    still_open::still_open,
    stop::Stop,
    tell,
};
use crate::{
    aws::{DeleteSnapshot, Parameters},
    config::Config,
    copy::Copier,
    metrics::RunMetrics,
    signing_key, timer,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use stillframe_plan::{
    Consistency, Evidence, Instance, InstanceId, Limits, MOST_ATTEMPTS, Observed, Plan, Policy, RunId,
    Settlement, Slot, Snapshot, SnapshotId, Target, dry_run, plan,
};

/// Pause before orders that were throttled are sent again, times the attempt.
const REQUEUE_PAUSE: Duration = Duration::from_secs(2);
/// Pause between looks at orders that an earlier invocation left under way.
const UNDER_WAY_PAUSE: Duration = Duration::from_secs(2);
/// How far the clocks of AWS's services may be behind ours.
const SKEW: TimeDelta = TimeDelta::seconds(5);

/// The hands of a run, made once per environment.
#[derive(Debug)]
pub struct Hands {
    pub(super) config: Config,
    pub(super) parameters: Parameters,
    pub(super) eyes: Eyes,
    pub(super) direct: Direct,
    pub(super) dispatch: Dispatch,
    pub(super) gather: Gather,
    pub(super) settle: Settle,
    pub(super) delete_snapshot: DeleteSnapshot,
    pub(super) copier: Copier,
}

/// One run.
#[derive(Debug)]
pub struct Run<'a> {
    pub(super) hands: &'a Hands,
    pub(super) policy: &'a Policy,
    pub(super) run: RunId,
    pub(super) slot: Slot,
    /// Whether an earlier invocation has begun it.
    pub(super) continues: bool,
    /// What the run began before has ended and is settled, as far as is known.
    pub(super) settled_until: Option<DateTime<Utc>>,
    /// When the oldest order was sent that this invocation has seen no end of.
    pub(super) in_air_since: Option<DateTime<Utc>>,
    pub(super) deadline: Deadline,
    pub(super) report: RunReport,
    pub(super) metrics: RunMetrics,
}

impl Run<'_> {
    /// Runs the policy; `report` and `metrics` tell how far it came.
    ///
    /// # Errors
    /// Time is nearly up, or a step failed without which the run cannot go on.
    pub async fn through(&mut self) -> Result<(), Stop> {
        let (mut plan, mut observed) = self.plan().await?;
        self.metrics.volumes_selected = Some(plan.brief().selected);
        let mut promoted = BTreeMap::new();
        if !plan.dry_run && !plan.rehearsal {
            promoted = self.settle_earlier(&plan, &observed).await?;
            if !promoted.is_empty() {
                // What is good now is not to be made again.
                relabel(&mut observed.snapshots, &promoted);
                plan = self.plan_from(&observed);
            }
        }
        tell::planned(&plan, &mut self.report);
        if plan.dry_run {
            Guarded::look(&self.hands.eyes.guards).await.write_into(&mut observed);
            let prune = stillframe_plan::prune(self.policy, &observed);
            self.report.prune.extend(prune::notes(&prune));
            self.report.plan = Some(dry_run(&plan, &prune, &observed).to_string());
            match Box::pin(self.hands.copier.outlook(self.policy)).await {
                Ok(copies) => self.report.plan.get_or_insert_default().push_str(&copies),
                Err(error) => self.report.warnings.push(Note::new("copies-unknown", error.to_string())),
            }
            self.report.status = Status::DryRun;
            return Ok(());
        }
        if plan.rehearsal {
            return self.rehearse(&plan).await;
        }
        // Pruning looks again; memory holds one picture of a large account, not two.
        let Observed { instances, .. } = observed;
        promoted.extend(self.back_up(&plan).await?);
        self.settled_until = Some(self.hands.config.clock.now() - SKEW);
        self.prune(instances, &promoted).await?;
        let (copier, holder) = (&self.hands.copier, super::random_word(24).unwrap_or_default());
        copier.sweep(self.policy, self.run.as_str(), holder, &self.deadline, &mut self.report).await?;
        self.report.status = self.report.how_it_ended();
        Ok(())
    }

    /// Looks until no order of this slot is under way, then plans. Orders that an earlier invocation
    /// sent, whatever became of it, are thereby finished and not repeated.
    async fn plan(&mut self) -> Result<(Plan, Observed), Stop> {
        let eyes = &self.hands.eyes;
        let orders_under_way = self.orders_under_way().await?;
        let mut observed = if self.continues {
            let plan = |observed: &Observed| self.plan_from(observed);
            eyes.look_again(self.policy, &self.slot, orders_under_way, plan).await
        } else {
            eyes.look(&self.slot, orders_under_way).await
        }
        .map_err(Stop::at("look at the account"))?;
        let mut made = self.plan_from(&observed);
        let asked_before = observed.instances.clone();
        for (instance, error) in self.hands.eyes.look_at_stops(&made, &mut observed).await {
            let message = format!("not known how it was stopped: {error}");
            self.report.warnings.push(Note::about(instance.as_str(), "stop-unknown", message));
        }
        if observed.instances != asked_before {
            made = self.plan_from(&observed);
        }
        Ok((made, observed))
    }

    /// Waits for the orders of this slot that are under way, and has those instances thaw whose order ends
    /// without proof that all is thawed, each as soon as that is seen. A dry run only looks.
    async fn orders_under_way(&mut self) -> Result<BTreeMap<InstanceId, RunId>, Stop> {
        let eyes = &self.hands.eyes;
        let mut since = eyes.orders_from(self.settled_until);
        let mut told = BTreeSet::new();
        loop {
            let seen = eyes.orders(self.policy, &self.slot, since).await;
            let seen = seen.map_err(Stop::at("look at orders under way"))?;
            if self.policy.dry_run {
                return Ok(seen.under_way);
            }
            for (command, instance) in seen.to_thaw {
                if told.insert(command) {
                    self.thaw(&instance).await;
                }
            }
            if seen.under_way.is_empty() {
                return Ok(seen.under_way);
            }
            tracing::info!(orders = seen.under_way.len(), "waiting for orders under way");
            self.deadline.check()?;
            timer::sleep(UNDER_WAY_PAUSE).await;
            since = seen.oldest.map_or(since, |oldest| since.max(oldest - TimeDelta::seconds(1)));
        }
    }

    fn plan_from(&self, observed: &Observed) -> Plan {
        plan(self.policy, &self.run, observed, &Limits::default())
    }

    /// Settles what a killed run left of this slot: its reports are still to be had from SSM.
    async fn settle_earlier(
        &mut self,
        plan: &Plan,
        observed: &Observed,
    ) -> Result<BTreeMap<SnapshotId, Consistency>, Stop> {
        let open = still_open(&plan.unsettled, &self.run, self.settled_until, &observed.snapshots);
        let Some(oldest) = open.snapshots.iter().map(|snapshot| snapshot.started_at).min() else {
            return Ok(BTreeMap::new());
        };
        let of = open.sets.iter().filter_map(|set| match &set.target {
            Target::Instance(instance) => Some(instance),
            Target::Volume(_) => None,
        });
        let instances: BTreeSet<&InstanceId> = of.collect();
        let listed = self
            .hands
            .eyes
            .orders_of(&instances, observed.instances.len(), oldest)
            .await
            .map_err(Stop::at("look for reports of an earlier run"))?;
        let mut cases: Vec<Case<'_>> =
            open.sets.iter().map(|set| Case::new(set.expectation(), None)).collect();
        let mut by_instance: BTreeMap<&InstanceId, Vec<_>> = BTreeMap::new();
        for invocation in &listed {
            by_instance.entry(&invocation.instance).or_default().push(invocation);
        }
        for case in &mut cases {
            let own = case.expected.instance.as_ref().and_then(|instance| by_instance.get(instance));
            let run = case.expected.run.clone();
            for invocation in own.into_iter().flatten().filter(|one| one.carries(run.as_str())) {
                let (evidence, report) = self.hands.gather.read(invocation, &case.expected.run).await;
                let proves = matches!(&evidence, Evidence::Reported(reported) if reported.consistent);
                if proves || case.report.is_none() {
                    (case.evidence, case.report) = (evidence, report);
                }
            }
        }
        let judgement = judge_by(self.policy, &cases, open.snapshots);
        Ok(self.conclude(&cases, judgement).await)
    }

    /// Carries out the plan: direct snapshots, orders, and whatever settling asks for.
    async fn back_up(&mut self, plan: &Plan) -> Result<BTreeMap<SnapshotId, Consistency>, Stop> {
        let mut paces = Paces::full();
        let mut direct = self.hands.direct.all(plan, &mut paces.cuts, &self.deadline).await?;
        let mut promoted = BTreeMap::new();
        if !direct.is_empty() {
            let judgement = self.judge(&mut direct, Vec::new()).await?;
            promoted.extend(self.conclude(&direct, judgement).await);
            self.deadline.check()?;
        }
        let mut cases = Case::of_orders(plan);
        let mut waiting: Vec<usize> = (0..cases.len()).collect();
        let mut seen = Vec::new();
        while !waiting.is_empty() {
            waiting = match self.fly(plan, &mut cases, &waiting, &mut paces).await {
                Ok(absent) => absent,
                Err(Stop::OutOfTime) => return self.hand_over(cases, seen).await,
                Err(stop) => return Err(stop),
            };
            if !waiting.is_empty() {
                continue;
            }
            let mut judgement = self.judge(&mut cases, seen).await?;
            let hands = self.hands;
            let fallen_back =
                fall_back(&mut cases, &judgement.settlement, &hands.direct, &mut paces.cuts, &self.deadline);
            match fallen_back.await {
                Ok(false) => {}
                Ok(true) => judgement = self.judge(&mut cases, judgement.snapshots).await?,
                Err(Stop::OutOfTime) => return self.hand_over(cases, judgement.snapshots).await,
                Err(stop) => return Err(stop),
            }
            waiting = requeued(&judgement.settlement);
            if waiting.is_empty() {
                promoted.extend(self.conclude(&cases, judgement).await);
                break;
            }
            // What is proved is labelled now, whatever becomes of the others.
            let labelled = self.promote(&judgement.settlement).await;
            seen = judgement.snapshots;
            relabel(&mut seen, &labelled);
            let attempt = waiting.iter().filter_map(|at| cases.get(*at)).map(|case| case.attempt).max();
            timer::sleep(REQUEUE_PAUSE * attempt.unwrap_or(1)).await;
        }
        Ok(promoted)
    }

    async fn judge(&self, cases: &mut [Case<'_>], seen: Vec<Snapshot>) -> Result<Judgement, Stop> {
        self.hands.settle.judge(self.policy, &self.run, cases, seen).await
    }

    /// Labels what has landed, before a continuation goes on: the reports are at hand here. What has not
    /// landed, or has to be done again, is the continuation's.
    async fn hand_over(
        &mut self,
        mut cases: Vec<Case<'_>>,
        seen: Vec<Snapshot>,
    ) -> Result<BTreeMap<SnapshotId, Consistency>, Stop> {
        let settled_until = self.in_air_since.unwrap_or_else(|| self.hands.config.clock.now()) - SKEW;
        cases.retain(|case| case.report.as_ref().is_some_and(|report| !report.snapshots.is_empty()));
        let failures = self.report.failures.len();
        if !cases.is_empty() {
            let judgement = self.judge(&mut cases, seen).await?;
            self.conclude(&cases, judgement).await;
        }
        if self.report.failures.len() == failures {
            self.settled_until = Some(settled_until);
        }
        Err(Stop::OutOfTime)
    }

    /// Has the orders carried out up to the first freeze, and tells how that went.
    async fn rehearse(&mut self, plan: &Plan) -> Result<(), Stop> {
        let mut cases = Case::of_orders(plan);
        let mut waiting: Vec<usize> = (0..cases.len()).collect();
        while !waiting.is_empty() {
            waiting = self.fly(plan, &mut cases, &waiting, &mut Paces::full()).await?;
        }
        self.report.plan = Some(plan.to_string());
        tell::rehearsed(&cases, &mut self.report);
        self.report.status = Status::Rehearsed;
        Ok(())
    }

    /// Sends the orders of these cases and waits for their end. Returns the cases whose order is to be
    /// sent again: whether it was sent was not known, and the look for it has shown that it was not.
    async fn fly(
        &mut self,
        plan: &Plan,
        cases: &mut [Case<'_>],
        waiting: &[usize],
        paces: &mut Paces,
    ) -> Result<Vec<usize>, Stop> {
        let key =
            signing_key::load_or_make(&self.hands.parameters, &self.hands.config.key_parameter()).await?;
        let mut air = Air::default();
        let (dispatch, gather, run) = (&self.hands.dispatch, &self.hands.gather, &self.run);
        let thaw = async |instance: &InstanceId| {
            dispatch.thaw(instance, run).await.map_err(|error| error.to_string())
        };
        for at in waiting.iter().take_while(|_| !self.deadline.is_near()) {
            let Some(order) = cases.get(*at).and_then(|case| case.order) else { continue };
            let sent_at = gather.now();
            let sending = dispatch.order(plan, order, &key, paces).await;
            if let Some(flight) = Flight::of(*at, cases, sending, sent_at) {
                air.add(flight);
            }
            if air.is_look_due() {
                gather.look(&mut air, cases, &thaw).await;
                if air.throttled > 0 {
                    paces.cuts.throttled();
                }
            }
        }
        let until = if self.deadline.is_near() { self.deadline.a_moment_more() } else { self.deadline };
        let gathered = gather.all(&mut air, cases, &until, thaw).await;
        self.in_air_since = air.oldest();
        let notes = air.thaws.into_iter().map(|(instance, sent)| tell::thaw_note(instance.as_str(), sent));
        self.report.warnings.extend(notes);
        gathered?;
        self.deadline.check()?;
        air.absent.retain(|at| cases.get(*at).is_some_and(|case| case.attempt < MOST_ATTEMPTS));
        Ok(air.absent)
    }

    /// The last resort for an instance whose helper ended without proof that all is thawed.
    async fn thaw(&mut self, instance: &InstanceId) {
        let sent = self.hands.dispatch.thaw(instance, &self.run).await.map_err(|error| error.to_string());
        self.report.warnings.push(tell::thaw_note(instance.as_str(), sent));
    }

    /// Writes the labels and tells what became of the cases.
    async fn conclude(
        &mut self,
        cases: &[Case<'_>],
        judgement: Judgement,
    ) -> BTreeMap<SnapshotId, Consistency> {
        let promoted = self.promote(&judgement.settlement).await;
        tell::settled(self.policy.consistency, cases, &judgement, &promoted, &mut self.report);
        promoted
    }

    /// Writes the labels; what could not be written stays `crash` and is settled by a later run.
    async fn promote(&mut self, settlement: &Settlement) -> BTreeMap<SnapshotId, Consistency> {
        if let Err(error) = self.hands.settle.promote(settlement).await {
            let message = format!("failed to label the snapshots, which stay crash for now: {error}");
            self.report.failures.push(Note::new("labels-not-written", message));
            return BTreeMap::new();
        }
        settlement
            .promotions()
            .into_iter()
            .flat_map(|(label, snapshots)| snapshots.into_iter().map(move |id| (id, label)))
            .collect()
    }

    /// Looks again, and deletes what the rules no longer keep.
    async fn prune(
        &mut self,
        instances: Vec<Instance>,
        promoted: &BTreeMap<SnapshotId, Consistency>,
    ) -> Result<(), Stop> {
        let observe = &self.hands.eyes.observe;
        let guards = async { Ok(Guarded::look(&self.hands.eyes.guards).await) };
        let (snapshots, volumes, guarded) = tokio::try_join!(observe.snapshots(), observe.volumes(), guards)
            .map_err(Stop::at("look at the snapshots before pruning"))?;
        let mut observed = Observed {
            now: self.hands.eyes.now_within(&self.slot),
            instances,
            volumes,
            snapshots,
            agents: BTreeMap::new(),
            orders_under_way: BTreeMap::new(),
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        };
        guarded.write_into(&mut observed);
        relabel(&mut observed.snapshots, promoted);
        let status = stillframe_plan::status(self.policy, &observed);
        self.metrics.restore_point_age_s = status.restore_point_age_s();
        self.metrics.volumes_overdue = Some(status.volumes_overdue());
        drop(status);
        let verdicts = stillframe_plan::prune(self.policy, &observed);
        self.report.prune.extend(prune::notes(&verdicts));
        tell::warned(&verdicts.warnings, &mut self.report);
        self.metrics.prune_blocked = prune::blocked(&verdicts);
        let hands = prune::Hands { delete: &self.hands.delete_snapshot, observe };
        hands.carry_out(&verdicts, &self.deadline, &mut self.report).await
    }
}
