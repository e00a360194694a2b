//! Whether a snapshot holds what was promised, read from its bytes alone: was its journal clean at the
//! instant of the copy, and is every record there that the volume's writer had acknowledged before?
//!
//! Labels, tags and reports are not asked. The snapshot's file is only read; what is mounted is a clone of
//! it, without a place in any tree, gone with the check.

pub mod journal;
mod records;

pub use journal::Journal;
pub use records::Records;

use crate::disks::{CutRecord, file_system_of};
use crate::spec::FsType;
use std::path::Path;

/// What a snapshot's bytes say.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Verification {
    /// Type of its file system; `none` for a volume without one.
    pub fs: String,
    /// Its journal.
    pub journal: Journal,
    /// What that was told from.
    pub journal_evidence: String,
    /// The writer's records; absent when the check did not come that far, or there is no file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Records>,
    /// Why the check did not come to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Verification {
    /// Nothing to recover, and nothing lost.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let nothing_lost = self.records.as_ref().is_none_or(|records| records.lost == 0);
        self.journal == Journal::Clean && nothing_lost && self.error.is_none()
    }
}

/// Why a check did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The snapshot's file cannot be read.
    #[error("failed to read the snapshot {path}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// What lies beside the snapshot cannot be read.
    #[error("failed to read the record of the cut beside {path}")]
    Record {
        /// The snapshot's file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The journal's state cannot be told.
    #[error("failed to read the journal of {path}: {cause}")]
    Journal {
        /// The snapshot's file.
        path: String,
        /// What was found instead.
        cause: String,
    },
    /// No clone could be made, or not be mounted.
    #[error("failed to mount a clone of {path}")]
    Mount {
        /// The snapshot's file.
        path: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer's files on it cannot be read.
    #[error("failed to read the writer's records on {path}")]
    Records {
        /// The snapshot's file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Checks a snapshot of [`crate::disks::Disks`], given the file with its bytes. Needs root.
#[must_use]
pub fn verify(snapshot: &Path) -> Verification {
    let mut verification = Verification {
        fs: FsType::None.as_str().to_owned(),
        journal: Journal::Unknown,
        journal_evidence: String::new(),
        records: None,
        error: None,
    };
    if let Err(error) = check(snapshot, &mut verification) {
        verification.error = Some(with_causes(&error));
    }
    verification
}

fn check(snapshot: &Path, verification: &mut Verification) -> Result<(), VerifyError> {
    let path = || snapshot.display().to_string();
    let fs = file_system_of(snapshot).map_err(|source| VerifyError::Read { path: path(), source })?;
    fs.as_str().clone_into(&mut verification.fs);
    let (journal, evidence) = journal::read(snapshot, fs)?;
    verification.journal = journal;
    verification.journal_evidence = evidence;
    if fs == FsType::None {
        return Ok(());
    }
    let cut = CutRecord::read(snapshot).map_err(|source| VerifyError::Record { path: path(), source })?;
    verification.records = Some(records::check(snapshot, fs, &cut)?);
    Ok(())
}

fn with_causes(error: &VerifyError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
