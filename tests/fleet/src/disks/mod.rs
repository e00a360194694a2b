//! Machines with real disks: volumes are image files on loop devices, snapshots are reflink clones of them,
//! instances are mount namespaces with a tree of their own.
//!
//! Everything is gone when [`Disks`] is dropped or shut down, frozen file systems included; what a killed
//! predecessor left is ended by [`sweep`] at the next start. Nothing here ever freezes or writes to a file
//! system of the host, except for the files in its own directory below the temporary one.

mod cut;
mod detached;
mod frozen;
mod ghost;
mod image;
mod instance;
pub mod limit;
mod loop_device;
mod mount_table;
pub(crate) mod namespace;
mod owner;
mod plug;
mod power;
pub mod probe;
mod requirements;
mod running;
mod signature;
pub(crate) mod step;
pub mod sweep;
pub(crate) mod tree;
mod units;
mod vault;
mod work_dir;
mod writer_process;

pub use cut::CutRecord;
pub use requirements::missing;
pub use work_dir::vault_of;

pub(crate) use detached::Detached;
pub(crate) use loop_device::LoopDevice;
pub(crate) use signature::read as file_system_of;

use crate::agent::{self, Agent};
use crate::machine::{
    CutRequest, InstanceMounts, MachineError, Machines, NewVolume, RunningScript, ShellScript, Stop,
};
use crate::spec::{InstanceSpec, PowerState, Spec, VolumeSpec};
use crate::sync::lock;
use image::PendingClone;
use instance::{Instance, Slot};
use limit::Limit;
use probe::{Probes, Watch};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use step::step;
use tree::{Root, Tree};
use work_dir::{Layout, WorkDir};
use writer_process::WriterPlan;

/// Probes that wait for a thaw end in this time once everything is thawed.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the disks find what is not in the region's spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the work directory is made.
    pub base: PathBuf,
    /// The helper that instances have installed; `None` for instances without.
    pub helper: Option<PathBuf>,
    /// The fleet's own program, which runs writers and probes.
    pub fleet: PathBuf,
}

impl Config {
    /// The temporary directory; the helper that `FLEET_HELPER` names, else the one beside this program;
    /// this program.
    ///
    /// # Errors
    /// This program's place or the working directory is not known.
    pub fn from_environment() -> std::io::Result<Self> {
        let fleet = std::env::current_exe()?;
        let beside = fleet.with_file_name("stillframe-helper");
        let helper = std::env::var_os("FLEET_HELPER").map_or(beside, PathBuf::from);
        // Both outlive a change of the working directory.
        let (base, helper) = (std::path::absolute(std::env::temp_dir())?, std::path::absolute(helper)?);
        Ok(Self { base, helper: helper.is_file().then_some(helper), fleet })
    }
}

/// Machines with real disks.
#[derive(Debug)]
pub struct Disks {
    region: String,
    instances: BTreeMap<String, Instance>,
    probes: Probes,
    scripts: AtomicU64,
    /// Whether snapshots have bytes.
    copies: bool,
    layout: Layout,
    // Last: it is removed after everything in it is free.
    dir: Mutex<WorkDir>,
}

impl Disks {
    /// Makes everything that the spec names, after ending what killed predecessors left.
    ///
    /// # Errors
    /// A step of that failed; nothing stays.
    pub fn new(spec: &Spec, config: &Config) -> Result<Self, MachineError> {
        sweep::sweep(&config.base);
        let dir = WorkDir::create(&config.base, spec.copies)?;
        let layout = dir.layout().clone();
        let all = spec.instances.iter().flat_map(|instance| &instance.volumes).chain(&spec.detached);
        for volume in all {
            let image = layout.volume(&volume.id);
            if spec.copies {
                image::create(&image, volume.size_mib)?;
            } else {
                image::write_out(&image, volume.size_mib)?;
            }
            image::format(&image, volume.fs_type())?;
        }
        let tree =
            Tree { at: layout.root(), mark: layout.mark(), root: Root::Memory, programs: programs(config) };
        let instance = |instance: &InstanceSpec| {
            let slots = instance.volumes.iter().map(|volume| (volume.id.clone(), slot(&layout, volume)));
            (instance.id.clone(), Instance::new(&instance.id, tree.clone(), slots.collect()))
        };
        let disks = Self {
            region: spec.region.clone(),
            instances: spec.instances.iter().map(instance).collect(),
            probes: Probes::default(),
            scripts: AtomicU64::new(1),
            copies: spec.copies,
            layout,
            dir: Mutex::new(dir),
        };
        // From here on dropping it undoes everything.
        disks.start_those_that_run(spec)?;
        Ok(disks)
    }

    /// Watches a file system from inside: every write, one a millisecond, that takes longer than `above`.
    ///
    /// # Errors
    /// The instance is unknown or stopped, or no watch can be started.
    pub fn watch(&self, instance: &str, mount_point: &Path, above: Duration) -> Result<Watch, MachineError> {
        Watch::start(&*self.instance(instance)?.namespace()?, mount_point, above)
    }

    /// The log of the writer on a volume: see [`Promises`](crate::writer::Promises).
    #[must_use]
    pub fn writer_log(&self, volume: &str) -> PathBuf {
        self.layout.writer_log(volume)
    }

    fn start_those_that_run(&self, spec: &Spec) -> Result<(), MachineError> {
        let mut running = spec.instances.iter().filter(|instance| instance.state == PowerState::Running);
        running.try_for_each(|instance| self.instance(&instance.id)?.start())
    }

    fn instance(&self, id: &str) -> Result<&Instance, MachineError> {
        self.instances.get(id).ok_or_else(|| unknown("instance", id))
    }

    /// The image of a volume that exists.
    fn image(&self, volume: &str) -> Result<PathBuf, MachineError> {
        let image = self.layout.volume(volume);
        if image.exists() { Ok(image) } else { Err(unknown("volume", volume)) }
    }
}

impl Machines for Disks {
    fn create_volume(&self, volume: &NewVolume) -> Result<(), MachineError> {
        let image = self.layout.volume(&volume.id);
        let Some(snapshot) = &volume.from else { return image::create(&image, volume.size_mib) };
        let source = self.snapshot_path(snapshot).ok_or_else(|| unknown("snapshot", snapshot))?;
        let clone = PendingClone::prepare(&source, &image)?;
        clone.clone_now().map_err(step(format!("clone {snapshot} to {}", volume.id)))?;
        clone.grow(volume.size_mib).map_err(step(format!("make {} larger", volume.id)))?;
        clone.keep();
        Ok(())
    }

    fn delete_volume(&self, volume: &str) -> Result<(), MachineError> {
        let image = self.image(volume)?;
        if self.instances.values().any(|instance| instance.has(volume)) {
            return Err(MachineError::Busy(volume.to_owned()));
        }
        std::fs::remove_file(image).map_err(step(format!("remove the image of {volume}")))
    }

    fn attach(&self, instance: &str, volume: &str, device: &str) -> Result<(), MachineError> {
        let image = self.image(volume)?;
        let slot = Slot { device: device.to_owned(), image, mount: None, limit: None, writer: None };
        self.instance(instance)?.attach(volume, slot)
    }

    fn detach(&self, instance: &str, volume: &str) -> Result<(), MachineError> {
        self.instance(instance)?.detach(volume)
    }

    fn snapshot(&self, cuts: &[CutRequest]) -> Result<(), MachineError> {
        for cut in cuts {
            self.image(&cut.volume)?;
        }
        if self.copies { cut::cut(&self.layout, cuts) } else { cut::note(&self.layout, cuts) }
    }

    fn copy_snapshot(&self, from: &str, to: &str) -> Result<(), MachineError> {
        self.snapshot_path(from).ok_or_else(|| unknown("snapshot", from))?;
        cut::copy(&self.layout, from, to)
    }

    fn delete_snapshot(&self, snapshot: &str) -> Result<(), MachineError> {
        self.snapshot_path(snapshot).ok_or_else(|| unknown("snapshot", snapshot))?;
        cut::delete(&self.layout, snapshot)
    }

    fn snapshot_path(&self, snapshot: &str) -> Option<PathBuf> {
        Some(self.layout.snapshot(snapshot)).filter(|path| path.exists())
    }

    fn state(&self) -> Result<Vec<InstanceMounts>, MachineError> {
        self.instances.values().map(|instance| frozen::mounts_of(instance, &self.probes)).collect()
    }

    fn acknowledged(&self) -> Result<BTreeMap<String, u64>, MachineError> {
        let count = |(volume, log): (String, PathBuf)| {
            let text = std::fs::read_to_string(log)
                .map_err(step(format!("read the log of the writer on {volume}")))?;
            let records = crate::writer::Promises::read(&text).acknowledged.len();
            Ok((volume, u64::try_from(records).unwrap_or(u64::MAX)))
        };
        self.layout.writer_logs()?.into_iter().map(count).collect()
    }

    fn run(&self, instance: &str, script: &ShellScript) -> Result<Box<dyn RunningScript>, MachineError> {
        let namespace = self.instance(instance)?.namespace()?;
        let agent = Agent { instance: instance.to_owned(), region: self.region.clone() };
        agent::start(&agent, &namespace, self.scripts.fetch_add(1, Ordering::Relaxed), script)
    }

    fn stop(&self, instance: &str, how: Stop) -> Result<(), MachineError> {
        let instance = self.instance(instance)?;
        match how {
            Stop::Clean => instance.stop(),
            Stop::Forced => {
                // The power goes: the disks stay as they are at this instant, whatever is written after.
                let cut = power::cut(&instance.images())?;
                let stopped = instance.stop();
                cut.restore().and(stopped)
            }
        }
    }

    fn start(&self, instance: &str) -> Result<(), MachineError> {
        self.instance(instance)?.start()
    }

    fn shutdown(&self) {
        let end = |instance: &Instance| {
            if let Err(error) = instance.stop() {
                tracing::warn!(instance = instance.id(), %error, "failed to end an instance wholly");
            }
        };
        std::thread::scope(|scope| {
            for instance in self.instances.values() {
                scope.spawn(|| end(instance));
            }
        });
        let deadline = Instant::now() + PATIENCE;
        while !self.probes.all_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
        lock(&self.dir).remove();
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn unknown(kind: &'static str, id: &str) -> MachineError {
    MachineError::Unknown { kind, id: id.to_owned() }
}

fn slot(layout: &Layout, volume: &VolumeSpec) -> Slot {
    let writer = volume.writer.then(|| WriterPlan {
        bulk_mb_s: volume.writer_bulk_mb_s,
        pause_us: volume.writer_pause_us,
        orphans: volume.writer_orphans,
        log: layout.writer_log(&volume.id),
    });
    let mount = volume.mount.as_ref().map(|at| (at.into(), volume.fs_type().as_str().to_owned()));
    let limit = (volume.limit_mb_s > 0 || volume.limit_iops > 0).then(|| Limit {
        mb_s: volume.limit_mb_s,
        iops: volume.limit_iops,
        notes: layout.limits(),
    });
    Slot { device: volume.device.clone(), image: layout.volume(&volume.id), mount, limit, writer }
}

fn programs(config: &Config) -> Vec<(String, PathBuf)> {
    let helper = config.helper.clone().map(|path| ("stillframe-helper".to_owned(), path));
    [("fleet".to_owned(), config.fleet.clone())].into_iter().chain(helper).collect()
}
