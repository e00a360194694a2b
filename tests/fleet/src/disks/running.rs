//! An instance while it runs: its namespace, its volumes' devices, what is mounted and who writes.

use super::detached::Detached;
use super::ghost;
use super::instance::Slot;
use super::loop_device::{Binding, LoopDevice};
use super::mount_table::{self, MountLine};
use super::namespace::Namespace;
use super::plug;
use super::step::step;
use super::tree::{Root, Tree};
use super::units;
use super::vault::unmount_or_wait;
use super::writer_process::{WriterPlan, WriterProcess};
use crate::machine::MachineError;
use rustix::mount::MountFlags;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Processes that were killed, and thawed if need be, are gone in this time.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOP_MAJOR: u32 = 7;
/// An EBS volume has no discard, a loop device has, and btrfs would use it.
const BTRFS_OPTIONS: &CStr = c"nodiscard";

/// A file system of a volume, mounted inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The volume.
    pub volume: String,
    /// The number of its loop device.
    pub device: u32,
    /// Where.
    pub mount_point: PathBuf,
    /// Its type.
    pub fs: String,
}

/// A volume that is plugged in.
#[derive(Debug)]
struct Attached {
    // In the order in which they have to end.
    writer: Option<WriterProcess>,
    kept: Option<Detached>,
    device: LoopDevice,
}

/// An instance that runs.
#[derive(Debug)]
pub struct Running {
    id: String,
    namespace: Arc<Namespace>,
    attached: BTreeMap<String, Attached>,
}

impl Running {
    /// Builds the tree, plugs volumes in, mounts them, starts writers, and the units of the boot.
    ///
    /// # Errors
    /// A step of that failed; nothing of it stays.
    pub fn boot(id: &str, mut tree: Tree, slots: &BTreeMap<String, Slot>) -> Result<Self, MachineError> {
        let mut root = None;
        for (volume, slot) in slots {
            if let Some((at, fs)) = &slot.mount
                && at == Path::new("/")
            {
                let device = bind(volume, slot)?;
                tree.root = Root::Device { number: device.number(), fs: fs.clone() };
                root = Some((volume, device));
            }
        }
        let namespace = Arc::new(Namespace::create(id, move || tree.enter())?);
        let mut running = Self { id: id.to_owned(), namespace, attached: BTreeMap::new() };
        for (volume, slot) in slots {
            let device = match root.take_if(|(root, _)| *root == volume) {
                Some((_, device)) => device,
                None => bind(volume, slot)?,
            };
            running.insert(volume, &slot.device, device)?;
        }
        // Shorter paths first: a mount point may lie inside another's file system.
        let mut planned: Vec<_> = slots
            .iter()
            .filter_map(|(volume, slot)| slot.mount.as_ref().map(|(at, fs)| (volume, at, fs, &slot.writer)))
            .collect();
        planned.sort_by_key(|(_, at, ..)| at.components().count());
        for (volume, at, fs, writer) in planned {
            running.mount(volume, at, fs)?;
            running.start_writer(volume, at, writer.as_ref())?;
        }
        units::start_at_boot(&running.id, &running.namespace)?;
        Ok(running)
    }

    /// The namespace.
    #[must_use]
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// Plugs a volume in.
    ///
    /// # Errors
    /// No loop device could be had, or it could not be shown inside.
    pub fn attach(&mut self, volume: &str, slot: &Slot) -> Result<(), MachineError> {
        self.insert(volume, &slot.device, bind(volume, slot)?)
    }

    /// Unplugs a volume, after its writer has ended and its file systems are unmounted.
    ///
    /// # Errors
    /// One of its file systems is in use; then it stays, and its writer goes on.
    pub fn detach(&mut self, volume: &str, slot: &Slot) -> Result<(), MachineError> {
        self.keep_all()?;
        let places: Vec<PathBuf> = self
            .mounts()?
            .into_iter()
            .filter(|mount| mount.volume == volume)
            .map(|mount| mount.mount_point)
            .collect();
        let attached = self.attached(volume)?;
        // A writer that waits for a thaw could not end.
        attached.thaw();
        attached.writer = None;
        if let Err(error) = unmount(&self.namespace, places.clone()) {
            tracing::debug!(volume, %error, "a volume to be unplugged is in use");
            if let Some(at) = places.first() {
                self.start_writer(volume, at, slot.writer.as_ref())?;
            }
            return Err(MachineError::Busy(volume.to_owned()));
        }
        let attached = self.attached(volume)?;
        // A freeze that outlived its mount would keep the device for ever.
        attached.thaw();
        let binding = attached.device.binding();
        plug::pull(&self.namespace, volume, &slot.device, binding.number())?;
        self.attached.remove(volume);
        warn_of_kept(&self.id, &ghost::release(vec![binding]));
        Ok(())
    }

    /// What is mounted from the volumes, in the order of mounting.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub fn mounts(&self) -> Result<Vec<Mounted>, MachineError> {
        let table = self.namespace.mount_table().map_err(step(format!("read the mounts of {}", self.id)))?;
        let of_volume = |line: MountLine| {
            // btrfs shows a device number of its own; there only the name tells.
            let named = line.source.strip_prefix("/dev/loop").and_then(|number| number.parse().ok());
            let (major, minor) = line.device;
            let device = if major == LOOP_MAJOR { minor } else { named? };
            let (volume, _) = self.attached.iter().find(|(_, one)| one.device.number() == device)?;
            Some(Mounted { volume: volume.clone(), device, mount_point: line.mount_point, fs: line.fs })
        };
        Ok(mount_table::parse(&table).into_iter().filter_map(of_volume).collect())
    }

    /// Ends what runs, unmounts, unplugs. Goes on after a failure and tells the first.
    ///
    /// # Errors
    /// Something could not be ended.
    pub fn halt(mut self) -> Result<(), MachineError> {
        // What is still to be written need not take its time any more.
        self.attached.values_mut().for_each(|one| one.device.unlimit());
        let kept = self.keep_all();
        let ended = self.end_processes();
        let unmounted = self.mounts().and_then(|mounts| {
            let places = mounts.into_iter().map(|mount| mount.mount_point);
            unmount(&self.namespace, places.filter(|at| at != Path::new("/")).collect())
        });
        self.attached.values().for_each(Attached::thaw);
        let devices: Vec<Binding> = self.attached.values().map(|one| one.device.binding()).collect();
        let Self { id, namespace, attached } = self;
        drop(attached);
        drop(namespace);
        warn_of_kept(&id, &ghost::release(devices));
        kept.and(ended).and(unmounted)
    }

    fn insert(&mut self, volume: &str, name: &str, device: LoopDevice) -> Result<(), MachineError> {
        plug::insert(&self.namespace, volume, name, device.number())?;
        self.attached.insert(volume.to_owned(), Attached { writer: None, kept: None, device });
        Ok(())
    }

    /// Mounts inside, unless it is the root, which is there already; keeps what is there then.
    fn mount(&mut self, volume: &str, at: &Path, fs: &str) -> Result<(), MachineError> {
        let namespace = Arc::clone(&self.namespace);
        let attached = self.attached(volume)?;
        let number = attached.device.number();
        let failed = format!("mount {volume}, /dev/loop{number}, on {} as {fs}", at.display());
        let (at, fs) = (at.to_owned(), fs.to_owned());
        let work = move || -> io::Result<Detached> {
            if at != Path::new("/") {
                std::fs::create_dir_all(&at)?;
                let options = (fs == "btrfs").then_some(BTRFS_OPTIONS);
                rustix::mount::mount(format!("/dev/loop{number}"), &at, fs, MountFlags::empty(), options)?;
            }
            Ok(Detached::clone_of(&at)?)
        };
        attached.kept = Some(namespace.enter("mount", work)?.map_err(step(failed))?);
        Ok(())
    }

    fn start_writer(
        &mut self,
        volume: &str,
        at: &Path,
        plan: Option<&WriterPlan>,
    ) -> Result<(), MachineError> {
        if let Some(plan) = plan {
            let writer = WriterProcess::start(&self.namespace, at, plan)?;
            self.attached(volume)?.writer = Some(writer);
        }
        Ok(())
    }

    /// What was mounted inside by others, as the helper does after a restore, is kept from now on, too.
    fn keep_all(&mut self) -> Result<(), MachineError> {
        for mount in self.mounts()? {
            let namespace = Arc::clone(&self.namespace);
            let attached = self.attached(&mount.volume)?;
            if attached.kept.is_none() {
                let failed = step(format!("keep {}", mount.mount_point.display()));
                let keep = move || Detached::clone_of(&mount.mount_point);
                attached.kept = Some(namespace.enter("keep", keep)?.map_err(failed)?);
            }
        }
        Ok(())
    }

    /// Kills everything inside. What waits for a thaw cannot die, so everything is thawed again and again.
    fn end_processes(&self) -> Result<(), MachineError> {
        let failed = || step(format!("end the processes of {}", self.id));
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.attached.values().for_each(Attached::thaw);
            let alive = self.namespace.processes().map_err(failed())?;
            if alive.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let those = format!("still there: {alive:?}");
                return Err(failed()(io::Error::new(io::ErrorKind::TimedOut, those)));
            }
            for pid in alive {
                kill_inside(&self.namespace, pid);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn attached(&mut self, volume: &str) -> Result<&mut Attached, MachineError> {
        let unknown = || MachineError::Unknown { kind: "volume", id: volume.to_owned() };
        self.attached.get_mut(volume).ok_or_else(unknown)
    }
}

impl Attached {
    fn thaw(&self) {
        if let Some(Err(error)) = self.kept.as_ref().map(Detached::thaw) {
            tracing::warn!(device = self.device.number(), %error, "failed to thaw a file system");
        }
    }
}

fn warn_of_kept(instance: &str, devices: &[u32]) {
    if !devices.is_empty() {
        tracing::warn!(instance, ?devices, "loop devices are still in use after the instance let go of them");
    }
}

fn bind(volume: &str, slot: &Slot) -> Result<LoopDevice, MachineError> {
    let file = File::options().read(true).write(true).open(&slot.image);
    let mut device = LoopDevice::bind(file.map_err(step(format!("open the image of {volume}")))?, volume)?;
    if let Some(limit) = &slot.limit {
        device.limit(limit)?;
    }
    Ok(device)
}

/// Unmounts, the last mounted first.
fn unmount(namespace: &Namespace, places: Vec<PathBuf>) -> Result<(), MachineError> {
    let work = move || {
        places.iter().rev().try_for_each(|place| {
            unmount_or_wait(place).map_err(step(format!("unmount {}", place.display())))
        })
    };
    namespace.enter("unmount", work)?
}

/// SIGKILL, unless the number has passed to a process outside since we looked.
fn kill_inside(namespace: &Namespace, pid: i32) {
    let handle = Pid::from_raw(pid).and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    if let Some(handle) = handle
        && namespace.holds(pid)
    {
        let _ = pidfd_send_signal(&handle, Signal::KILL);
    }
}
