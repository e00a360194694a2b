//! What the tests on real devices share: an "instance" (a mount namespace with real file systems on
//! loop devices, its own `/run` and by-id links), and a signal function that says what a test wants.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod function;
pub mod instance;
pub mod machine;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// One test of this kind at a time: they measure milliseconds.
pub fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Whether real devices can be had. Says why not; with `STILLFRAME_REQUIRE=1` that is a failure.
pub fn have_devices() -> bool {
    if !rustix::process::getuid().is_root() {
        return skip("tests on real file systems need root");
    }
    if !std::path::Path::new("/dev/loop-control").exists() {
        return skip("tests on real file systems need loop devices (/dev/loop-control)");
    }
    ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs", "unshare", "nsenter", "fsfreeze"].into_iter().all(have)
}

/// Whether a program can be had, in the same way.
pub fn have(program: &str) -> bool {
    on_path(program) || skip(&format!("this test needs the program {program}"))
}

/// Says why a test does not run.
pub fn skip(why: &str) -> bool {
    eprintln!("SKIPPED: {why}");
    let is_required = std::env::var("STILLFRAME_REQUIRE").is_ok_and(|value| value == "1");
    assert!(!is_required, "STILLFRAME_REQUIRE=1, and {why}");
    false
}

fn on_path(program: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':')
        .chain(["/usr/sbin", "/sbin"])
        .any(|folder| std::path::Path::new(folder).join(program).exists())
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
