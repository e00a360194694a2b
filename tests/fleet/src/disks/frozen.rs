//! The mounts of an instance with the answer to whether each is frozen.

use super::instance::Instance;
use super::probe::Probes;
use super::running::Mounted;
use super::step::step;
use crate::machine::{InstanceMounts, MachineError, Mount};
use std::collections::BTreeMap;
use std::io;

/// Asks every file system at the same time; one with two mount points once.
pub(super) fn mounts_of(instance: &Instance, probes: &Probes) -> Result<InstanceMounts, MachineError> {
    let mounted = instance.mounts()?;
    let once: BTreeMap<u32, &Mounted> = mounted.iter().map(|one| (one.device, one)).collect();
    let frozen = ask(instance, probes, &once)?;
    let mount = |one: &Mounted| Mount {
        mount_point: one.mount_point.to_string_lossy().into_owned(),
        volume: one.volume.clone(),
        fs: one.fs.clone(),
        frozen: frozen.get(&one.device).copied().unwrap_or_default(),
    };
    Ok(InstanceMounts { id: instance.id().to_owned(), mounts: mounted.iter().map(mount).collect() })
}

fn ask(
    instance: &Instance,
    probes: &Probes,
    mounted: &BTreeMap<u32, &Mounted>,
) -> Result<BTreeMap<u32, bool>, MachineError> {
    // Stopped, or being stopped at this moment.
    let Ok(namespace) = instance.namespace() else { return Ok(BTreeMap::new()) };
    let namespace = &*namespace;
    std::thread::scope(|scope| {
        let asked: Vec<_> = mounted
            .values()
            .map(|one| {
                scope.spawn(|| Ok((one.device, probes.frozen(namespace, one.device, &one.mount_point)?)))
            })
            .collect();
        let panicked = |_| Err(step("ask whether a file system is frozen")(io::Error::other("a panic")));
        asked.into_iter().map(|answer| answer.join().unwrap_or_else(panicked)).collect()
    })
}
