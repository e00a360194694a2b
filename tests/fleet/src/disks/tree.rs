//! The tree of an instance: what is under its `/`.
//!
//! Programs and libraries are the host's, read-only. `/etc` is a copy. `/dev`, `/run`, `/proc`, `/sys` and
//! everything else are the instance's own, so nothing that runs inside can leave a trace on the host, and
//! the instance sees no mount of the host but those programs. The root itself is memory, or the instance's
//! boot volume.

use super::step::step;
use crate::machine::MachineError;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// Where the fleet's programs are inside an instance; it comes first in every `PATH`.
pub const PROGRAMS: &str = "/opt/stillframe/bin";
/// The fleet's own program inside an instance.
pub const FLEET: &str = "/opt/stillframe/bin/fleet";

/// What `/` is made of.
#[derive(Debug, Clone)]
pub enum Root {
    /// Memory.
    Memory,
    /// A device with a file system.
    Device {
        /// The loop device's number.
        number: u32,
        /// Its type.
        fs: String,
    },
}

/// What a tree is built from.
#[derive(Debug, Clone)]
pub struct Tree {
    /// An empty directory of the host.
    pub at: PathBuf,
    /// Names the owner in the mount table, as the source of `/run`.
    pub mark: String,
    /// What `/` is made of.
    pub root: Root,
    /// Programs of the host to be found in [`PROGRAMS`]: name and place.
    pub programs: Vec<(String, PathBuf)>,
}

/// The host's directories that hold programs and libraries.
const SHARED: [&str; 7] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr"];
const OWN: [&str; 15] = [
    "dev", "etc", "home", "media", "mnt", "opt", "proc", "root", "run", "srv", "sys", "tmp", "var/lib",
    "var/log", "var/tmp",
];
/// Name, major and minor number.
const NODES: [(&str, u32, u32); 7] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("kmsg", 1, 11),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 4] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
];
/// Larger files of `/etc` are caches that nothing inside needs.
const ETC_LARGEST: u64 = 1 << 20;

impl Tree {
    /// Builds it and makes it the root of the calling thread's mount namespace, which must be its own.
    ///
    /// # Errors
    /// A mount fails, or the host lacks what a tree needs.
    pub fn enter(&self) -> Result<(), MachineError> {
        // First of all: from here on nothing that happens in this namespace reaches the host's.
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)
            .map_err(step("make the namespace private"))?;
        self.mount_root()?;
        for dir in OWN {
            make_dir(&self.at.join(dir))?;
        }
        fs::set_permissions(self.at.join("tmp"), fs::Permissions::from_mode(0o1777))
            .map_err(step("open /tmp to everybody"))?;
        self.share_host()?;
        copy_etc(Path::new("/etc"), &self.at.join("etc")).map_err(step("copy /etc"))?;
        self.mount_own(c"proc", c"proc", "proc", MountFlags::empty())?;
        self.mount_own(c"sysfs", c"sysfs", "sys", MountFlags::RDONLY)?;
        self.mount_dev()?;
        let mark = std::ffi::CString::new(self.mark.as_str()).map_err(step("name /run"))?;
        self.mount_own(&mark, c"tmpfs", "run", MountFlags::NOSUID | MountFlags::NODEV)?;
        self.bind_programs()?;
        self.pivot().map_err(step(format!("make {} the root", self.at.display())))
    }

    fn mount_root(&self) -> Result<(), MachineError> {
        let (source, fs, options) = match &self.root {
            // A root that everybody may write to is trusted by nobody.
            Root::Memory => ("rootfs".to_owned(), "tmpfs", Some(c"mode=0755")),
            Root::Device { number, fs } => (format!("/dev/loop{number}"), fs.as_str(), None),
        };
        mount(source, &self.at, fs, MountFlags::empty(), options)
            .map_err(step(format!("mount the root on {}", self.at.display())))
    }

    fn mount_own(&self, source: &CStr, fs: &CStr, at: &str, flags: MountFlags) -> Result<(), MachineError> {
        mount(source, self.at.join(at), fs, flags, None).map_err(step(format!("mount /{at}")))
    }

    /// Directories by bind mounts, links (`/bin` is one on most systems) as links.
    fn share_host(&self) -> Result<(), MachineError> {
        for name in SHARED {
            let (host, here) = (Path::new("/").join(name), self.at.join(name));
            let Ok(kind) = fs::symlink_metadata(&host) else { continue };
            if kind.is_symlink() {
                let target = fs::read_link(&host).map_err(step(format!("read /{name}")))?;
                link(&target, &here)?;
            } else if kind.is_dir() {
                make_dir(&here)?;
                bind_read_only(&host, &here)?;
            }
        }
        Ok(())
    }

    fn mount_dev(&self) -> Result<(), MachineError> {
        self.mount_own(c"devtmpfs", c"tmpfs", "dev", MountFlags::NOSUID)?;
        let dev = self.at.join("dev");
        for (name, major, minor) in NODES {
            mknodat(CWD, dev.join(name), FileType::CharacterDevice, Mode::from(0o666), makedev(major, minor))
                .map_err(step(format!("make /dev/{name}")))?;
        }
        for (name, target) in LINKS {
            link(Path::new(target), &dev.join(name))?;
        }
        for dir in ["disk/by-id", "shm"] {
            make_dir(&dev.join(dir))?;
        }
        self.mount_own(c"tmpfs", c"tmpfs", "dev/shm", MountFlags::NOSUID | MountFlags::NODEV)
    }

    fn bind_programs(&self) -> Result<(), MachineError> {
        let dir = self.at.join(PROGRAMS.trim_start_matches('/'));
        make_dir(&dir)?;
        for (name, host) in &self.programs {
            let here = dir.join(name);
            fs::write(&here, b"").map_err(step(format!("make {PROGRAMS}/{name}")))?;
            bind_read_only(host, &here)?;
        }
        Ok(())
    }

    /// With the new root as both places the old one lands on top of it and is let go of: no directory
    /// for it is needed.
    fn pivot(&self) -> rustix::io::Result<()> {
        rustix::process::chdir(&self.at)?;
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    }
}

fn bind_read_only(host: &Path, here: &Path) -> Result<(), MachineError> {
    let bind = || -> rustix::io::Result<()> {
        rustix::mount::mount_bind_recursive(host, here)?;
        rustix::mount::mount_remount(here, MountFlags::BIND | MountFlags::RDONLY, c"")
    };
    bind().map_err(step(format!("show {} inside the instance", host.display())))
}

fn make_dir(path: &Path) -> Result<(), MachineError> {
    fs::create_dir_all(path).map_err(step(format!("make {}", path.display())))
}

/// A boot volume has its links from the last start.
fn link(target: &Path, at: &Path) -> Result<(), MachineError> {
    match symlink(target, at) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other.map_err(step(format!("link {} to {}", at.display(), target.display()))),
    }
}

/// Files that cannot be read or are neither file, link nor directory are left out.
fn copy_etc(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, here) = (entry.metadata()?, to.join(entry.file_name()));
        if here.symlink_metadata().is_ok() && !kind.is_dir() {
            continue;
        }
        if kind.is_dir() {
            copy_etc(&entry.path(), &here)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, here)?;
        } else if kind.is_file() && kind.len() <= ETC_LARGEST {
            fs::copy(entry.path(), here)?;
        }
    }
    Ok(())
}
