//! Expedited grace periods, when the order asks for them: FIFREEZE waits three times for every processor
//! to have passed through the scheduler (30 ms on an idle file system), and `rcu_expedited` shortens each
//! wait to a fraction. It is a setting of the whole machine, so it holds from just before the first
//! FIFREEZE to just after the last one, and whoever survives the worker takes it back.

use super::ledger::Ledger;
use crate::grace_periods::SETTING;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, pwrite, read};

/// The setting, opened while nothing is frozen.
#[derive(Debug)]
pub struct Expedite(OwnedFd);

impl Expedite {
    /// Opens the setting. Nothing where it is on already: then it is somebody else's to take back.
    ///
    /// # Errors
    /// This kernel has no such setting, or it cannot be written.
    pub fn open() -> Result<Option<Self>, Errno> {
        let file = open(SETTING, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let mut now = [0];
        let is_off = read(&file, &mut now)? == 1 && now == *b"0";
        Ok(is_off.then_some(Self(file)))
    }

    /// Switches it on, and writes that down first.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn on(&self, ledger: Ledger) -> Result<(), Errno> {
        ledger.set_expedited(true);
        pwrite(&self.0, b"1", 0).map(|_| ())
    }

    /// Switches it off, if it was we who switched it on.
    pub fn off(&self, ledger: Ledger) {
        if ledger.is_expedited() && pwrite(&self.0, b"0", 0).is_ok() {
            ledger.set_expedited(false);
        }
    }
}
