//! A Debian guest in QEMU, without KVM: boots in about ten seconds, obeys a handful of verbs, and is gone
//! when it is dropped. Knows nothing of what is tried in it.

mod control;
mod qemu;
mod qmp;

use crate::disk::{self, Disk};
use crate::image::Image;
use crate::words::{Done, Task};
use control::Control;
use qmp::Qmp;
use serde_json::json;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use stillframe_wire::VolumeId;

/// A machine that emulates a processor and shares two others with a compiler may take long.
const BOOT: Duration = Duration::from_secs(180);
/// No script of a test takes longer.
const SCRIPT: Duration = Duration::from_secs(400);

/// What can go wrong with a guest.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// A file of the guest's.
    #[error("failed to {step}")]
    Io {
        /// What was tried.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// A channel broke.
    #[error("failed to talk to the guest")]
    Channel(#[source] io::Error),
    /// QEMU is gone, or the agent.
    #[error("the guest ended")]
    Ended,
    /// QEMU refused.
    #[error("QEMU refused {command}: {said}")]
    Qemu {
        /// What it was asked.
        command: String,
        /// Its words.
        said: String,
    },
    /// Something did not come in time.
    #[error("waited too long for {0}")]
    Late(String),
    /// A script that must succeed did not.
    #[error("the guest's script ended with {code:?}: {stderr}\n{script}")]
    Script {
        /// What was run.
        script: String,
        /// Its exit code.
        code: Option<i32>,
        /// What it said.
        stderr: String,
    },
}

/// What a guest is made of.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Kernel and pristine root disk.
    pub image: &'a Image,
    /// The root disk's volume id.
    pub root: VolumeId,
    /// What to boot in the place of the pristine root disk: what an earlier guest left of it.
    pub left: Option<&'a Disk>,
    /// A disk with the programs that the guest finds in `/opt`; see [`programs`].
    pub programs: &'a Path,
    /// What is attached from the start.
    pub disks: &'a [Disk],
    /// Where its own files go; must exist.
    pub folder: &'a Path,
}

/// Copies of several disks, made at one instant.
#[derive(Debug, Clone)]
pub struct Cut {
    /// The copies, in the order asked for, with their origins' ids.
    pub disks: Vec<Disk>,
    /// The guest's CLOCK_BOOTTIME before, nanoseconds.
    pub begun_ns: u64,
    /// The same after.
    pub ended_ns: u64,
    /// How long the guest stood still, by this machine's clock.
    pub took: Duration,
}

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    qmp: Qmp,
    control: Control,
    console: PathBuf,
    /// Which slots hold which volume.
    slots: Mutex<Vec<(usize, VolumeId)>>,
    /// The root disk.
    pub root: Disk,
    /// How long it took until the agent answered.
    pub boot: Duration,
}

impl Guest {
    /// Boots and waits for the agent. Call it on a thread that outlives the guest: QEMU dies with it.
    ///
    /// # Errors
    /// QEMU does not start, or the agent does not answer.
    pub fn boot(machine: &Machine<'_>) -> Result<Self, GuestError> {
        let began = Instant::now();
        let folder = machine.folder;
        let pristine = Disk { volume: machine.root.clone(), image: machine.image.disk.clone() };
        let root = disk::copy_all(&[machine.left.unwrap_or(&pristine)], folder)
            .map_err(io_error("copy the root disk"))?
            .pop();
        let root = root.ok_or(GuestError::Ended)?;
        let mut qemu = qemu::command(machine, &root).spawn().map_err(io_error("start QEMU"))?;
        let channels = || {
            let qmp = Qmp::new(connect(&qemu::qmp_socket(folder))?)?;
            let control = Control::new(connect(&qemu::control_socket(folder))?)?;
            Ok((qmp, control))
        };
        let (qmp, control) = match channels() {
            Ok(channels) => channels,
            Err(error) => {
                let _ = qemu.kill();
                let _ = qemu.wait();
                return Err(error);
            }
        };
        let console = qemu::console(folder);
        let slots = machine.disks.iter().map(|disk| disk.volume.clone()).enumerate().collect();
        let slots = Mutex::new(slots);
        let mut guest = Self { qemu, qmp, control, console, slots, root, boot: Duration::ZERO };
        guest.control.greet(BOOT)?;
        guest.boot = began.elapsed();
        Ok(guest)
    }

    /// Runs a shell script, which must succeed; what it printed.
    ///
    /// # Errors
    /// It failed or took too long.
    pub fn run(&self, script: &str) -> Result<String, GuestError> {
        let done = self.run_any(script)?;
        if done.code == Some(0) {
            return Ok(done.stdout);
        }
        let (code, stderr) = (done.code, done.stderr.trim().to_owned());
        Err(GuestError::Script { script: script.to_owned(), code, stderr })
    }

    /// Runs a shell script, however it ends.
    ///
    /// # Errors
    /// It took too long.
    pub fn run_any(&self, script: &str) -> Result<Done, GuestError> {
        self.control.ask(Task::Run(script.to_owned()), SCRIPT)
    }

    /// Starts a program that goes on, with its output in a file of the guest.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, command: &[&str], log: &str) -> Result<(), GuestError> {
        let script = command.join(" ");
        let command = command.iter().map(|word| (*word).to_owned()).collect();
        let done = self.control.ask(Task::Start { command, log: log.into() }, SCRIPT)?;
        match done.code {
            Some(0) => Ok(()),
            code => Err(GuestError::Script { script, code, stderr: done.stderr }),
        }
    }

    /// The guest's CLOCK_BOOTTIME, nanoseconds.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn now_ns(&self) -> Result<u64, GuestError> {
        Ok(self.run_any(":")?.at_ns)
    }

    /// Attaches a disk and waits until the guest has it.
    ///
    /// # Errors
    /// No free slot, or the guest does not notice.
    pub fn plug(&self, disk: &Disk) -> Result<(), GuestError> {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let free = (0..qemu::SLOTS).find(|n| slots.iter().all(|(used, _)| used != n));
            let free = free.ok_or_else(|| GuestError::Late("a free slot".to_owned()))?;
            slots.push((free, disk.volume.clone()));
            free
        };
        self.qmp.execute("blockdev-add", &qemu::blockdev(disk))?;
        // Never tried in a slot that is taken: after that refusal the guest is not told of the right one.
        self.qmp.execute("device_add", &qemu::device(disk, &qemu::slot(slot)))?;
        let serial = disk.volume.serial();
        // udev is done when nothing waits and the disk is there.
        let script = format!(
            "for try in $(seq 600); do for disk in /sys/block/nvme*n1; do \
             read -r serial <$disk/device/serial || continue; \
             [ $serial != {serial} ] || {{ udevadm settle; exit 0; }}; done; sleep 0.05; done; exit 1"
        );
        self.run(&script).map(drop)
    }

    /// Takes a disk away from under the guest.
    ///
    /// # Errors
    /// It was not attached, or the guest does not let it go.
    pub fn unplug(&self, volume: &VolumeId) -> Result<(), GuestError> {
        let serial = volume.serial();
        let device = qemu::device_id(&serial);
        self.qmp.execute("device_del", &json!({"id": device}))?;
        self.qmp.wait("DEVICE_DELETED", &device)?;
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, used)| used != volume);
        self.qmp.execute("blockdev-del", &json!({"node-name": qemu::node(&serial)})).map(drop)
    }

    /// Stops the guest's processors and clock, with everything written that it was told is written.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn stop(&self) -> Result<(), GuestError> {
        self.qmp.execute("stop", &json!({})).map(drop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn cont(&self) -> Result<(), GuestError> {
        self.qmp.execute("cont", &json!({})).map(drop)
    }

    /// Copies disks at one instant: as a multi-volume snapshot would.
    ///
    /// # Errors
    /// The copy fails; the guest goes on even so.
    pub fn cut(&self, disks: &[&Disk], folder: &Path) -> Result<Cut, GuestError> {
        let begun_ns = self.now_ns()?;
        let began = Instant::now();
        self.stop()?;
        let copied = disk::copy_all(disks, folder).map_err(io_error("copy the disks"));
        self.cont()?;
        let took = began.elapsed();
        Ok(Cut { disks: copied?, begun_ns, ended_ns: self.now_ns()?, took })
    }

    /// Has systemd shut the guest down, as `poweroff` does; what is on its root disk then. The other disks
    /// are their images again.
    ///
    /// # Errors
    /// It does not end.
    pub fn shut_down(mut self) -> Result<Disk, GuestError> {
        // The agent dies with the rest; its answer may not come any more.
        self.run("systemctl --no-block poweroff")?;
        let end = Instant::now() + BOOT;
        loop {
            if self.qemu.try_wait().map_err(io_error("wait for QEMU"))?.is_some() {
                return Ok(self.root.clone());
            }
            if Instant::now() > end {
                return Err(GuestError::Late("the guest's shutdown".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the guest's kernel said.
    #[must_use]
    pub fn console(&self) -> String {
        std::fs::read(&self.console)
            .map_or_else(|_| String::new(), |text| String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// A disk that a guest mounts at `/opt`: these programs.
///
/// # Errors
/// One cannot be read, or the disk not be made.
pub fn programs(folder: &Path, programs: &[(&str, &Path)]) -> Result<PathBuf, GuestError> {
    let tree = folder.join("programs");
    std::fs::create_dir_all(&tree).map_err(io_error("make a folder for the programs"))?;
    let mut mib = 16;
    for (name, program) in programs {
        let size = std::fs::copy(program, tree.join(name))
            .map_err(io_error(format!("copy {}", program.display())))?;
        mib += size.div_ceil(1 << 20);
    }
    let disk = folder.join("programs.img");
    let output = std::process::Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d"])
        .args([&tree, &disk])
        .arg(format!("{mib}M"))
        .output()
        .map_err(io_error("start mke2fs"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(GuestError::Io {
            step: "make the programs' disk".to_owned(),
            source: io::Error::other(said),
        });
    }
    Ok(disk)
}

/// Connects to a socket that QEMU is about to open.
fn connect(socket: &Path) -> Result<UnixStream, GuestError> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match UnixStream::connect(socket) {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() > end => return Err(GuestError::Channel(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn io_error(step: impl Into<String>) -> impl FnOnce(io::Error) -> GuestError {
    let step = step.into();
    move |source| GuestError::Io { step, source }
}
