//! Snapshots: the bytes of several volumes, cloned as close together in time as the machine can.

use super::image::PendingClone;
use super::step::step;
use super::work_dir::Layout;
use crate::boottime::now_ns;
use crate::machine::{CutRequest, MachineError};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;

/// What is known of a snapshot besides its bytes; it lies beside them as JSON.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CutRecord {
    /// The snapshot.
    pub snapshot: String,
    /// The volume.
    pub volume: String,
    /// Just before the first volume of the set was cloned, [`crate::boottime`].
    pub begun_ns: u64,
    /// Just after the last was.
    pub ended_ns: u64,
    /// The log of the writer on the volume; it may not exist.
    pub writer_log: PathBuf,
}

impl CutRecord {
    /// Reads the record of a snapshot, given the file with its bytes.
    ///
    /// # Errors
    /// There is none, or it is malformed.
    pub fn read(snapshot: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path_of(snapshot))?)?)
    }

    fn of(layout: &Layout, cut: &CutRequest, begun_ns: u64, ended_ns: u64) -> Self {
        Self {
            snapshot: cut.snapshot.clone(),
            volume: cut.volume.clone(),
            begun_ns,
            ended_ns,
            writer_log: layout.writer_log(&cut.volume),
        }
    }

    fn write(&self, snapshot: &Path) -> std::io::Result<()> {
        fs::write(path_of(snapshot), serde_json::to_vec(self)?)
    }
}

fn path_of(snapshot: &Path) -> PathBuf {
    snapshot.with_extension("json")
}

/// Cuts all or none.
///
/// # Errors
/// A volume is unknown, a snapshot exists already, or a clone fails; then no file of the set stays.
pub fn cut(layout: &Layout, cuts: &[CutRequest]) -> Result<(), MachineError> {
    let pending: Vec<PendingClone> = cuts
        .iter()
        .map(|cut| PendingClone::prepare(&layout.volume(&cut.volume), &layout.snapshot(&cut.snapshot)))
        .collect::<Result<_, _>>()?;
    let begun_ns = now_ns();
    let outcomes = clone_together(&pending);
    let ended_ns = now_ns();
    for (cut, outcome) in cuts.iter().zip(outcomes) {
        outcome.map_err(step(format!("clone {}", cut.volume)))?;
    }
    for (written, cut) in cuts.iter().enumerate() {
        let record = CutRecord::of(layout, cut, begun_ns, ended_ns);
        if let Err(error) = record.write(&layout.snapshot(&cut.snapshot)) {
            for cut in cuts.iter().take(written + 1) {
                let _ = fs::remove_file(path_of(&layout.snapshot(&cut.snapshot)));
            }
            return Err(step(format!("write the record of {}", cut.snapshot))(error));
        }
    }
    pending.into_iter().for_each(PendingClone::keep);
    Ok(())
}

/// Notes when a set was cut and copies nothing: each snapshot is an empty file.
///
/// # Errors
/// A file cannot be written.
pub fn note(layout: &Layout, cuts: &[CutRequest]) -> Result<(), MachineError> {
    let now = now_ns();
    cuts.iter().try_for_each(|cut| {
        let path = layout.snapshot(&cut.snapshot);
        let record = CutRecord::of(layout, cut, now, now);
        fs::write(&path, b"")
            .and_then(|()| record.write(&path))
            .map_err(step(format!("write the record of {}", cut.snapshot)))
    })
}

/// Copies a snapshot, with its record.
///
/// # Errors
/// The clone fails, or the record cannot be read or written; then nothing of the copy stays.
pub fn copy(layout: &Layout, from: &str, to: &str) -> Result<(), MachineError> {
    let (source, target) = (layout.snapshot(from), layout.snapshot(to));
    let clone = PendingClone::prepare(&source, &target)?;
    clone.clone_now().map_err(step(format!("clone {from} to {to}")))?;
    let record = CutRecord::read(&source).map_err(step(format!("read the record of {from}")))?;
    let record = CutRecord { snapshot: to.to_owned(), ..record };
    record.write(&target).map_err(step(format!("write the record of {to}")))?;
    clone.keep();
    Ok(())
}

/// Removes a snapshot.
///
/// # Errors
/// Its bytes cannot be removed.
pub fn delete(layout: &Layout, snapshot: &str) -> Result<(), MachineError> {
    let path = layout.snapshot(snapshot);
    let _ = fs::remove_file(path_of(&path));
    fs::remove_file(&path).map_err(step(format!("remove {}", path.display())))
}

/// Starts every clone at the same moment, each on a thread that waits for the others to be there.
fn clone_together(pending: &[PendingClone]) -> Vec<rustix::io::Result<()>> {
    if let [one] = pending {
        return vec![one.clone_now()];
    }
    let together = Barrier::new(pending.len());
    let clone = |clone: &PendingClone| {
        together.wait();
        clone.clone_now()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = pending.iter().map(|one| scope.spawn(move || clone(one))).collect();
        let panicked = |_| Err(rustix::io::Errno::IO);
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked)).collect()
    })
}
