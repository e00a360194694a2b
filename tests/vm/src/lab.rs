//! The guest that the scenarios share: eight volumes, all stacks on them, a writer on each.

use crate::stacks::{self, STACKS};
use crate::workload::probe::Write;
use anyhow::{Context, ensure};
use fleet::writer::Promises;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stillframe_wire::VolumeId;
use tempfile::TempDir;
use vm::disk::Disk;
use vm::guest::{Guest, Machine, programs};
use vm::image::Image;

/// Where the writer on the root file system writes.
pub(crate) const ON_ROOT: &str = "/var/lib/writer";
/// A run's folder, before the number of its process.
const PREFIX: &str = "stillframe-vm-";
/// Records that every stream must have before anything is tried.
const WARM: usize = 40;

/// What every guest is made from.
#[derive(Debug)]
pub(crate) struct Workshop {
    image: Image,
    programs: PathBuf,
    folder: TempDir,
}

impl Workshop {
    pub(crate) fn open(image: Image, helper: &Path) -> anyhow::Result<Self> {
        sweep();
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir()?;
        let own = std::env::current_exe().context("failed to find this program's own path")?;
        let programs = programs(folder.path(), &[("stillframe-helper", helper), ("vm", &own)])?;
        Ok(Self { image, programs, folder })
    }

    /// A folder of its own.
    pub(crate) fn folder(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).with_context(|| format!("failed to make {}", folder.display()))?;
        Ok(folder)
    }

    pub(crate) fn boot(&self, name: &str, disks: &[Disk]) -> anyhow::Result<Guest> {
        self.boot_from(name, None, disks)
    }

    /// Boots from the root disk that another guest left.
    pub(crate) fn boot_from(&self, name: &str, left: Option<&Disk>, disks: &[Disk]) -> anyhow::Result<Guest> {
        let folder = self.folder(name)?;
        let machine = Machine {
            image: &self.image,
            root: volume('f', 0)?,
            left,
            programs: &self.programs,
            disks,
            folder: &folder,
        };
        let guest = Guest::boot(&machine).with_context(|| format!("failed to boot the guest {name:?}"))?;
        eprintln!("vm: guest {name:?} is up after {:.1} s", guest.boot.as_secs_f64());
        Ok(guest)
    }
}

/// Removes what killed runs left: their guests died with them, their folders did not.
fn sweep() {
    let folders = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(folder.path());
        }
    }
}

/// The id of volume `n` of a kind: `a` for the originals.
pub(crate) fn volume(kind: char, n: usize) -> anyhow::Result<VolumeId> {
    Ok(VolumeId::new(format!("vol-0{kind}{n:015x}"))?)
}

/// The guest with everything running.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) guest: Guest,
    pub(crate) disks: Vec<Disk>,
}

/// The logs of one file system's two streams.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    pub(crate) synced: Promises,
    pub(crate) written: Promises,
}

impl Lab {
    pub(crate) fn start(workshop: &Workshop) -> anyhow::Result<Self> {
        let folder = workshop.folder("volumes")?;
        let disks: Vec<Disk> = stacks::SIZES
            .iter()
            .enumerate()
            .map(|(n, mib)| Ok(Disk::blank(&folder, volume('a', n)?, *mib)?))
            .collect::<anyhow::Result<_>>()?;
        let guest = workshop.boot("originals", &disks)?;
        let lab = Self { guest, disks };
        let began = Instant::now();
        lab.guest.run(&stacks::make(&lab.volumes()))?;
        eprintln!("vm: {} file systems are made after {:.1} s", STACKS.len(), began.elapsed().as_secs_f64());
        lab.guest.run(&format!("mkdir -p /run/writers {ON_ROOT}"))?;
        for stack in &STACKS {
            lab.start_writer(stack.name, &stack.mount())?;
        }
        lab.start_writer("root", ON_ROOT)?;
        let warm = format!("for log in /run/writers/*; do [ $(wc -l <$log) -ge {WARM} ] || exit 1; done");
        let end = Instant::now() + Duration::from_secs(300);
        while lab.guest.run_any(&warm)?.code != Some(0) {
            ensure!(Instant::now() < end, "the writers in the guest do not get on");
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(lab)
    }

    fn start_writer(&self, name: &str, mount: &str) -> anyhow::Result<()> {
        let written = format!("/run/writers/{name}.written");
        let command = ["/opt/vm", "writer", "--mount", mount, "--log", &written];
        Ok(self.guest.start(&command, &format!("/run/writers/{name}.synced"))?)
    }

    pub(crate) fn volumes(&self) -> Vec<VolumeId> {
        self.disks.iter().map(|disk| disk.volume.clone()).collect()
    }

    /// The ids of some of the volumes, by number.
    pub(crate) fn some(&self, numbers: &[usize]) -> Vec<VolumeId> {
        numbers.iter().filter_map(|n| self.disks.get(*n)).map(|disk| disk.volume.clone()).collect()
    }

    pub(crate) fn logs(&self, name: &str) -> anyhow::Result<Logs> {
        let read = |stream: &str| -> anyhow::Result<Promises> {
            Ok(Promises::read(&self.guest.run(&format!("cat /run/writers/{name}.{stream}"))?))
        };
        Ok(Logs { synced: read("synced")?, written: read("written")? })
    }

    /// Which of these take a write within `limit`.
    pub(crate) fn probe(&self, mounts: &[String], limit: Duration) -> anyhow::Result<Vec<Write>> {
        let (limit, mounts) = (limit.as_millis(), mounts.join(" "));
        let text = self.guest.run(&format!("/opt/vm probe --limit-ms {limit} {mounts}"))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The mount points that take no write, though they have had long enough.
    pub(crate) fn stuck(&self) -> anyhow::Result<Vec<String>> {
        let mut mounts = stacks::mounts();
        mounts.push(ON_ROOT.to_owned());
        let writes = self.probe(&mounts, Duration::from_secs(10))?;
        Ok(mounts
            .into_iter()
            .zip(writes)
            .filter(|(_, write)| *write == Write::Hangs)
            .map(|(m, _)| m)
            .collect())
    }
}
