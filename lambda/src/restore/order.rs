//! The mount order of one plan: the plan's words in the wire's. Pure. A mount that no order can name is told
//! as one that failed; the others are ordered all the same.

use stillframe_plan::{PlannedMount, RestorePlan, VolumeId};
use stillframe_wire::{
    FileSystemKind, JsonError, MountOrder, MountOutcome, MountPoint, MountSpec, Mounted, VERSION,
};

/// What the helper is asked for, and what it cannot be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// The order; none where there is nothing left to ask for.
    pub order: Option<MountOrder>,
    /// The mounts that no order can name, each with the reason.
    pub refused: Vec<MountOutcome>,
}

/// Writes the order. `ids`: the volumes of the plan, in order.
#[must_use]
pub fn mount_order(plan: &RestorePlan, ids: &[VolumeId]) -> Ordered {
    let (mut mounts, mut refused) = (Vec::new(), Vec::new());
    for mount in &plan.mounts {
        match spec(plan, mount, ids) {
            Ok(spec) => mounts.push(spec),
            Err(why) => {
                let mut outcome = MountOutcome::named(&mount.mount_point, &[], Mounted::Failed);
                outcome.error = Some(format!("it cannot be ordered: {why}"));
                refused.push(outcome);
            }
        }
    }
    let run = plan.sets.first().map(|set| set.run.as_str().to_owned());
    let order = (!mounts.is_empty()).then_some(MountOrder { v: VERSION, run, hooks: true, mounts });
    Ordered { order, refused }
}

fn spec(plan: &RestorePlan, mount: &PlannedMount, ids: &[VolumeId]) -> Result<MountSpec, String> {
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let mount_point = MountPoint::new(mount.mount_point.as_str()).map_err(|error| said(&error))?;
    let mut volumes = Vec::with_capacity(mount.volumes.len());
    for at in &mount.volumes {
        let id = ids.get(*at).ok_or_else(|| format!("volume {at} of the plan was not made"))?;
        volumes.push(stillframe_wire::VolumeId::new(id.as_str()).map_err(|error| said(&error))?);
    }
    let Some(first) = volumes.first().cloned() else { return Err("it lies on no volume".to_owned()) };
    let names = mount.volumes.iter().filter_map(|at| plan.volumes.get(*at));
    let mut spec = MountSpec {
        volumes,
        devices: names.map(|volume| volume.device.clone()).collect(),
        // A type that is none of ours is left to the signature: the helper names it where it fails.
        file_system: FileSystemKind::named(&mount.file_system),
        mount_options: mount.options.clone(),
        blank: mount.blank,
        ..MountSpec::new(first, mount_point)
    };
    if is_of(&spec, "devices") {
        // Only a Xen instance needs the names, and it has none that the wire does not know.
        spec.devices.clear();
    }
    spec.check("").map_err(|error| said(&error))?;
    Ok(spec)
}

/// Whether it is that field because of which the spec cannot be carried out.
fn is_of(spec: &MountSpec, wrong: &str) -> bool {
    matches!(spec.check(""), Err(JsonError::Field { field, .. }) if field == wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use stillframe_plan::{RestoreWay, RestoredVolume};

    fn volume(n: usize, device: &str) -> RestoredVolume {
        RestoredVolume {
            mount_points: Vec::new(),
            source: None,
            way: RestoreWay::Keep { volume: id(n) },
            device: device.to_owned(),
            delete_on_termination: None,
        }
    }

    fn id(n: usize) -> VolumeId {
        VolumeId::from(format!("vol-0aaaaaaaaaaaaaa{n:02}").as_str())
    }

    fn mount(at: &str, file_system: &str, volumes: &[usize]) -> PlannedMount {
        PlannedMount {
            mount_point: at.to_owned(),
            file_system: file_system.to_owned(),
            options: String::new(),
            volumes: volumes.to_vec(),
            blank: false,
        }
    }

    fn ordered(devices: &[&str], mounts: Vec<PlannedMount>) -> Ordered {
        let plan = RestorePlan {
            instance: "i-0aaaaaaaaaaaaaaa1".into(),
            zone: "z".to_owned(),
            sets: Vec::new(),
            passed_over: Vec::new(),
            volumes: devices.iter().enumerate().map(|(n, device)| volume(n, device)).collect(),
            mounts,
            leftovers: Vec::new(),
            notes: Vec::new(),
        };
        let ids: Vec<VolumeId> = (0..devices.len()).map(id).collect();
        mount_order(&plan, &ids)
    }

    #[test]
    fn what_the_helper_reads_is_what_the_plan_says() {
        let mut first = mount("/srv/pg data", "xfs", &[1]);
        first.options = "noatime".to_owned();
        let mut second = mount("/srv/new", "ext4", &[0]);
        second.blank = true;
        let Ordered { order, refused } = ordered(&["/dev/sdf", "/dev/xvdba"], vec![first, second]);
        let text = serde_json::to_vec(&order.unwrap()).unwrap();
        let read = MountOrder::read(&text).unwrap();
        assert_eq!((read.mounts.len(), refused.len(), read.hooks), (2, 0, true));
        let [a, b] = read.mounts.as_slice() else { panic!() };
        assert_eq!(a.volumes, [stillframe_wire::VolumeId::new("vol-0aaaaaaaaaaaaaa01").unwrap()]);
        assert_eq!(
            (a.mount_point.as_str(), a.file_system, a.mount_options.as_str(), a.blank, a.devices.as_slice()),
            ("/srv/pg data", Some(FileSystemKind::Xfs), "noatime", false, &["/dev/xvdba".to_owned()][..])
        );
        assert_eq!((b.mount_point.as_str(), b.blank), ("/srv/new", true));
    }

    #[test]
    fn one_mount_that_cannot_be_named_holds_up_no_other() {
        let mounts = vec![
            mount("relative", "ext4", &[0]),
            mount("/far", "ext4", &[7]),
            mount("/good", "vfat", &[0, 1]),
        ];
        let Ordered { order, refused } = ordered(&["", "/dev/nvme1n1"], mounts);
        let order = order.unwrap();
        assert_eq!(order.check(), Ok(()));
        let [good] = order.mounts.as_slice() else { panic!() };
        assert_eq!((good.file_system, good.devices.len(), good.volumes.len()), (None, 0, 2));
        let why: Vec<_> = refused.iter().map(|one| one.error.clone().unwrap()).collect();
        assert!(why[0].contains("\"relative\"") && why[1].contains("volume 7"), "{why:?}");
        assert_eq!(ordered(&[], vec![mount("x", "", &[])]).order, None);
    }
}
