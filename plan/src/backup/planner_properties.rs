//! What holds for every plan, whatever was seen.

use crate::backup::*;
use crate::observed::*;
use crate::policy::Policy;
use crate::tags::Tags;
use crate::world::*;
use crate::{VolumeId, tags};
use chrono::TimeDelta;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

fn any_instance(number: usize) -> impl Strategy<Value = Instance> {
    let states = vec![
        InstanceState::Running,
        InstanceState::Running,
        InstanceState::Running,
        InstanceState::Stopped,
        InstanceState::Stopped,
        InstanceState::Stopping,
    ];
    let stops = vec![LastStop::ByItsSystem, LastStop::ByUser, LastStop::Forced, LastStop::Unknown];
    (select(states), select(stops), prop::bool::weighted(0.1), prop::bool::weighted(0.3)).prop_map(
        move |(state, last_stop, hibernation_configured, selected)| Instance {
            state,
            last_stop,
            hibernation_configured,
            tags: if selected { tags_of(&[("stillframe", "daily")]) } else { Tags::new() },
            ..instance(instance_id(number).as_str())
        },
    )
}

fn any_volume(number: usize) -> impl Strategy<Value = Volume> {
    let devices = vec!["/dev/xvda", "/dev/sdf", "/dev/sdg", "/dev/sdh"];
    let attachments = vec![
        AttachmentState::Attached,
        AttachmentState::Attached,
        AttachmentState::Attached,
        AttachmentState::Busy,
    ];
    let own = vec![
        tags_of(&[("stillframe", "daily")]),
        tags_of(&[("stillframe", "daily"), ("role", "db")]),
        tags_of(&[("stillframe", "daily"), (tags::SKIP, "x")]),
        tags_of(&[("stillframe", "daily"), (tags::RUN, "old")]),
        Tags::new(),
    ];
    (
        prop::option::weighted(0.85, 0_usize..4),
        select(devices),
        select(attachments),
        select(own),
        prop::bool::weighted(0.1),
        select(vec!["gp3", "st1"]),
    )
        .prop_map(move |(on, device, state, own, multi_attach, kind)| {
            let on = on.map(instance_id);
            let id = format!("vol-{number}");
            let mut volume = volume(&id, on.as_ref().map(|id| (id.as_str(), device)));
            if let Some(attachment) = &mut volume.attachment {
                attachment.state = state;
            }
            Volume { tags: own, multi_attach, kind: kind.to_owned(), ..volume }
        })
}

fn any_snapshot(number: usize) -> impl Strategy<Value = Snapshot> {
    let states = vec![
        SnapshotState::Completed,
        SnapshotState::Completed,
        SnapshotState::Pending,
        SnapshotState::Error,
    ];
    let runs = vec!["daily/2026-11-22/a", "daily/2026-11-22/b", "daily/2026-11-21/c"];
    let labels = vec!["crash", "filesystem", "offline"];
    (0_usize..12, select(runs), select(labels), select(states), 0_i64..4_000, prop::bool::weighted(0.2))
        .prop_map(move |(volume, run, label, state, seconds, foreign)| {
            let at = now() - TimeDelta::seconds(seconds);
            let made = snapshot(&format!("snap-{number}"), &format!("vol-{volume}"), run, at);
            let made = made.labelled(label).in_state(state);
            if foreign { Snapshot { tags: Default::default(), ..made } } else { made }
        })
}

/// An account of up to four instances, twelve volumes and a few snapshots.
fn any_observed() -> impl Strategy<Value = Observed> {
    let instances: Vec<_> = (0..4).map(any_instance).collect();
    let volumes: Vec<_> = (0..12).map(any_volume).collect();
    let agents = vec(select(vec![Some(Agent::Online), Some(Agent::Online), Some(Agent::Offline), None]), 4);
    let snapshots: Vec<_> = (0..10).map(any_snapshot).collect();
    (instances, volumes, agents, snapshots, 0_usize..10, prop::bool::weighted(0.1)).prop_map(
        |(instances, volumes, agents, mut snapshots, few, under_way)| {
            snapshots.truncate(few);
            let mut observed = empty();
            for (instance, agent) in instances.into_iter().zip(agents) {
                observed = observed.with(instance, agent, vec![]);
            }
            if under_way {
                observed.orders_under_way.insert(instance_id(1), "daily/2026-11-22/a".into());
            }
            Observed { volumes, snapshots, ..observed }
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (select(vec!["filesystem", "crash"]), select(vec!["crash", "skip"]), any::<bool>()).prop_map(
        |(consistency, on_failure, freeze_root)| {
            policy(json!({"consistency": consistency, "on_failure": on_failure, "freeze_root": freeze_root}))
        },
    )
}

fn calls(plan: &Plan) -> impl Iterator<Item = &SetCall> {
    plan.orders.iter().map(|order| &order.call).chain(plan.sets.iter().map(|set| &set.call))
}

fn taken(plan: &Plan) -> Vec<&VolumeId> {
    calls(plan)
        .flat_map(|call| call.volumes.iter().map(|volume| &volume.id))
        .chain(plan.volumes.iter().map(|direct| &direct.volume))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(384), ..ProptestConfig::default() })]

    #[test]
    fn each_selected_volume_is_taken_once_or_skipped_once(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        let mut named: Vec<&VolumeId> = taken(&plan);
        named.extend(plan.skipped.iter().map(|skipped| &skipped.volume));
        let unique: BTreeSet<_> = named.iter().copied().collect();
        prop_assert_eq!(unique.len(), named.len(), "named twice: {}", plan);

        let instances: BTreeMap<_, _> = observed.instances.iter().map(|i| (&i.id, &i.tags)).collect();
        let selected: BTreeSet<_> = observed
            .volumes
            .iter()
            .filter(|volume| {
                let on = volume.attachment.as_ref().and_then(|on| instances.get(&on.instance));
                volume.tags.contains_key("stillframe") || on.is_some_and(|tags| tags.contains_key("stillframe"))
            })
            .map(|volume| &volume.id)
            .collect();
        prop_assert_eq!(unique, selected);
    }

    #[test]
    fn no_volume_is_taken_whose_slot_is_done_or_that_is_out_of_bounds(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        for id in taken(&plan) {
            let volume = observed.volumes.iter().find(|volume| &volume.id == id).unwrap();
            prop_assert!(!volume.tags.contains_key(tags::SKIP));
            let mine: Vec<_> = observed.snapshots.iter().filter(|snapshot| &snapshot.volume == id).collect();
            for snapshot in &mine {
                prop_assert!(observed.now - snapshot.started_at >= TimeDelta::seconds(15));
                if snapshot.policy() != Some("daily") || snapshot.slot() != Some("2026-11-22") {
                    continue;
                }
                prop_assert_ne!(snapshot.state, SnapshotState::Pending, "{} was pending", snapshot.id);
                if snapshot.state == SnapshotState::Completed {
                    prop_assert!(!policy.takes_crash(), "{} was there", snapshot.id);
                    prop_assert!(!policy.is_satisfied_by(snapshot.label()), "{} was good", snapshot.id);
                }
            }
            let busy = mine.iter().filter(|s| matches!(s.state, SnapshotState::Pending | SnapshotState::Error));
            let limit = if volume.kind == "st1" { 1 } else { 5 };
            prop_assert!(busy.count() < limit);
        }
    }

    #[test]
    fn a_set_is_all_that_is_attached_less_what_is_excluded(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        for call in calls(&plan).chain(plan.orders.iter().filter_map(|order| order.fallback.as_ref())) {
            let instance = observed.instances.iter().find(|instance| instance.id == call.instance).unwrap();
            let mut in_the_set = BTreeSet::new();
            for volume in &observed.volumes {
                let Some(on) = volume.attachment.as_ref().filter(|on| on.instance == call.instance) else { continue };
                let boot = Some(&on.device) == instance.root_device.as_ref();
                prop_assert!(!(boot && call.exclude_volumes.contains(&volume.id)), "EC2 refuses the boot volume there");
                if if boot { !call.exclude_boot } else { !call.exclude_volumes.contains(&volume.id) } {
                    in_the_set.insert(&volume.id);
                }
            }
            let wanted: BTreeSet<_> = call.volumes.iter().map(|volume| &volume.id).collect();
            // Two volumes under the boot device's name are no account that exists.
            let boots = observed.volumes.iter().filter(|volume| {
                volume.attachment.as_ref().is_some_and(|on| on.instance == call.instance && on.device == "/dev/xvda")
            });
            if boots.count() <= 1 {
                prop_assert_eq!(wanted, in_the_set);
            }
            prop_assert!(!call.volumes.is_empty() && call.exclude_volumes.len() <= 40);
        }
    }

    #[test]
    fn nothing_weaker_is_taken_than_the_policy_takes(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        let ways = plan.sets.iter().map(|set| &set.way).chain(plan.volumes.iter().map(|direct| &direct.way));
        for way in ways {
            prop_assert!(!matches!(way, Way::Crash(_)) || policy.takes_crash(), "{}", plan);
        }
        prop_assert!(plan.orders.iter().all(|order| order.fallback.is_none() || policy.takes_crash()));
    }

    #[test]
    fn the_tags_of_every_snapshot_fit(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        for call in calls(&plan) {
            for planned in &call.volumes {
                let volume = observed.volumes.iter().find(|volume| volume.id == planned.id).unwrap();
                let own = if call.copy_volume_tags { volume.tags.clone() } else { Tags::new() };
                prop_assert!(own.keys().all(|key| !call.tags.contains_key(key)), "a key twice");
                let layout = plan.orders.iter().find(|order| &order.call == call).map_or(0, |order| order.layout_tags);
                prop_assert!(own.len() + call.tags.len() + layout <= tags::MOST);
            }
        }
        prop_assert!(plan.volumes.iter().all(|direct| direct.tags.len() <= tags::MOST));
    }

    #[test]
    fn the_order_of_what_was_seen_makes_no_difference(
        policy in any_policy(), observed in any_observed(), turn in 0_usize..12,
    ) {
        let mut turned = observed.clone();
        turned.volumes.rotate_left(turn);
        turned.instances.reverse();
        turned.snapshots.reverse();
        // Pages overlap.
        turned.volumes.extend(observed.volumes.iter().take(turn).cloned());
        turned.snapshots.extend(observed.snapshots.iter().take(turn).cloned());
        prop_assert_eq!(planned(&policy, &turned), planned(&policy, &observed));
    }

    #[test]
    fn what_a_plan_makes_finishes_its_slot(policy in any_policy(), observed in any_observed()) {
        let plan = planned(&policy, &observed);
        let mut later = observed.clone();
        for (number, expected) in plan.expectations().into_iter().enumerate() {
            for id in &expected.volumes {
                let mut made = snapshot(&format!("snap-new-{number}-{id}"), id.as_str(), RUN, later.now);
                made = made.labelled("filesystem").in_state(SnapshotState::Pending);
                later.snapshots.push(made);
            }
        }
        let again = planned(&policy, &later);
        prop_assert!(taken(&again).is_empty(), "planned twice: {}", again);
    }
}
