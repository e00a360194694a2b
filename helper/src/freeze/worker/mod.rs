//! The worker: executes the protocol's effects and turns what happens into its events. What follows
//! from what is [`state`](super::state)'s; how it went is written down for the report.
//!
//! The flush and the hooks, which come before anything is frozen, are in `flushing` and `hooks`.
//!
//! From the first FIFREEZE to the last FITHAW it opens no file, starts no thread, writes no log.

mod flushing;
mod hooks;

use super::around::Running;
use super::ask::{self, Call};
use super::flush::Rounds;
use super::guardian::{Attached, Guardian};
use super::report::{self, Record};
use super::state::{Effect, Event, Phase, State, step};
use super::threads::{Done, Task, Threads};
use super::{Prepared, set_phase};
use crate::clock::{Alarm, Boottime};
use crate::signal::{SignalError, Signaller};
use crate::third_line::ThirdLine;
use crate::{describe, say, sys};
use rustix::fd::OwnedFd;
use std::collections::VecDeque;
use std::time::Duration;
use stillframe_wire::{self as wire, Answer, Reason, Report};
use tokio::io::unix::AsyncFd;

/// How long after the deadline a hanging FIFREEZE is reported: what does not hang has been thawed by then,
/// and the guardian, which ends this process, is not there yet.
const LAST_WORDS: Duration = Duration::from_millis(75);

/// The worker of one freeze.
pub struct Worker<'a> {
    prepared: Prepared,
    guardian: Attached,
    guardian_lives: bool,
    third_line: Option<ThirdLine>,
    threads: Threads,
    alarm: Alarm,
    alarm_rings: AsyncFd<OwnedFd>,
    signals: sys::EndSignals,
    signal_arrives: AsyncFd<OwnedFd>,
    state: State,
    /// Events that need not be waited for.
    events: VecDeque<Event>,
    call: Option<Call>,
    signaller: Option<Signaller>,
    ready_at: Boottime,
    flush: Option<Rounds>,
    /// The hooks before the freeze, while they run.
    hooks: Option<Running>,
    /// Whether any of them was begun: then those after it run, too.
    hooks_begun: bool,
    /// How many threads have yet to end the flush round.
    flushing: usize,
    has_lease: bool,
    record: Record,
    /// Takes the report, once.
    publish: &'a dyn Fn(&Report),
    published: bool,
}

impl<'a> Worker<'a> {
    /// Starts the threads and takes over the guardian. Needs the runtime.
    ///
    /// # Errors
    /// The system gives no thread or descriptor, or the guardian is gone.
    pub fn new(
        prepared: Prepared,
        guardian: Guardian,
        third_line: Option<ThirdLine>,
        signals: sys::EndSignals,
        resolve_us: u64,
        publish: &'a dyn Fn(&Report),
    ) -> Result<Self, std::io::Error> {
        let threads = Threads::start(&prepared.kept, prepared.ledger)?;
        let (state, first) =
            State::begin(&prepared.levels(), prepared.is_rehearsal(), prepared.around.is_any());
        let alarm = Alarm::new()?;
        let mut worker = Self {
            guardian: guardian.attach().map_err(std::io::Error::other)?,
            guardian_lives: true,
            third_line,
            threads,
            alarm_rings: sys::readable(&alarm)?,
            alarm,
            signal_arrives: sys::readable(&signals)?,
            signals,
            state,
            events: VecDeque::new(),
            call: None,
            signaller: None,
            ready_at: Boottime::default(),
            flush: None,
            hooks: None,
            hooks_begun: false,
            flushing: 0,
            has_lease: false,
            record: Record::new(&prepared, resolve_us),
            publish,
            published: false,
            prepared,
        };
        worker.show_phase();
        for effect in first {
            worker.begin(effect);
        }
        Ok(worker)
    }

    /// Runs the protocol to its end, and publishes the report.
    ///
    /// # Errors
    /// The runtime fails; the guardian thaws then, as it does when the worker dies.
    pub async fn run(mut self) -> Result<Report, std::io::Error> {
        while self.state.phase != Phase::Over {
            let event = self.next().await?;
            let before = self.state.phase;
            let effects = match step(self.state.clone(), event) {
                Ok((state, effects)) => {
                    self.state = state;
                    effects
                }
                Err(illegal) => {
                    // Ours is the mistake, and undoing is still right.
                    self.record.fault(|| describe(&illegal));
                    match step(self.state.clone(), Event::Stop(Reason::Internal)) {
                        Ok((state, effects)) => {
                            self.state = state;
                            effects
                        }
                        Err(_) => break,
                    }
                }
            };
            if self.state.phase != before {
                self.enter(before);
            }
            let primes = effects.iter().filter(|effect| matches!(effect, Effect::Prime(_))).count();
            if primes > 0 {
                self.threads.prime_together(primes);
            }
            for effect in effects {
                match effect {
                    Effect::Arm => self.arm().await,
                    effect => self.begin(effect),
                }
            }
        }
        Ok(self.finish())
    }

    /// Whether a FIFREEZE hangs after the deadline. The guardian kills this process soon, and only the disk
    /// lets it go.
    fn hangs_too_late(&self) -> bool {
        self.state.only_hangs() && !self.published && Boottime::now() >= self.prepared.ledger.deadline()
    }

    fn publish(&mut self, report: &Report) {
        if !self.published {
            (self.publish)(report);
        }
        self.published = true;
    }

    /// Waits for whatever happens next. What ends the attempt comes before what continues it: an
    /// answer that arrives together with the deadline is late.
    async fn next(&mut self) -> Result<Event, std::io::Error> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let event = tokio::select! {
                biased;
                ready = self.alarm_rings.readable() => {
                    ready?.clear_ready();
                    self.alarm.set(None)?;
                    Some(self.on_alarm())
                }
                ready = self.signal_arrives.readable() => {
                    ready?.clear_ready();
                    self.signals.take();
                    self.record.fault(|| "a signal asked the helper to end".to_owned());
                    Some(Event::Stop(Reason::Terminated))
                }
                () = self.guardian.lost(), if self.guardian_lives => {
                    self.guardian_lives = false;
                    self.record.fault(|| "the guardian died".to_owned());
                    Some(Event::Stop(Reason::GuardianLost))
                }
                done = self.threads.done() => match done {
                    Some(done) => self.on_done(done),
                    None => return Err(std::io::Error::other("the threads are gone")),
                },
                (signaller, answer) = wait_for(&mut self.call) => {
                    self.call = None;
                    self.signaller = signaller.or(self.signaller.take());
                    Some(self.on_answer(answer))
                }
                () = hooks_over(&mut self.hooks) => Some(self.on_hooks()),
                () = tokio::time::sleep(LAST_WORDS), if self.hangs_too_late() => {
                    let report = self.report();
                    self.publish(&report);
                    None
                }
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    /// The time of a phase is up: the flush's, or all that may be frozen has.
    fn on_alarm(&mut self) -> Event {
        if self.state.phase != Phase::Flush {
            self.record.fault(|| "the deadline passed before the freeze was over".to_owned());
            return Event::Stop(Reason::Deadline);
        }
        self.cut_flush_short()
    }

    /// Shows the phase as the process's name.
    fn show_phase(&self) {
        set_phase(match self.state.phase {
            Phase::Ready | Phase::Again { .. } => c"sf:ready",
            Phase::Flush => c"sf:flush",
            Phase::Hooks => c"sf:hooks",
            Phase::Prime => c"sf:prime",
            Phase::Freeze | Phase::Sync => c"sf:freeze",
            Phase::Cut => c"sf:frozen",
            Phase::Thaw => c"sf:thaw",
            Phase::Over => c"sf:report",
        });
    }

    /// A phase begins: a call that the protocol no longer waits for is dropped.
    fn enter(&mut self, before: Phase) {
        self.show_phase();
        let phase = self.state.phase;
        if before == Phase::Flush {
            // Its limit; a deadline is set anew.
            let _ = self.alarm.set(None);
        }
        if matches!(phase, Phase::Cut | Phase::Thaw)
            && let Some(expedite) = &self.prepared.expedite
        {
            expedite.off(self.prepared.ledger);
        }
        if !matches!(phase, Phase::Ready | Phase::Again { .. } | Phase::Cut) {
            self.call = None;
        }
        if before == Phase::Hooks {
            self.end_hooks();
        }
        if phase == Phase::Thaw {
            self.threads.prime_together(0);
        }
        self.record.enter(phase, Boottime::now());
    }

    fn begin(&mut self, effect: Effect) {
        match effect {
            Effect::SignalReady => self.call = Some(ask::ready(&self.prepared, self.signaller.clone())),
            Effect::Flush => {
                // Everything that the freeze needs exists by now.
                if let Err(error) = sys::lock_memory() {
                    say(&format!("failed to lock the helper's memory: {error}; going on without"));
                }
                self.begin_flush();
            }
            Effect::RunHooks => self.begin_hooks(),
            Effect::Prime(m) => self.give(m, Task::Prime),
            Effect::Freeze(m) => {
                self.record.window_opens(sys::major_faults());
                self.give(m, Task::Freeze);
            }
            Effect::Sync(m) => self.give(m, Task::Sync),
            Effect::Thaw(m) => self.give(m, Task::Thaw),
            Effect::SignalFrozen => {
                self.call = self.signaller.clone().map(|signaller| ask::frozen(&self.prepared, signaller));
            }
            Effect::Arm | Effect::Finish => {}
        }
    }

    /// Gives member `m` of the protocol a task: its thread has the target's number.
    fn give(&self, m: usize, task: Task) {
        if let Some(n) = self.prepared.members.get(m) {
            self.threads.give(*n, task);
        }
    }

    /// Sets the deadline, for the guardian first: what it does not confirm is not begun.
    ///
    /// The freeze that follows a prime keeps the prime's deadline while most of it is left: asking the
    /// guardian again takes a while on a busy machine, and what the prime has won fades meanwhile.
    async fn arm(&mut self) {
        sys::run_first(true);
        self.threads.hurry();
        let allowed = Duration::from_millis(self.prepared.order.max_freeze_ms);
        if self.prepared.ledger.deadline() > Boottime::now().after(allowed / 4 * 3) {
            self.events.push_back(Event::Armed);
            return;
        }
        if !self.has_lease {
            if let Err(error) =
                self.prepared.run_dir.write_lease(&self.prepared.lease(self.guardian.pid(), Boottime::now()))
            {
                self.record.fault(|| describe(&error));
                self.events.push_back(Event::Stop(Reason::Internal));
                return;
            }
            self.has_lease = true;
            let timer_runs = self.third_line.as_mut().is_some_and(ThirdLine::runs);
            self.record.third_line =
                Some(if timer_runs { wire::ThirdLine::SystemdTimer } else { wire::ThirdLine::None });
        }
        let deadline = Boottime::now().after(allowed);
        self.prepared.ledger.set_deadline(deadline);
        let armed = match self.guardian.watch().await {
            Ok(()) => self.alarm.set(Some(deadline)).map_err(|error| describe(&error)),
            Err(error) => Err(describe(&error)),
        };
        if let Some(expedite) = &self.prepared.expedite
            && let Err(error) = expedite.on(self.prepared.ledger)
        {
            say(&format!("failed to expedite grace periods: {error}; going on without"));
        }
        self.events.push_back(match armed {
            Ok(()) => Event::Armed,
            Err(error) => {
                self.record.fault(|| error);
                Event::Stop(Reason::GuardianLost)
            }
        });
    }

    /// A thread has done its task.
    fn on_done(&mut self, done: Done) -> Option<Event> {
        if self.flushing > 0 && done.task == Task::Sync {
            return self.on_flushed(done);
        }
        let m = self.prepared.members.iter().position(|n| *n == done.n)?;
        self.record.done(m, &done);
        Some(match (done.task, done.result) {
            (Task::Prime, Ok(())) => Event::Primed(m),
            (Task::Freeze, Ok(())) => Event::Froze(m),
            (Task::Sync, Ok(())) => Event::Synced(m),
            (Task::Thaw, Ok(())) => Event::Thawed(m),
            (task, Err((fault, errno))) => {
                self.record.fault_at(task, fault, errno, &self.prepared.mount_point(done.n));
                match task {
                    Task::Prime | Task::Freeze => Event::Refused(m, fault),
                    Task::Sync => Event::SyncFailed(m),
                    Task::Thaw => Event::NotThawed(m, fault),
                }
            }
        })
    }

    /// The signal function has answered, or not.
    fn on_answer(&mut self, answer: Result<Answer, SignalError>) -> Event {
        let order = &self.prepared.order;
        if self.state.phase != Phase::Cut {
            return match ask::judge_ready(answer, order) {
                Ok(()) => {
                    self.ready_at = Boottime::now();
                    Event::Accepted
                }
                Err((reason, error)) => {
                    self.record.fault(|| error);
                    Event::Rejected(reason)
                }
            };
        }
        let (snapshots, judged) = ask::judge_cut(answer, order);
        self.record.snapshots = snapshots;
        match judged {
            Ok(()) => Event::CutMade,
            Err((reason, error)) => {
                self.record.fault(|| error);
                Event::CutFailed(reason)
            }
        }
    }

    fn report(&mut self) -> Report {
        self.record.window_closed(sys::major_faults());
        report::write(&self.prepared, &self.state, &self.record)
    }

    /// Everything is thawed, as far as the kernel says: lets the guardian go and writes the report.
    fn finish(mut self) -> Report {
        let mut report = self.report();
        sys::run_first(false);
        if let Some(expedite) = &self.prepared.expedite {
            expedite.off(self.prepared.ledger);
        }
        if !self.prepared.ledger.any_may_be_frozen() {
            if self.has_lease
                && let Err(error) = self.prepared.run_dir.remove_lease()
            {
                say(&describe(&error));
            }
            self.guardian.dismiss();
            if let Some(third_line) = self.third_line.take() {
                third_line.stop();
            }
        }
        // Otherwise guardian and third line try on when this process has ended, and the lease stays.
        self.hooks_after(&mut report);
        if let Some(error) = &report.error {
            say(error);
        }
        self.publish(&report);
        report
    }
}

/// Returns when the hooks are over; never, while there are none.
async fn hooks_over(hooks: &mut Option<Running>) {
    match hooks {
        Some(hooks) => hooks.over().await,
        None => std::future::pending().await,
    }
}

/// The call's outcome; never, while there is none.
async fn wait_for(call: &mut Option<Call>) -> (Option<Signaller>, Result<Answer, SignalError>) {
    match call {
        Some(call) => call.await,
        None => std::future::pending().await,
    }
}
