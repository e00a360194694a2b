//! The mount point: a directory that is reached without a symbolic link, made where it is missing, and
//! empty. Every step of the way is opened from the one before, and the mount is made on the very directory
//! that was found empty.

use super::MountError;
use crate::volumes::mountinfo::Mount;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, mkdirat, open, openat, statat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use stillframe_wire::MountPoint;

/// The kernel's own file systems, where nothing of ours belongs.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A mount point, opened.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
    /// What was made on the way, from above.
    made: Vec<PathBuf>,
}

/// Whether there is something in the mount point, or in the way of it. Makes nothing; a mount point that
/// does not exist is well.
///
/// # Errors
/// It is no directory, is reached through a link, or is the kernel's; or it is not empty.
pub(super) fn look(root: &Path, at: &MountPoint, over_non_empty: bool) -> Result<(), MountError> {
    if let Some(kernel) = KERNEL.into_iter().find(|kernel| at.as_path().starts_with(kernel)) {
        return Err(MountError::Kernel { path: at.clone().into(), at: kernel });
    }
    match walk(root, at, false)? {
        Some(place) if !over_non_empty => place.is_empty(at),
        _ => Ok(()),
    }
}

/// Opens the mount point, and makes what is missing of it.
///
/// # Errors
/// As [`look`].
pub(super) fn open_or_make(root: &Path, at: &MountPoint, over_non_empty: bool) -> Result<Place, MountError> {
    let place = walk(root, at, true)?.ok_or_else(|| failed("open", at.as_path(), Errno::NOENT))?;
    if !over_non_empty {
        place.is_empty(at)?;
    }
    Ok(place)
}

fn walk(root: &Path, at: &MountPoint, make: bool) -> Result<Option<Place>, MountError> {
    let mut directory = open(root, FLAGS, Mode::empty()).map_err(|error| failed("open", root, error))?;
    let mut path = PathBuf::from("/");
    let mut made = Vec::new();
    for name in at.as_path().iter().skip(1) {
        path.push(name);
        directory = match openat(&directory, name, FLAGS, Mode::empty()) {
            Ok(next) => next,
            Err(Errno::NOENT) if !make => return Ok(None),
            Err(Errno::NOENT) => {
                match mkdirat(&directory, name, Mode::from_raw_mode(0o755)) {
                    Ok(()) => made.push(root.join(path.strip_prefix("/").unwrap_or(&path))),
                    // Somebody else was faster.
                    Err(Errno::EXIST) => {}
                    Err(error) => return Err(failed("make", &path, error)),
                }
                openat(&directory, name, FLAGS, Mode::empty())
                    .map_err(|error| failed("open", &path, error))?
            }
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(in_the_way(&directory, name, at, path)),
            Err(error) => return Err(failed("open", &path, error)),
        };
    }
    Ok(Some(Place { directory, made }))
}

fn in_the_way(directory: &OwnedFd, name: &OsStr, at: &MountPoint, path: PathBuf) -> MountError {
    let mount_point = at.clone().into();
    let is_link = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Symlink);
    if is_link {
        MountError::Link { path: mount_point, at: path }
    } else {
        MountError::NotADirectory { path: mount_point, at: path }
    }
}

fn failed(verb: &'static str, path: &Path, error: Errno) -> MountError {
    MountError::Place { verb, path: path.to_owned(), source: error.into() }
}

impl Place {
    fn is_empty(&self, at: &MountPoint) -> Result<(), MountError> {
        let entries = Dir::read_from(&self.directory).map_err(|error| failed("read", at.as_path(), error))?;
        for entry in entries {
            let entry = entry.map_err(|error| failed("read", at.as_path(), error))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                let found = entry.file_name().to_string_lossy().into_owned();
                return Err(MountError::NotEmpty { path: at.clone().into(), found });
            }
        }
        Ok(())
    }

    /// The directory itself, as a path that nobody can lead elsewhere.
    pub(super) fn path(&self) -> PathBuf {
        use std::os::fd::AsRawFd;
        PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()))
    }

    /// Takes the directories away that were made for it.
    pub(super) fn unmake(self) {
        for path in self.made.iter().rev() {
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// What is mounted there, in our own mount namespace: the last one covers the others.
pub(super) fn mounted_at<'a>(mounts: &'a [Mount], at: &MountPoint) -> Option<&'a Mount> {
    mounts.iter().rfind(|mount| mount.through.is_none() && mount.mount_point == at.as_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_empty_directory_is_refused_and_nothing_is_made() {
        let root = tempfile::tempdir().unwrap();
        let below = |path: &str| root.path().join(path);
        std::fs::create_dir_all(below("srv/empty")).unwrap();
        std::fs::create_dir_all(below("srv/full/x")).unwrap();
        std::fs::write(below("srv/file"), "").unwrap();
        std::os::unix::fs::symlink("empty", below("srv/link")).unwrap();
        std::os::unix::fs::symlink("/srv", below("short")).unwrap();
        let error = |path: &str| {
            let at = MountPoint::new(path).unwrap();
            look(root.path(), &at, false).err().map_or_else(String::new, |error| error.to_string())
        };
        assert!(error("/srv/full").contains("not empty (it holds \"x\")"));
        assert!(error("/srv/file").contains("/srv/file is no directory"));
        assert!(error("/srv/file/below").contains("/srv/file is no directory"));
        assert!(error("/srv/link").contains("/srv/link is a symbolic link"));
        assert!(error("/short/empty").contains("/short is a symbolic link"));
        assert!(error("/proc/x").contains("the kernel's"));
        assert_eq!((error("/srv/empty"), error("/srv/new/deep")), (String::new(), String::new()));
        assert!(!below("srv/new").exists());
        assert!(look(root.path(), &MountPoint::new("/srv/full").unwrap(), true).is_ok());
    }

    #[test]
    fn what_was_made_is_taken_away_again() {
        let root = tempfile::tempdir().unwrap();
        let place = open_or_make(root.path(), &MountPoint::new("/a/b/c").unwrap(), false).unwrap();
        assert!(root.path().join("a/b/c").is_dir() && place.path().is_dir());
        place.unmake();
        assert!(!root.path().join("a").exists());
    }
}
