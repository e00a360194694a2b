//! What holds of every restore: of histories good and bad, and of a restore that is interrupted anywhere.

use super::stage::*;
use super::*;
use crate::observed::*;
use crate::world::days_ago;
use crate::{VolumeId, tags};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const MOUNTS: [(&str, &str, &str, &str); 4] = [
    ("vol-1", "/dev/sdf", "ext4", "/srv/pg"),
    ("vol-2", "/dev/sdg", "xfs", "/srv/log"),
    ("vol-2", "/dev/sdg", "xfs", "/srv/big"),
    ("vol-3", "/dev/sdh", "xfs", "/srv/big"),
];

/// Known to no set of [`any_history`].
const NEW: (&str, &str, &str, &str) = ("vol-4", "/dev/sdi", "ext4", "/srv/new");

/// Up to five sets, the newest first, each whole or spoilt somewhere.
fn any_history() -> impl Strategy<Value = Vec<Snapshot>> {
    let spoil = (0_u8..9, 0_usize..3, select(vec!["filesystem", "crash", "offline"]), 1_usize..5);
    prop::collection::vec(spoil, 0..5).prop_map(|sets| {
        let mut all = Vec::new();
        for (age, (how, which, label, records)) in (1..).zip(sets) {
            let run = format!("r{age}");
            let mut snapshots: Vec<Snapshot> =
                set(&run, age, &MOUNTS[..records]).into_iter().map(|s| s.labelled(label)).collect();
            let at = which % snapshots.len();
            let state = match how {
                0 => Some(SnapshotState::Pending),
                1 => Some(SnapshotState::Error),
                2 => Some(SnapshotState::Recoverable),
                _ => None,
            };
            if let Some(state) = state {
                snapshots[at].state = state;
            }
            if how == 3 {
                snapshots[at].tier = Tier::Archive;
            }
            if how == 4 && snapshots.len() > 1 {
                snapshots.remove(at);
            }
            if how == 5 {
                snapshots = without_mounts(snapshots, &["vol-1"]);
            }
            all.extend(snapshots);
        }
        all
    })
}

fn any_spec() -> impl Strategy<Value = Spec> {
    let mounts =
        prop::collection::btree_set(select(vec!["/srv/pg", "/srv/log", "/srv/big", "/srv/new"]), 0..4);
    let consistency = select(vec!["crash", "filesystem"]);
    (mounts, any::<bool>(), prop::bool::weighted(0.3), consistency, prop::option::weighted(0.2, 0_i64..5)).prop_map(
        |(mounts, blank, mixed, consistency, days)| {
            let volumes: Vec<_> = mounts.iter().map(|mount| json!({"mount_point": mount})).collect();
            let at = days.map(|days| days_ago(days).to_rfc3339());
            spec(json!({"role": "db", "volumes": volumes, "blank": blank, "mixed": mixed, "consistency": consistency, "at": at}))
        },
    )
}

/// EC2, as far as a restore sees it: one volume for one token.
#[derive(Clone)]
struct Cloud {
    scene: Scene,
    by_token: BTreeMap<String, VolumeId>,
}

impl Cloud {
    fn of(snapshots: Vec<Snapshot>) -> Self {
        Self { scene: scene().with(snapshots), by_token: BTreeMap::new() }
    }

    fn id(&self, plan: &RestorePlan, at: usize) -> VolumeId {
        match &plan.volumes[at].way {
            RestoreWay::Create(call) => self.by_token[&call.token].clone(),
            way => way.volume().unwrap().clone(),
        }
    }

    fn made(&mut self, id: &VolumeId) -> &mut MadeVolume {
        self.scene.made.iter_mut().find(|made| made.volume.id == *id).unwrap()
    }

    fn carry_out(&mut self, plan: &RestorePlan, step: &RestoreStep) {
        match step {
            RestoreStep::Create(at) => {
                let RestoreWay::Create(call) = &plan.volumes[*at].way else { panic!("{plan}") };
                if !self.by_token.contains_key(&call.token) {
                    let id = VolumeId::from(format!("vol-new-{}", self.by_token.len()));
                    self.by_token.insert(call.token.clone(), id.clone());
                    self.scene.made.push(made(id.as_str(), call));
                }
            }
            RestoreStep::Attach(at) => {
                let (id, device) = (self.id(plan, *at), plan.volumes[*at].device.clone());
                assert!(!self.scene.host.attached.contains_key(&device), "{device} is taken: {plan}");
                self.scene.host.attached.insert(device.clone(), id.clone());
                let volume = &mut self.made(&id).volume;
                assert_eq!(volume.state, VolumeState::Available, "{plan}");
                volume.state = VolumeState::InUse;
                let state = AttachmentState::Attached;
                volume.attachment = Some(Attachment { instance: HOST.into(), device, state, since: None });
            }
            RestoreStep::Mark(at) => {
                let id = self.id(plan, *at);
                self.made(&id).volume.tags.insert(RESTORED_USED.to_owned(), "x".to_owned());
            }
            RestoreStep::Detach(id) => {
                self.scene.host.attached.retain(|_, volume| volume != id);
                let made = self.made(id);
                assert!(!made.was_used(), "{plan}");
                made.volume.attachment = None;
                made.volume.state = VolumeState::Available;
            }
            RestoreStep::Delete(id) => {
                let made = self.made(id);
                assert!(made.volume.attachment.is_none() && !made.was_used(), "{plan}");
                self.scene.made.retain(|made| made.volume.id != *id);
            }
            RestoreStep::DeleteOnTermination(_) | RestoreStep::Mount => {}
        }
    }

    fn restore(&mut self, spec: &Spec) -> Result<RestorePlan, Refused> {
        let plan = restore(spec, &self.scene)?;
        for step in plan.steps() {
            self.carry_out(&plan, &step);
        }
        Ok(plan)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(512), ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_what_was_seen_makes_no_difference(
        spec in any_spec(), history in any_history(), turn in 0_usize..9, done in 0_usize..20,
    ) {
        let mut cloud = Cloud::of(history);
        if let Ok(plan) = restore(&spec, &cloud.scene) {
            for step in plan.steps().iter().take(done) {
                cloud.carry_out(&plan, step);
            }
        }
        let scene = cloud.scene;
        let mut turned = scene.clone();
        let (snapshots, volumes) = (turned.snapshots.len(), turned.made.len());
        if snapshots > 0 {
            turned.snapshots.rotate_left(turn % snapshots);
        }
        if volumes > 0 {
            turned.made.rotate_left(turn % volumes);
        }
        turned.snapshots.extend(scene.snapshots.iter().take(turn).cloned());
        turned.made.extend(scene.made.iter().take(turn).cloned());
        prop_assert_eq!(restore(&spec, &turned), restore(&spec, &scene));
    }

    #[test]
    fn only_what_is_whole_and_within_bounds_is_restored(spec in any_spec(), history in any_history()) {
        let Ok(plan) = restore(&spec, &scene().with(history.clone())) else { return Ok(()) };
        for call in calls(&plan) {
            let Some(id) = &call.snapshot else { continue };
            let snapshot = history.iter().find(|snapshot| snapshot.id == *id).unwrap();
            prop_assert!(call.size_gib >= snapshot.size_gib);
            prop_assert_eq!(snapshot.tier, Tier::Standard);
            prop_assert!(spec.at.is_none_or(|at| snapshot.started_at <= at));
            prop_assert!(snapshot.label() >= spec.consistency);
            // The whole set of it, not only this one.
            let set: Vec<_> = history.iter().filter(|other| other.run() == snapshot.run()).collect();
            prop_assert!(set.iter().all(|other| other.state == SnapshotState::Completed), "{}", plan);
            for record in snapshot.layout().unwrap() {
                prop_assert!(set.iter().any(|other| other.volume == record.volume), "{}", plan);
            }
        }
    }

    #[test]
    fn all_volumes_come_from_one_set_unless_mixed(spec in any_spec(), history in any_history()) {
        let Ok(plan) = restore(&spec, &scene().with(history)) else { return Ok(()) };
        let runs: BTreeSet<_> = calls(&plan).iter().map(|call| call.tags[RESTORED_FROM].clone()).filter(|run| run != BLANK).collect();
        prop_assert!(spec.mixed || runs.len() <= 1, "{}", plan);
        prop_assert_eq!(runs.len(), plan.sets.len());
    }

    #[test]
    fn no_newer_set_that_could_have_been_used_is_passed_over(spec in any_spec(), history in any_history()) {
        let Ok(plan) = restore(&spec, &scene().with(history.clone())) else { return Ok(()) };
        let Some(chosen) = plan.sets.first() else { return Ok(()) };
        // Of the newer ones alone nothing can be restored but blank volumes.
        let newer = history.into_iter().filter(|snapshot| snapshot.started_at > chosen.started_at);
        if let Ok(other) = restore(&Spec { blank: false, mixed: false, ..spec.clone() }, &scene().with(newer)) {
            prop_assert!(false, "{}\ninstead of\n{}", plan, other);
        }
    }

    #[test]
    fn a_known_mount_point_is_never_blank_beside_a_set(spec in any_spec(), history in any_history()) {
        let Ok(plan) = restore(&spec, &scene().with(history.clone())) else { return Ok(()) };
        if spec.mixed || plan.sets.is_empty() {
            return Ok(());
        }
        for mount in plan.mounts.iter().filter(|mount| mount.blank) {
            let known = |snapshot: &Snapshot| snapshot.layout().unwrap().iter().any(|record| {
                record.mount_point == mount.mount_point && history.iter().any(|other| other.run() == snapshot.run() && other.volume == record.volume)
            });
            prop_assert!(!history.iter().any(known), "{}", plan);
        }
    }

    #[test]
    fn a_restore_interrupted_anywhere_ends_with_one_set_of_volumes(
        spec in any_spec(), history in any_history(), stops in prop::collection::vec(0_usize..24, 0..4), newer in any::<bool>(),
    ) {
        let mut whole = Cloud::of(history.clone());
        let Ok(_) = whole.restore(&spec) else { return Ok(()) };
        let mut cloud = Cloud::of(history);
        for (number, stop) in (0_i64..).zip(stops) {
            let Ok(plan) = restore(&spec, &cloud.scene) else { break };
            for step in plan.steps().iter().take(stop) {
                cloud.carry_out(&plan, step);
            }
            // A newer set is finished between two tries.
            if newer && spec.at.is_none() {
                let more = set(&format!("n{number}"), -1 - number, &[&MOUNTS[..], &[NEW]].concat());
                cloud.scene.snapshots.extend(more);
            }
        }
        let again = cloud.restore(&spec);
        prop_assert!(again.is_ok(), "{:?}", again);
        let (mut one, mut other) = (BTreeSet::new(), BTreeSet::new());
        for (scene, mounts) in [(&whole.scene, &mut one), (&cloud.scene, &mut other)] {
            for made in &scene.made {
                prop_assert!(made.was_used() && made.volume.state == VolumeState::InUse, "left over: {:?}", made);
                prop_assert!(mounts.insert((made.volume.tags.get(RESTORED_MOUNT).cloned(), made.volume.tags.get(RESTORED_VOLUME).cloned())), "twice: {:?}", made);
            }
        }
        if !newer {
            prop_assert_eq!(one, other);
        }
        let runs: BTreeSet<_> = cloud.scene.made.iter().map(|made| made.volume.tags[RESTORED_FROM].clone()).filter(|run| run != BLANK).collect();
        prop_assert!(spec.mixed || runs.len() <= 1, "{:?}", runs);
        // And then there is nothing left to do but to mount.
        if spec.at.is_none() {
            let after = restore(&spec, &cloud.scene).unwrap();
            prop_assert!(after.steps().iter().all(|step| *step == RestoreStep::Mount), "{}", after);
        }
    }

    #[test]
    fn every_argument_is_one_that_ec2_takes(spec in any_spec(), history in any_history()) {
        let Ok(plan) = restore(&spec, &scene().with(history)) else { return Ok(()) };
        let tokens: BTreeSet<_> = calls(&plan).iter().map(|call| &call.token).collect();
        prop_assert_eq!(tokens.len(), calls(&plan).len());
        let devices: BTreeSet<_> = plan.volumes.iter().map(|volume| &volume.device).collect();
        prop_assert!(devices.len() == plan.volumes.len() && devices.iter().all(|device| DeviceWish::new(device).is_ok()));
        for call in calls(&plan) {
            prop_assert!(call.tags.len() < tags::MOST && call.tags.iter().all(|(key, value)| tags::check_key(key).is_ok() && tags::check_value(key, value).is_ok()));
        }
        prop_assert!(plan.mounts.iter().all(|mount| !mount.volumes.is_empty()));
    }
}
