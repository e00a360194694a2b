//! Paths by which a process outside an instance's mount namespace reaches the instance's mounts: through
//! `/proc/PID/root` of one of the fleet's processes inside, or of the thread that keeps the namespace.

use crate::machine::InstanceMounts;
use crate::processes;
use crate::writer;
use std::fs;
use std::path::{Path, PathBuf};

/// The roots that the processes below `fleet` see, other than our own.
#[must_use]
pub fn roots(fleet: i32) -> Vec<PathBuf> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let here = namespace("self");
    processes::below(fleet)
        .into_iter()
        .map(|process| process.pid.to_string())
        .filter(|pid| namespace(pid).is_some_and(|there| Some(there) != here))
        .map(|pid| Path::new("/proc").join(pid).join("root"))
        .collect()
}

/// What an instance that runs has as its `/`, whether or not anything runs on it.
#[must_use]
pub fn root_of(fleet: i32, instance: &str) -> Option<PathBuf> {
    // The kernel keeps the first 15 letters of a thread's name.
    let name = format!("{instance}/ns");
    let name = name.get(..15).unwrap_or(&name);
    let tasks = fs::read_dir(format!("/proc/{fleet}/task")).ok()?;
    let mut tasks = tasks.flatten().map(|task| task.path());
    let keeps = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|its| its.trim() == name);
    tasks.find(keeps).map(|task| task.join("root"))
}

/// The path to a mount point on the first instance that has it.
#[must_use]
pub fn path_of(fleet: i32, mount_point: &str) -> Option<PathBuf> {
    let below = mount_point.trim_start_matches('/');
    roots(fleet).into_iter().map(|root| root.join(below)).find(|path| path.is_dir())
}

/// The paths to every mount of these instances that can be reached.
#[must_use]
pub fn paths(fleet: i32, instances: &[InstanceMounts]) -> Vec<PathBuf> {
    let mounts = instances.iter().flat_map(|instance| &instance.mounts);
    mounts.filter_map(|mount| path_of(fleet, &mount.mount_point)).collect()
}

/// Whether the checksumming writer of every one of these mounts has written something that a snapshot could
/// lack; without records a check proves nothing.
#[must_use]
pub fn written_to(mounts: &[PathBuf]) -> bool {
    let bytes = |mount: &PathBuf| -> u64 {
        let files = fs::read_dir(mount.join(writer::DIR)).into_iter().flatten().flatten();
        files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
    };
    !mounts.is_empty() && mounts.iter().all(|mount| bytes(mount) > 65_536)
}
