//! One cell of the matrix, and the region that it is measured on.

use super::{CREATE_SNAPSHOTS_MS, INVOKE_MS};
use serde::Serialize;

/// The instance that everything runs on.
pub(super) const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";
/// What a gp3 volume begins with.
const GP3_MB_S: u64 = 125;
const GP3_IOPS: u64 = 3_000;
/// The pause of a checksumming writer, when there is one.
const PAUSE_US: u64 = 2_000;

/// A type of file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fs {
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// btrfs.
    Btrfs,
}

impl Fs {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }
}

/// A kind of disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Disk {
    /// A loop device, as fast as it is.
    Plain,
    /// The same, limited to a gp3 volume's baseline.
    Gp3,
}

impl Disk {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain disk",
            Self::Gp3 => "disk of 125 MB/s and 3,000 IOPS",
        }
    }
}

/// Which kinds of disks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Disks {
    /// As fast as this machine makes them.
    Plain,
    /// Limited.
    Gp3,
    /// Both.
    All,
}

impl Disks {
    pub(super) fn kinds(self) -> Vec<Disk> {
        match self {
            Self::Plain => vec![Disk::Plain],
            Self::Gp3 => vec![Disk::Gp3],
            Self::All => vec![Disk::Plain, Disk::Gp3],
        }
    }
}

/// One cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) fs: Fs,
    pub(super) count: u8,
    pub(super) disk: Disk,
}

impl Cell {
    /// The region's spec. The load of the instance is the same however many file systems share it.
    pub(super) fn spec(&self, bulk_mb_s: u64, clones: bool) -> String {
        let count = u64::from(self.count);
        let mut spec = format!(
            "copies = {clones}\n[latency_ms]\nInvoke = {INVOKE_MS}\nCreateSnapshots = {CREATE_SNAPSHOTS_MS}\n\
             CreateSnapshot = {CREATE_SNAPSHOTS_MS}\n\n[[instance]]\nid = \"{INSTANCE}\"\n"
        );
        let size_mib = match count {
            1 => 1_536,
            2..=4 => 640,
            _ => 400,
        };
        let limit = match self.disk {
            Disk::Plain => String::new(),
            Disk::Gp3 => format!("limit_mb_s = {GP3_MB_S}\nlimit_iops = {GP3_IOPS}\n"),
        };
        for n in 0..count {
            spec += &format!(
                "[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaa{n:03x}\"\nsize_mib = {size_mib}\n\
                 fs = \"{fs}\"\nmount = \"/srv/{n}\"\ntags = {{ stillframe = \"daily\" }}\nwriter = true\n\
                 writer_bulk_mb_s = {bulk}\nwriter_pause_us = {pause}\n{limit}",
                fs = self.fs.name(),
                bulk = bulk_mb_s.div_ceil(count),
                pause = PAUSE_US * count,
            );
        }
        spec
    }
}
