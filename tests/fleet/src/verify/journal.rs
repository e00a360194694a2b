//! Whether a file system's journal had something to recover when the copy was made, read without mounting.
//!
//! Clean means that the copy was made of a frozen or cleanly unmounted file system. ext4 says so with a
//! flag that a freeze clears, btrfs with the address of its log tree. A frozen XFS keeps a short dirty log
//! by design: a dummy record, so that a crash would still process unlinked files; there the distance from
//! tail to head tells, at most 8 blocks when frozen, hundreds under load.

use super::VerifyError;
use crate::spec::FsType;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// The state of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Journal {
    /// Nothing to recover.
    Clean,
    /// Something to recover.
    Dirty,
    /// There is no file system that has one, or its state could not be told.
    Unknown,
}

/// The longest log, in blocks of 512 bytes, that a frozen XFS leaves.
const XFS_FROZEN_BLOCKS: u64 = 8;

/// Tells the state, and what it was told from.
///
/// # Errors
/// The file cannot be read, or what reads an XFS log does not understand it.
pub fn read(image: &Path, fs: FsType) -> Result<(Journal, String), VerifyError> {
    let path = || image.display().to_string();
    let failed = |source| VerifyError::Read { path: path(), source };
    match fs {
        FsType::None => Ok((Journal::Unknown, "no file system".to_owned())),
        FsType::Ext4 => ext4(image).map_err(failed),
        FsType::Btrfs => btrfs(image).map_err(failed),
        FsType::Xfs => xfs(image),
    }
}

fn state(dirty: bool) -> Journal {
    if dirty { Journal::Dirty } else { Journal::Clean }
}

fn read_at<const N: usize>(image: &Path, offset: u64) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open(image)?.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// `s_feature_incompat` of the super block; its flag `needs_recovery`.
fn ext4(image: &Path) -> io::Result<(Journal, String)> {
    const SUPER_BLOCK: u64 = 1024;
    const NEEDS_RECOVERY: u32 = 0x4;
    let incompatible = u32::from_le_bytes(read_at(image, SUPER_BLOCK + 0x60)?);
    let dirty = incompatible & NEEDS_RECOVERY != 0;
    let orphan = u32::from_le_bytes(read_at(image, SUPER_BLOCK + 0xE8)?);
    let flag = if dirty { "needs_recovery" } else { "no needs_recovery" };
    let evidence = if orphan == 0 { flag.to_owned() } else { format!("{flag}, first orphan inode {orphan}") };
    Ok((state(dirty), evidence))
}

/// `log_root` of the first super block.
fn btrfs(image: &Path) -> io::Result<(Journal, String)> {
    const SUPER_BLOCK: u64 = 64 * 1024;
    let log_root = u64::from_le_bytes(read_at(image, SUPER_BLOCK + 0x60)?);
    Ok((state(log_root != 0), format!("log_root {log_root}")))
}

/// Asks the file system's own tool where the log's tail and head are.
fn xfs(image: &Path) -> Result<(Journal, String), VerifyError> {
    let path = || image.display().to_string();
    let output = Command::new("xfs_logprint")
        .arg("-t")
        .arg(image)
        .output()
        .map_err(|source| VerifyError::Read { path: path(), source })?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let log = XfsLog::parse(&printed).ok_or_else(|| {
        let printed = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        VerifyError::Journal { path: path(), cause: format!("xfs_logprint printed {:?}", printed.trim()) }
    })?;
    let length = log.length();
    let evidence = format!("log of {length} blocks, tail {} head {}", log.tail, log.head);
    Ok((state(length > XFS_FROZEN_BLOCKS), evidence))
}

/// Where a log of a fixed size, used in a circle, begins and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct XfsLog {
    size: u64,
    tail: u64,
    head: u64,
}

impl XfsLog {
    /// From the lines
    /// ```text
    ///     log device: 0x700 daddr: 204832 length: 131072
    ///     log tail: 2 head: 1033 state: <DIRTY>
    /// ```
    fn parse(printed: &str) -> Option<Self> {
        let after = |word: &str| {
            let (_, rest) = printed.split_once(word)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        Some(Self { size: after("length:")?, tail: after("log tail:")?, head: after("head:")? })
    }

    fn length(self) -> u64 {
        if self.head >= self.tail {
            self.head - self.tail
        } else {
            self.head + self.size.saturating_sub(self.tail)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "xfs_logprint:\n    data device: 0xffffffffffffffff\n    log device: \
        0xffffffffffffffff daddr: 409632 length: 131072\n\n    log tail: 130000 head: 3 state: <DIRTY>\n\n\n\
        LOG REC AT LSN cycle 1 block 2 (0x1, 0x2)\n";

    #[test]
    fn the_distance_goes_round_the_end_of_the_log() {
        let log = XfsLog::parse(PRINTED).unwrap();
        assert_eq!(log, XfsLog { size: 131_072, tail: 130_000, head: 3 });
        assert_eq!(log.length(), 1_075);
        assert_eq!(XfsLog { size: 100, tail: 7, head: 11 }.length(), 4);
    }

    #[test]
    fn what_is_no_answer_is_not_taken_for_one() {
        assert_eq!(XfsLog::parse("xfs_logprint: unable to read\n"), None);
    }
}
