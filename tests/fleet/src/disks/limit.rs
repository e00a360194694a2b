//! A limit on a disk's speed, as every EBS volume has one: the block throttling of control groups of
//! version 1, set for the root group. Buffered writes are written back by the kernel, in nobody's name but
//! the root group's, so only there they are limited too; version 2 has no limits at its root.
//!
//! The kernel keeps a limit with the *number* of a loop device, also when its file is gone, and would slow
//! down whoever is given the number next. So it is lifted when the device is let go of; it is noted in the
//! work directory before it is set, for the sweep after a killed fleet; and a fleet lifts what it finds on
//! a number that it has just been given.

use super::mount_table;
use super::step::step;
use crate::machine::MachineError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const LOOP_MAJOR: u32 = 7;
/// What stands in the path of every fleet's files.
const OF_A_FLEET: &str = "/stillframe-fleet-";

const BYTES: [&str; 2] = ["blkio.throttle.write_bps_device", "blkio.throttle.read_bps_device"];
const REQUESTS: [&str; 2] = ["blkio.throttle.write_iops_device", "blkio.throttle.read_iops_device"];

/// How fast a disk may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// Megabytes a second, reads and writes each; 0 for as fast as it is.
    pub mb_s: u64,
    /// Requests a second, the same.
    pub iops: u64,
    /// Where limits are noted.
    pub notes: PathBuf,
}

/// A device that is limited until this is dropped.
#[derive(Debug)]
pub struct Limited {
    number: u32,
    note: PathBuf,
}

impl Limited {
    /// Limits a loop device, given its number.
    ///
    /// # Errors
    /// This machine cannot ([`missing`]), or the kernel refuses.
    pub fn set(number: u32, limit: &Limit) -> Result<Self, MachineError> {
        let failed = || step(format!("limit the speed of /dev/loop{number}"));
        let group = root_group().ok_or_else(|| failed()(io::Error::other(WITHOUT_CONTROLLER)))?;
        let note = limit.notes.join(number.to_string());
        fs::write(&note, b"").map_err(failed())?;
        // From here on a failure lifts what was set.
        let limited = Self { number, note };
        write_all(&group, number, limit.mb_s.saturating_mul(1_000_000), limit.iops).map_err(failed())?;
        Ok(limited)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        match lift(self.number) {
            Ok(()) => drop(fs::remove_file(&self.note)),
            Err(error) => tracing::warn!(device = self.number, %error, "failed to lift a disk's limit"),
        }
    }
}

const WITHOUT_CONTROLLER: &str =
    "no blkio controller of control groups version 1, with throttling, is mounted (/sys/fs/cgroup/blkio)";

/// Why the speed of disks cannot be limited here, in one sentence; `None` if it can.
#[must_use]
pub fn missing() -> Option<String> {
    root_group().is_none().then(|| format!("disks cannot be limited: {WITHOUT_CONTROLLER}"))
}

/// Lifts the limit that a former user has left on this number, if there is one.
pub(super) fn lift_left_behind(number: u32) {
    let device = format!("{LOOP_MAJOR}:{number} ");
    let is_limited = |group: &PathBuf| {
        let texts = BYTES.iter().chain(&REQUESTS).map(|name| fs::read_to_string(group.join(name)));
        texts.flatten().any(|text| text.lines().any(|line| line.starts_with(&device)))
    };
    if root_group().as_ref().is_some_and(is_limited)
        && let Err(error) = lift(number)
    {
        tracing::warn!(device = number, %error, "failed to lift a limit that was left on a loop device");
    }
}

/// Lifts the limits that a killed fleet has noted, but for numbers that another fleet has by now: that one
/// has seen to it already, and may have set its own.
pub(super) fn lift_noted(notes: &Path, of_the_dead: &Path) {
    for entry in fs::read_dir(notes).into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let file = fs::read_to_string(format!("/sys/block/loop{number}/loop/backing_file"));
        let file = file.unwrap_or_default();
        if (!file.contains(OF_A_FLEET) || Path::new(file.trim_end()).starts_with(of_the_dead))
            && let Err(error) = lift(number)
        {
            tracing::warn!(device = number, %error, "failed to lift the limit of a killed fleet");
        }
    }
}

fn lift(number: u32) -> io::Result<()> {
    root_group().map_or(Ok(()), |group| write_all(&group, number, 0, 0))
}

/// Zero lifts a limit.
fn write_all(group: &Path, number: u32, bytes: u64, requests: u64) -> io::Result<()> {
    let write = |names: [&str; 2], value: u64| {
        names
            .iter()
            .try_for_each(|name| fs::write(group.join(name), format!("{LOOP_MAJOR}:{number} {value}")))
    };
    write(BYTES, bytes)?;
    write(REQUESTS, requests)
}

/// Where the controller's root group is mounted, if it can throttle.
fn root_group() -> Option<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let groups = mount_table::parse(&table).into_iter().filter(|mount| mount.fs == "cgroup");
    groups
        .map(|mount| mount.mount_point)
        .find(|at| BYTES.iter().chain(&REQUESTS).all(|name| at.join(name).exists()))
}
