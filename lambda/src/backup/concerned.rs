//! Whose snapshots a continuation has to see again. A run looked at all the account's when it began; what it
//! has made since is of the instances and volumes that it would still give something to do if nothing had
//! been made. Pure.
//!
//! A snapshot of an instance's volume carries the instance's id, and that finds it for a quarter of the calls
//! that it takes by volume ids, as long as the volume has been on that instance for all of the slot. Others are
//! looked for wherever they are.

use crate::aws::Made;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::BTreeMap;
use stillframe_plan::{Plan, SetCall, Volume, VolumeId};

/// How far EC2's clock may be from ours.
const SKEW: TimeDelta = TimeDelta::minutes(1);

/// Whose snapshots of the slot matter to a run with this plan, which was made as if there were none.
#[must_use]
pub fn concerned<'p>(plan: &'p Plan, volumes: &[Volume]) -> Made<'p> {
    let since: BTreeMap<&VolumeId, Option<DateTime<Utc>>> = volumes
        .iter()
        .map(|volume| (&volume.id, volume.current_attachment().and_then(|attachment| attachment.since)))
        .collect();
    let all_slot_long = |volume: &VolumeId| {
        let since = since.get(volume).copied().flatten();
        since.is_some_and(|since| since < plan.slot.start - SKEW)
    };
    let mut made = Made::default();
    for call in calls(plan) {
        let (here, moved): (Vec<_>, Vec<_>) =
            call.volumes.iter().map(|volume| &volume.id).partition(|volume| all_slot_long(volume));
        if !here.is_empty() {
            made.instances.push((&call.instance, here.len()));
        }
        made.volumes.extend(moved);
    }
    made.volumes.extend(plan.volumes.iter().map(|volume| &volume.volume));
    made
}

/// The volumes that a plan takes, all told.
#[must_use]
pub fn taken(plan: &Plan) -> Vec<VolumeId> {
    let of_calls = calls(plan).flat_map(|call| &call.volumes).map(|volume| &volume.id);
    of_calls.chain(plan.volumes.iter().map(|volume| &volume.volume)).cloned().collect()
}

fn calls(plan: &Plan) -> impl Iterator<Item = &SetCall> {
    plan.orders.iter().map(|order| &order.call).chain(plan.sets.iter().map(|set| &set.call))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_plan::{
        Agent, Attachment, AttachmentState, Instance, InstanceState, LastStop, Limits, Observed, Policy,
        RunId, Tags, VolumeState, plan,
    };

    fn now() -> DateTime<Utc> {
        "2026-11-22T03:00:00Z".parse().unwrap()
    }

    fn instance(id: &str, state: InstanceState) -> Instance {
        Instance {
            id: id.into(),
            state,
            launched_at: now() - TimeDelta::days(9),
            last_stop: LastStop::ByItsSystem,
            tags: Tags::new(),
            root_device: None,
            hibernation_configured: false,
        }
    }

    fn volume(id: &str, on: Option<(&str, &str)>) -> Volume {
        Volume {
            id: id.into(),
            size_gib: 1,
            kind: "gp3".to_owned(),
            tags: Tags::from([("s".to_owned(), "d".to_owned())]),
            attachment: on.map(|(instance, since)| Attachment {
                instance: instance.into(),
                device: format!("/dev/{id}"),
                state: AttachmentState::Attached,
                since: since.parse().ok(),
            }),
            created_at: now() - TimeDelta::days(9),
            state: if on.is_some() { VolumeState::InUse } else { VolumeState::Available },
            multi_attach: false,
        }
    }

    #[test]
    fn a_volume_that_may_have_moved_in_the_slot_is_looked_for_wherever_it_is() {
        let event = serde_json::json!({"policy": "daily", "select": {"tag:s": "d"}, "keep": {"last": 1}});
        let policy = Policy::read(&event).unwrap();
        let long = "2026-11-21T23:00:00Z";
        let volumes = vec![
            volume("vol-1", Some(("i-1", long))),
            volume("vol-2", Some(("i-1", long))),
            volume("vol-3", Some(("i-1", "2026-11-21T23:59:30Z"))),
            volume("vol-4", Some(("i-2", "not told"))),
            volume("vol-5", Some(("i-3", long))),
            volume("vol-6", None),
        ];
        let observed = Observed {
            now: now(),
            instances: vec![
                instance("i-1", InstanceState::Running),
                instance("i-2", InstanceState::Running),
                instance("i-3", InstanceState::Stopped),
            ],
            volumes,
            snapshots: vec![],
            agents: ["i-1", "i-2", "i-3"].map(|id| (id.into(), Agent::Online)).into(),
            orders_under_way: Default::default(),
            used_by_images: Default::default(),
            locked: Default::default(),
            guards_unseen: None,
        };
        let plan = plan(&policy, &RunId::from("daily/2026-11-22/x"), &observed, &Limits::default());
        let made = concerned(&plan, &observed.volumes);
        let instances: Vec<_> = made.instances.iter().map(|(id, count)| (id.as_str(), *count)).collect();
        assert_eq!(instances, [("i-1", 2), ("i-3", 1)]);
        let volumes: Vec<_> = made.volumes.iter().map(|id| id.as_str()).collect();
        assert_eq!(volumes, ["vol-3", "vol-4", "vol-6"]);
        assert_eq!(taken(&plan).len(), 6);
    }
}
