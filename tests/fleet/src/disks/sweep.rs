//! Ends what fleets left that were killed: frozen file systems, processes, mounts, loop devices, files.
//!
//! Only what can be told to belong to a fleet whose process is gone is touched: a loop device by the place
//! of its file, a process by the mark on `/run` in its mount table.

use super::ghost;
use super::limit;
use super::loop_device::Binding;
use super::mount_table;
use super::vault::unmount_for_sure;
use super::work_dir::{abandoned, limits_of, mark_of};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Killed processes are gone in this time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sweeps below `base`; returns the directories that are gone now. What cannot be ended is logged, and
/// tried again by the next sweep.
pub fn sweep(base: &Path) -> Vec<PathBuf> {
    let left = abandoned(base).unwrap_or_else(|error| {
        tracing::warn!(base = %base.display(), %error, "failed to look for what killed fleets left");
        Vec::new()
    });
    left.into_iter().filter(|dir| end(dir)).collect()
}

fn end(dir: &Path) -> bool {
    let images = dir.join("images");
    let vault = dir.join(super::vault::IMAGE);
    limit::lift_noted(&limits_of(dir), dir);
    let devices = devices_below(&images);
    end_processes(&mark_of(dir), &devices);
    let kept = ghost::release(devices);
    if !kept.is_empty() {
        tracing::warn!(dir = %dir.display(), ?kept, "loop devices of a killed fleet are still in use");
        return false;
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for mount in mount_table::parse(&mounts).into_iter().rev() {
        if mount.mount_point.starts_with(dir)
            && let Err(error) = unmount_for_sure(&mount.mount_point)
        {
            tracing::warn!(mount_point = %mount.mount_point.display(), %error, "failed to unmount");
        }
    }
    let _ = ghost::release(devices_below(&vault));
    match fs::remove_dir_all(dir) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(dir = %dir.display(), %error, "failed to remove what a killed fleet left");
            false
        }
    }
}

/// Kills what still runs in the namespaces of that fleet; thaws what keeps it from dying.
fn end_processes(mark: &str, devices: &[Binding]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let alive = processes_of(mark);
        if alive.is_empty() || Instant::now() >= deadline {
            return;
        }
        for pid in alive {
            let handle = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
            if let Some(handle) = handle
                && belongs_to(pid, mark)
            {
                let _ = pidfd_send_signal(&handle, Signal::KILL);
            }
        }
        for device in devices {
            let _ = ghost::thaw(*device);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn processes_of(mark: &str) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.filter(|pid| belongs_to(*pid, mark)).collect()
}

/// Whether `/run`, as that process sees it, carries the mark.
fn belongs_to(pid: i32, mark: &str) -> bool {
    let table = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mounts = mount_table::parse(&String::from_utf8_lossy(&table));
    mounts.iter().any(|mount| mount.mount_point == Path::new("/run") && mount.source == mark)
}

/// Loop devices whose files lie below `path`, or are it.
fn devices_below(path: &Path) -> Vec<Binding> {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| {
        let name = entry.file_name();
        // Before its file is read: were it taken over in between, the binding would no longer stand.
        let binding = Binding::of(name.to_str()?.strip_prefix("loop")?.parse().ok()?);
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        Path::new(file.trim_end()).starts_with(path).then_some(binding)
    });
    numbers.collect()
}
