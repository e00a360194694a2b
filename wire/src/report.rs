//! The helper's report: one JSON document on stdout, carried back by Run Command.
//!
//! `ListCommandInvocations` carries the first 2,500 characters of stdout, so the document stays under
//! [`REPORT_LIMIT`] bytes. A larger one is printed twice: first without what went well and with
//! `truncated: true`, then, on the next line, whole, for `GetCommandInvocation` to fetch.

use crate::{InstanceId, JsonError, RanHook, RunId, SnapshotId, VERSION, VolumeId, json};
use serde::{Deserialize, Serialize};

/// Most bytes of the first line of stdout.
pub const REPORT_LIMIT: usize = 2_400;

/// How a freeze ended, for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Version of the document.
    pub v: u32,
    /// The run of the order; absent when the order could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The instance of the order; absent when the order could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// The whole in one word.
    pub verdict: Verdict,
    /// Why it is not [`Verdict::Consistent`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The same for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the answer to FROZEN named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotReport>,
    /// Every file system found on the ordered volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filesystems: Vec<FileSystemReport>,
    /// Why a volume's snapshot cannot be called frozen, and what it holds beside frozen file systems.
    /// A volume about which there is nothing to say is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<VolumeNote>,
    /// How long each phase took.
    #[serde(default)]
    pub phases: Phases,
    /// What the flush before the freeze achieved.
    #[serde(default)]
    pub flush: Flush,
    /// Hooks that ran, before the freeze and after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<RanHook>,
    /// Pages that the worker had to read from a disk between the first FIFREEZE and the last FITHAW: none,
    /// or it might have waited for a disk that it held frozen. Absent when nothing was frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_faults: Option<u64>,
    /// Who would thaw if worker and guardian died together; absent when nothing was to be frozen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub third_line: Option<ThirdLine>,
    /// Whether entries were left out of this document.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// The whole in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every freeze provably enclosed the cut. Which volumes that makes consistent is said by
    /// [`SnapshotReport::frozen`].
    Consistent,
    /// There was a freeze, but it proves nothing.
    Unproved,
    /// The order was refused; nothing was frozen.
    Refused,
    /// Given up before the first freeze.
    NotFrozen,
    /// Something may still be frozen.
    ThawUncertain,
    /// Everything up to the first freeze went well, and no further was asked for.
    Rehearsed,
}

/// Who thaws when neither worker nor guardian is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThirdLine {
    /// A transient systemd timer, within about a second.
    SystemdTimer,
    /// Nobody on the instance before the next run of the helper: there is no systemd, or it refused.
    None,
}

/// Why a freeze proves nothing, or did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// The order cannot be read or is for another instance.
    BadOrder,
    /// The signal function refused at READY or at FROZEN for a reason that waiting does not cure.
    RefusedBySignal,
    /// EC2 was asked too often: worth another try later.
    Throttled,
    /// EC2 takes no further snapshot of an ordered volume for now: a later run's.
    PendingLimit,
    /// An ordered volume is not attached here.
    VolumeMissing,
    /// A file system spans a volume that is not in the order.
    SpansOtherVolume,
    /// No ordered volume holds a file system that can be frozen.
    NothingToFreeze,
    /// Another freeze runs on this instance.
    Busy,
    /// Somebody else had frozen a file system.
    ForeignFreeze,
    /// The signal function could not be reached before the freeze.
    SignalUnreachable,
    /// Flushing failed: data could not be written.
    FlushFailed,
    /// The writers are too fast for the disk: so much was left to write that the freeze would have used up
    /// its time.
    FlushGaveUp,
    /// A hook before the freeze failed, took too long, or may not be run.
    HookFailed,
    /// FIFREEZE failed.
    FreezeFailed,
    /// Data could not be written to the disk.
    WriteLost,
    /// No answer to FROZEN before the deadline.
    Deadline,
    /// The answer to FROZEN was lost, incomplete or for another run.
    BadAnswer,
    /// Somebody thawed a file system under us.
    ThawedByOther,
    /// The guardian died: nothing watched the freeze to its end.
    GuardianLost,
    /// A signal ended the helper.
    Terminated,
    /// The helper could not do its own work.
    Internal,
    /// A reason that this reader does not know yet.
    #[serde(other)]
    Other,
}

/// One snapshot of the cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotReport {
    /// The volume.
    pub volume: VolumeId,
    /// Its snapshot.
    pub snapshot: SnapshotId,
    /// Whether every file system on the volume was frozen before the cut was asked for and until
    /// after it was answered; false for a volume that holds none, or one that cannot be frozen.
    pub frozen: bool,
}

/// One file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSystemReport {
    /// Where it is mounted.
    pub mount_point: String,
    /// From FIFREEZE's return to FITHAW's return, microseconds; 0 when it was never frozen.
    pub frozen_us: u64,
    /// How it went.
    pub verdict: FileSystemVerdict,
}

/// How one file system fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSystemVerdict {
    /// Frozen, synced, thawed by us.
    Frozen,
    /// Not reached: the attempt ended before.
    NotTried,
    /// The kernel has no freeze for this type; it was synced.
    NotFreezable,
    /// Nothing can write to this type (squashfs): it is as good as frozen.
    NeverWritten,
    /// The root file system, which the order leaves alone.
    Root,
    /// It holds the SSM agent's state, and the order leaves it alone.
    HoldsSsmAgent,
    /// It holds the helper's binary, and the order leaves it alone.
    HoldsHelper,
    /// It holds `/run`, which no order can have frozen: lock, lease and the last timer lie there.
    HoldsRun,
    /// Already frozen by somebody else: left exactly as it was.
    ForeignFreeze,
    /// FIFREEZE failed.
    FreezeFailed,
    /// Frozen, but data could not be written.
    WriteLost,
    /// Thawed by somebody else while we counted on it.
    ThawedByOther,
    /// Could not be seen thawed.
    ThawUncertain,
    /// FIFREEZE had not returned by the deadline; the file system is thawed when it does.
    FreezeHangs,
    /// Would be frozen; a rehearsal ends before that.
    Rehearsed,
    /// A verdict that this reader does not know yet.
    #[serde(other)]
    Other,
}

/// Something on a volume that is no frozen file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeNote {
    /// The volume.
    pub volume: VolumeId,
    /// What is on it.
    pub holds: Holds,
    /// Which: devices, mount points or files, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// What a volume holds beside frozen file systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// A device that a process has open for writing, past every file system: a database's raw volume, a
    /// disk that is being copied.
    Raw,
    /// A file system that is alive but mounted where no process can be found: unmounted lazily, or in a
    /// mount namespace that only a file keeps.
    Unreachable,
    /// Something that may be in use without a trace that the helper knows: ZFS, DRBD, a journal of an ext4
    /// elsewhere.
    Unknown,
    /// A mounted file system that is not frozen; its own verdict says why.
    NotFrozen,
    /// A swap partition in use. Its pages are of no use after a restore, so that they may change.
    Swap,
    /// A swap file in use on a file system. Swapping goes past the freeze, and the same holds for it.
    SwapFile,
    /// File systems, or parts of arrays or volume groups, that are not in use.
    NotMounted,
    /// Nothing that udev knows of.
    Nothing,
    /// Something that this reader does not know yet.
    #[serde(other)]
    Other,
}

impl Holds {
    /// Whether it may be written while every file system on the volume is frozen, so that the volume's
    /// snapshot must not be called frozen.
    #[must_use]
    pub fn hinders(self) -> bool {
        match self {
            Self::Raw | Self::Unreachable | Self::Unknown | Self::NotFrozen | Self::Other => true,
            Self::Swap | Self::SwapFile | Self::NotMounted | Self::Nothing => false,
        }
    }
}

/// Durations of the phases, microseconds; 0 for one that was not reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Phases {
    /// Volumes to file systems.
    pub resolve_us: u64,
    /// The READY round trip, name look-up, TLS and credentials included.
    pub ready_us: u64,
    /// Hooks before the freeze.
    pub hooks_us: u64,
    /// Flush rounds.
    pub flush_us: u64,
    /// The priming freeze and thaw.
    pub prime_us: u64,
    /// FIFREEZE, first call to last return.
    pub freeze_us: u64,
    /// `syncfs` while frozen.
    pub sync_us: u64,
    /// The FROZEN round trip.
    pub signal_us: u64,
    /// FITHAW, first call to last return.
    pub thaw_us: u64,
    /// From the first FIFREEZE's call to the last FITHAW's return: what a writer can feel.
    pub window_us: u64,
}

/// What the flush before the freeze achieved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flush {
    /// Rounds of `syncfs`.
    pub rounds: u32,
    /// How long the last took, microseconds.
    pub last_us: u64,
    /// Whether the budget ended before a round was short.
    pub gave_up: bool,
    /// What waited to be written when the flush began, KiB; of the whole machine, for the kernel tells no
    /// file system's share.
    pub dirty_kib: u64,
}

impl Report {
    /// A report of something that ended before anything was found out.
    #[must_use]
    pub fn new(verdict: Verdict) -> Self {
        Self {
            v: VERSION,
            run: None,
            instance: None,
            verdict,
            reason: None,
            error: None,
            snapshots: Vec::new(),
            filesystems: Vec::new(),
            volumes: Vec::new(),
            phases: Phases::default(),
            flush: Flush::default(),
            hooks: Vec::new(),
            major_faults: None,
            third_line: None,
            truncated: false,
        }
    }

    /// What goes to stdout: one line, or two when the whole exceeds [`REPORT_LIMIT`].
    #[must_use]
    pub fn render(&self) -> String {
        let whole = line(self);
        if whole.len() <= REPORT_LIMIT {
            return whole;
        }
        let mut brief = self.clone();
        brief.truncated = true;
        // What went well is left out first: the backup function fetches the whole anyway, and the
        // brief serves a person who looks at the console's first lines.
        brief.filesystems.retain(|fs| fs.verdict != FileSystemVerdict::Frozen);
        brief.snapshots.retain(|snapshot| !snapshot.frozen);
        brief.volumes.retain(|note| note.holds.hinders());
        brief.hooks.retain(|hook| hook.error.is_some());
        while line(&brief).len() > REPORT_LIMIT {
            let shed = brief.volumes.pop().is_some()
                || brief.hooks.pop().is_some()
                || brief.snapshots.pop().is_some()
                || brief.filesystems.pop().is_some();
            if !shed {
                brief.error = brief.error.map(|error| error.chars().take(200).collect());
                break;
            }
        }
        format!("{}{whole}", line(&brief))
    }

    /// Reads what a helper printed, from as much of its stdout as was carried.
    ///
    /// # Errors
    /// No line of it is a whole report, or it is of a version that is not known here.
    pub fn read(stdout: &str) -> Result<Self, JsonError> {
        let mut lines = stdout.lines().filter(|line| !line.trim().is_empty());
        let Some(first) = lines.next() else {
            return Err(JsonError::Document {
                what: "report",
                cause: "the helper printed nothing".to_owned(),
            });
        };
        let brief = Self::read_line(first.as_bytes())?;
        if brief.truncated
            && let Some(Ok(whole)) = lines.next().map(|line| Self::read_line(line.as_bytes()))
        {
            return Ok(whole);
        }
        Ok(brief)
    }

    fn read_line(line: &[u8]) -> Result<Self, JsonError> {
        json::expect_version("report", line)?;
        json::read("report", line)
    }
}

fn line(report: &Report) -> String {
    // A struct of strings, numbers and vectors always serialises.
    serde_json::to_string(report)
        .map_or_else(|error| format!("{{\"error\":\"{error}\"}}\n"), |text| text + "\n")
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
