//! Which file system a worker is freezing or thawing just now, seen from outside: the kernel tells in
//! `/proc/PID/task/TID/syscall` in which call a thread waits. While FIFREEZE has not returned nothing in
//! user space can undo it, so what it takes by itself does not count as frozen.

use crate::boottime::now_ns;
use crate::sync::lock;
use crate::sys;
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(4);
/// x86-64 and arm64 have other numbers for ioctl(2); the opcode tells enough.
const FIFREEZE: &str = "0xc0045877";
const FITHAW: &str = "0xc0045878";

/// What a thread is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Ioctl {
    /// FIFREEZE.
    Freeze,
    /// FITHAW.
    Thaw,
}

/// One call that was seen to last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Where the file system is mounted.
    pub mount: String,
    /// Which call.
    pub ioctl: Ioctl,
    /// When a thread was seen in it first, nanoseconds since boot.
    pub first_ns: u64,
    /// When last: it has returned after that.
    pub last_ns: u64,
    /// The kernel's function that it waited in then.
    pub waits_in: String,
}

/// The calls of one process.
#[derive(Debug, Default)]
pub struct Calls(Mutex<Vec<Call>>);

impl Calls {
    /// Looks at a process until it is over, while something can be seen.
    pub fn observe(&self, pid: i32, over: impl Fn() -> bool, can_be_seen: impl Fn() -> bool) {
        sys::run_first();
        let tasks = format!("/proc/{pid}/task");
        while !over() {
            let threads =
                can_be_seen().then(|| fs::read_dir(&tasks)).into_iter().flatten().flatten().flatten();
            for thread in threads {
                let seen = call_of(pid, &thread.path());
                if let Some((mount, ioctl)) = seen {
                    let waits_in = fs::read_to_string(thread.path().join("wchan")).unwrap_or_default();
                    self.note(Call { mount, ioctl, first_ns: now_ns(), last_ns: now_ns(), waits_in });
                }
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Seen in one look after the other it is one call.
    fn note(&self, seen: Call) {
        let mut calls = lock(&self.0);
        let same = |call: &&mut Call| {
            let gap = seen.first_ns.saturating_sub(call.last_ns);
            call.mount == seen.mount && call.ioctl == seen.ioctl && u128::from(gap) < 4 * LOOK.as_nanos()
        };
        match calls.iter_mut().rev().find(same) {
            Some(call) => (call.last_ns, call.waits_in) = (seen.last_ns, seen.waits_in),
            None => calls.push(seen),
        }
    }

    /// All that was seen.
    #[must_use]
    pub fn all(&self) -> Vec<Call> {
        lock(&self.0).clone()
    }
}

/// The call that a thread waits in, if it is one of ours.
fn call_of(pid: i32, thread: &Path) -> Option<(String, Ioctl)> {
    let (fd, ioctl) = parse(&fs::read_to_string(thread.join("syscall")).ok()?)?;
    let mount = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some((mount.to_string_lossy().into_owned(), ioctl))
}

/// `16 0x9 0xc0045877 0x0 ...`: number and arguments; `running` while it does not wait.
fn parse(syscall: &str) -> Option<(u32, Ioctl)> {
    let mut words = syscall.split(' ').skip(1);
    let fd = u32::from_str_radix(words.next()?.trim_start_matches("0x"), 16).ok()?;
    match words.next()? {
        FIFREEZE => Some((fd, Ioctl::Freeze)),
        FITHAW => Some((fd, Ioctl::Thaw)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_names_descriptor_and_call() {
        assert_eq!(parse("16 0xb 0xc0045877 0x0 0x0 0x0 0x0 0x7f 0x7f"), Some((11, Ioctl::Freeze)));
        assert_eq!(parse("16 0x9 0xc0045878 0x0 0x0 0x0 0x0 0x7f 0x7f"), Some((9, Ioctl::Thaw)));
        assert_eq!(parse("202 0x9 0x80 0x0 0x0 0x0 0x0 0x7f 0x7f"), None);
        assert_eq!(parse("running"), None);
    }

    #[test]
    fn what_is_seen_look_after_look_is_one_call() {
        let calls = Calls::default();
        let ms = 1_000_000;
        let seen = |ioctl, at| Call {
            mount: "/srv".to_owned(),
            ioctl,
            first_ns: at * ms,
            last_ns: at * ms,
            waits_in: String::new(),
        };
        for at in [10, 14, 18] {
            calls.note(seen(Ioctl::Freeze, at));
        }
        calls.note(seen(Ioctl::Thaw, 20));
        calls.note(seen(Ioctl::Freeze, 90));
        let seen: Vec<_> =
            calls.all().into_iter().map(|call| (call.first_ns / ms, call.last_ns / ms)).collect();
        assert_eq!(seen, [(10, 18), (20, 20), (90, 90)]);
    }
}
