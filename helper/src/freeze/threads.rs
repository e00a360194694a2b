//! One thread per file system, made before the freeze, so that a slow one holds up no other and no
//! thread is started inside the window. Each does what it is told and writes the ledger around it.

use super::ledger::Ledger;
use super::state::Fault;
use crate::clock::Boottime;
use crate::sys;
use crate::volumes::Kept;
use rustix::fd::AsFd;
use rustix::fs::syncfs;
use rustix::io::Errno;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Enough for an ioctl; all of it is locked in memory.
const STACK: usize = 128 * 1024;
/// How often a thaw that failed is tried again, and after what pause.
const THAW_RETRIES: usize = 3;
const THAW_PAUSE: Duration = Duration::from_millis(10);

/// What a thread does to its file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// `syncfs`, before the freeze or in it.
    Sync,
    /// FIFREEZE, and FITHAW as soon as all that are primed with it are frozen.
    Prime,
    /// FIFREEZE.
    Freeze,
    /// FITHAW.
    Thaw,
}

/// What a thread is told.
#[derive(Debug, Clone, Copy)]
enum Word {
    /// Do this.
    Do(Task),
    /// Run before all ordinary threads from here on. A thaw that waits for a processor is a stall of every
    /// writer; a flush may wait for its turn.
    Hurry,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    /// Which file system.
    pub n: usize,
    /// The task.
    pub task: Task,
    /// How it went; the fault says what it means, the number is the kernel's.
    pub result: Result<(), (Fault, Errno)>,
    /// When the call was made.
    pub began: Boottime,
    /// When it returned.
    pub ended: Boottime,
}

/// Where the threads of one prime meet: what is frozen first waits for what is frozen last, so that all are
/// thawed at one instant. The kernel's grace periods, which the next freeze is to skip, begin to lapse with
/// the thaw; thawed one by one, the early ones would have lost theirs before the late ones are there.
#[derive(Debug, Default)]
struct Meeting {
    missing: Mutex<usize>,
    changed: Condvar,
}

impl Meeting {
    /// So many are awaited from now on; with none, whoever waits goes on.
    fn expect(&self, count: usize) {
        *self.missing() = count;
        self.changed.notify_all();
    }

    /// One is there, and waits until nobody is missing.
    fn arrive(&self) {
        let mut missing = self.missing();
        *missing = missing.saturating_sub(1);
        if *missing == 0 {
            self.changed.notify_all();
        }
        while *missing > 0 {
            missing = self.changed.wait(missing).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn missing(&self) -> MutexGuard<'_, usize> {
        // A number cannot be left half-changed.
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads.
#[derive(Debug)]
pub struct Threads {
    inboxes: Vec<Sender<Word>>,
    done: UnboundedReceiver<Done>,
    primed: Arc<Meeting>,
}

impl Threads {
    /// Starts one thread for each handle, in their order.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(kept: &Arc<[Kept]>, ledger: Ledger) -> std::io::Result<Self> {
        let (sender, done) = unbounded_channel();
        let primed = Arc::new(Meeting::default());
        let mut inboxes = Vec::with_capacity(kept.len());
        for n in 0..kept.len() {
            let (words, inbox) = channel();
            let (kept, primed, sender) = (Arc::clone(kept), Arc::clone(&primed), sender.clone());
            std::thread::Builder::new()
                .name(format!("sf:fs{n}"))
                .stack_size(STACK)
                .spawn(move || work(n, &kept, ledger, &primed, &inbox, &sender))?;
            inboxes.push(words);
        }
        Ok(Self { inboxes, done, primed })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inboxes.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inboxes.is_empty()
    }

    /// Gives file system `n` its next task.
    pub fn give(&self, n: usize, task: Task) {
        if let Some(thread) = self.inboxes.get(n) {
            // A thread ends only with this struct.
            let _ = thread.send(Word::Do(task));
        }
    }

    /// Has every thread run before all ordinary ones from its next task on.
    pub fn hurry(&self) {
        for thread in &self.inboxes {
            // A thread ends only with this struct.
            let _ = thread.send(Word::Hurry);
        }
    }

    /// So many primes are given next; they thaw together. With 0, those that are under way thaw now.
    pub fn prime_together(&self, count: usize) {
        self.primed.expect(count);
    }

    /// The next task that is done.
    pub async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }
}

fn work(
    n: usize,
    kept: &[Kept],
    ledger: Ledger,
    primed: &Meeting,
    inbox: &Receiver<Word>,
    done: &UnboundedSender<Done>,
) {
    let Some(kept) = kept.get(n) else { return };
    while let Ok(word) = inbox.recv() {
        let Word::Do(task) = word else {
            sys::run_first(true);
            continue;
        };
        let began = Boottime::now();
        let result = match task {
            Task::Sync => syncfs(kept).map_err(|errno| (Fault::WriteLost, errno)),
            Task::Freeze => freeze(n, kept, ledger),
            Task::Thaw => thaw(n, kept, ledger),
            Task::Prime => {
                let frozen = freeze(n, kept, ledger);
                primed.arrive();
                frozen.and_then(|()| thaw(n, kept, ledger))
            }
        };
        if done.send(Done { n, task, result, began, ended: Boottime::now() }).is_err() {
            return;
        }
    }
}

fn freeze(n: usize, kept: &Kept, ledger: Ledger) -> Result<(), (Fault, Errno)> {
    if !ledger.intend(n) {
        return Err((Fault::Failed, Errno::CANCELED));
    }
    match sys::freeze(kept.as_fd()) {
        Ok(()) => {
            ledger.froze(n);
            Ok(())
        }
        Err(errno) => {
            ledger.free(n);
            Err(match errno {
                Errno::BUSY => (Fault::Foreign, errno),
                Errno::OPNOTSUPP => (Fault::Unsupported, errno),
                _ => (Fault::Failed, errno),
            })
        }
    }
}

fn thaw(n: usize, kept: &Kept, ledger: Ledger) -> Result<(), (Fault, Errno)> {
    let mut tries = 0;
    loop {
        match sys::thaw(kept.as_fd()) {
            Ok(()) => {
                ledger.free(n);
                return Ok(());
            }
            // FIFREEZE has returned, so "not frozen" is final: somebody else thawed it.
            Err(errno @ Errno::INVAL) => {
                ledger.free(n);
                return Err((Fault::ThawedByOther, errno));
            }
            Err(errno) if tries == THAW_RETRIES => return Err((Fault::ThawUncertain, errno)),
            Err(_) => {
                tries += 1;
                std::thread::sleep(THAW_PAUSE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meeting_lets_nobody_go_before_the_last_has_come() {
        let meeting = Arc::new(Meeting::default());
        meeting.expect(3);
        let others: Vec<_> = (0..2)
            .map(|_| {
                let meeting = Arc::clone(&meeting);
                std::thread::spawn(move || meeting.arrive())
            })
            .collect();
        while *meeting.missing() > 1 {
            std::thread::yield_now();
        }
        assert!(others.iter().all(|other| !other.is_finished()), "the third is missing");
        meeting.arrive();
        for other in others {
            other.join().unwrap();
        }
    }

    #[test]
    fn a_meeting_that_is_called_off_holds_nobody() {
        let meeting = Arc::new(Meeting::default());
        meeting.expect(2);
        let waiting = {
            let meeting = Arc::clone(&meeting);
            std::thread::spawn(move || meeting.arrive())
        };
        meeting.expect(0);
        waiting.join().unwrap();
        meeting.arrive();
    }
}
