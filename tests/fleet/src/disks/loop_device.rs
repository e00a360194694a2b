//! Loop devices: a file as a block device.
//!
//! A device lets go of its file when its last user is gone: this value, or a file system mounted from it.
//! So a fleet that is killed leaves none behind, unless a file system on it is frozen.

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
            let device = OpenOptions::new().read(true).write(true).open(path).map_err(step(failed()))?;
            match sys::loop_configure(&device, &file) {
                Ok(()) => return Ok(Self { number, file: device }),
                Err(Errno::BUSY) => busy = Errno::BUSY,
                Err(errno) => return Err(step(failed())(errno)),
            }
        }
        Err(step(failed())(busy))
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

    /// Whether it still has a file: on drop that ends at once, unless somebody else uses the device.
    #[must_use]
    pub fn is_bound(number: u32) -> bool {
        PathBuf::from(format!("/sys/block/loop{number}/loop")).exists()
    }
}

impl AsFd for LoopDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
