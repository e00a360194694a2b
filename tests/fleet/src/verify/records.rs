//! The writer's records in a snapshot, against its log.

use super::VerifyError;
use crate::disks::{CutRecord, Detached, LoopDevice};
use crate::spec::FsType;
use crate::writer::{DIR, Found, Promises, read_all};
use rustix::fs::ioctl_ficlone;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The count.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Records {
    /// Whole records in the snapshot.
    pub present: u64,
    /// Records that must be in it: acknowledged before the cut began.
    pub acknowledged: u64,
    /// Those of them that are not.
    pub lost: u64,
    /// The first of those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_lost: Option<u64>,
    /// Files that end in the middle of a record, as one that was being written does.
    pub torn: u64,
}

/// Lets the file system of a clone recover as it would on a new instance, and reads it.
pub(super) fn check(snapshot: &Path, fs: FsType, cut: &CutRecord) -> Result<Records, VerifyError> {
    let path = || snapshot.display().to_string();
    let mount =
        |source: Box<dyn std::error::Error + Send + Sync>| VerifyError::Mount { path: path(), source };
    let clone = clone_of(snapshot).map_err(|error| mount(error.into()))?;
    let device = LoopDevice::bind(&clone, "a clone of the snapshot").map_err(|error| mount(error.into()))?;
    // XFS refuses the UUID that the original, mounted or not, has as well.
    let flags: &[&str] = if fs == FsType::Xfs { &["nouuid"] } else { &[] };
    let root = Detached::mount(&device.path(), fs.as_str(), flags).map_err(|error| mount(error.into()))?;
    let records = |source| VerifyError::Records { path: path(), source };
    let dir = root.path().join(DIR);
    let found = if dir.exists() { read_all(&dir).map_err(records)? } else { Found::default() };
    let promises = promises(&cut.writer_log).map_err(records)?;
    Ok(count(&found, promises.owed(cut.begun_ns, cut.ended_ns)))
}

fn count(found: &Found, owed: impl Iterator<Item = u64>) -> Records {
    let present: BTreeSet<u64> = found.sequences.iter().copied().collect();
    let mut records = Records { present: present.len() as u64, torn: found.torn, ..Records::default() };
    for sequence in owed {
        records.acknowledged += 1;
        if !present.contains(&sequence) {
            records.lost += 1;
            records.first_lost.get_or_insert(sequence);
        }
    }
    records
}

/// A clone without a name, on the same file system: it is gone when nobody has it open.
fn clone_of(snapshot: &Path) -> io::Result<File> {
    let dir = snapshot.parent().unwrap_or(Path::new("."));
    let clone = tempfile::tempfile_in(dir)?;
    ioctl_ficlone(&clone, File::open(snapshot)?)?;
    Ok(clone)
}

/// A volume without a writer has no log.
fn promises(log: &Path) -> io::Result<Promises> {
    match fs::read_to_string(log) {
        Ok(text) => Ok(Promises::read(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Promises::default()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_owed_and_absent_is_lost() {
        let found = Found { sequences: vec![3, 4, 6, 7], torn: 1 };
        let records = count(&found, [4, 5, 6].into_iter());
        assert_eq!(records, Records { present: 4, acknowledged: 3, lost: 1, first_lost: Some(5), torn: 1 });
    }
}
