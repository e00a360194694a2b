//! The work order of one planned order: the plan's words in the wire's, with an expiry. Pure.

use chrono::TimeDelta;
use std::time::Duration;
use stillframe_plan::{MAX_FREEZE_MS, Order, Plan};
use stillframe_wire::{AUDIENCE, IdError, InstanceId, OrderedVolume, RunId, VERSION, VolumeId, WorkOrder};

/// How long SSM may take to start the helper: an agent that is online takes seconds.
pub const DELIVERY: Duration = Duration::from_secs(60);
/// What the helper may take besides the freeze: resolving, READY, flushing, hooks.
const PREPARATION: Duration = Duration::from_secs(240);

/// After how long SSM ends the helper, for an order with this freeze.
#[must_use]
pub fn execution(max_freeze_ms: u64) -> Duration {
    PREPARATION + Duration::from_secs(max_freeze_ms.div_ceil(1_000))
}

/// How long the order stays good: whatever the helper may still do ends before.
#[must_use]
pub fn lifetime(max_freeze_ms: u64) -> Duration {
    DELIVERY + execution(max_freeze_ms)
}

/// How long SSM may take to say that an order has ended, once its lifetime is over.
const SAYS_SO: Duration = Duration::from_secs(60);

/// An order that was sent longer ago than this has ended, whatever happened to it and whichever policy it is
/// of. After the longest lifetime that an order may have SSM has killed what ran, and the signal function
/// makes no more snapshots by it.
#[must_use]
pub fn over_after() -> TimeDelta {
    TimeDelta::from_std(lifetime(MAX_FREEZE_MS) + SAYS_SO).unwrap_or(TimeDelta::MAX)
}

/// Writes the order, good from `now` (seconds since 1970).
///
/// # Errors
/// AWS gave an id that is none: nothing is ordered for what cannot be named.
pub fn work_order(plan: &Plan, order: &Order, signal_function: &str, now: u64) -> Result<WorkOrder, IdError> {
    let call = &order.call;
    Ok(WorkOrder {
        v: VERSION,
        aud: AUDIENCE.to_owned(),
        instance: InstanceId::new(call.instance.as_str())?,
        expires: now + lifetime(order.max_freeze_ms).as_secs(),
        run: RunId::new(plan.run.as_str())?,
        policy: plan.policy.clone(),
        slot: plan.slot.name.clone(),
        volumes: call
            .volumes
            .iter()
            .map(|volume| {
                Ok(OrderedVolume { id: VolumeId::new(volume.id.as_str())?, device: volume.device.clone() })
            })
            .collect::<Result<_, _>>()?,
        exclude_volumes: call
            .exclude_volumes
            .iter()
            .map(|id| VolumeId::new(id.as_str()))
            .collect::<Result<_, _>>()?,
        exclude_boot: call.exclude_boot,
        tags: call.tags.clone(),
        copy_volume_tags: call.copy_volume_tags,
        description: call.description.clone(),
        layout_tags: order.layout_tags,
        max_freeze_ms: order.max_freeze_ms,
        hooks: order.hooks,
        freeze_root: order.freeze_root,
        expedite_rcu: order.expedite_rcu,
        rehearse: order.rehearse,
        signal_function: signal_function.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_outlives_delivery_and_the_agents_timeout_and_the_timeout_outlives_the_freeze() {
        for freeze_ms in [1, 999, 10_000, 30_000] {
            assert!(execution(freeze_ms) > PREPARATION + Duration::from_millis(freeze_ms - 1));
            assert_eq!(lifetime(freeze_ms), DELIVERY + execution(freeze_ms));
            assert!(over_after() >= TimeDelta::from_std(lifetime(freeze_ms) + SAYS_SO).unwrap());
        }
    }
}
