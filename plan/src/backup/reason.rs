//! Why a plan does what it does: typed reasons, and the sentences that people read.

use crate::observed::{AttachmentState, InstanceState, VolumeState};
use crate::{Consistency, InstanceId, RunId, SnapshotId};
use serde::Serialize;
use std::fmt;

/// Why a snapshot can be no more than crash-consistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrashReason {
    /// The policy asks for no more.
    Asked,
    /// SSM knows no agent on the instance.
    NoAgent,
    /// The agent does not answer.
    AgentOffline,
    /// Only the boot volume is to be taken, and the policy does not freeze `/`.
    BootOnly,
    /// More data volumes would have to be excluded from the set than EC2 takes.
    TooManyToExclude {
        /// How many.
        excluded: usize,
        /// How many EC2 takes.
        limit: usize,
    },
    /// The instance may hibernate: EC2 takes no multi-volume set of it, and a stop proves nothing.
    Hibernation,
    /// Other instances may write to the volume.
    MultiAttach,
    /// The instance's last stop was forced: it had no time to write anything out.
    ForcedStop,
    /// It is not known how the instance was stopped.
    UnknownStop,
}

/// Why a volume is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SkipReason {
    /// The slot has its snapshot.
    Done {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its run.
        run: RunId,
        /// Its label.
        label: Consistency,
    },
    /// The slot's snapshot is being copied.
    InProgress {
        /// The snapshot.
        snapshot: SnapshotId,
        /// Its run.
        run: RunId,
    },
    /// The instance still works on an order of this slot.
    OrderUnderWay {
        /// The order's run.
        run: RunId,
    },
    /// It carries `stillframe:skip`.
    SkipTag,
    /// EC2 takes no further snapshot of it now.
    PendingLimit {
        /// Snapshots being copied.
        pending: usize,
        /// Failed ones, which count as well until they are deleted.
        failed: usize,
        /// How many EC2 takes.
        limit: usize,
    },
    /// Its last snapshot is only seconds old.
    TooSoon {
        /// Seconds until EC2 takes another.
        wait_s: u64,
    },
    /// Its instance is neither running nor stopped.
    Instance(InstanceState),
    /// Its instance was not among those seen.
    InstanceUnseen {
        /// The instance.
        instance: InstanceId,
    },
    /// It is being attached or detached.
    Attachment(AttachmentState),
    /// It is neither in use nor available.
    Volume(VolumeState),
    /// Only a crash-consistent snapshot could be had, and the policy takes none.
    CrashOnly(CrashReason),
}

impl SkipReason {
    /// Whether there is nothing left to do for the volume in this slot.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::InProgress { .. })
    }
}

impl fmt::Display for CrashReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("the policy asks for no more"),
            Self::NoAgent => f.write_str("SSM knows no agent on the instance"),
            Self::AgentOffline => f.write_str("the agent on the instance does not answer"),
            Self::BootOnly => f.write_str("only the boot volume, and the policy does not freeze /"),
            Self::TooManyToExclude { excluded, limit } => {
                write!(f, "{excluded} volumes to exclude from the set, EC2 takes {limit}")
            }
            Self::Hibernation => f.write_str("the instance may hibernate"),
            Self::MultiAttach => f.write_str("several instances may write to the volume"),
            Self::ForcedStop => f.write_str("the instance was stopped by force"),
            Self::UnknownStop => f.write_str("not known how the instance was stopped"),
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { snapshot, label, .. } => write!(f, "slot done by {snapshot} ({label})"),
            Self::InProgress { snapshot, .. } => write!(f, "slot in progress: {snapshot} is pending"),
            Self::OrderUnderWay { run } => write!(f, "the instance works on an order of run {run}"),
            Self::SkipTag => f.write_str("tagged stillframe:skip"),
            Self::PendingLimit { pending, failed: 0, limit } => {
                write!(f, "{pending} snapshots pending, EC2 takes {limit}")
            }
            Self::PendingLimit { pending, failed, limit } => {
                write!(f, "{pending} snapshots pending and {failed} failed, EC2 takes {limit}")
            }
            Self::TooSoon { wait_s } => write!(f, "last snapshot too recent, wait {wait_s} s"),
            Self::Instance(state) => write!(f, "the instance is {}", state.as_str()),
            Self::InstanceUnseen { instance } => write!(f, "instance {instance} was not found"),
            Self::Attachment(state) => write!(f, "the attachment is {}", state.as_str()),
            Self::Volume(state) => write!(f, "the volume is {}", state.as_str()),
            Self::CrashOnly(reason) => write!(f, "no crash-consistent snapshot wanted: {reason}"),
        }
    }
}
