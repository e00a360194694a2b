//! The way back: unmounts, the inner ones first, and takes the records away. Who holds a file system open is
//! named; nothing is forced, and nothing is unmounted lazily, for then nobody would know when a volume may be
//! detached.

use super::holders::holders;
use super::place::mounted_at;
use super::record::{Records, RecordsError};
use crate::clock::Boottime;
use crate::describe;
use crate::hooks::{Event, Facts, Hooks};
use crate::volumes::{Inventory, InventoryError, read_mounts};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use stillframe_wire::{MountOutcome, MountPoint, MountReport, MountSpec, Mounted, RanHook, VolumeId};

/// How long a file system may be busy with nobody to name for it: udev looks at what has changed.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// How long the hooks of one unmount may take together.
const HOOKS: Duration = Duration::from_secs(300);

/// What to unmount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything that is recorded.
    All,
    /// What is mounted there.
    At(Vec<MountPoint>),
    /// What is mounted from these volumes.
    Volumes(Vec<VolumeId>),
}

/// Something was not unmounted.
#[derive(Debug, thiserror::Error)]
enum UnmountError {
    #[error("{0} holds nothing of a volume, and is not recorded")]
    NotOurs(MountPoint),
    #[error("nothing of {0} is mounted or recorded")]
    NothingOf(VolumeId),
    #[error("{at} is held: {by}")]
    Held { at: MountPoint, by: String },
    #[error("failed to unmount {at}")]
    Unmount { at: MountPoint, source: Errno },
    #[error(transparent)]
    Hook(#[from] crate::hooks::HookError),
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    Inventory(#[from] InventoryError),
}

/// Unmounts on the machine whose root directory is `root`.
#[must_use]
pub fn unmount(root: &Path, wanted: &Wanted, keep_records: bool, hooks: bool) -> MountReport {
    let mut report = MountReport::new(None);
    let hooks = Hooks::new(root, hooks);
    let events = [Event::PreUnmounts, Event::PreUnmount, Event::PostUnmount, Event::PostUnmounts];
    let found = hooks.check(&events).map_err(UnmountError::from).and_then(|()| find(root, wanted));
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            report.error = Some(describe(&error));
            return report;
        }
    };
    let facts = Facts::default();
    let until = || Boottime::now().after(HOOKS);
    match hooks.before(Event::PreUnmounts, &facts, until(), &mut report.hooks) {
        // The deepest first.
        Ok(()) => {
            report.mounts = found
                .iter()
                .rev()
                .map(|(at, volumes)| one(root, at, volumes, keep_records, &hooks))
                .collect();
        }
        Err(error) => report.error = Some(describe(&error)),
    }
    let failed = report.mounts.iter().find_map(|mount| mount.error.clone());
    let facts = facts.ended(report.error.clone().or(failed).as_deref());
    let warnings = hooks.after(Event::PostUnmounts, &facts, until(), &mut report.hooks);
    report.warnings.extend(warnings);
    report
}

/// Mount points and their volumes, an outer one before those in it.
fn find(root: &Path, wanted: &Wanted) -> Result<BTreeMap<MountPoint, Vec<VolumeId>>, UnmountError> {
    let inventory = Inventory::read(root)?;
    let mut ours: BTreeMap<MountPoint, Vec<VolumeId>> = BTreeMap::new();
    let mut recorded = Vec::new();
    for (name, record) in Records::below(root).all()? {
        // A record that cannot be read can be taken away all the same.
        let spec = record.ok().map(|record| record.spec);
        let at = spec.as_ref().map(|spec: &MountSpec| spec.mount_point.clone());
        if let Some(at) = at.or_else(|| MountPoint::of_name(&name)) {
            recorded.push(at.clone());
            ours.insert(at, spec.map(|spec| spec.volumes).unwrap_or_default());
        }
    }
    for fs in inventory.filesystems.iter().filter(|fs| !fs.backing.volumes.is_empty()) {
        for mount in fs.mounts.iter().filter(|mount| mount.through.is_none()) {
            let Some(at) = mount.mount_point.to_str().and_then(|at| MountPoint::new(at).ok()) else {
                continue;
            };
            ours.entry(at).or_insert_with(|| fs.backing.volumes.iter().cloned().collect());
        }
    }
    match wanted {
        Wanted::All => ours.retain(|at, _| recorded.contains(at)),
        Wanted::At(points) => {
            if let Some(other) = points.iter().find(|at| !ours.contains_key(at)) {
                return Err(UnmountError::NotOurs(other.clone()));
            }
            ours.retain(|at, _| points.contains(at));
        }
        Wanted::Volumes(volumes) => {
            let has = |volume: &&VolumeId| ours.values().any(|of_it| of_it.contains(volume));
            if let Some(other) = volumes.iter().find(|volume| !has(volume)) {
                return Err(UnmountError::NothingOf(other.clone()));
            }
            ours.retain(|_, of_it| of_it.iter().any(|volume| volumes.contains(volume)));
        }
    }
    Ok(ours)
}

fn one(root: &Path, at: &MountPoint, volumes: &[VolumeId], keep_record: bool, hooks: &Hooks) -> MountOutcome {
    let began = Boottime::now();
    let mut outcome = MountOutcome::new(at, volumes, Mounted::Failed);
    let ids: Vec<&str> = volumes.iter().map(VolumeId::as_str).collect();
    let facts = Facts::default().with("VOLUME", ids.join(" ")).with("MOUNT_POINT", at.as_str());
    let mut ran: Vec<RanHook> = Vec::new();
    let ended = try_one(root, at, keep_record, hooks, &facts, &mut ran);
    match ended {
        Ok(ended) => outcome.outcome = ended,
        Err(error) => outcome.error = Some(describe(&error)),
    }
    if outcome.outcome != Mounted::NotMounted {
        let facts = facts.ended(outcome.error.as_deref());
        let until = Boottime::now().after(HOOKS);
        outcome.warnings = hooks.after(Event::PostUnmount, &facts, until, &mut ran);
    }
    outcome.hooks = ran;
    let name = at.name();
    outcome.recorded =
        Records::below(root).all().is_ok_and(|all| all.iter().any(|(other, _)| *other == name));
    outcome.ms = Boottime::now().since(began).as_millis().try_into().unwrap_or(u64::MAX);
    outcome
}

fn try_one(
    root: &Path,
    at: &MountPoint,
    keep_record: bool,
    hooks: &Hooks,
    facts: &Facts,
    ran: &mut Vec<RanHook>,
) -> Result<Mounted, UnmountError> {
    let mounts = read_mounts(root)?;
    let is_mounted = mounted_at(&mounts, at).is_some();
    if is_mounted {
        hooks.before(Event::PreUnmount, facts, Boottime::now().after(HOOKS), ran)?;
        let limit = Boottime::now().after(PATIENCE);
        loop {
            match rustix::mount::unmount(at.as_path(), UnmountFlags::NOFOLLOW) {
                Ok(()) => break,
                Err(Errno::BUSY) => {
                    let mounts = read_mounts(root)?;
                    let by = mounted_at(&mounts, at)
                        .map(|mount| holders(root, &mounts, mount))
                        .unwrap_or_default();
                    if !by.is_empty() {
                        return Err(UnmountError::Held { at: at.clone(), by: by.join("; ") });
                    }
                    if Boottime::now() >= limit {
                        return Err(UnmountError::Unmount { at: at.clone(), source: Errno::BUSY });
                    }
                    std::thread::sleep(PAUSE);
                }
                Err(source) => return Err(UnmountError::Unmount { at: at.clone(), source }),
            }
        }
    }
    if !keep_record {
        Records::below(root).remove(at)?;
    }
    Ok(if is_mounted { Mounted::Unmounted } else { Mounted::NotMounted })
}
