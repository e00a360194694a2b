//! One look at the account: everything that a plan is made from, asked for at the same time.

use super::{
    concerned::{concerned, taken},
    evidence::needs_thaw,
    looks::PAGE,
    order::over_after,
};
use crate::{
    aws::{CallError, Document, Guards, Invocation, Invocations, Observe, Stage, StopHistory},
    clock::Clock,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::{BTreeMap, BTreeSet};
use stillframe_plan::{
    Agent, CrashReason, Instance, InstanceId, InstanceState, LastStop, Observed, Plan, Policy, RunId,
    SkipReason, Slot, Snapshot, Volume, Way,
};

/// What was seen of the orders of a policy and slot.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Those that have not ended.
    pub under_way: BTreeMap<InstanceId, RunId>,
    /// When the first of these was sent.
    pub oldest: Option<DateTime<Utc>>,
    /// Instances whose order has ended without proof that all is thawed, by command.
    pub to_thaw: BTreeMap<String, InstanceId>,
}

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

    /// From when on orders may be under way, if those before `settled_until` are known to have ended.
    #[must_use]
    pub fn orders_from(&self, settled_until: Option<DateTime<Utc>>) -> DateTime<Utc> {
        orders_from(self.clock.now(), settled_until)
    }

    /// The orders of this policy and slot that were sent since then.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn orders(
        &self,
        policy: &Policy,
        slot: &Slot,
        since: DateTime<Utc>,
    ) -> Result<Orders, CallError> {
        let listed = self.invocations.of_document(Document::Freeze, since).await?;
        Ok(orders(&listed, policy, slot, self.clock.now()))
    }

    /// Looks at the account for a run of this policy in this slot, of which `orders` are under way.
    /// What only pruning asks for is [`Guarded::look`](super::guarded::Guarded::look)'s.
    ///
    /// # Errors
    /// One of the calls failed: a plan from half a picture might take a live volume for a gone one.
    pub async fn look(
        &self,
        slot: &Slot,
        orders_under_way: BTreeMap<InstanceId, RunId>,
    ) -> Result<Observed, CallError> {
        let (volumes, instances, snapshots, agents) = tokio::try_join!(
            self.observe.volumes(),
            self.observe.instances(),
            self.observe.snapshots(),
            self.observe.agents(),
        )?;
        let seen = self.seen(slot, (volumes, instances, snapshots), orders_under_way);
        Ok(Observed { agents, ..seen })
    }

    /// Looks for a run that goes on, and has seen all the account when it began: at the volumes and instances
    /// again, at the snapshots of the slot of those that would get one if there were none, and of what still
    /// gets one at its agents and at what EC2's limits count. `plan` plans.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub async fn look_again(
        &self,
        policy: &Policy,
        slot: &Slot,
        orders_under_way: BTreeMap<InstanceId, RunId>,
        plan: impl Fn(&Observed) -> Plan,
    ) -> Result<Observed, CallError> {
        let (volumes, instances) = tokio::try_join!(self.observe.volumes(), self.observe.instances())?;
        let all = instances.iter().map(|instance| (instance.id.clone(), Agent::Online)).collect();
        let seen = self.seen(slot, (volumes, instances, Vec::new()), orders_under_way);
        let mut observed = Observed { agents: all, ..seen };
        let all = plan(&observed);
        let of = concerned(&all, &observed.volumes);
        observed.snapshots = self.observe.snapshots_of_slot(&policy.name, &slot.name, &of).await?;
        let left = plan(&observed);
        let volumes = taken(&left);
        let instances: Vec<InstanceId> = left.orders.into_iter().map(|order| order.call.instance).collect();
        let (unfinished, agents) = tokio::try_join!(
            self.observe.unfinished_snapshots(&volumes),
            self.observe.these_agents(&instances)
        )?;
        observed.snapshots.extend(unfinished);
        observed.agents = agents;
        Ok(observed)
    }

    fn seen(
        &self,
        slot: &Slot,
        (volumes, instances, snapshots): (Vec<Volume>, Vec<Instance>, Vec<Snapshot>),
        orders_under_way: BTreeMap<InstanceId, RunId>,
    ) -> Observed {
        Observed {
            now: self.now_within(slot),
            instances,
            volumes,
            snapshots,
            agents: BTreeMap::new(),
            orders_under_way,
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        }
    }

    /// What became of the orders that made these sets of an account of so many instances, of which the
    /// oldest was begun then: by one listing, or where they are few by one for each instance.
    ///
    /// # Errors
    /// They could not be listed.
    pub async fn orders_of(
        &self,
        sets: &BTreeSet<&InstanceId>,
        all_instances: usize,
        oldest: DateTime<Utc>,
    ) -> Result<Vec<Invocation>, CallError> {
        let since = oldest - over_after();
        if sets.len() >= all_instances.div_ceil(PAGE) {
            return self.invocations.of_document(Document::Freeze, since).await;
        }
        let mut listed = Vec::new();
        for instance in sets {
            listed.extend(self.invocations.on_instance(Document::Freeze, since, instance).await?);
        }
        Ok(listed)
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

/// What is said to be settled in time to come is not believed.
fn orders_from(now: DateTime<Utc>, settled_until: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let all = now - over_after();
    settled_until.filter(|until| *until <= now).map_or(all, |until| until.max(all))
}

/// Orders of this policy and slot. The comment of a command is its run's id.
fn orders(commands: &[Invocation], policy: &Policy, slot: &Slot, now: DateTime<Utc>) -> Orders {
    let ours = format!("{}/{}/", policy.name, slot.name);
    let mut orders = Orders::default();
    for command in commands.iter().filter(|command| command.comment.starts_with(&ours)) {
        let is_over = command.sent_at.is_some_and(|sent_at| sent_at < now - over_after());
        if command.stage == Stage::UnderWay && !is_over {
            orders.oldest = orders.oldest.into_iter().chain(command.sent_at).min();
            orders.under_way.insert(command.instance.clone(), RunId::from(command.comment.as_str()));
        } else if needs_thaw(command) {
            orders.to_thaw.insert(command.command.clone(), command.instance.clone());
        }
    }
    orders
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
    fn only_orders_of_this_policy_and_slot_count_and_none_is_under_way_for_ever() {
        let event = serde_json::json!({"policy": "daily", "select": {"tag:s": "d"}, "keep": {"last": 1}});
        let policy = Policy::read(&event).unwrap();
        let slot =
            Slot::of(policy.every, policy.timezone, DateTime::from_timestamp(1_795_000_000, 0).unwrap());
        let run = |policy: &str, slot: &str| format!("{policy}/{slot}/x");
        let ours = run("daily", &slot.name);
        let now = slot.start + TimeDelta::hours(1);
        let ago = |seconds| Some(now - TimeDelta::seconds(seconds));
        let over = over_after().num_seconds() + 1;
        let commands = [
            Invocation { sent_at: ago(20), ..command("i-1", &ours, Stage::UnderWay) },
            Invocation { sent_at: ago(30), ..command("i-2", &ours, Stage::UnderWay) },
            Invocation { sent_at: ago(40), ..command("i-3", &ours, Stage::Ended { exit: 0 }) },
            command("i-4", &run("daily", "2020-01-01"), Stage::UnderWay),
            command("i-5", &run("daily-2", &slot.name), Stage::UnderWay),
            command("i-6", "", Stage::UnderWay),
            Invocation { sent_at: ago(over), ..command("i-7", &ours, Stage::UnderWay) },
            command("i-8", &ours, Stage::Lost { details: "ExecutionTimedOut".to_owned() }),
        ];
        let found = orders(&commands, &policy, &slot, now);
        assert_eq!(found.under_way.keys().map(InstanceId::as_str).collect::<Vec<_>>(), ["i-1", "i-2"]);
        assert_eq!(found.oldest, ago(30));
        assert_eq!(found.to_thaw.values().map(InstanceId::as_str).collect::<Vec<_>>(), ["i-8"]);
    }

    #[test]
    fn orders_are_looked_for_as_far_back_as_one_may_have_been_sent_that_has_not_ended() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let ago = |seconds| now - TimeDelta::seconds(seconds);
        assert_eq!(orders_from(now, None), now - over_after());
        assert_eq!(orders_from(now, Some(ago(20))), ago(20));
        assert_eq!(orders_from(now, Some(ago(3_600))), now - over_after());
        assert_eq!(orders_from(now, Some(ago(-1))), now - over_after(), "time to come");
    }
}
