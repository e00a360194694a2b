//! `/etc/stillframe/mounts.d`: what is mounted at boot, one JSON file for each mount point, named after it.
//! A file is written whole or not at all, and is on the disk when the writing returns. Only root may have
//! written one: it says what root mounts.

use crate::trusted::{self, NotTrusted};
use rustix::fs::fsync;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use stillframe_wire::{JsonError, MountPoint, MountSpec};

/// Where they lie, counted from the root directory.
pub const FOLDER: &str = "etc/stillframe/mounts.d";

/// One mount that is made at every boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What to mount, and how. Never blank: no file system is made at boot.
    #[serde(flatten)]
    pub spec: MountSpec,
    /// The file system's UUID when it was recorded, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// The restore that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

/// A record, or the folder, does not do.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not of the shape that is written.
    #[error("failed to understand {path}")]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It cannot be carried out.
    #[error("failed to accept {path}")]
    Refused {
        /// Which.
        path: PathBuf,
        /// Why.
        source: JsonError,
    },
    /// It is another mount point's.
    #[error("failed to accept {path}: the record of {mount_point} has another name")]
    Misnamed {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        mount_point: MountPoint,
    },
    /// Somebody else than root could have written it.
    #[error("failed to accept a record: {0}")]
    NotTrusted(#[from] NotTrusted),
    /// It cannot be written or removed.
    #[error("failed to {verb} {path}")]
    Write {
        /// What was tried.
        verb: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A record's name, and itself or why it is none.
pub type Named = (String, Result<Record, RecordsError>);

/// The folder.
#[derive(Debug, Clone)]
pub struct Records {
    root: PathBuf,
    folder: PathBuf,
}

impl Records {
    /// The folder of the machine whose root directory is `root`.
    #[must_use]
    pub fn below(root: &Path) -> Self {
        Self { root: root.to_owned(), folder: root.join(FOLDER) }
    }

    /// Every record's name, sorted, and itself or why it is none. A folder that is not there has none.
    ///
    /// # Errors
    /// The folder cannot be read, or others than root can write to it.
    pub fn all(&self) -> Result<Vec<Named>, RecordsError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(RecordsError::Read { path: self.folder.clone(), source }),
        };
        trusted::directory(&self.root, Path::new(FOLDER))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.to_owned()))
            .filter(|name| !name.starts_with('.'))
            .collect();
        names.sort();
        Ok(names
            .into_iter()
            .map(|name| {
                let record = self.read(&name);
                (name, record)
            })
            .collect())
    }

    fn read(&self, name: &str) -> Result<Record, RecordsError> {
        let path = self.path(name);
        trusted::file(&self.root, &Path::new(FOLDER).join(format!("{name}.json")))?;
        let text =
            std::fs::read(&path).map_err(|source| RecordsError::Read { path: path.clone(), source })?;
        let record: Record = serde_json::from_slice(&text)
            .map_err(|source| RecordsError::Malformed { path: path.clone(), source })?;
        record.spec.check("").map_err(|source| RecordsError::Refused { path: path.clone(), source })?;
        if record.spec.mount_point.name() != name {
            let mount_point = record.spec.mount_point;
            return Err(RecordsError::Misnamed { path, mount_point });
        }
        Ok(record)
    }

    /// Writes a record in the place of what its mount point had. Whether that changed anything.
    ///
    /// # Errors
    /// The disk is full or read-only.
    pub fn write(&self, record: &Record) -> Result<bool, RecordsError> {
        let mut record = record.clone();
        record.spec.blank = false;
        let name = record.spec.mount_point.name();
        if self.read(&name).is_ok_and(|old| old == record) {
            return Ok(false);
        }
        let failed = |verb, path: &Path| {
            let path = path.to_owned();
            move |source: std::io::Error| RecordsError::Write { verb, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.folder)
            .map_err(failed("make", &self.folder))?;
        let path = self.path(&name);
        // Two that write the same record at once write two files; the later one stays.
        let new = self.folder.join(format!(".{name}.{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let text = serde_json::to_string_pretty(&record)? + "\n";
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            fsync(File::open(&self.folder)?)?;
            Ok(())
        };
        if let Err(error) = write() {
            let _ = std::fs::remove_file(&new);
            return Err(failed("write", &path)(error));
        }
        Ok(true)
    }

    /// Takes a mount point's record away. Whether there was one.
    ///
    /// # Errors
    /// The disk is read-only.
    pub fn remove(&self, mount_point: &MountPoint) -> Result<bool, RecordsError> {
        let path = self.path(&mount_point.name());
        let remove = || -> std::io::Result<()> {
            std::fs::remove_file(&path)?;
            fsync(File::open(&self.folder)?)?;
            Ok(())
        };
        match remove() {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(RecordsError::Write { verb: "remove", path, source }),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use stillframe_wire::VolumeId;

    fn record(path: &str) -> Record {
        let volume = VolumeId::new("vol-0123456789abcdef0").unwrap();
        let spec = MountSpec::new(volume, MountPoint::new(path).unwrap());
        Record { spec, uuid: Some("u".to_owned()), run: None }
    }

    fn machine() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        root
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_never_blank() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let root = machine();
        let records = Records::below(root.path());
        assert_eq!(records.all().unwrap().len(), 0);
        let mut blank = record("/srv/my data");
        blank.spec.blank = true;
        blank.spec.file_system = Some(stillframe_wire::FileSystemKind::Xfs);
        assert!(records.write(&blank).unwrap());
        assert!(!records.write(&blank).unwrap(), "nothing changed");
        assert!(records.write(&record("/a")).unwrap());
        let all = records.all().unwrap();
        assert_eq!(all.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["a", "srv-my\\x20data"]);
        let read = all[1].1.as_ref().unwrap();
        assert_eq!((read.spec.blank, &read.spec.mount_point), (false, &blank.spec.mount_point));
        assert!(records.remove(&blank.spec.mount_point).unwrap());
        assert!(!records.remove(&blank.spec.mount_point).unwrap());
        let left: Vec<_> = std::fs::read_dir(root.path().join(FOLDER)).unwrap().collect();
        assert_eq!(left.len(), 1, "no other file stays");
    }

    #[test]
    fn one_that_is_broken_or_another_s_is_told_of_and_the_rest_are_read() {
        if !rustix::process::getuid().is_root() {
            return;
        }
        let root = machine();
        let records = Records::below(root.path());
        for path in ["/a", "/b", "/c", "/d"] {
            records.write(&record(path)).unwrap();
        }
        let file = |name: &str| root.path().join(FOLDER).join(name);
        std::fs::write(file("a.json"), "{").unwrap();
        std::fs::set_permissions(file("b.json"), PermissionsExt::from_mode(0o666)).unwrap();
        std::fs::write(file("c.json"), r#"{"volumes": [], "mount_point": "/c"}"#).unwrap();
        std::fs::write(file(".x.json"), "{").unwrap();
        std::fs::write(file("README"), "?").unwrap();
        let all = records.all().unwrap();
        let shown: Vec<String> = all
            .iter()
            .map(|(_, record)| record.as_ref().err().map_or_else(String::new, |error| crate::describe(error)))
            .collect();
        assert_eq!(shown.len(), 4);
        assert!(shown[0].contains("failed to understand"), "{shown:?}");
        assert!(shown[1].contains("mode 0666"), "{shown:?}");
        assert!(shown[2].contains("names no volume"), "{shown:?}");
        assert_eq!(shown[3], "");
    }
}
