//! Loop devices: a file as a block device.
//!
//! A device lets go of its file when its last user is gone: this value, or a file system mounted from it.
//! So a fleet that is killed leaves none behind, unless a file system on it is frozen.

use super::detached::forget;
use super::limit::{self, Limit, Limited};
use super::step::step;
use crate::machine::MachineError;
use crate::sys;
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

/// How often somebody else may take the free device before we can.
const TRIES: u32 = 100;

/// A loop device in use; it detaches on drop.
#[derive(Debug)]
pub struct LoopDevice {
    number: u32,
    // Before the file: once the number is free it may be somebody else's.
    limited: Option<Limited>,
    file: File,
}

impl LoopDevice {
    /// Binds a free device to the file, past the page cache where the file allows it.
    ///
    /// # Errors
    /// No device can be had.
    pub fn bind(file: impl AsFd, what: &str) -> Result<Self, MachineError> {
        let failed = || format!("bind a loop device to {what}");
        let control = File::open("/dev/loop-control").map_err(step(failed()))?;
        let mut busy = Errno::BUSY;
        for _ in 0..TRIES {
            let number = sys::loop_free(&control).map_err(step(failed()))?;
            let path = format!("/dev/loop{number}");
            let device = OpenOptions::new().read(true).write(true).open(&path).map_err(step(failed()))?;
            match sys::loop_configure(&device, &file) {
                Ok(()) => {
                    limit::lift_left_behind(number);
                    // Kept for reading only: the helper takes whoever has a volume open for writing for
                    // somebody who writes past the freeze.
                    let file = File::open(&path).map_err(step(failed()))?;
                    return Ok(Self { number, limited: None, file });
                }
                Err(Errno::BUSY) => busy = Errno::BUSY,
                Err(errno) => return Err(step(failed())(errno)),
            }
        }
        Err(step(failed())(busy))
    }

    /// Limits its speed, until it is let go of or [`LoopDevice::unlimit`] is called.
    ///
    /// # Errors
    /// As [`Limited::set`].
    pub fn limit(&mut self, limit: &Limit) -> Result<(), MachineError> {
        self.limited = Some(Limited::set(self.number, limit)?);
        Ok(())
    }

    /// Lifts the limit, if there is one.
    pub fn unlimit(&mut self) {
        self.limited = None;
    }

    /// Its number: 5 for `/dev/loop5`.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Where the host has it.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/loop{}", self.number))
    }

    /// The file that it has now.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding::of(self.number)
    }
}

impl Drop for LoopDevice {
    fn drop(&mut self) {
        // While the number is ours: soon it is another file system's.
        forget(&self.path());
    }
}

/// One use of a loop device: its number, and the kernel's count of what was put into which device. A number
/// is given to somebody else the moment that it is free; the count never comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding {
    number: u32,
    sequence: Option<u64>,
}

impl Binding {
    /// What the device with this number has now.
    #[must_use]
    pub fn of(number: u32) -> Self {
        let sequence = std::fs::read_to_string(format!("/sys/block/loop{number}/diskseq"));
        Self { number, sequence: sequence.ok().and_then(|text| text.trim().parse().ok()) }
    }

    /// The device's number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether the device still has that file: on drop that ends at once, unless somebody else uses it.
    #[must_use]
    pub fn stands(&self) -> bool {
        let bound = PathBuf::from(format!("/sys/block/loop{}/loop", self.number)).exists();
        bound && *self == Self::of(self.number)
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
