//! The worker's flush: rounds of `syncfs` by all threads, until [`Rounds`] says what comes next.

use super::super::ask;
use super::super::flush::{Approach, BUDGET, BUDGET_AFTER_HOOKS, Next, Rounds};
use super::super::state::{Event, Fault, Phase};
use super::super::threads::{Done, Task};
use super::Worker;
use crate::clock::Boottime;
use crate::say;
use std::time::Duration;

impl Worker<'_> {
    /// Begins the first round, with a limit for all of them; a plain freeze has none.
    pub(super) fn begin_flush(&mut self) {
        if self.prepared.approach == Approach::Plain {
            let stale = Boottime::now().since(self.ready_at) > ask::READY_KEEPS;
            self.events.push_back(Event::Flushed { prime: false, stale });
            return;
        }
        let max_freeze = Duration::from_millis(self.prepared.order.max_freeze_ms);
        let budget = if self.hooks_begun { BUDGET_AFTER_HOOKS } else { BUDGET };
        let rounds = Rounds::begin(Boottime::now(), max_freeze, budget, dirty_kib());
        if let Err(error) = self.alarm.set(Some(rounds.limit())) {
            say(&format!("failed to set a limit to the flush: {error}; going on without"));
        }
        self.flush = Some(rounds);
        self.flush_round();
    }

    fn flush_round(&mut self) {
        self.flushing = self.threads.len();
        for n in 0..self.flushing {
            self.threads.give(n, Task::Sync);
        }
    }

    /// A thread has ended its part of a flush round.
    pub(super) fn on_flushed(&mut self, done: Done) -> Option<Event> {
        self.flushing -= 1;
        if let Err((_, errno)) = done.result {
            self.record.fault_at(Task::Sync, Fault::WriteLost, errno, &self.prepared.mount_point(done.n));
            self.flushing = 0;
            return Some(Event::FlushFailed);
        }
        if self.flushing > 0 || self.state.phase != Phase::Flush {
            return None;
        }
        let now = Boottime::now();
        let rounds = self.flush.as_mut()?;
        let next = rounds.end_round(now);
        self.record.flush = rounds.report;
        match next {
            Next::Again => {
                self.flush_round();
                None
            }
            Next::Freeze { prime } => Some(Event::Flushed {
                // What a prime wins, expedited grace periods win without its stall.
                prime: prime && self.prepared.expedite.is_none(),
                stale: now.since(self.ready_at) > ask::READY_KEEPS,
            }),
            Next::GiveUp => {
                let (last_ms, most_ms) = (rounds.report.last_us / 1_000, self.prepared.order.max_freeze_ms);
                self.record.fault(|| {
                    format!(
                        "the disk does not keep up with its writers: the last flush took {last_ms} ms, and a \
                         freeze may last {most_ms} ms; lower the load, or raise max_freeze_ms"
                    )
                });
                Some(Event::FlushGaveUp)
            }
        }
    }

    /// The limit has passed, and a round is still under way.
    pub(super) fn cut_flush_short(&mut self) -> Event {
        if let Some(rounds) = self.flush.as_mut() {
            rounds.cut_short(Boottime::now());
            self.record.flush = rounds.report;
            let budget = rounds.budget();
            self.record.fault(|| format!("the flush was not over within {} s", budget.as_secs()));
        }
        Event::FlushGaveUp
    }
}

/// What the machine has yet to write to its disks, KiB; 0 where the kernel does not tell.
fn dirty_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = |name: &str| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    };
    kib("Dirty:").unwrap_or(0) + kib("Writeback:").unwrap_or(0)
}
