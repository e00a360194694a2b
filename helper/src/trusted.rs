//! Whether only root can have written a file: hooks run as root, and records say what root mounts. Looks at
//! the file itself and at every directory above it, up to the root directory that it is given.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Somebody else than root can change it.
#[derive(Debug, thiserror::Error)]
pub enum NotTrusted {
    /// It cannot be looked at.
    #[error("failed to look at {path}")]
    Look {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to root; refused")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whom.
        owner: u32,
    },
    /// Its group, or everybody, may write to it.
    #[error("{path} can be written by others than root (mode {mode:04o}); refused; chmod go-w {path}")]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is a symbolic link, a device, ...
    #[error("{path} is no regular file; refused")]
    Kind {
        /// Which.
        path: PathBuf,
    },
}

/// Checks the file `path`, counted from `root`, and the directories above it.
///
/// # Errors
/// The first of them, from above, that somebody else can change.
pub fn file(root: &Path, path: &Path) -> Result<(), NotTrusted> {
    directory(root, path.parent().unwrap_or(Path::new("")))?;
    let path = root.join(path);
    let found = path.symlink_metadata().map_err(|source| NotTrusted::Look { path: path.clone(), source })?;
    if !found.is_file() {
        return Err(NotTrusted::Kind { path });
    }
    only_root(path, &found)
}

/// Checks the directory `path`, counted from `root`, and those above it.
///
/// # Errors
/// As [`file`].
pub fn directory(root: &Path, path: &Path) -> Result<(), NotTrusted> {
    let mut at = root.to_owned();
    for part in std::iter::once(Path::new("")).chain(path.iter().map(Path::new)) {
        if !part.as_os_str().is_empty() {
            at.push(part);
        }
        // A link on the way is followed: it cannot be changed without the directory that it lies in.
        let found = at.metadata().map_err(|source| NotTrusted::Look { path: at.clone(), source })?;
        only_root(at.clone(), &found)?;
    }
    Ok(())
}

fn only_root(path: PathBuf, found: &std::fs::Metadata) -> Result<(), NotTrusted> {
    if found.uid() != 0 {
        return Err(NotTrusted::Owner { path, owner: found.uid() });
    }
    let mode = found.mode() & 0o7777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(NotTrusted::Mode { path, mode });
    }
    Ok(())
}
