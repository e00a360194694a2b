//! What is there already: of earlier tries, and of volumes in use.

use super::stage::*;
use super::*;
use crate::VolumeId;
use crate::observed::*;
use crate::world::days_ago;
use serde_json::json;

#[test]
fn after_a_restore_there_is_nothing_to_do_at_any_later_start() {
    let before = scene().with(set("a", 2, &[PG, LOG]));
    let plan = planned(&database(), &before);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    let done = before
        .with_made("vol-new1", pg)
        .with_made("vol-new2", log)
        .attaching("vol-new1", "/dev/sdf")
        .attaching("vol-new2", "/dev/sdg")
        .marking("vol-new1")
        .marking("vol-new2");
    // Newer sets, of the restored volumes themselves; none at all; a newer one that is pending.
    let newer = set(
        "b",
        1,
        &[("vol-new1", "/dev/sdf", "ext4", "/srv/pg"), ("vol-new2", "/dev/sdg", "xfs", "/srv/pg/log")],
    );
    let none = Scene { snapshots: vec![], ..done.clone() };
    let pending = newer.clone().into_iter().map(|s| s.in_state(SnapshotState::Pending));
    for scene in [done.clone(), done.clone().with(newer.clone()), none, done.clone().with(pending)] {
        for spec in [database(), spec(json!({}))] {
            let plan = planned(&spec, &scene);
            assert!(plan.volumes.iter().all(|v| matches!(v.way, RestoreWay::Keep { .. })), "{plan}");
            assert_eq!((plan.volumes.len(), plan.mounts.len(), plan.leftovers.len()), (2, 2, 0), "{plan}");
            assert_eq!(plan.steps(), [RestoreStep::Mount]);
        }
    }
    // A point in the past is wanted where they are.
    let past = Spec { at: Some(days_ago(2)), ..database() };
    assert_eq!(planned(&past, &done).steps(), [RestoreStep::Mount], "it is what is there");
    let older = done.clone().with(set("0", 3, &[PG, LOG]));
    let past = Spec { at: Some(days_ago(3)), ..database() };
    assert_eq!(
        refusal(&past, &older),
        Refusal::Occupied { mount_point: "/srv/pg".to_owned(), volume: "vol-new1".into() }
    );
}

#[test]
fn the_volumes_that_were_backed_up_are_there_themselves() {
    let originals = scene().with(set("a", 1, &[PG, LOG])).with_attached("/dev/sdf", "vol-1");
    // One of two: they would be of different instants.
    assert_eq!(
        refusal(&database(), &originals),
        Refusal::PartlyAttached {
            present: vec!["/srv/pg".to_owned()],
            missing: vec!["/srv/pg/log".to_owned()]
        }
    );
    let mixed = planned(&Spec { mixed: true, ..database() }, &originals);
    assert_eq!(calls(&mixed).len(), 1);
    let both = originals.with_attached("/dev/sdg", "vol-2");
    assert_eq!(planned(&database(), &both).steps(), [RestoreStep::Mount]);
    // Beside its original, where the spec says so.
    let beside = spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/old", "from": "/srv/pg"}]}));
    let plan = planned(&beside, &both);
    assert_eq!(
        (calls(&plan).len(), plan.mounts[0].mount_point.as_str(), plan.volumes[0].device.as_str()),
        (1, "/srv/old", "/dev/sdh")
    );
}

#[test]
fn what_an_interrupted_try_began_is_carried_on_though_a_newer_set_came() {
    let before = scene().with(set("a", 2, &[PG, LOG]));
    let plan = planned(&database(), &before);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    let made = before.with_made("vol-new1", pg).with_made("vol-new2", log);
    let newer = set("b", 1, &[PG, LOG]);

    let fresh = planned(&database(), &made);
    assert!(
        fresh.volumes.iter().all(|v| matches!(v.way, RestoreWay::Attach { .. }))
            && fresh.leftovers.is_empty(),
        "{fresh}"
    );
    // Nothing attached yet: the newer set is taken, and what was made is deleted.
    let plan = planned(&database(), &made.clone().with(newer.clone()));
    assert_eq!((run_of(&plan), plan.leftovers.len(), calls(&plan).len()), ("b", 2, 2));
    let attached = made.attaching("vol-new1", "/dev/sdf").with(newer);
    let plan = planned(&database(), &attached);
    assert_eq!((run_of(&plan), plan.leftovers.len(), calls(&plan).len()), ("a", 0, 0));
    // The set that it began with is gone: its volume goes too, detached first.
    let mut gone = attached.clone();
    gone.snapshots.retain(|snapshot| snapshot.run().unwrap().ends_with("/b"));
    let plan = planned(&database(), &gone);
    let volumes: Vec<_> = plan.leftovers.iter().map(|left| (left.volume.as_str(), left.attached)).collect();
    assert_eq!((run_of(&plan), volumes), ("b", vec![("vol-new1", true), ("vol-new2", false)]));
    assert_eq!(plan.steps()[0], RestoreStep::Detach("vol-new1".into()));
}

#[test]
fn a_volume_without_a_mount_point_is_not_made_again_at_a_later_start() {
    let raw = |run, days| set(run, days, &[("vol-1", "/dev/sdf", "", "")]);
    let spec = spec(json!({"role": "db"}));
    let before = scene().with(raw("a", 2));
    let plan = planned(&spec, &before);
    let done = before
        .with_made("vol-new1", calls(&plan)[0])
        .attaching("vol-new1", "/dev/sdf")
        .marking("vol-new1")
        .with(raw("b", 1));
    let plan = planned(&spec, &done);
    assert_eq!((plan.steps(), plan.volumes.len()), (vec![], 1), "{plan}");
    // Nor does it need a set to be left where it is, and no other one is put beside it.
    let without_sets = Scene { snapshots: vec![], ..done.clone() };
    assert_eq!(planned(&spec, &without_sets).steps(), []);
    let past = Spec { at: Some(days_ago(3)), ..spec.clone() };
    let occupied = Refusal::Occupied { mount_point: String::new(), volume: "vol-new1".into() };
    assert_eq!(refusal(&past, &done.clone().with(raw("0", 3))), occupied);
    // It was taken away: who knows what is on it; a new one is made.
    let mut taken = done;
    taken.host.attached.remove("/dev/sdf");
    taken.made[0].volume.attachment = None;
    taken.made[0].volume.state = VolumeState::Available;
    let plan = planned(&spec, &taken);
    assert_eq!((run_of(&plan), calls(&plan).len()), ("b", 1));
    assert!(plan.notes.contains(&RestoreNote::LeftAlone { volume: "vol-new1".into() }), "{plan}");
}

#[test]
fn what_was_begun_blank_and_is_in_use_in_part_stays_blank_though_a_set_came() {
    let blank = Spec { blank: true, ..database() };
    let before = scene();
    let plan = planned(&blank, &before);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    let attached = before
        .with_made("vol-new1", pg)
        .with_made("vol-new2", log)
        .attaching("vol-new1", "/dev/sdf")
        .attaching("vol-new2", "/dev/sdg")
        .with(set("a", 1, &[PG, LOG]));
    let plan = planned(&blank, &attached.clone().marking("vol-new1"));
    let ways: Vec<_> = plan.volumes.iter().map(|volume| volume.way.clone()).collect();
    let [one, two] = ["vol-new1", "vol-new2"].map(VolumeId::from);
    assert_eq!(ways, [RestoreWay::Keep { volume: one }, RestoreWay::Mark { volume: two }], "{plan}");
    assert_eq!((plan.sets.len(), plan.leftovers.len()), (0, 0), "{plan}");
    // None is in use: data is better than nothing, and the blank ones go.
    let plan = planned(&blank, &attached);
    assert_eq!((run_of(&plan), calls(&plan).len(), plan.leftovers.len()), ("a", 2, 2), "{plan}");
}

#[test]
fn a_first_boot_that_ended_before_its_mounts_is_given_its_file_systems_later() {
    let blank = Spec { blank: true, ..database() };
    let before = scene();
    let plan = planned(&blank, &before);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    let attached = before
        .with_made("vol-new1", pg)
        .with_made("vol-new2", log)
        .attaching("vol-new1", "/dev/sdf")
        .attaching("vol-new2", "/dev/sdg")
        .marking("vol-new1");
    let blanks = |spec: &Spec, scene: &Scene| -> Vec<(bool, String)> {
        let plan = planned(spec, scene);
        assert!(
            calls(&plan).is_empty() && plan.mounts.iter().all(|mount| mount.volumes.len() == 1),
            "{plan}"
        );
        plan.mounts.into_iter().map(|mount| (mount.blank, mount.file_system)).collect()
    };
    let xfs = || (true, "xfs".to_owned());
    assert_eq!(blanks(&blank, &attached), [xfs(), xfs()], "marked in part");
    let marked = attached.marking("vol-new2");
    assert_eq!(blanks(&blank, &marked), [xfs(), xfs()], "marked, and not mounted for all that is known");
    // A spec that does not want it blank, or does not name the place, makes nothing on it.
    let none = || (false, String::new());
    assert_eq!(blanks(&database(), &marked), [none(), none()]);
    assert_eq!(blanks(&spec(json!({"role": "db"})), &marked), [none(), none()]);
    // What came from a set is never blank.
    let before = scene().with(set("a", 1, &[PG, LOG]));
    let plan = planned(&blank, &before);
    let [pg, log] = calls(&plan)[..] else { panic!("{plan}") };
    let restored = before
        .clone()
        .with_made("vol-new1", pg)
        .with_made("vol-new2", log)
        .attaching("vol-new1", "/dev/sdf")
        .attaching("vol-new2", "/dev/sdg")
        .marking("vol-new1")
        .marking("vol-new2");
    assert!(blanks(&blank, &restored).iter().all(|(blank, _)| !blank));
}

#[test]
fn what_was_in_use_is_neither_deleted_nor_taken_for_new() {
    let before = scene().with(set("a", 2, &[PG]));
    let spec = spec(json!({"role": "db"}));
    let plan = planned(&spec, &before);
    let first = calls(&plan)[0];
    let detached = before.clone().with_made("vol-new1", first).marking("vol-new1");
    let plan = planned(&spec, &detached);
    assert!(
        plan.leftovers.is_empty()
            && plan.notes.contains(&RestoreNote::LeftAlone { volume: "vol-new1".into() }),
        "{plan}"
    );
    assert_ne!(calls(&plan)[0].token, first.token, "EC2 would give vol-new1 once more");
    assert_eq!(
        VolumeCall { token: String::new(), ..calls(&plan)[0].clone() },
        VolumeCall { token: String::new(), ..first.clone() }
    );

    // Wrong zone, wrong size, lost: of no use, and nobody's.
    let spoil: [fn(&mut MadeVolume); 3] = [
        |made| made.zone = "eu-west-1b".to_owned(),
        |made| made.volume.size_gib = 9,
        |made| made.volume.state = VolumeState::Error,
    ];
    for spoil in spoil {
        let mut scene = before.clone().with_made("vol-new1", first);
        spoil(&mut scene.made[0]);
        let plan = planned(&spec, &scene);
        assert_eq!((plan.leftovers.len(), calls(&plan).len()), (1, 1), "{plan}");
    }
    // Made for an instance that is gone; for one that is not.
    let mut scene = before.clone();
    let mut others = first.clone();
    others.tags.insert(RESTORED_FOR.to_owned(), "i-gone".to_owned());
    scene = scene.with_made("vol-gone", &others);
    assert_eq!(planned(&spec, &scene).leftovers.len(), 0);
    scene.gone.insert("i-gone".into());
    assert_eq!(planned(&spec, &scene).leftovers.len(), 1);
}

#[test]
fn what_was_begun_blank_beside_a_set_stays_so_though_a_newer_set_knows_more() {
    let new = json!({"mount_point": "/srv/new", "blank": true});
    let spec = spec(json!({"role": "db", "volumes": [{"mount_point": "/srv/pg"}, new]}));
    let before = scene().with(set("a", 2, &[PG]));
    let plan = planned(&spec, &before);
    let [fresh, pg] = calls(&plan)[..] else { panic!("{plan}") };
    let begun = before
        .with_made("vol-new1", fresh)
        .with_made("vol-new2", pg)
        .attaching("vol-new1", "/dev/sdg")
        .attaching("vol-new2", "/dev/sdf")
        .with(set("b", 1, &[PG, ("vol-2", "/dev/sdg", "xfs", "/srv/new")]));
    let plan = planned(&spec, &begun);
    assert!(plan.volumes.iter().all(|volume| matches!(volume.way, RestoreWay::Mark { .. })), "{plan}");
    assert_eq!((run_of(&plan), plan.leftovers.len()), ("a", 0), "{plan}");
    // The set that it began with is gone: what is known of both mount points comes from the newer one.
    let mut gone = begun;
    gone.snapshots.retain(|snapshot| snapshot.run().unwrap().ends_with("/b"));
    let plan = planned(&spec, &gone);
    assert_eq!((run_of(&plan), calls(&plan).len(), plan.leftovers.len()), ("b", 2, 2), "{plan}");
}
