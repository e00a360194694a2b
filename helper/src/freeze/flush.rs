//! When to stop flushing: pure. Each round of `syncfs` leaves what was written meanwhile, so rounds
//! shrink by the ratio of the writers' speed to the disk's, or not at all.

use crate::clock::Boottime;
use std::time::Duration;
use stillframe_wire::Flush;

/// A round so short leaves FIFREEZE nothing to do.
const SHORT: Duration = Duration::from_millis(50);
/// After a longer last round a prime would stall the writers too long for what it saves.
const WORTH_PRIMING: Duration = Duration::from_millis(200);
/// Time for all rounds together: half of what an order leaves for everything before the freeze. A first
/// round writes what has gathered over minutes, gigabytes on a large machine; rounds that shrink are given
/// their time.
pub const BUDGET: Duration = Duration::from_secs(120);

/// The same for the rounds after the hooks: little was written since the rounds before them, and what a hook
/// holds still waits.
pub const BUDGET_AFTER_HOOKS: Duration = Duration::from_secs(20);

/// How far a freeze goes, and what goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approach {
    /// Rounds of `syncfs`, a prime if it is worth its stall, the freeze.
    Flushed,
    /// The freeze at once: FIFREEZE has to write all that is dirty. What that costs can so be measured.
    Plain,
    /// Rounds of `syncfs`, and no freeze.
    Rehearsal,
}

/// The rounds so far.
#[derive(Debug, Clone, Copy)]
pub struct Rounds {
    began: Boottime,
    round_began: Boottime,
    last: Option<Duration>,
    longest: Duration,
    budget: Duration,
    /// What the report says of them.
    pub report: Flush,
}

/// What comes after a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another round.
    Again,
    /// The freeze.
    Freeze {
        /// Whether a prime is worth its stall.
        prime: bool,
    },
    /// Nothing: FIFREEZE would take as long as the last round, and too little time be left for the cut.
    GiveUp,
}

impl Rounds {
    /// The first round begins. `max_freeze` runs from FIFREEZE's call on, and what a last round leaves to
    /// write is written within it: more than half of it is too much. `dirty_kib` is for the report.
    #[must_use]
    pub fn begin(now: Boottime, max_freeze: Duration, budget: Duration, dirty_kib: u64) -> Self {
        let report = Flush { dirty_kib, ..Flush::default() };
        Self { began: now, round_began: now, last: None, longest: max_freeze / 2, budget, report }
    }

    /// When the rounds must be over, even one that does not end.
    #[must_use]
    pub fn limit(&self) -> Boottime {
        self.began.after(self.budget)
    }

    /// Time for all rounds together.
    #[must_use]
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// A round has ended.
    pub fn end_round(&mut self, now: Boottime) -> Next {
        let took = now.since(self.round_began);
        let shrank = self.last.is_none_or(|last| took.as_nanos() * 10 < last.as_nanos() * 9);
        self.report.rounds += 1;
        self.report.last_us = now.micros_since(self.round_began);
        (self.last, self.round_began) = (Some(took), now);
        if took < SHORT {
            return Next::Freeze { prime: true };
        }
        if shrank && now.since(self.began) < self.budget {
            return Next::Again;
        }
        self.report.gave_up = true;
        if took > self.longest { Next::GiveUp } else { Next::Freeze { prime: took < WORTH_PRIMING } }
    }

    /// The time is up, and a round is still under way.
    pub fn cut_short(&mut self, now: Boottime) {
        self.report.rounds += 1;
        self.report.last_us = now.micros_since(self.round_began);
        self.report.gave_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays rounds of these lengths in milliseconds; what came out, and the report.
    fn play(rounds: &[u64]) -> (Next, Flush) {
        let mut now = Boottime::from_nanos(7_000_000_000);
        let mut flush = Rounds::begin(now, Duration::from_secs(10), BUDGET, 7);
        let mut next = Next::Again;
        for ms in rounds {
            assert_eq!(next, Next::Again, "a round after the last");
            now = now.after(Duration::from_millis(*ms));
            next = flush.end_round(now);
        }
        (next, flush.report)
    }

    #[test]
    fn rounds_go_on_while_they_shrink_and_end_with_a_short_one() {
        let (next, report) = play(&[1425, 598, 205, 48]);
        assert_eq!(next, Next::Freeze { prime: true });
        assert_eq!(report, Flush { rounds: 4, last_us: 48_000, gave_up: false, dirty_kib: 7 });
    }

    #[test]
    fn a_clean_disk_needs_one_round() {
        assert_eq!(play(&[3]).1, Flush { rounds: 1, last_us: 3_000, gave_up: false, dirty_kib: 7 });
    }

    #[test]
    fn a_writer_as_fast_as_the_disk_is_given_up_on_and_not_primed() {
        let (next, report) = play(&[1000, 950]);
        assert_eq!(next, Next::Freeze { prime: false });
        assert!(report.gave_up);
    }

    #[test]
    fn a_nearly_short_round_that_does_not_shrink_is_primed() {
        assert_eq!(play(&[90, 88]).0, Next::Freeze { prime: true });
    }

    #[test]
    fn the_budget_ends_even_shrinking_rounds() {
        let (next, report) = play(&[100_000, 18_000, 3_000]);
        assert_eq!(next, Next::Freeze { prime: false });
        assert!(report.gave_up && report.rounds == 3);
    }

    #[test]
    fn what_would_use_up_the_freeze_is_not_begun() {
        assert_eq!(play(&[5_000, 5_000]).0, Next::Freeze { prime: false }, "half of max_freeze is left");
        let (next, report) = play(&[6_000, 5_900]);
        assert_eq!(next, Next::GiveUp);
        assert!(report.gave_up);
    }

    #[test]
    fn a_round_that_does_not_end_is_told_of() {
        let now = Boottime::from_nanos(7_000_000_000);
        let mut flush = Rounds::begin(now, Duration::from_secs(10), BUDGET, 0);
        assert_eq!(flush.limit(), now.after(BUDGET));
        flush.cut_short(flush.limit());
        assert_eq!(flush.report, Flush { rounds: 1, last_us: 120_000_000, gave_up: true, dirty_kib: 0 });
    }
}
