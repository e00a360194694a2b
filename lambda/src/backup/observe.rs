//! One look at the account: everything that a plan is made from, asked for at the same time.

use super::evidence::needs_thaw;
use crate::{
    aws::{CallError, Document, Guards, Invocation, Invocations, Observe, Stage, StopHistory},
    clock::Clock,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use stillframe_plan::{
    Agent, CrashReason, InstanceId, InstanceState, LastStop, Observed, Plan, Policy, RunId, SkipReason, Slot,
    Way,
};

/// How long before its snapshots an order may have been sent.
const LONGEST_ORDER: TimeDelta = TimeDelta::hours(1);
/// An order that was sent longer ago than this has ended, whatever happened to it: SSM gives it a minute to
/// start and five minutes to run, and says that it is lost thereafter.
const UNDER_WAY_AT_MOST: TimeDelta = TimeDelta::minutes(8);

/// The eyes of a run.
#[derive(Debug)]
pub struct Eyes {
    /// The describing calls.
    pub observe: Observe,
    /// What EC2 would not delete.
    pub guards: Guards,
    /// What became of commands.
    pub invocations: Invocations,
    /// How stopped instances were stopped.
    pub stop_history: StopHistory,
    /// What time it is.
    pub clock: Clock,
}

impl Eyes {
    /// What time it is; for a run that outlasts its slot, the slot's last second, so that all of the run
    /// is for one slot.
    #[must_use]
    pub fn now_within(&self, slot: &Slot) -> DateTime<Utc> {
        self.clock.now().min(slot.end - TimeDelta::seconds(1))
    }

    /// The orders of this policy and slot that have not ended.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn under_way(
        &self,
        policy: &Policy,
        slot: &Slot,
    ) -> Result<BTreeMap<InstanceId, RunId>, CallError> {
        let since = self.clock.now() - UNDER_WAY_AT_MOST;
        Ok(under_way(&self.invocations.of_document(Document::Freeze, since).await?, policy, slot))
    }

    /// Looks at the account for a run of this policy in this slot, of which `orders` are under way. With
    /// `agents` at every agent; without at none, for [`Self::look_at_agents`].
    /// What only pruning asks for is [`Guarded::look`](super::guarded::Guarded::look)'s.
    ///
    /// # Errors
    /// One of the calls failed: a plan from half a picture might take a live volume for a gone one.
    pub async fn look(
        &self,
        slot: &Slot,
        orders_under_way: BTreeMap<InstanceId, RunId>,
        agents: bool,
    ) -> Result<Observed, CallError> {
        let agents = async || if agents { self.observe.agents().await } else { Ok(BTreeMap::new()) };
        let (volumes, instances, snapshots, agents) = tokio::try_join!(
            self.observe.volumes(),
            self.observe.instances(),
            self.observe.snapshots(),
            agents(),
        )?;
        Ok(Observed {
            now: self.now_within(slot),
            instances,
            volumes,
            snapshots,
            agents,
            orders_under_way,
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        })
    }

    /// Looks at the agents of the instances that would get an order if all agents were there: of a fleet that
    /// is nearly done these are few.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn look_at_agents(
        &self,
        observed: &mut Observed,
        plan: impl FnOnce(&Observed) -> Plan,
    ) -> Result<(), CallError> {
        let all = observed.instances.iter().map(|instance| (instance.id.clone(), Agent::Online));
        observed.agents = all.collect();
        let orders = plan(observed).orders;
        let wanted: Vec<InstanceId> = orders.into_iter().map(|order| order.call.instance).collect();
        observed.agents = self.observe.these_agents(&wanted).await?;
        Ok(())
    }

    /// Those of the instances whose order has ended without proof that all is thawed.
    ///
    /// # Errors
    /// The orders could not be listed.
    pub async fn ended_frozen(
        &self,
        orders: &BTreeMap<InstanceId, RunId>,
    ) -> Result<Vec<InstanceId>, CallError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let commands =
            self.invocations.of_document(Document::Freeze, self.clock.now() - UNDER_WAY_AT_MOST * 2).await?;
        let ended = commands.into_iter().filter(|command| {
            orders.get(&command.instance).is_some_and(|run| command.carries(run.as_str()))
                && needs_thaw(command)
        });
        Ok(ended.map(|command| command.instance).collect())
    }

    /// Finds out how the instances came to be stopped whose plan depends on it, and writes it into the
    /// observation. Returns the instances of which it could not be found out, with the reason.
    pub async fn look_at_stops(&self, plan: &Plan, observed: &mut Observed) -> Vec<(InstanceId, CallError)> {
        let wanted = stops_that_matter(plan);
        let mut failed = Vec::new();
        for instance in observed.instances.iter_mut().filter(|instance| wanted.contains(&instance.id)) {
            if instance.state != InstanceState::Stopped || instance.last_stop != LastStop::Unknown {
                continue;
            }
            match self.stop_history.call(instance).await {
                Ok(stop) => instance.last_stop = stop,
                Err(error) => failed.push((instance.id.clone(), error)),
            }
        }
        failed
    }
}

/// Orders of this policy and slot that have not ended. The comment of a command is its run's id.
fn under_way(commands: &[Invocation], policy: &Policy, slot: &Slot) -> BTreeMap<InstanceId, RunId> {
    let ours = format!("{}/{}/", policy.name, slot.name);
    commands
        .iter()
        .filter(|command| command.stage == Stage::UnderWay && command.comment.starts_with(&ours))
        .map(|command| (command.instance.clone(), RunId::from(command.comment.as_str())))
        .collect()
}

/// Instances of which the plan says no more than that their stop is unknown.
fn stops_that_matter(plan: &Plan) -> BTreeSet<InstanceId> {
    let unknown = |way: &Way| *way == Way::Crash(CrashReason::UnknownStop);
    let sets = plan.sets.iter().filter(|set| unknown(&set.way)).map(|set| set.call.instance.clone());
    let volumes = plan
        .volumes
        .iter()
        .filter(|volume| unknown(&volume.way))
        .filter_map(|volume| volume.instance.clone());
    let skipped = plan
        .skipped
        .iter()
        .filter(|skipped| skipped.reason == SkipReason::CrashOnly(CrashReason::UnknownStop))
        .filter_map(|skipped| skipped.instance.clone());
    sets.chain(volumes).chain(skipped).collect()
}

/// When the oldest of these snapshots was begun, less the time that its order may have taken before.
#[must_use]
pub fn before_all<'a>(started: impl Iterator<Item = &'a DateTime<Utc>>) -> Option<DateTime<Utc>> {
    started.min().map(|oldest| *oldest - LONGEST_ORDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(instance: &str, comment: &str, stage: Stage) -> Invocation {
        Invocation {
            command: "c".to_owned(),
            instance: InstanceId::from(instance),
            comment: comment.to_owned(),
            sent_at: None,
            stage,
            output: String::new(),
        }
    }

    #[test]
    fn only_orders_of_this_policy_and_slot_that_have_not_ended_are_under_way() {
        let event = serde_json::json!({"policy": "daily", "select": {"tag:s": "d"}, "keep": {"last": 1}});
        let policy = Policy::read(&event).unwrap();
        let slot =
            Slot::of(policy.every, policy.timezone, DateTime::from_timestamp(1_795_000_000, 0).unwrap());
        let run = |policy: &str, slot: &str| format!("{policy}/{slot}/x");
        let commands = [
            command("i-1", &run("daily", &slot.name), Stage::UnderWay),
            command("i-2", &run("daily", &slot.name), Stage::Ended { exit: 0 }),
            command("i-3", &run("daily", "2020-01-01"), Stage::UnderWay),
            command("i-4", &run("daily-2", &slot.name), Stage::UnderWay),
            command("i-5", "", Stage::UnderWay),
        ];
        let found = under_way(&commands, &policy, &slot);
        assert_eq!(found.keys().map(InstanceId::as_str).collect::<Vec<_>>(), ["i-1"]);
    }
}
