//! Looks at a copy: the journal first, while nobody has touched it, then what is in it.

use super::writer::{SYNCED, WRITTEN};
use anyhow::{Context, bail, ensure};
use fleet::spec::FsType;
use fleet::verify::{Journal, journal};
use fleet::writer::read_all;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::Command;

/// The command line of `vm examine`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The device that holds the file system.
    #[arg(long)]
    device: PathBuf,
    /// Its type.
    #[arg(long)]
    fs: String,
    /// Where to mount it.
    #[arg(long)]
    mount: PathBuf,
}

/// What a copy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Whether there was something to recover.
    pub journal: Journal,
    /// What that was told from.
    pub evidence: String,
    /// Sequences of the first stream.
    pub synced: Vec<u64>,
    /// Sequences of the second.
    pub written: Vec<u64>,
}

/// Examines it, and leaves it mounted: as an instance would, with default options.
///
/// # Errors
/// It cannot be read or mounted.
pub fn run(args: &Args) -> anyhow::Result<Copy> {
    let fs = [FsType::Ext4, FsType::Xfs, FsType::Btrfs].into_iter().find(|fs| fs.as_str() == args.fs);
    let Some(fs) = fs else { bail!("{} is no file system that can be examined", args.fs) };
    let (journal, evidence) = journal::read(&args.device, fs).context("failed to read the journal")?;
    std::fs::create_dir_all(&args.mount).context("failed to make the mount point")?;
    let output = Command::new("mount").arg(&args.device).arg(&args.mount).output()?;
    ensure!(
        output.status.success(),
        "failed to mount {}: {}",
        args.device.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let sequences = |stream: &str| -> anyhow::Result<Vec<u64>> {
        let dir = args.mount.join(stream);
        // What was never synced may be missing altogether.
        if !dir.exists() {
            return Ok(Vec::new());
        }
        Ok(read_all(&dir).with_context(|| format!("failed to read {}", dir.display()))?.sequences)
    };
    let (synced, written) = (sequences(SYNCED)?, sequences(WRITTEN)?);
    Ok(Copy { journal, evidence, synced, written })
}
