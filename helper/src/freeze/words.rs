//! The words of the protocol: where it stands, what a file system does, what can happen, what can be
//! asked for. What follows from what is in [`state`](super::state).

use stillframe_wire::Reason;

/// Where the protocol stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// READY was sent.
    Ready,
    /// Dirty data is being written.
    Flush,
    /// The hooks before the freeze run.
    Hooks,
    /// READY was sent again, because the flush took long.
    Again {
        /// Whether a prime comes next.
        prime: bool,
    },
    /// Each file system is frozen and thawed at once.
    Prime,
    /// The file systems are being frozen.
    Freeze,
    /// All are frozen; what could not be written is asked for.
    Sync,
    /// FROZEN was sent.
    Cut,
    /// The file systems are being thawed, and late freezes waited for.
    Thaw,
    /// Nothing is left to do.
    Over,
}

/// One file system in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Lower levels are frozen first and thawed last.
    pub level: usize,
    /// What it is doing.
    pub standing: Standing,
    /// What went wrong with it.
    pub fault: Option<Fault>,
}

/// What a file system is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// Not frozen by us.
    Free,
    /// Freeze and thaw at once: the call is under way.
    Priming,
    /// The prime is done.
    Primed,
    /// FIFREEZE is under way.
    Freezing,
    /// Frozen by us.
    Frozen,
    /// Frozen by us, `syncfs` is under way.
    Syncing,
    /// Frozen by us and everything written.
    Synced,
    /// FITHAW is under way.
    Thawing,
    /// Was frozen by us and is no longer.
    Thawed,
}

/// What went wrong with a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Its type has no freeze: it goes along unfrozen.
    Unsupported,
    /// Somebody else had frozen it.
    Foreign,
    /// FIFREEZE failed.
    Failed,
    /// `syncfs` failed while it was frozen: data was lost.
    WriteLost,
    /// Somebody else had thawed it when we came to thaw it.
    ThawedByOther,
    /// FITHAW failed: it may still be frozen.
    ThawUncertain,
}

impl Fault {
    /// What it means for the whole; an unsupported type ends nothing.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Self::Unsupported => None,
            Self::Foreign => Some(Reason::ForeignFreeze),
            Self::Failed => Some(Reason::FreezeFailed),
            Self::WriteLost => Some(Reason::WriteLost),
            Self::ThawedByOther => Some(Reason::ThawedByOther),
            Self::ThawUncertain => Some(Reason::Internal),
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// READY was answered with a yes.
    Accepted,
    /// READY was refused or not answered.
    Rejected(Reason),
    /// The flush is over.
    Flushed {
        /// Whether so little is left to write that a prime is worth its stall.
        prime: bool,
        /// Whether READY was so long ago that it must be sent again.
        stale: bool,
    },
    /// A file system could not be flushed.
    FlushFailed,
    /// So much is left to write, round after round, that a freeze would use up its time with it.
    FlushGaveUp,
    /// Every hook before the freeze ran well.
    HooksRan,
    /// One did not.
    HookFailed,
    /// The guardian watches, and its deadline is set.
    Armed,
    /// The file system was frozen and thawed.
    Primed(usize),
    /// FIFREEZE succeeded.
    Froze(usize),
    /// The file system was not frozen, or its prime was not whole.
    Refused(usize, Fault),
    /// `syncfs` of the frozen file system succeeded.
    Synced(usize),
    /// It failed.
    SyncFailed(usize),
    /// FROZEN was answered with every snapshot that was ordered.
    CutMade,
    /// It was refused, or its answer is not what was asked for.
    CutFailed(Reason),
    /// FITHAW succeeded.
    Thawed(usize),
    /// It did not.
    NotThawed(usize, Fault),
    /// The attempt must end now: deadline, guardian lost, a signal.
    Stop(Reason),
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send READY.
    SignalReady,
    /// Flush, round by round.
    Flush,
    /// Run the hooks that come before the freeze.
    RunHooks,
    /// Give the guardian a new deadline.
    Arm,
    /// Freeze this file system and thaw it at once.
    Prime(usize),
    /// Freeze it.
    Freeze(usize),
    /// `syncfs` it.
    Sync(usize),
    /// Send FROZEN.
    SignalFrozen,
    /// Thaw it.
    Thaw(usize),
    /// Tell the guardian that it is over.
    Finish,
}

/// An event that cannot happen in that phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{event:?} cannot happen in {phase:?}")]
pub struct Illegal {
    /// Where it stood.
    pub phase: Phase,
    /// What is said to have happened.
    pub event: Event,
}
