//! The directory of one fleet process: everything it puts on the host's disk.
//!
//! ```text
//! $TMPDIR/stillframe-fleet-4711/
//!   owner.json     whose it is
//!   root/          where an instance's tree is built, in the instance's own namespace; empty on the host
//!   writers/       one log per writer: what it acknowledged, and when
//!   limits/        the loop devices whose speed is limited, a file named after each number
//!   images/        volumes and snapshots, on a file system that can clone files (the vault, if need be)
//! ```

use super::owner::Owner;
use super::step::step;
use super::vault::{self, Vault};
use crate::machine::MachineError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PREFIX: &str = "stillframe-fleet-";
const OWNER: &str = "owner.json";

/// Where such a directory has what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(PathBuf);

impl Layout {
    /// What marks a mount as belonging to this fleet: the directory's name.
    #[must_use]
    pub fn mark(&self) -> String {
        mark_of(&self.0)
    }

    /// Where an instance's tree is built.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// The image of a volume.
    #[must_use]
    pub fn volume(&self, id: &str) -> PathBuf {
        self.0.join("images/volumes").join(id).with_extension("img")
    }

    /// The bytes of a snapshot.
    #[must_use]
    pub fn snapshot(&self, id: &str) -> PathBuf {
        self.0.join("images/snapshots").join(id).with_extension("img")
    }

    /// Where the limits of disks are noted.
    #[must_use]
    pub fn limits(&self) -> PathBuf {
        limits_of(&self.0)
    }

    /// The logs of the writers, by volume.
    ///
    /// # Errors
    /// Their directory cannot be read.
    pub fn writer_logs(&self) -> Result<BTreeMap<String, PathBuf>, MachineError> {
        let dir = self.0.join("writers");
        let read = || step(format!("read {}", dir.display()));
        let mut logs = BTreeMap::new();
        for entry in fs::read_dir(&dir).map_err(read())? {
            let path = entry.map_err(read())?.path();
            if let Some(volume) = path.file_stem().and_then(|stem| stem.to_str()) {
                logs.insert(volume.to_owned(), path.clone());
            }
        }
        Ok(logs)
    }

    /// The log of the writer on a volume.
    #[must_use]
    pub fn writer_log(&self, volume: &str) -> PathBuf {
        self.0.join("writers").join(volume).with_extension("log")
    }
}

/// Where the fleet of a process, with its directory below `dir`, keeps its vault if it needs one.
#[must_use]
pub fn vault_of(dir: &Path, pid: i32) -> PathBuf {
    dir.join(format!("{PREFIX}{pid}")).join(vault::IMAGE)
}

/// The directory of this process; gone on drop.
#[derive(Debug)]
pub struct WorkDir {
    layout: Layout,
    // `None` before it is there, and after it is gone.
    vault: Option<Vault>,
}

impl WorkDir {
    /// Makes it below `base`; the images lie in a place that can clone files, if they are to be cloned.
    ///
    /// # Errors
    /// It cannot be made, or there is no such place and none can be made.
    pub fn create(base: &Path, clones: bool) -> Result<Self, MachineError> {
        let owner = Owner::current().map_err(step("read /proc/self/stat"))?;
        let path = free_name(base, owner.pid)?;
        // From here on a failure removes what is there already.
        let mut dir = Self { layout: Layout(path.clone()), vault: None };
        let text = serde_json::to_string(&owner).map_err(step("write down the owner"))?;
        fs::write(path.join(OWNER), text).map_err(step(format!("write {OWNER} into {}", path.display())))?;
        let make = |part: &str| fs::create_dir(path.join(part)).map_err(step(format!("make {part}")));
        ["root", "writers", "limits"].into_iter().try_for_each(make)?;
        if clones {
            dir.vault = Some(Vault::create(&path)?);
        } else {
            make("images")?;
        }
        ["images/volumes", "images/snapshots"].into_iter().try_for_each(make)?;
        Ok(dir)
    }

    /// Where it has what.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Removes it; the images must not be in use any more. A second call does nothing.
    pub fn remove(&mut self) {
        drop(self.vault.take());
        let path = &self.layout.0;
        if let Err(error) = fs::remove_dir_all(path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %path.display(), %error, "failed to remove the fleet's directory");
        }
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What marks the mounts of the fleet that has, or had, this directory.
#[must_use]
pub fn mark_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Where a fleet with this directory notes the limits of its disks.
#[must_use]
pub fn limits_of(path: &Path) -> PathBuf {
    path.join("limits")
}

/// The directories below `base` whose owners are gone.
///
/// # Errors
/// `base` cannot be listed.
pub fn abandoned(base: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        if !owner_is_alive(&entry.path(), number) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// One that was killed before it wrote down who it is is known by its number alone.
fn owner_is_alive(dir: &Path, number: &str) -> bool {
    let written = fs::read(dir.join(OWNER)).ok();
    match written.and_then(|text| serde_json::from_slice::<Owner>(&text).ok()) {
        Some(owner) => owner.is_alive(),
        None => {
            let pid = number.split('.').next().unwrap_or_default();
            Path::new("/proc").join(pid).exists()
        }
    }
}

/// A process may have several regions, as tests do: the first name that is free.
fn free_name(base: &Path, pid: u32) -> Result<PathBuf, MachineError> {
    let mut number = 0u32;
    loop {
        let name = match number {
            0 => format!("{PREFIX}{pid}"),
            n => format!("{PREFIX}{pid}.{n}"),
        };
        match fs::create_dir(base.join(&name)) {
            Ok(()) => return Ok(base.join(name)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(step(format!("make {}", base.join(name).display()))(error)),
        }
    }
}
