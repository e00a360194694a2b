//! The table that worker and guardian share: for each file system whether we mean to freeze it, have
//! frozen it, or have thawed it, and until when anything may be frozen. Atomics in shared memory: it
//! is read when the other process no longer runs.
//!
//! An intent is written *before* FIFREEZE and taken back *after* a refusal, so a worker that dies in
//! between leaves an intent. The guardian thaws intents as well as freezes. That cannot undo somebody
//! else's freeze: every file system took a write just before (see `probe`), so a foreign freeze must
//! begin between that probe and our FIFREEZE, and the worker must die in the microseconds in which the
//! kernel answers EBUSY, for an intent to stand for a freeze that is not ours. Not thawing intents
//! would instead leave a file system frozen whenever the worker dies inside FIFREEZE.

use crate::clock::Boottime;
use crate::sys;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

const FREE: u64 = 0;
const INTENT: u64 = 1;
const FROZEN: u64 = 2;

/// The shared table. A copy is the same table.
#[derive(Debug, Clone, Copy)]
pub struct Ledger {
    deadline: &'static AtomicU64,
    closed: &'static AtomicU64,
    expedited: &'static AtomicU64,
    marks: &'static [AtomicU64],
}

impl Ledger {
    /// A table for that many file systems, shared with every process forked from now on.
    ///
    /// # Errors
    /// No memory.
    pub fn share(filesystems: usize) -> std::io::Result<Self> {
        match sys::shared_words(filesystems + 3)? {
            [deadline, closed, expedited, marks @ ..] => Ok(Self { deadline, closed, expedited, marks }),
            _ => Err(std::io::Error::other("the shared table is too short")),
        }
    }

    /// Sets the instant at which nothing may be frozen any more.
    pub fn set_deadline(&self, deadline: Boottime) {
        self.deadline.store(deadline.nanos(), SeqCst);
    }

    /// That instant.
    #[must_use]
    pub fn deadline(&self) -> Boottime {
        Boottime::from_nanos(self.deadline.load(SeqCst))
    }

    /// Writes down that file system `n` is about to be frozen. False when the guardian has ended the
    /// freeze: then it must not be.
    ///
    /// Either the guardian's [`Ledger::close`] is seen here, or the guardian, which closes first and
    /// reads the marks then, sees the intent.
    #[must_use]
    pub fn intend(&self, n: usize) -> bool {
        self.mark(n, INTENT);
        if self.closed.load(SeqCst) != 0 {
            self.mark(n, FREE);
            return false;
        }
        true
    }

    /// FIFREEZE succeeded.
    pub fn froze(&self, n: usize) {
        self.mark(n, FROZEN);
    }

    /// FIFREEZE was refused, or FITHAW succeeded.
    pub fn free(&self, n: usize) {
        self.mark(n, FREE);
    }

    /// Lets nobody begin a further freeze.
    pub fn close(&self) {
        self.closed.store(1, SeqCst);
    }

    /// Writes down whether the machine's grace periods are expedited by us, or may be.
    pub fn set_expedited(&self, expedited: bool) {
        self.expedited.store(u64::from(expedited), SeqCst);
    }

    /// Whether they may be.
    #[must_use]
    pub fn is_expedited(&self) -> bool {
        self.expedited.load(SeqCst) != 0
    }

    /// Whether the file system may be frozen by us.
    #[must_use]
    pub fn may_be_frozen(&self, n: usize) -> bool {
        self.marks.get(n).is_some_and(|mark| mark.load(SeqCst) != FREE)
    }

    /// Whether any may be.
    #[must_use]
    pub fn any_may_be_frozen(&self) -> bool {
        (0..self.marks.len()).any(|n| self.may_be_frozen(n))
    }

    fn mark(&self, n: usize, mark: u64) {
        if let Some(word) = self.marks.get(n) {
            word.store(mark, SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_intent_counts_as_frozen_until_it_is_taken_back() {
        let ledger = Ledger::share(2).unwrap();
        assert!(!ledger.any_may_be_frozen());
        assert!(ledger.intend(1));
        assert!(ledger.may_be_frozen(1) && !ledger.may_be_frozen(0));
        ledger.froze(1);
        assert!(ledger.any_may_be_frozen());
        ledger.free(1);
        assert!(!ledger.any_may_be_frozen());
    }

    #[test]
    fn a_closed_table_takes_no_intent() {
        let ledger = Ledger::share(1).unwrap();
        ledger.close();
        assert!(!ledger.intend(0));
        assert!(!ledger.any_may_be_frozen());
    }

    #[test]
    fn a_number_that_is_none_is_never_frozen() {
        let ledger = Ledger::share(1).unwrap();
        ledger.froze(7);
        assert!(!ledger.may_be_frozen(7));
    }
}
