//! `stillframe-helper install`: writes the systemd units and the directories that the helper needs, below a
//! root directory, and has systemd read them. Done again, it changes nothing but what an older version wrote.

use crate::clock::Boottime;
use crate::hooks::{self, Event};
use crate::mount::RECORDS;
use crate::programs::{self, ProgramError};
use crate::trusted::{self, NotTrusted};
use serde::Serialize;
use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the units say that the helper is.
const PROGRAM: &str = "/usr/bin/stillframe-helper";
const UNITS: &str = "etc/systemd/system";
const TMPFILES: &str = "etc/tmpfiles.d/stillframe.conf";
/// What is written, and what it is called.
const FILES: [(&str, &str); 3] = [
    ("stillframe-mount.service", include_str!("../systemd/stillframe-mount.service")),
    ("stillframe-mounts.target", include_str!("../systemd/stillframe-mounts.target")),
    ("stillframe-thaw.service", include_str!("../systemd/stillframe-thaw.service")),
];
/// The lock and the lease of a freeze lie there, and only root may look.
const RUN_FOLDER: &str = "d /run/stillframe 0700 root root -\n";
/// How long systemd may take for all of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// It could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file or directory cannot be written.
    #[error("failed to write {path}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// This program cannot be found.
    #[error("failed to find this program's own path")]
    Program(#[source] std::io::Error),
    /// systemd would run as root what others can change.
    #[error("failed to install this program as a service: {0}")]
    NotTrusted(#[from] NotTrusted),
    /// systemd did not take it.
    #[error(transparent)]
    Systemd(#[from] ProgramError),
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Installed {
    /// Files that were written, because they were not there or said something else.
    pub written: Vec<PathBuf>,
    /// Whether systemd has read the units, and starts them at boot.
    pub enabled: bool,
}

/// Installs for the machine whose root directory is `root`; systemd is told of it only when that is this
/// machine and it runs. `program` is the helper as that machine will find it.
///
/// # Errors
/// A file cannot be written, or systemd does not take the units.
pub fn install(root: &Path, program: &Path) -> Result<Installed, InstallError> {
    let mut done = Installed::default();
    let is_here = root == Path::new("/");
    if is_here {
        trusted::file(root, program.strip_prefix("/").unwrap_or(program))?;
    }
    for event in Event::ALL {
        make(&root.join(hooks::FOLDER).join(format!("{}.d", event.name())))?;
    }
    make(&root.join(RECORDS))?;
    make(&root.join(UNITS))?;
    for (name, text) in FILES {
        let text = text.replace(PROGRAM, &program.to_string_lossy());
        write(root.join(UNITS).join(name), &text, &mut done)?;
    }
    make(root.join(TMPFILES).parent().unwrap_or(root))?;
    write(root.join(TMPFILES), RUN_FOLDER, &mut done)?;
    if is_here && Path::new("/run/systemd/system").is_dir() {
        let until = Boottime::now().after(PATIENCE);
        let tell = |arguments: &[&str]| {
            programs::run(programs::program("systemctl").args(arguments), until)
                .and_then(|ran| ran.ended_with(&[0]))
        };
        tell(&["daemon-reload"])?;
        let names: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        tell(&[&["--quiet", "enable"], names.as_slice()].concat())?;
        done.enabled = true;
    }
    Ok(done)
}

fn make(folder: &Path) -> Result<(), InstallError> {
    let failed = |source| InstallError::Write { path: folder.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed)
}

fn write(path: PathBuf, text: &str, done: &mut Installed) -> Result<(), InstallError> {
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let new = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &path)
    };
    write().map_err(|source| InstallError::Write { path: path.clone(), source })?;
    done.written.push(path);
    Ok(())
}

/// Installs with this very program.
///
/// # Errors
/// As [`install`].
pub fn install_this(root: &Path) -> Result<Installed, InstallError> {
    install(root, &std::env::current_exe().map_err(InstallError::Program)?)
}
