//! The guardian's own process: it waits, and thaws when the deadline passes, when the worker dies, and
//! on anything that is not an explicit "done". It freezes nothing, opens nothing, and talks to nobody
//! but the worker.

use super::expedite::Expedite;
use super::ledger::Ledger;
use crate::clock::{Alarm, Boottime};
use crate::kernel_log::KernelLog;
use crate::run_dir::RunDir;
use crate::sys::{self, ParentEnds};
use crate::volumes::Kept;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Guardian to worker: it watches.
pub(super) const ARMED: u8 = b'A';
/// Worker to guardian: there is a new deadline in the ledger. Guardian to worker: it is set.
pub(super) const WATCH: u8 = b'W';
/// Worker to guardian: nothing is frozen, and nothing will be.
pub(super) const DONE: u8 = b'D';

/// How long after the deadline the guardian steps in: the worker thaws at the deadline itself, and
/// its own thaw is what the report can speak of.
const SLACK: Duration = Duration::from_millis(25);
/// How long after stepping in a living worker may take to say "done" before it is killed.
const GRACE: Duration = Duration::from_millis(250);
/// How often a thaw that fails for another reason than "not frozen" is tried again, and after what
/// pause. The worker is dead then, so there is no hurry left to lose.
const RETRIES: usize = 50;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Enough for an ioctl; all of it is locked in memory.
const STACK: usize = 128 * 1024;

/// What the guardian was given when it was forked.
pub(super) struct Watch<'a> {
    pub(super) kept: &'a [Kept],
    pub(super) ledger: Ledger,
    pub(super) run_dir: &'a RunDir,
    pub(super) expedite: Option<&'a Expedite>,
    pub(super) control: UnixStream,
    /// The worker. Readable when all of its threads are gone, so no FIFREEZE is under way any more.
    pub(super) worker: OwnedFd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The worker does its work.
    Watching,
    /// Everything was thawed; the worker may still say "done".
    Grace,
    /// The worker was killed and is not dead yet: it is inside FIFREEZE.
    Killed,
}

/// What the guardian waits for.
struct Ears<'a> {
    alarm: &'a Alarm,
    /// Readable when the worker's first thread ends; nothing on a kernel that does not tell.
    parent_ends: Option<&'a ParentEnds>,
    log: &'a KernelLog,
}

/// One order to a thaw thread: try for as long as it takes, or once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pass {
    /// The worker lives: "not frozen" may mean "not yet".
    Early,
    /// The worker is dead: "not frozen" is final.
    Last,
}

impl Watch<'_> {
    /// Watches until the worker is done or dead and nothing is frozen.
    pub(super) fn run(self) -> u8 {
        let _ = rustix::process::setsid();
        sys::leave_standard_streams();
        let _ = rustix::thread::set_name(c"sf:guardian");
        let _ = std::fs::write("/proc/self/oom_score_adj", "-1000");
        let (log, parent_ends) = (KernelLog::open(), ParentEnds::watch().ok());
        let Ok(alarm) = Alarm::new() else { return 1 };
        thread::scope(|scope| {
            let (answer, answers) = channel();
            let mut threads = Vec::with_capacity(self.kept.len());
            for n in 0..self.kept.len() {
                let (order, orders) = channel();
                let (watch, answer) = (&self, answer.clone());
                let builder = thread::Builder::new().name(format!("sf:thaw{n}")).stack_size(STACK);
                if builder.spawn_scoped(scope, move || watch.thaw(n, &orders, &answer)).is_err() {
                    return 1;
                }
                threads.push(order);
            }
            // Not locked is worse than locked and better than no guardian.
            let _ = sys::lock_memory();
            sys::run_first(true);
            if (&self.control).write_all(&[ARMED]).is_err() {
                return 1;
            }
            let ears = Ears { alarm: &alarm, parent_ends: parent_ends.as_ref(), log: &log };
            self.watch(&ears, &threads, &answers)
        })
    }

    fn watch(&self, ears: &Ears<'_>, threads: &[Sender<Pass>], answers: &Receiver<()>) -> u8 {
        let (alarm, log) = (ears.alarm, ears.log);
        let mut stage = Stage::Watching;
        let mut listening = true;
        let mut parent_ends = ears.parent_ends;
        loop {
            let control = if listening { PollFlags::IN } else { PollFlags::empty() };
            let mut polled = vec![
                PollFd::new(&self.worker, PollFlags::IN),
                PollFd::new(alarm, PollFlags::IN),
                PollFd::new(&self.control, control),
            ];
            polled.extend(parent_ends.map(|ends| PollFd::new(ends, PollFlags::IN)));
            match poll(&mut polled, None) {
                Ok(_) | Err(Errno::INTR) => {}
                // It cannot watch any more: end it as if the deadline had passed.
                Err(_) => {
                    self.kill_worker();
                    return self.end_it(threads, answers, log);
                }
            }
            let mut heard = polled.iter().map(|polled| !polled.revents().is_empty());
            let mut next = || heard.next().unwrap_or(false);
            let (worker, alarmed, message, dying) = (next(), next(), next(), next());
            if worker {
                return self.end_it(threads, answers, log);
            }
            if dying {
                // Its control socket closes, and its pidfd tells, only when FIFREEZE lets its last thread go.
                (parent_ends, listening) = (None, false);
            }
            if message && listening {
                match self.listen() {
                    Some(DONE) => return 0,
                    Some(WATCH) if stage == Stage::Watching => {
                        let set = alarm.set(Some(self.ledger.deadline().after(SLACK)));
                        // Without an answer the worker freezes nothing.
                        if set.is_ok() {
                            let _ = (&self.control).write_all(&[WATCH]);
                        }
                        continue;
                    }
                    Some(_) => continue,
                    None => listening = false,
                }
            }
            if (alarmed || !listening) && stage == Stage::Watching {
                self.ledger.close();
                if self.order(threads, Pass::Early) > 0 {
                    log.warn("thawing: the deadline has passed or the freezing process is gone");
                }
                self.restore_grace_periods();
                stage = Stage::Grace;
                let _ = alarm.set(Some(Boottime::now().after(GRACE)));
            } else if alarmed && stage == Stage::Grace {
                log.warn("killing the freezing process, which has not ended in time");
                self.kill_worker();
                stage = Stage::Killed;
                let _ = alarm.set(None);
            }
        }
    }

    /// The worker's next word; nothing when it has closed its end.
    fn listen(&self) -> Option<u8> {
        let mut word = [0];
        match (&self.control).read(&mut word) {
            Ok(1) => word.first().copied(),
            _ => None,
        }
    }

    fn restore_grace_periods(&self) {
        if let Some(expedite) = self.expedite {
            expedite.off(self.ledger);
        }
    }

    fn kill_worker(&self) {
        self.ledger.close();
        let _ = pidfd_send_signal(&self.worker, Signal::KILL);
    }

    fn order(&self, threads: &[Sender<Pass>], pass: Pass) -> usize {
        let frozen = threads.iter().enumerate().filter(|(n, _)| self.ledger.may_be_frozen(*n));
        frozen.filter(|(_, thread)| thread.send(pass).is_ok()).count()
    }

    /// The worker is dead: thaws once more and waits for it.
    fn end_it(&self, threads: &[Sender<Pass>], answers: &Receiver<()>, log: &KernelLog) -> u8 {
        let ordered = self.order(threads, Pass::Last);
        self.restore_grace_periods();
        for _ in 0..ordered {
            if answers.recv().is_err() {
                break;
            }
        }
        if self.ledger.any_may_be_frozen() {
            // The lease stays, for `stillframe-helper thaw`.
            log.warn("failed to thaw every file system; run stillframe-helper thaw");
            return 1;
        }
        if ordered > 0 {
            log.warn("the freezing process died; everything that it froze is thawed");
        }
        let _ = self.run_dir.remove_lease();
        0
    }

    /// One file system's thaw thread: so that one that hangs delays no other.
    fn thaw(&self, n: usize, orders: &Receiver<Pass>, answer: &Sender<()>) {
        sys::run_first(true);
        let Some(kept) = self.kept.get(n) else { return };
        while let Ok(pass) = orders.recv() {
            match pass {
                // The mark stays: the worker may be inside FIFREEZE, and the last pass comes again.
                Pass::Early => {
                    let _ = sys::thaw(kept.as_fd());
                }
                Pass::Last => {
                    for _ in 0..RETRIES {
                        match sys::thaw(kept.as_fd()) {
                            Ok(()) | Err(Errno::INVAL) => {
                                self.ledger.free(n);
                                break;
                            }
                            Err(_) => thread::sleep(RETRY_PAUSE),
                        }
                    }
                    let _ = answer.send(());
                }
            }
        }
    }
}
