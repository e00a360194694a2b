//! One instance as the campaign reaches into it: its file systems watched and filled, thawed and shut down;
//! its `/run`, which is made small enough to be filled.

use super::site::Machine;
use super::watch::Watch;
use crate::bench::{BenchError, io};
use crate::outside;
use crate::sys;
use rustix::fd::OwnedFd;
use rustix::fs::{FallocateFlags, Mode, OFlags, fallocate, open};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;

/// Room in `/run`: enough for lock and lease.
const RUN_SIZE: &str = "size=256k";
/// What fills a file system; removed afterwards.
const FILLER: &str = "filler";
/// A file system is filled in pieces of these sizes.
const PIECES: [u64; 5] = [64 << 20, 8 << 20, 1 << 20, 64 << 10, 4 << 10];

/// An instance.
#[derive(Debug)]
pub struct Inside {
    /// What it is.
    pub machine: Machine,
    root: OwnedFd,
    /// One for each of its volumes, in their order.
    pub watches: Vec<Watch>,
}

impl Inside {
    /// Reaches into an instance that runs.
    ///
    /// # Errors
    /// It cannot be reached.
    pub fn of(fleet: i32, machine: &Machine) -> Result<Self, BenchError> {
        let missing = || BenchError::Missing(format!("{} is nowhere mounted", machine.id));
        let first = machine.volumes.first().ok_or_else(missing)?;
        let mount = outside::path_of(fleet, &first.mount).ok_or_else(missing)?;
        // /proc/PID/root/srv/...
        let of_process: PathBuf = mount.iter().take(4).collect();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(&of_process, flags, Mode::empty())
            .map_err(|errno| io(format!("open the root of {}", machine.id))(errno.into()))?;
        let pid = of_process.iter().nth(2).unwrap_or_default();
        let small = Command::new("nsenter")
            .arg("-t")
            .arg(pid)
            .args(["-m", "--", "mount", "-o", &format!("remount,{RUN_SIZE}"), "/run"])
            .status()
            .map_err(io("start nsenter"))?;
        if !small.success() {
            return Err(BenchError::Missing(format!("failed to make /run of {} small", machine.id)));
        }
        let mut inside = Self { machine: machine.clone(), root, watches: Vec::new() };
        for volume in &machine.volumes {
            let watch = Watch::of(&inside.path(&volume.mount));
            inside.watches.push(watch.map_err(io(format!("watch {}", volume.mount)))?);
        }
        Ok(inside)
    }

    fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.root.as_raw_fd())).join(inside.trim_start_matches('/'))
    }

    fn picked(&self, pick: usize) -> Option<(&Watch, PathBuf)> {
        let at = pick % self.machine.volumes.len().max(1);
        Some((self.watches.get(at)?, self.path(&self.machine.volumes.get(at)?.mount)))
    }

    /// Fills a file system to the last block. What there is to say of it.
    pub fn fill(&self, pick: usize) -> String {
        let Some((_, mount)) = self.picked(pick) else { return String::new() };
        match fill(&mount.join(FILLER)) {
            Ok(bytes) => format!("filled with {} MiB", bytes >> 20),
            Err(error) => format!("not filled: {error}"),
        }
    }

    /// Fills `/run`.
    pub fn fill_run(&self) -> String {
        match fill(&self.path("run").join(FILLER)) {
            Ok(bytes) => format!("/run filled with {} KiB", bytes >> 10),
            Err(error) => format!("/run not filled: {error}"),
        }
    }

    /// Frees what was filled.
    pub fn free(&self) {
        let volumes = self.machine.volumes.iter().map(|volume| volume.mount.as_str());
        for place in volumes.chain(["/run"]) {
            let _ = std::fs::remove_file(self.path(place).join(FILLER));
        }
    }

    /// Removes the lease file; whether there was one.
    pub fn remove_lease(&self) -> bool {
        std::fs::remove_file(self.path("run/stillframe/lease.json")).is_ok()
    }

    /// Thaws a file system as a foreign process would; whether it was frozen.
    pub fn thaw(&self, pick: usize) -> bool {
        self.picked(pick).and_then(|(watch, _)| watch.handle()).is_some_and(|fd| sys::thaw(fd).is_ok())
    }

    /// Shuts a file system down, if its type can be. What there is to say of it.
    pub fn shut_down(&self, pick: usize) -> String {
        let types = self.machine.volumes.iter().map(|volume| volume.fs);
        let can: Vec<usize> = types.enumerate().filter(|(_, fs)| *fs != "btrfs").map(|(at, _)| at).collect();
        let Some(at) = can.get(pick % can.len().max(1)) else { return "nothing to shut down".to_owned() };
        let Some(fd) = self.watches.get(*at).and_then(Watch::handle) else { return String::new() };
        match sys::shut_down(fd) {
            Ok(()) => format!("{DOWN} {}", self.machine.volumes.get(*at).map_or("", |volume| volume.fs)),
            Err(errno) => format!("not shut down: {errno}"),
        }
    }
}

/// How the note of a shut down file system begins.
pub const DOWN: &str = "shut down";

fn fill(path: &std::path::Path) -> std::io::Result<u64> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    let mut size = 0;
    for piece in PIECES {
        loop {
            match fallocate(&file, FallocateFlags::empty(), size, piece) {
                Ok(()) => size += piece,
                Err(Errno::NOSPC) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
    Ok(size)
}
