//! What the writers of every file system saw of one turn.

use super::ways::Taken;
use crate::bench::{BenchError, io, region, wait};
use crate::boottime::now_ns;
use crate::client::Client;
use crate::disks::CutRecord;
use crate::machine::Mount;
use crate::outside;
use crate::process::FleetProcess;
use crate::stall::{Stall, StallWatch};
use crate::writer::Promises;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file systems of the instance, each reached through its directory, which is kept open: the process
/// whose root led there may end. To be dropped before the fleet is, or they stay in use.
#[derive(Debug)]
pub(super) struct Mounts(Vec<(Mount, File)>);

impl Mounts {
    /// Opens them.
    pub(super) fn open(fleet: &FleetProcess) -> Result<Self, BenchError> {
        let state = fleet.client().state().map_err(region("read the mounts"))?;
        let mut open = Vec::new();
        for mount in state.into_iter().flat_map(|instance| instance.mounts) {
            let mut found = None;
            wait(10, "a way to a file system of the instance", || {
                let path = outside::path_of(fleet.pid(), &mount.mount_point);
                found = path.and_then(|path| File::open(path).ok());
                Ok(found.is_some())
            })?;
            open.extend(found.map(|directory| (mount, directory)));
        }
        Ok(Self(open))
    }

    /// The mount points, as the instance has them.
    pub(super) fn places(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(mount, _)| mount.mount_point.as_str())
    }

    /// The volumes, with a path that leads to each one's file system from any process of the host.
    pub(super) fn volumes(&self) -> impl Iterator<Item = (&str, PathBuf)> {
        self.0.iter().map(|(mount, directory)| {
            let path = format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd());
            (mount.volume.as_str(), PathBuf::from(path))
        })
    }

    /// Begins to watch.
    pub(super) fn watch(&self) -> Result<Watch, BenchError> {
        let began_ns = now_ns();
        let start = |(volume, path): (&str, PathBuf)| {
            let watch = StallWatch::start(&[path]).map_err(io("write to the mounts"))?;
            Ok((volume.to_owned(), watch))
        };
        let by_volume = self.volumes().map(start).collect::<Result<_, BenchError>>()?;
        Ok(Watch { began_ns, by_volume })
    }

    /// The longest that a write takes when nothing is done.
    pub(super) fn watch_idle(&self, time: Duration) -> Result<Duration, BenchError> {
        let watch = self.watch()?;
        std::thread::sleep(time);
        let stalls = watch.by_volume.into_iter().flat_map(|(_, watch)| watch.finish());
        Ok(stalls.map(|stall| stall.length()).max().unwrap_or_default())
    }
}

/// Writers that are watched, by volume.
#[derive(Debug)]
pub(super) struct Watch {
    began_ns: u64,
    by_volume: Vec<(String, StallWatch)>,
}

/// What they saw.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The longest that a write stood still around its volume's cut.
    pub(super) stall: Duration,
    /// From the first write that stood still around a cut to the last.
    pub(super) window: Duration,
    /// The longest of anything else: of the flush, above all.
    pub(super) outside: Duration,
    /// The longest of anything else that a small write with its fdatasync took.
    pub(super) synced_outside: Duration,
}

impl Watch {
    /// Ends it.
    pub(super) fn finish(self, client: &Client, taken: &Taken) -> Result<Seen, BenchError> {
        let stalls: Vec<(String, Vec<Stall>)> =
            self.by_volume.into_iter().map(|(volume, watch)| (volume, watch.finish())).collect();
        let ended_ns = now_ns();
        let cuts = cuts(client, taken)?;
        let mut seen = Seen::default();
        let mut window: Option<(u64, u64)> = None;
        for (volume, stalls) in stalls {
            let Some(cut) = cuts.get(&volume) else {
                return Err(BenchError::Missing(format!("{volume} was not cut")));
            };
            for stall in stalls {
                if stall.spans(cut.begun_ns) {
                    seen.stall = seen.stall.max(stall.length());
                    let (from, to) = window.unwrap_or((stall.from_ns, stall.to_ns));
                    window = Some((from.min(stall.from_ns), to.max(stall.to_ns)));
                } else {
                    seen.outside = seen.outside.max(stall.length());
                }
            }
            let synced = synced(&cut.writer_log, self.began_ns, ended_ns)?;
            let others = synced.iter().filter(|stall| !stall.spans(cut.begun_ns)).map(Stall::length);
            seen.synced_outside = seen.synced_outside.max(others.max().unwrap_or_default());
        }
        let (from, to) = window.unwrap_or_default();
        seen.window = Duration::from_nanos(to.saturating_sub(from));
        Ok(seen)
    }
}

/// The records of a turn's cuts, by volume.
fn cuts(client: &Client, taken: &Taken) -> Result<BTreeMap<String, CutRecord>, BenchError> {
    let files = client.snapshot_files().map_err(region("find the snapshots' files"))?;
    let files = taken.snapshots.iter().filter_map(|snapshot| files.get(snapshot));
    let read = |path: &Path| CutRecord::read(path).map_err(io("read the record of a cut"));
    files.map(|file| Ok((file.volume.clone(), read(&file.path)?))).collect()
}

/// The synced writes that took long, by the checksumming writer's log.
fn synced(log: &Path, from_ns: u64, to_ns: u64) -> Result<Vec<Stall>, BenchError> {
    let text = std::fs::read_to_string(log).map_err(io("read a writer's log"))?;
    let stalls = Promises::read(&text).stalls.into_iter().filter(|stall| stall.operation == "record");
    let stalls = stalls.map(|stall| Stall { from_ns: stall.from_ns, to_ns: stall.to_ns });
    Ok(stalls.filter(|stall| stall.to_ns > from_ns && stall.from_ns < to_ns).collect())
}
