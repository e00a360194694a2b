//! File systems that are frozen and mounted nowhere: whoever froze them died with the namespace. The kernel
//! keeps them, and their device, until somebody mounts the device again and thaws.

use super::detached::Detached;
use super::loop_device::Binding;
use super::signature;
use crate::spec::FsType;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A device that nobody uses lets go of its file in this time, if its file system has not much to write.
const SOON: Duration = Duration::from_millis(500);
/// No file system of a fleet has so much to write that it takes longer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Thaws what is on a loop device, mounted or not; `true` if it was frozen. A device that has become
/// somebody else's is left alone.
#[must_use]
pub fn thaw(binding: Binding) -> bool {
    if !binding.stands() {
        return false;
    }
    let device = PathBuf::from(format!("/dev/loop{}", binding.number()));
    let (fs, flags): (_, &[&str]) = match signature::read(&device) {
        // A copy has its original's UUID, which XFS would refuse while that one is mounted.
        Ok(FsType::Xfs) => ("xfs", &["nouuid"]),
        Ok(FsType::Ext4) => ("ext4", &[]),
        Ok(FsType::Btrfs) => ("btrfs", &[]),
        Ok(FsType::None) | Err(_) => return false,
    };
    Detached::mount(&device, fs, flags).is_ok_and(|root| root.thaw().unwrap_or(false))
}

/// Waits until loop devices have let go of their files; thaws what keeps one. Returns those that are still
/// in use at the end.
#[must_use]
pub fn release(mut bindings: Vec<Binding>) -> Vec<u32> {
    let deadline = Instant::now() + PATIENCE;
    let mut next_thaw = Instant::now() + SOON;
    loop {
        bindings.retain(Binding::stands);
        if bindings.is_empty() || Instant::now() >= deadline {
            return bindings.iter().map(Binding::number).collect();
        }
        if Instant::now() >= next_thaw {
            for binding in bindings.iter().filter(|binding| thaw(**binding)) {
                tracing::warn!(
                    device = binding.number(),
                    "thawed a file system that nobody could reach any more"
                );
            }
            next_thaw = Instant::now() + SOON;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
