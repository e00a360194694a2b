use super::stage::*;
use super::*;
use crate::observed::*;
use crate::world::{days_ago, tags_of, time};
use crate::{SnapshotId, VolumeId, layout};
use insta::assert_snapshot;
use serde_json::json;

#[test]
fn a_restore_reads_as_what_will_be_done() {
    let spec = spec(json!({
        "role": "db", "initialization_rate": 200,
        "volumes": [
            {"device": "/dev/sdh", "mount_point": "/srv/pg", "size": 20, "iops": 1600, "throughput": 250},
            {"device": "/dev/sdf1", "mount_point": "/srv/pg/log", "size": 4, "file_system": "ext4"},
            {"mount_point": "/srv/new", "size": 30, "type": "io2", "iops": 5000, "blank": true},
        ],
    }));
    let [mut pending, failed, gone] = ["d", "c", "b"].map(|run| set(run, 1, &[PG, LOG]));
    pending[0] = pending[0].clone().in_state(SnapshotState::Pending);
    let failed = failed.into_iter().map(|snapshot| snapshot.in_state(SnapshotState::Error));
    let scene = scene()
        .with(pending)
        .with(failed)
        .with(gone.into_iter().take(1))
        .with(set("a", 2, &[PG, LOG]))
        .with_attached("/dev/sdg", "vol-other");
    assert_snapshot!(planned(&spec, &scene), @r"
    restore onto i-9 in eu-west-1a
    from 2026-11-20T01:00:00Z, run daily/2026-11-22/a, of i-1
    passed over 2026-11-21T01:00:00Z, run daily/2026-11-22/b, of i-1: no snapshot of vol-2
    passed over 2026-11-21T01:00:00Z, run daily/2026-11-22/c, of i-1: snap-c-1 failed
    passed over 2026-11-21T01:00:00Z, run daily/2026-11-22/d, of i-1: snap-d-1 is pending
    mount point  device    volume  size    how
    /srv/new     /dev/sdf  new     30 GiB  io2, blank, 5000 IOPS
    /srv/pg      /dev/sdh  new     20 GiB  gp3 from snap-a-1, 3000 IOPS, 250 MiB/s
    /srv/pg/log  /dev/sdi  new     8 GiB   gp3 from snap-a-2
    note: /srv/pg asks for 1600 IOPS and gets 3000, which cost nothing
    note: /srv/pg/log asks for 4 GiB and gets 8: it cannot be smaller
    note: /srv/pg/log asks for ext4 and is xfs in the set
    3 volumes: 3 to make, 0 to carry on, 0 there; 3 mounts
    ");
}

#[test]
fn without_volumes_the_layout_says_it_all() {
    let data = [
        ("vol-0", "/dev/xvda", "ext4", "/"),
        ("vol-1", "/dev/sdf", "ext4", "/srv/pg"),
        ("vol-1", "/dev/sdf", "xfs", "/srv/part2"),
        ("vol-2", "/dev/sdg", "xfs", "/srv/big"),
        ("vol-3", "/dev/sdh", "xfs", "/srv/big"),
        ("vol-4", "/dev/sdi", "", ""),
    ];
    let plan = planned(&spec(json!({})), &scene().with(set("a", 1, &data)));
    assert_snapshot!(plan, @r"
    restore onto i-9 in eu-west-1a
    from 2026-11-21T01:00:00Z, run daily/2026-11-22/a, of i-1
    mount point          device    volume  size   how
    /srv/big             /dev/sdg  new     8 GiB  gp3 from snap-a-2
    /srv/big             /dev/sdh  new     8 GiB  gp3 from snap-a-3
    /srv/part2, /srv/pg  /dev/sdf  new     8 GiB  gp3 from snap-a-1
    -                    /dev/sdi  new     8 GiB  gp3 from snap-a-4
    note: nothing tells where vol-4 was mounted: its copy is attached only
    4 volumes: 4 to make, 0 to carry on, 0 there; 3 mounts
    ");
    let mounts: Vec<_> = plan
        .mounts
        .iter()
        .map(|m| (m.mount_point.as_str(), m.file_system.as_str(), m.volumes.as_slice()))
        .collect();
    assert_snapshot!(format!("{mounts:?}"), @"[(\"/srv/big\", \"xfs\", [0, 1]), (\"/srv/part2\", \"xfs\", [2]), (\"/srv/pg\", \"ext4\", [2])]");
}

#[test]
fn each_set_that_cannot_be_used_is_passed_over_for_its_own_reason() {
    let newest = || set("b", 1, &[PG, LOG]);
    let with = |at: usize, change: fn(Snapshot) -> Snapshot| {
        let mut set = newest();
        set[at] = change(set[at].clone());
        set
    };
    let archived = |snapshot: Snapshot| Snapshot { tier: Tier::Archive, ..snapshot };
    let id = |volume: &str| SnapshotId::from(format!("snap-b-{volume}"));
    let asked = json!({"consistency": "filesystem", "volumes": [{"mount_point": "/srv/pg"}, {"mount_point": "/srv/pg/log"}]});
    let at = json!({"at": "2026-11-20T12:00:00Z"});
    let unreadable = |snapshot: Snapshot| snapshot.tagged("stillframe:layout.0", "what?");
    for (name, snapshots, spec_document, foreign, expected) in [
        (
            "pending",
            with(1, |s| s.in_state(SnapshotState::Pending)),
            json!({}),
            None,
            PassReason::Pending { snapshot: id("2") },
        ),
        (
            "failed",
            with(0, |s| s.in_state(SnapshotState::Error)),
            json!({}),
            None,
            PassReason::Failed { snapshot: id("1") },
        ),
        (
            "in the bin",
            with(0, |s| s.in_state(SnapshotState::Recoverable)),
            json!({}),
            None,
            PassReason::Recycled { snapshot: id("1") },
        ),
        (
            "incomplete",
            newest().into_iter().take(1).collect(),
            json!({}),
            None,
            PassReason::Incomplete { missing: vec!["vol-2".into()] },
        ),
        (
            "unreadable",
            newest().into_iter().map(unreadable).collect(),
            json!({}),
            None,
            PassReason::Incomplete { missing: vec![] },
        ),
        ("archived", with(1, archived), json!({}), None, PassReason::Archived { snapshot: id("2") }),
        (
            "crash",
            label(newest(), "crash"),
            asked.clone(),
            None,
            PassReason::LessConsistent { snapshot: id("1"), label: Consistency::Crash },
        ),
        ("young", newest(), at, None, PassReason::TooYoung { at: time("2026-11-20T12:00:00Z") }),
        (
            "another layout",
            set("b", 1, &[PG]),
            asked,
            None,
            PassReason::WrongLayout { missing: vec!["/srv/pg/log".to_owned()] },
        ),
        ("foreign", newest(), json!({}), Some(id("2")), PassReason::ForeignAccount { snapshot: id("2") }),
    ] {
        let mut scene = scene().with(snapshots).with(set("a", 2, &[PG, LOG]));
        scene.foreign.extend(foreign);
        let plan = planned(&spec(spec_document.clone()), &scene);
        assert_eq!(run_of(&plan), "a", "{name}: {plan}");
        let reasons: Vec<_> = plan.passed_over.iter().map(|set| &set.reason).collect();
        assert_eq!(reasons, [&expected], "{name}");
        // Alone it is a refusal that tells the same.
        scene.snapshots.retain(|snapshot| snapshot.run().unwrap().ends_with("/b"));
        let refused = restore(&spec(spec_document), &scene).unwrap_err();
        assert_eq!((refused.refusal, refused.passed_over.len()), (Refusal::NoneUsable, 1), "{name}");
    }
}

#[test]
fn what_is_not_needed_of_a_set_may_be_archived_or_weak_but_not_failed() {
    let one = spec(json!({"consistency": "filesystem", "volumes": [{"mount_point": "/srv/pg"}]}));
    let mut set_a = set("a", 1, &[PG, LOG]);
    set_a[1] = Snapshot { tier: Tier::Archive, ..set_a[1].clone().labelled("crash") };
    assert_eq!(calls(&planned(&one, &scene().with(set_a.clone()))).len(), 1);
    set_a[1] = set_a[1].clone().in_state(SnapshotState::Error);
    assert_eq!(refusal(&one, &scene().with(set_a)), Refusal::NoneUsable);
}

#[test]
fn only_sets_of_its_own_lineage_are_seen() {
    let scene = scene().with(set("a", 1, &[PG]));
    let mount = json!([{"mount_point": "/srv/pg"}]);
    for (document, found) in [
        (json!({"role": "db", "volumes": mount}), true),
        // The instance's own tag stands in for the spec's.
        (json!({"volumes": mount}), true),
        (json!({"role": "web", "volumes": mount}), false),
        // A tag that the set lacks is another lineage, as is one that the spec lacks.
        (json!({"role": "db", "cluster": "a", "volumes": mount}), false),
        (json!({"filter_tags": ["role"], "cluster": "a", "volumes": mount}), true),
        (json!({"role": "db", "policy": "hourly", "volumes": mount}), false),
        (json!({"role": "web", "from_instance": "i-1", "volumes": mount}), true),
        (json!({"role": "db", "from_instance": "i-2", "volumes": mount}), false),
        (json!({"role": "db", "run": "daily/2026-11-22/a", "volumes": mount}), true),
        (json!({"role": "db", "run": "daily/2026-11-22/b", "volumes": mount}), false),
    ] {
        let restored = restore(&spec(document.clone()), &scene);
        match restored {
            Ok(plan) => assert!(found, "{document}: {plan}"),
            Err(refused) => {
                assert!(!found && matches!(refused.refusal, Refusal::NoSet { .. }), "{document}: {refused}")
            }
        }
    }
    let mut nobody = scene.clone();
    nobody.host.instance.tags.clear();
    assert_eq!(
        refusal(&spec(json!({})), &nobody),
        Refusal::NothingToGoBy { keys: FILTER_TAGS.map(str::to_owned).to_vec() }
    );
}

#[test]
fn the_mounts_of_a_fallback_are_those_of_the_volumes_newest_record() {
    let fallback = without_mounts(set("b", 1, &[PG, LOG]), &["vol-1", "vol-2"]);
    let plan = planned(&database(), &scene().with(set("a", 2, &[PG, LOG])).with(label(fallback, "crash")));
    assert_eq!((run_of(&plan), plan.mounts.len()), ("b", 2));
    assert_eq!(plan.mounts[1].file_system, "xfs");
}

#[test]
fn volumes_come_from_one_set_unless_the_spec_says_mixed() {
    let scene = scene().with(set("b", 1, &[LOG])).with(set("a", 2, &[PG, LOG]));
    let plan = planned(&database(), &scene);
    assert_eq!(run_of(&plan), "a");
    let mixed = Spec { mixed: true, ..database() };
    let plan = planned(&mixed, &scene);
    let runs: Vec<_> = plan.sets.iter().map(|set| set.run.as_str()).collect();
    assert_eq!(runs, ["daily/2026-11-22/b", "daily/2026-11-22/a"]);
    let from: Vec<_> = calls(&plan).iter().map(|call| call.snapshot.clone().unwrap().to_string()).collect();
    assert_eq!(from, ["snap-a-1", "snap-b-2"]);
}

#[test]
fn blank_volumes_are_made_at_a_first_boot_and_where_no_set_ever_knew_the_mount_point() {
    let blank = Spec { blank: true, ..database() };
    let plan = planned(&blank, &scene());
    assert_snapshot!(plan, @r"
    restore onto i-9 in eu-west-1a
    mount point  device    volume  size   how
    /srv/pg      /dev/sdf  new     5 GiB  gp3, blank
    /srv/pg/log  /dev/sdg  new     5 GiB  gp3, blank
    2 volumes: 2 to make, 0 to carry on, 0 there; 2 mounts
    ");
    assert!(plan.mounts.iter().all(|mount| mount.blank && mount.file_system == "xfs"));
    assert!(matches!(refusal(&database(), &scene()), Refusal::NoSet { .. }));
    assert_eq!(refusal(&spec(json!({"role": "db", "blank": true})), &scene()), Refusal::BlankWithoutVolumes);

    // A mount point that an older set knows is never blank beside a newer set without it.
    let known = scene().with(set("b", 1, &[PG])).with(set("a", 2, &[PG, LOG]));
    assert_eq!(run_of(&planned(&blank, &known)), "a");
    // One that none ever knew is.
    let plan = planned(&blank, &scene().with(set("a", 1, &[PG])));
    let blanks: Vec<_> = plan.mounts.iter().map(|mount| mount.blank).collect();
    assert_eq!((run_of(&plan), blanks), ("a", vec![false, true]));
    // Blank though there are sets: said aloud.
    let pending = set("a", 1, &[PG, LOG]).into_iter().map(|s| s.in_state(SnapshotState::Pending));
    let plan = planned(&blank, &scene().with(pending));
    assert!(plan.notes.contains(&RestoreNote::BlankDespiteSets { sets: 1 }), "{plan}");
}

#[test]
fn names_limits_and_sizes() {
    let wish =
        |device: &str| spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/pg", "device": device}]}));
    let base = scene().with(set("a", 1, &[PG, LOG])).with_attached("/dev/xvdf", "vol-other");
    let taken = Refusal::DeviceTaken {
        device: "/dev/sdf".to_owned(),
        by: Some("vol-other".into()),
        mount_point: "/srv/pg".to_owned(),
    };
    assert_eq!(refusal(&wish("/dev/sdf"), &base), taken);
    // Not asked for, the next free one is taken; its old name first.
    let plan = planned(&database(), &base);
    let devices: Vec<_> = plan.volumes.iter().map(|volume| volume.device.as_str()).collect();
    assert_eq!(devices, ["/dev/sdh", "/dev/sdg"]);

    let mut full = base.clone();
    full.host.most_volumes = Some(3);
    assert_eq!(refusal(&database(), &full), Refusal::AttachLimit { attached: 2, wanted: 2, limit: 3 });
    full.host.most_volumes = None;
    let places = ('b'..='z')
        .map(|c| format!("/dev/sd{c}"))
        .chain(('b'..='d').flat_map(|a| ('a'..='z').map(move |b| format!("/dev/xvd{a}{b}"))));
    full.host.attached.extend(places.map(|name| (name.clone(), VolumeId::from(name))));
    assert_eq!(refusal(&database(), &full), Refusal::NoDeviceFree);

    for (size, to) in [(None, 8), (Some(4), 8), (Some(100), 100)] {
        let spec = spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/pg", "size": size}]}));
        assert_eq!(calls(&planned(&spec, &base))[0].size_gib, to);
    }
    let cold = spec(json!({"role": "db", "type": "sc1", "volumes": [{"mount_point": "/srv/pg"}]}));
    assert_eq!(calls(&planned(&cold, &base))[0].size_gib, 125);
}

#[test]
fn a_restored_volume_is_backed_up_and_known_as_before() {
    let plan = planned(&database(), &scene().with(set("a", 1, &[PG, LOG])));
    assert_eq!(
        calls(&plan)[0].tags,
        tags_of(&[
            ("stillframe", "daily"),
            (RESTORED_FOR, HOST),
            (RESTORED_FROM, "daily/2026-11-22/a"),
            (RESTORED_MOUNT, "/srv/pg"),
            (RESTORED_VOLUME, "vol-1"),
        ])
    );
    let many = set("a", 1, &[PG]).into_iter().map(|mut snapshot| {
        snapshot.tags.extend((0..44).map(|n| (format!("t{n}"), "x")));
        snapshot
    });
    let plan = planned(&spec(json!({"role": "db", "tags": {"a": "b"}})), &scene().with(many));
    assert_eq!(calls(&plan)[0].tags.len(), 49);
    assert_eq!(calls(&plan)[0].tags["a"], "b");
}

#[test]
fn an_instance_that_is_going_gets_nothing() {
    let mut scene = scene().with(set("a", 1, &[PG, LOG]));
    scene.host.instance.state = InstanceState::ShuttingDown;
    assert_eq!(refusal(&database(), &scene), Refusal::Instance { state: InstanceState::ShuttingDown });
    scene.host.instance.state = InstanceState::Stopped;
    assert_eq!(calls(&planned(&database(), &scene)).len(), 2);
}

#[test]
fn a_file_system_over_two_volumes_brings_both() {
    let data = [("vol-1", "/dev/sdf", "xfs", "/srv/big"), ("vol-2", "/dev/sdg", "xfs", "/srv/big")];
    let spec = spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/big", "device": "/dev/sdp"}]}));
    let plan = planned(&spec, &scene().with(set("a", 1, &data)));
    let devices: Vec<_> = plan.volumes.iter().map(|volume| volume.device.as_str()).collect();
    assert_eq!((devices, plan.mounts[0].volumes.as_slice()), (vec!["/dev/sdp", "/dev/sdg"], &[0, 1][..]));
}

#[test]
fn the_token_is_the_same_for_the_same_volume_and_for_no_other() {
    let scene = scene().with(set("b", 1, &[PG, LOG])).with(set("a", 2, &[PG, LOG]));
    let plan = planned(&database(), &scene);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    assert_eq!(pg.token, calls(&planned(&database(), &scene))[0].token);
    assert!(pg.token.len() == 64 && pg.token.is_ascii(), "EC2 takes 64 characters of ASCII");
    let older = planned(&Spec { at: Some(days_ago(2)), ..database() }, &scene);
    let mut other_host = scene.clone();
    other_host.host.instance.id = "i-8".into();
    let tokens =
        [&pg.token, &log.token, &calls(&older)[0].token, &calls(&planned(&database(), &other_host))[0].token]
            .map(String::clone);
    let different: std::collections::BTreeSet<_> = tokens.iter().collect();
    assert_eq!(different.len(), 4);
    assert_snapshot!(pg.token, @"952d9bce25c5fd8a3e34c0ddb4ef2f726403d5eeb8f47806dfd0a8ee3474b146");
}

#[test]
fn a_refusal_is_one_sentence() {
    let pending = set("a", 1, &[PG, LOG]).into_iter().map(|s| s.in_state(SnapshotState::Pending));
    let scene = scene().with(pending).with(set("b", 2, &[LOG]));
    assert_snapshot!(restore(&database(), &scene).unwrap_err(), @"no restore point can be used (daily/2026-11-22/a: snap-a-1 is pending; and 1 older)");
    assert_eq!(layout::encode(&[]).len(), 0);
}
