use crate::backup::*;
use crate::observed::*;
use crate::tags::Tags;
use crate::warning::*;
use crate::world::*;
use crate::{Consistency, InstanceId, Target, VolumeId, layout, tags};
use chrono::TimeDelta;
use insta::assert_snapshot;
use serde_json::json;

/// `i-1` with agent: a boot volume that is not selected, data on `vol-1` and `vol-2`.
fn database() -> Observed {
    let boot = Volume { tags: Tags::new(), ..volume("vol-0", Some(("i-1", "/dev/xvda"))) };
    empty().with(
        instance("i-1"),
        Some(Agent::Online),
        vec![boot, volume("vol-1", Some(("i-1", "/dev/sdf"))), volume("vol-2", Some(("i-1", "/dev/sdg")))],
    )
}

fn only_skip(plan: &Plan) -> &SkipReason {
    assert!(plan.orders.is_empty() && plan.sets.is_empty() && plan.volumes.is_empty(), "{plan}");
    &plan.skipped.first().unwrap().reason
}

#[test]
fn a_plan_reads_as_what_will_be_done() {
    let observed = database()
        .with(
            stopped("i-2", LastStop::ByUser),
            None,
            vec![volume("vol-3", Some(("i-2", "/dev/xvda"))), volume("vol-4", Some(("i-2", "/dev/sdf")))],
        )
        .with(instance("i-3"), Some(Agent::Offline), vec![volume("vol-5", Some(("i-3", "/dev/sdf")))])
        .with_volume(volume("vol-6", None))
        .with_volume(Volume {
            tags: tags_of(&[("stillframe", "daily"), (tags::SKIP, "")]),
            ..volume("vol-7", None)
        })
        .with_snapshots([snapshot(
            "snap-2",
            "vol-2",
            "daily/2026-11-22/first",
            now() - TimeDelta::minutes(9),
        )
        .labelled("filesystem")]);
    assert_snapshot!(planned(&policy(json!({})), &observed), @r"
    policy daily, slot 2026-11-22, asks for filesystem, run daily/2026-11-22/k3v9x2
    instance  volume  device            size   how
    i-1       vol-1   /dev/sdf          8 GiB  freeze
    i-2       vol-3   /dev/xvda (boot)  8 GiB  instance stopped
    i-2       vol-4   /dev/sdf          8 GiB  instance stopped
    i-3       vol-5   /dev/sdf          8 GiB  crash: the agent on the instance does not answer
    -         vol-6   -                 8 GiB  by itself, volume detached
    i-1       vol-2                            skip: slot done by snap-2 (filesystem)
    -         vol-7                            skip: tagged stillframe:skip
    7 volumes selected: 1 by freeze, 4 directly, 1 done, 1 skipped
    ");
}

#[test]
fn an_order_says_all_that_the_signal_function_needs() {
    let policy = policy(json!({"tags": {"team": "search"}, "max_freeze_ms": 4000, "freeze_root": true}));
    let plan = planned(&policy, &database());
    let [order] = plan.orders.as_slice() else { panic!("{plan}") };
    assert_eq!(
        order
            .call
            .volumes
            .iter()
            .map(|volume| (volume.id.as_str(), volume.device.as_str()))
            .collect::<Vec<_>>(),
        [("vol-1", "/dev/sdf"), ("vol-2", "/dev/sdg")]
    );
    assert!(order.call.exclude_boot && order.call.exclude_volumes.is_empty() && order.call.copy_volume_tags);
    assert_eq!(
        order.call.tags,
        tags_of(&[
            ("stillframe:policy", "daily"),
            ("stillframe:run", RUN),
            ("stillframe:slot", "2026-11-22"),
            ("stillframe:instance", "i-1"),
            ("stillframe:consistency", "crash"),
            ("stillframe:instance.role", "db"),
            ("stillframe:born.0", "1:tnsqo0+2:tnsqo0"),
            ("team", "search"),
        ])
    );
    // 50 less eight of the set and one of the volume's own.
    assert_eq!(order.layout_tags, 41);
    assert_eq!((order.max_freeze_ms, order.freeze_root, order.hooks), (4_000, true, true));
    assert_eq!(order.call.description, "stillframe daily 2026-11-22");

    let fallback = order.fallback.as_ref().unwrap();
    let named: Vec<_> = layout::decode(&fallback.tags)
        .unwrap()
        .into_iter()
        .map(|r| (r.volume.to_string(), r.device))
        .collect();
    assert_eq!(
        named,
        [("vol-1".to_owned(), "/dev/sdf".to_owned()), ("vol-2".to_owned(), "/dev/sdg".to_owned())]
    );
}

#[test]
fn a_policy_that_takes_no_crash_has_no_fallback() {
    let plan = planned(&policy(json!({"on_failure": "skip"})), &database());
    assert!(plan.orders[0].fallback.is_none());
}

#[test]
fn how_an_instance_is_taken() {
    use CrashReason::*;
    let crash = |reason| Some(Way::Crash(reason));
    let before = |last_stop| StoppedBefore { launched_at: time("2026-11-01"), last_stop };
    for (name, instance, agent, changes, expected) in [
        ("online", instance("i-1"), Some(Agent::Online), json!({}), None),
        ("no agent", instance("i-1"), None, json!({}), crash(NoAgent)),
        ("offline", instance("i-1"), Some(Agent::Offline), json!({}), crash(AgentOffline)),
        ("crash asked", instance("i-1"), Some(Agent::Online), json!({"consistency": "crash"}), crash(Asked)),
        ("crash asked, no agent", instance("i-1"), None, json!({"consistency": "crash"}), crash(Asked)),
        (
            "stopped by itself",
            stopped("i-1", LastStop::ByItsSystem),
            Some(Agent::Offline),
            json!({}),
            Some(Way::Stopped(before(LastStop::ByItsSystem))),
        ),
        (
            "stopped, crash asked",
            stopped("i-1", LastStop::ByUser),
            None,
            json!({"consistency": "crash"}),
            Some(Way::Stopped(before(LastStop::ByUser))),
        ),
        ("forced", stopped("i-1", LastStop::Forced), None, json!({}), crash(ForcedStop)),
        ("not known", stopped("i-1", LastStop::Unknown), None, json!({}), crash(UnknownStop)),
    ] {
        let on = Some(("i-1", "/dev/sdf"));
        let observed = empty().with(instance, agent, vec![volume("vol-1", on)]);
        let plan = planned(&policy(changes.clone()), &observed);
        assert_eq!(plan.sets.first().map(|set| set.way.clone()), expected, "{name}");
        assert_eq!(plan.orders.len(), usize::from(expected.is_none()), "{name}");

        // Without leave for crash-consistent snapshots the same is skipped, with the same reason.
        let mut strict = changes;
        strict["on_failure"] = json!("skip");
        let plan = planned(&policy(strict), &observed);
        match expected {
            Some(Way::Crash(reason)) if reason != Asked => {
                assert_eq!(only_skip(&plan), &SkipReason::CrashOnly(reason), "{name}");
            }
            _ => assert!(plan.skipped.is_empty(), "{name}: {plan}"),
        }
    }
}

#[test]
fn a_boot_volume_alone_is_not_worth_an_order_unless_it_is_frozen() {
    let boot = volume("vol-1", Some(("i-1", "/dev/xvda")));
    let observed = empty().with(instance("i-1"), Some(Agent::Online), vec![boot]);
    assert_eq!(planned(&policy(json!({})), &observed).sets[0].way, Way::Crash(CrashReason::BootOnly));
    assert_eq!(planned(&policy(json!({"freeze_root": true})), &observed).orders.len(), 1);
}

#[test]
fn what_ec2_cannot_take_as_a_set_is_taken_one_by_one() {
    let hibernating = Instance { hibernation_configured: true, ..instance("i-1") };
    let volumes =
        || vec![volume("vol-1", Some(("i-1", "/dev/sdf"))), volume("vol-2", Some(("i-1", "/dev/sdg")))];
    let plan = planned(&policy(json!({})), &empty().with(hibernating, Some(Agent::Online), volumes()));
    assert!(plan.orders.is_empty() && plan.sets.is_empty());
    assert_eq!(plan.volumes.len(), 2);
    assert!(plan.volumes.iter().all(|direct| direct.way == Way::Crash(CrashReason::Hibernation)));

    // A stop proves nothing then: what was in memory may have been kept.
    let hibernated = Instance { hibernation_configured: true, ..stopped("i-1", LastStop::ByUser) };
    let plan = planned(&policy(json!({})), &empty().with(hibernated, None, volumes()));
    assert!(plan.volumes.iter().all(|direct| direct.way == Way::Crash(CrashReason::Hibernation)));

    let shared = Volume { multi_attach: true, ..volume("vol-2", Some(("i-1", "/dev/sdg"))) };
    let mut observed = empty().with(instance("i-1"), Some(Agent::Online), volumes());
    observed.volumes[1] = shared;
    let plan = planned(&policy(json!({})), &observed);
    assert_eq!(plan.orders[0].call.exclude_volumes, [VolumeId::from("vol-2")]);
    assert_eq!(plan.volumes[0].way, Way::Crash(CrashReason::MultiAttach));
}

#[test]
fn forty_data_volumes_can_be_excluded_and_no_more() {
    let with_others = |others: usize, state: fn() -> (Instance, Option<Agent>)| {
        let (instance, agent) = state();
        let other = |n: usize| Volume {
            tags: Tags::new(),
            ..volume(&format!("vol-other-{n}"), Some(("i-1", &format!("/dev/sdh{n}"))))
        };
        empty()
            .with(instance, agent, (0..others).map(other).collect())
            .with_volume(volume("vol-1", Some(("i-1", "/dev/sdf"))))
    };
    let online: fn() -> _ = || (instance("i-1"), Some(Agent::Online));
    let plan = planned(&policy(json!({})), &with_others(40, online));
    assert_eq!(plan.orders[0].call.exclude_volumes.len(), 40);
    let plan = planned(&policy(json!({})), &with_others(41, online));
    let reason = CrashReason::TooManyToExclude { excluded: 41, limit: 40 };
    assert_eq!(plan.volumes[0].way, Way::Crash(reason));
    let plan = planned(&policy(json!({"on_failure": "skip"})), &with_others(41, online));
    assert_eq!(only_skip(&plan), &SkipReason::CrashOnly(reason));
    // Nothing is lost by it where the instance is stopped.
    let plan = planned(&policy(json!({})), &with_others(41, || (stopped("i-1", LastStop::ByUser), None)));
    assert!(matches!(plan.volumes[0].way, Way::Stopped(_)));
}

#[test]
fn why_a_volume_is_left_alone() {
    let attached = |state| {
        let mut volume = volume("vol-1", Some(("i-1", "/dev/sdf")));
        volume.attachment.as_mut().unwrap().state = state;
        database_of(volume)
    };
    let made = |seconds, state| {
        database_of(volume("vol-1", Some(("i-1", "/dev/sdf"))))
            .with_snapshots([foreign("snap-1", seconds, state)])
    };
    let pending = |count: i64, kind: &str| {
        let volume = Volume { kind: kind.to_owned(), ..volume("vol-1", Some(("i-1", "/dev/sdf"))) };
        let pending = |n| foreign(&format!("snap-{n}"), 100 + n, SnapshotState::Pending);
        database_of(volume).with_snapshots((0..count).map(pending))
    };
    let on =
        |instance: Instance| empty().with(instance, None, vec![volume("vol-1", Some(("i-1", "/dev/sdf")))]);
    let in_state = |state| on(Instance { state, ..instance("i-1") });
    let full = |pending, failed, limit| SkipReason::PendingLimit { pending, failed, limit };
    let mut failed = pending(4, "gp3");
    failed.snapshots.push(foreign("snap-failed", 9_000, SnapshotState::Error));

    for (observed, expected) in [
        (in_state(InstanceState::Pending), Some(SkipReason::Instance(InstanceState::Pending))),
        (in_state(InstanceState::Stopping), Some(SkipReason::Instance(InstanceState::Stopping))),
        (in_state(InstanceState::ShuttingDown), Some(SkipReason::Instance(InstanceState::ShuttingDown))),
        (attached(AttachmentState::Attaching), Some(SkipReason::Attachment(AttachmentState::Attaching))),
        (attached(AttachmentState::Busy), Some(SkipReason::Attachment(AttachmentState::Busy))),
        (
            empty().with_volume(volume("vol-1", Some(("i-9", "/dev/sdf")))),
            Some(SkipReason::InstanceUnseen { instance: "i-9".into() }),
        ),
        (
            empty().with_volume(Volume { state: VolumeState::Creating, ..volume("vol-1", None) }),
            Some(SkipReason::Volume(VolumeState::Creating)),
        ),
        (made(14, SnapshotState::Completed), Some(SkipReason::TooSoon { wait_s: 1 })),
        (made(15, SnapshotState::Completed), None),
        (pending(4, "gp3"), None),
        (pending(5, "gp3"), Some(full(5, 0, 5))),
        (failed, Some(full(4, 1, 5))),
        (pending(1, "st1"), Some(full(1, 0, 1))),
        (pending(1, "sc1"), Some(full(1, 0, 1))),
    ] {
        let plan = planned(&policy(json!({})), &observed);
        match expected {
            Some(reason) => assert_eq!(only_skip(&plan), &reason),
            None => assert_eq!(plan.orders.len(), 1, "{plan}"),
        }
    }
}

fn database_of(volume: Volume) -> Observed {
    empty().with(instance("i-1"), Some(Agent::Online), vec![volume])
}

/// A snapshot of `vol-1` that is none of ours.
fn foreign(id: &str, seconds_ago: i64, state: SnapshotState) -> Snapshot {
    let made = snapshot(id, "vol-1", "", now() - TimeDelta::seconds(seconds_ago)).in_state(state);
    Snapshot { tags: Default::default(), ..made }
}

/// What stands in the slot, and whether that finishes it for a policy that takes crash and one that does not.
#[test]
fn when_a_slot_is_done() {
    use SnapshotState::{Completed, Error, Pending, Recoverable};
    for (label, state, takes_crash, strict) in [
        ("filesystem", Completed, "done", "done"),
        ("application", Completed, "done", "done"),
        ("offline", Completed, "done", "done"),
        ("filesystem", Pending, "in progress", "in progress"),
        ("crash", Completed, "done", "open"),
        ("crash", Pending, "in progress", "in progress"),
        ("unheard-of", Completed, "done", "open"),
        ("filesystem", Error, "open", "open"),
        ("crash", Error, "open", "open"),
        ("filesystem", Recoverable, "open", "open"),
    ] {
        let made = snapshot("snap-1", "vol-1", "daily/2026-11-22/a", now() - TimeDelta::minutes(30));
        let observed = database_of(volume("vol-1", Some(("i-1", "/dev/sdf"))))
            .with_snapshots([made.labelled(label).in_state(state)]);
        for (on_failure, expected) in [("crash", takes_crash), ("skip", strict)] {
            let plan = planned(&policy(json!({"on_failure": on_failure})), &observed);
            let found = match plan.skipped.first().map(|skipped| &skipped.reason) {
                Some(SkipReason::Done { .. }) => "done",
                Some(SkipReason::InProgress { .. }) => "in progress",
                None => "open",
                Some(other) => panic!("{other}"),
            };
            assert_eq!(found, expected, "{label} {state:?}, on_failure {on_failure}");
            let behind = matches!(label, "crash" | "unheard-of") && matches!(state, Completed | Pending);
            assert_eq!(plan.unsettled.len(), usize::from(behind), "{label} {state:?}");
        }
    }
}

#[test]
fn only_this_slot_and_this_policy_count() {
    let made = || {
        snapshot("snap-1", "vol-1", "daily/2026-11-22/a", now() - TimeDelta::minutes(30))
            .labelled("filesystem")
    };
    for other in [
        made().tagged(tags::SLOT, "2026-11-21"),
        made().tagged(tags::POLICY, "hourly"),
        Snapshot { volume: "vol-9".into(), ..made() },
        Snapshot { tags: Default::default(), ..made() },
    ] {
        let observed = database_of(volume("vol-1", Some(("i-1", "/dev/sdf")))).with_snapshots([other]);
        let plan = planned(&policy(json!({})), &observed);
        assert_eq!(plan.orders.len(), 1, "{plan}");
        assert!(plan.unsettled.is_empty());
    }
}

#[test]
fn a_slot_that_is_partly_done_is_finished_not_repeated() {
    let made = snapshot("snap-1", "vol-1", "daily/2026-11-22/a", now() - TimeDelta::minutes(30));
    let plan = planned(&policy(json!({})), &database().with_snapshots([made.labelled("filesystem")]));
    let [order] = plan.orders.as_slice() else { panic!("{plan}") };
    assert_eq!(order.call.volumes.iter().map(|volume| volume.id.as_str()).collect::<Vec<_>>(), ["vol-2"]);
    assert_eq!(order.call.exclude_volumes, [VolumeId::from("vol-1")]);
    assert!(order.call.exclude_boot);
}

#[test]
fn an_instance_that_still_works_on_an_order_gets_no_second_one() {
    let mut observed = database();
    observed.orders_under_way.insert("i-1".into(), "daily/2026-11-22/a".into());
    let plan = planned(&policy(json!({})), &observed);
    assert_eq!(only_skip(&plan), &SkipReason::OrderUnderWay { run: "daily/2026-11-22/a".into() });
}

#[test]
fn a_boot_volume_left_crash_in_a_frozen_set_is_as_asked() {
    let run = "daily/2026-11-22/a";
    let at = now() - TimeDelta::minutes(30);
    let boot = volume("vol-0", Some(("i-1", "/dev/xvda")));
    let data = volume("vol-1", Some(("i-1", "/dev/sdf")));
    let since = volume("vol-2", Some(("i-1", "/dev/sdg")));
    let set = |label: &str| {
        [
            snapshot("snap-0", "vol-0", run, at).naming(&["vol-0", "vol-1"]),
            snapshot("snap-1", "vol-1", run, at).naming(&["vol-0", "vol-1"]).labelled(label),
            // Attached after the plan: in the set, not in its manifest.
            snapshot("snap-2", "vol-2", run, at).naming(&["vol-0", "vol-1"]),
        ]
    };
    let observed = empty().with(instance("i-1"), Some(Agent::Online), vec![boot, data, since]);
    let strict = policy(json!({"on_failure": "skip"}));
    let done =
        |plan: &Plan| plan.skipped.iter().map(|skipped| skipped.volume.to_string()).collect::<Vec<_>>();

    let plan = planned(&strict, &observed.clone().with_snapshots(set("filesystem")));
    assert_eq!(done(&plan), ["vol-0", "vol-1"]);
    assert_eq!(plan.unsettled[0].snapshots, [("vol-2".into(), "snap-2".into())]);
    // Nothing proves a freeze here: neither the label of a stopped instance's set nor `crash`.
    assert_eq!(done(&planned(&strict, &observed.clone().with_snapshots(set("offline")))), ["vol-1"]);
    assert!(done(&planned(&strict, &observed.with_snapshots(set("crash")))).is_empty());
}

#[test]
fn an_unsettled_set_is_named_to_the_snapshot() {
    let at = now() - TimeDelta::minutes(30);
    let observed = database().with_snapshots([
        snapshot("snap-1", "vol-1", "daily/2026-11-22/a", at),
        snapshot("snap-2", "vol-2", "daily/2026-11-22/a", at).in_state(SnapshotState::Pending),
    ]);
    let plan = planned(&policy(json!({})), &observed);
    assert_eq!(
        plan.unsettled,
        [Unsettled {
            run: "daily/2026-11-22/a".into(),
            target: Target::Instance("i-1".into()),
            snapshots: vec![("vol-1".into(), "snap-1".into()), ("vol-2".into(), "snap-2".into())],
        }]
    );
    assert!(!plan.is_idle());
    assert!(planned(&policy(json!({"consistency": "crash"})), &observed).is_idle());
}

#[test]
fn a_policy_that_selects_nothing_says_so() {
    let plan = planned(&policy(json!({"select": {"tag:stillframe": "weekly"}})), &database());
    assert_eq!(plan.warnings, [Warning::NothingSelected]);
    assert!(plan.is_idle());
    assert_snapshot!(plan, @r"
    policy daily, slot 2026-11-22, asks for filesystem, run daily/2026-11-22/k3v9x2
    warning: the policy selects no volume
    0 volumes selected: 0 by freeze, 0 directly, 0 done, 0 skipped
    ");
}

#[test]
fn tags_that_cannot_be_copied_are_named_and_the_lineage_is_carried() {
    let own = |pairs: &[(&str, &str)]| {
        let mut tags = tags_of(&[("stillframe", "daily"), ("role", "db"), ("cluster", "main")]);
        tags.extend(tags_of(pairs));
        tags
    };
    let with = |first: Tags, second: Tags| {
        let mut observed = database();
        observed.volumes[1].tags = first;
        observed.volumes[2].tags = second;
        planned(&policy(json!({"tags": {"team": "search"}})), &observed)
    };
    let crowd: Tags = (0..45).map(|n| (format!("key{n}"), String::new())).collect();
    let aws: Tags = (0..45).map(|n| (format!("aws:key{n}"), String::new())).collect();

    for (name, tags, cause) in [
        (
            "a volume restored from a snapshot of ours",
            own(&[(tags::RUN, "old")]),
            CopyProblem::Collides { key: tags::RUN.into() },
        ),
        (
            "also by its layout",
            own(&[("stillframe:layout.3", "x")]),
            CopyProblem::Collides { key: "stillframe:layout.3".into() },
        ),
        ("the policy's own tag", own(&[("team", "search")]), CopyProblem::Collides { key: "team".into() }),
        (
            "too many",
            crowd.into_iter().chain(own(&[])).collect(),
            CopyProblem::TooMany { tags: 48, room: 42 },
        ),
    ] {
        let plan = with(tags, own(&[("environment", "prod")]));
        let [order] = plan.orders.as_slice() else { panic!("{name}") };
        assert!(!order.call.copy_volume_tags, "{name}");
        assert_eq!(
            plan.warnings,
            [Warning::TagsNotCopied {
                instance: "i-1".into(),
                volume: "vol-1".into(),
                cause,
                lineage_lost: vec!["environment".to_owned()],
            }],
            "{name}"
        );
        assert_eq!(order.call.tags.get("role").unwrap(), "db");
        assert_eq!(order.call.tags.get("cluster").unwrap(), "main");
        assert!(!order.call.tags.contains_key("environment") && !order.call.tags.contains_key("stillframe"));
        assert_eq!(order.layout_tags, 50 - order.call.tags.len());
    }
    // `stillframe` is not `stillframe:`; EC2's own tags are neither copied nor counted.
    let plan = with(aws.into_iter().chain(own(&[(tags::KEEP, "last=3")])).collect(), own(&[]));
    assert!(plan.orders[0].call.copy_volume_tags && plan.warnings.is_empty(), "{plan}");
}

#[test]
fn a_volume_may_fill_the_last_tag_but_no_more() {
    let with = |count: usize| {
        let tags = (1..count).map(|n| (format!("key{n}"), String::new()));
        let mut full = volume("vol-1", Some(("i-1", "/dev/sdf")));
        full.tags.extend(tags);
        planned(&policy(json!({})), &database_of(full))
    };
    // 50 less six of the set and one of the layout.
    let plan = with(43);
    assert_eq!((plan.orders[0].call.copy_volume_tags, plan.orders[0].layout_tags), (true, 1), "{plan}");
    // What tells when the volume was made has to stand back for it.
    let born = |plan: &Plan| plan.orders[0].call.tags.contains_key("stillframe:born.0");
    assert!(!born(&plan) && born(&with(42)));
    assert!(!with(44).orders[0].call.copy_volume_tags);
}

#[test]
fn a_set_too_large_for_its_layout_carries_none_and_says_so() {
    let tags: Tags = (0..27).map(|n| (format!("key{n}"), "x".to_owned())).collect();
    let crowd = |count: usize| {
        let volumes =
            (0..count).map(|n| volume(&format!("vol-0123456789abcd{n:03}"), Some(("i-1", "/dev/xvdba"))));
        let observed = empty().with(instance("i-1"), None, volumes.collect());
        let plan = planned(&policy(json!({"tags": tags})), &observed);
        (layout::decode(&plan.sets[0].call.tags).unwrap().len(), plan.warnings.last().cloned())
    };
    assert_eq!(
        crowd(127),
        (0, Some(Warning::LayoutDoesNotFit { instance: "i-1".into(), needed: 18, room: 17 }))
    );
    assert_eq!(crowd(120).0, 120);
}

#[test]
fn a_volume_taken_by_itself_takes_its_tags_along() {
    let mut detached = volume("vol-1", None);
    detached.tags.extend(tags_of(&[
        ("Name", "pg"),
        ("aws:cloudformation:stack-name", "x"),
        (tags::RUN, "old"),
    ]));
    let plan = planned(&policy(json!({})), &empty().with_volume(detached.clone()));
    let made = &plan.volumes[0].tags;
    assert_eq!(made.get("Name").unwrap(), "pg");
    assert_eq!(made.get(tags::RUN).unwrap(), RUN);
    assert!(!made.contains_key("aws:cloudformation:stack-name") && !made.contains_key(tags::INSTANCE));
    assert_eq!(layout::decode(made).unwrap()[0].volume, "vol-1".into());

    detached.tags.extend((0..60).map(|n| (format!("key{n}"), String::new())));
    detached.tags.insert("role".to_owned(), "db".to_owned());
    let plan = planned(&policy(json!({})), &empty().with_volume(detached));
    assert_eq!(plan.volumes[0].tags.get("role").unwrap(), "db");
    assert_eq!(plan.warnings, [Warning::TagsDropped { volume: "vol-1".into(), dropped: 62 }]);
}

#[test]
fn a_plan_is_data_too() {
    let plan = planned(&policy(json!({})), &database());
    let value = serde_json::to_value(&plan).unwrap();
    assert_eq!(value["orders"][0]["call"]["volumes"][1]["id"], "vol-2");
    assert_eq!(value["slot"]["name"], "2026-11-22");
    assert_eq!(plan.brief(), PlanBrief { selected: 2, by_order: 2, orders: 1, ..PlanBrief::default() });
    assert_eq!(plan.consistency, Consistency::Filesystem);
    assert_eq!(plan.expectations()[0].instance, Some(InstanceId::from("i-1")));
}
