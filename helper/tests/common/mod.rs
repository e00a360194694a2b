//! What the tests on real devices share: an "instance" (a mount namespace with real file systems on
//! loop devices, its own `/run` and by-id links), and a signal function that says what a test wants.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod function;
pub mod instance;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One test of this kind at a time: they measure milliseconds.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether real devices can be had. Says why not; with `STILLFRAME_REQUIRE=1` that is a failure.
pub fn have_devices() -> bool {
    let missing = if !rustix::process::getuid().is_root() {
        Some("they need root")
    } else if !std::path::Path::new("/dev/loop-control").exists() {
        Some("they need loop devices (/dev/loop-control)")
    } else if let Some(program) = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "unshare", "nsenter", "fsfreeze"]
        .into_iter()
        .find(|program| !on_path(program))
    {
        eprintln!("SKIPPED: tests on real file systems need {program}");
        assert!(!is_required(), "STILLFRAME_REQUIRE=1, and {program} is missing");
        return false;
    } else {
        None
    };
    if let Some(why) = missing {
        eprintln!("SKIPPED: tests on real file systems: {why}");
        assert!(!is_required(), "STILLFRAME_REQUIRE=1, and tests on real file systems cannot run: {why}");
    }
    missing.is_none()
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| std::path::Path::new(folder).join(program).exists())
}

fn is_required() -> bool {
    std::env::var("STILLFRAME_REQUIRE").is_ok_and(|value| value == "1")
}

/// Waits until `what` holds, looking often. False when it does not within `limit`.
pub fn within(limit: Duration, mut what: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if what() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
