//! Whether a freeze would freeze a file system, or why not: pure, and the one place that decides it,
//! for `freeze`, for `list` and for whoever else tells the operator.
//!
//! `freeze_root` is the policy's insistence on the machine's own file systems: `/`, the one with the
//! SSM agent's state, the one with the helper's binary. Frozen, they can be read, so that the helper
//! goes on (it is locked in memory besides) and so does the agent; the agent's report of the command
//! waits for the thaw, which the guardian brings in any case. `/run` is never frozen, whatever the policy
//! says: the third line of defence is a timer whose unit is written there, and a lease on a disk would
//! outlive the boot that it is about. Normally it is a tmpfs and lies on no volume.

use super::filesystem::{Essential, FileSystem, Held};
use super::targets::Target;
use std::fmt;
use std::path::PathBuf;
use stillframe_wire::FileSystemVerdict;

/// Types that have no freeze in the kernel: FIFREEZE answers EOPNOTSUPP. Another type is tried.
const WITHOUT_FREEZE: [&str; 7] = ["vfat", "msdos", "exfat", "ntfs3", "udf", "minix", "fuseblk"];

/// Types that nothing can write to: there is nothing to freeze.
const NEVER_WRITTEN: [&str; 5] = ["squashfs", "erofs", "iso9660", "cramfs", "romfs"];

/// What a freeze would do with a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It would freeze it.
    Freezable,
    /// It would not.
    NotFreezable(WhyNot),
}

/// Why a file system is not frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// It lies on a disk that is no EBS volume: an order that names its volumes is refused.
    OtherDisk {
        /// The disk's name.
        disk: String,
    },
    /// The kernel has no freeze for its type.
    NoFreeze {
        /// The type.
        fs_type: String,
    },
    /// Nothing can write to its type.
    NeverWritten {
        /// The type.
        fs_type: String,
    },
    /// It holds `/run`.
    HoldsRun {
        /// What of it.
        path: PathBuf,
    },
    /// It is the root file system.
    Root,
    /// It holds the SSM agent's state.
    HoldsSsmAgent {
        /// Where.
        path: PathBuf,
    },
    /// It holds the helper's binary.
    HoldsHelper {
        /// Where.
        path: PathBuf,
    },
}

impl WhyNot {
    /// Whether a policy with `freeze_root` has it frozen all the same.
    #[must_use]
    pub fn yields_to_freeze_root(&self) -> bool {
        matches!(self, Self::Root | Self::HoldsSsmAgent { .. } | Self::HoldsHelper { .. })
    }

    /// What the report calls it.
    #[must_use]
    pub fn verdict(&self) -> FileSystemVerdict {
        match self {
            // Such an order is refused before there is a report on file systems.
            Self::OtherDisk { .. } | Self::NoFreeze { .. } => FileSystemVerdict::NotFreezable,
            Self::NeverWritten { .. } => FileSystemVerdict::NeverWritten,
            Self::HoldsRun { .. } => FileSystemVerdict::HoldsRun,
            Self::Root => FileSystemVerdict::Root,
            Self::HoldsSsmAgent { .. } => FileSystemVerdict::HoldsSsmAgent,
            Self::HoldsHelper { .. } => FileSystemVerdict::HoldsHelper,
        }
    }
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherDisk { disk } => write!(f, "it also lies on {disk}, which is no EBS volume"),
            Self::NoFreeze { fs_type } => write!(f, "the kernel has no freeze for {fs_type}"),
            Self::NeverWritten { fs_type } => write!(f, "nothing can write to {fs_type}"),
            Self::HoldsRun { path } => {
                write!(f, "it holds {}, which must take writes while anything is frozen", path.display())
            }
            Self::Root => f.write_str("it is the root file system"),
            Self::HoldsSsmAgent { path } => {
                write!(f, "it holds the SSM agent's state ({})", path.display())
            }
            Self::HoldsHelper { path } => write!(f, "it holds this helper ({})", path.display()),
        }?;
        if self.yields_to_freeze_root() {
            f.write_str("; only a policy with freeze_root has it frozen")?;
        }
        Ok(())
    }
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Freezable => f.write_str("would be frozen"),
            Self::NotFreezable(why) => write!(f, "would not be frozen: {why}"),
        }
    }
}

/// Judges a file system of the machine, whatever may be ordered.
#[must_use]
pub fn judge(fs: &FileSystem, freeze_root: bool) -> Judgement {
    if let Some(disk) = fs.backing.other_disks.first() {
        return Judgement::NotFreezable(WhyNot::OtherDisk { disk: disk.clone() });
    }
    judge_on_volumes(&fs.fs_type, &fs.holds, freeze_root)
}

/// Judges a target of an order: it lies on ordered volumes only.
#[must_use]
pub fn judge_target(target: &Target, freeze_root: bool) -> Judgement {
    judge_on_volumes(&target.fs_type, &target.holds, freeze_root)
}

/// What no policy can change comes first.
fn judge_on_volumes(fs_type: &str, holds: &[Held], freeze_root: bool) -> Judgement {
    if NEVER_WRITTEN.contains(&fs_type) {
        return Judgement::NotFreezable(WhyNot::NeverWritten { fs_type: fs_type.to_owned() });
    }
    if WITHOUT_FREEZE.contains(&fs_type) {
        return Judgement::NotFreezable(WhyNot::NoFreeze { fs_type: fs_type.to_owned() });
    }
    let held = holds.iter().min_by_key(|held| held.what);
    let Some(Held { what, path }) = held else { return Judgement::Freezable };
    let path = path.clone();
    let why = match what {
        Essential::Run => WhyNot::HoldsRun { path },
        Essential::Root => WhyNot::Root,
        Essential::SsmAgent => WhyNot::HoldsSsmAgent { path },
        Essential::Helper => WhyNot::HoldsHelper { path },
    };
    if freeze_root && why.yields_to_freeze_root() {
        return Judgement::Freezable;
    }
    Judgement::NotFreezable(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(what: Essential) -> Held {
        Held { what, path: "/there".into() }
    }

    fn verdict(fs_type: &str, holds: &[Essential], freeze_root: bool) -> Option<FileSystemVerdict> {
        let holds: Vec<Held> = holds.iter().copied().map(held).collect();
        match judge_on_volumes(fs_type, &holds, freeze_root) {
            Judgement::Freezable => None,
            Judgement::NotFreezable(why) => Some(why.verdict()),
        }
    }

    #[test]
    fn every_reason_and_what_a_policy_can_change_about_it() {
        use Essential::{Helper, Root, Run, SsmAgent};
        type Case<'a> = (&'a str, &'a [Essential], Option<FileSystemVerdict>, Option<FileSystemVerdict>);
        let cases: [Case<'_>; 10] = [
            ("ext4", &[], None, None),
            ("zonefs", &[], None, None),
            ("ext4", &[Root], Some(FileSystemVerdict::Root), None),
            ("xfs", &[SsmAgent], Some(FileSystemVerdict::HoldsSsmAgent), None),
            ("btrfs", &[Helper], Some(FileSystemVerdict::HoldsHelper), None),
            ("ext4", &[Helper, SsmAgent, Root], Some(FileSystemVerdict::Root), None),
            ("ext4", &[Run], Some(FileSystemVerdict::HoldsRun), Some(FileSystemVerdict::HoldsRun)),
            ("ext4", &[Root, Run], Some(FileSystemVerdict::HoldsRun), Some(FileSystemVerdict::HoldsRun)),
            ("vfat", &[Root], Some(FileSystemVerdict::NotFreezable), Some(FileSystemVerdict::NotFreezable)),
            (
                "squashfs",
                &[SsmAgent],
                Some(FileSystemVerdict::NeverWritten),
                Some(FileSystemVerdict::NeverWritten),
            ),
        ];
        for (fs_type, holds, by_default, insisted) in cases {
            assert_eq!(verdict(fs_type, holds, false), by_default, "{fs_type} {holds:?}");
            assert_eq!(verdict(fs_type, holds, true), insisted, "{fs_type} {holds:?} with freeze_root");
        }
    }

    #[test]
    fn a_person_is_told_why_and_what_would_change_it() {
        let say = |what| judge_on_volumes("ext4", &[held(what)], false).to_string();
        assert_eq!(
            say(Essential::SsmAgent),
            "would not be frozen: it holds the SSM agent's state (/there); only a policy with freeze_root \
             has it frozen"
        );
        assert!(!say(Essential::Run).contains("freeze_root"));
    }
}
