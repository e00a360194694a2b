//! What is to happen to each freeze of the campaign, and when: drawn from the seed and the freeze's number.

use crate::client::{Client, ClientError};
use fastrand::Rng;
use serde::Serialize;
use serde_json::json;

/// What disturbs a freeze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disturbance {
    /// Nothing: the control.
    Nothing,
    /// SIGKILL to the worker.
    WorkerKilled,
    /// SIGKILL to the guardian.
    GuardianKilled,
    /// SIGKILL to the worker's process group, as SSM's agent does at a timeout and on cancel.
    GroupKilled,
    /// SIGKILL to worker and guardian, one right after the other, or while both are stopped.
    BothKilled,
    /// SIGSTOP to the worker; later it is continued or killed.
    WorkerStopped,
    /// SIGSTOP to the guardian; later it is continued or killed.
    GuardianStopped,
    /// FROZEN is never answered, or only half, with the connection open.
    NetworkHang,
    /// The connection is reset when FROZEN should be answered.
    ConnectionReset,
    /// Half of FROZEN's answer comes, then the connection closes.
    HalfAnswer,
    /// FROZEN's answer comes about 1 ms before or after the helper's deadline.
    AnswerAtDeadline,
    /// FROZEN's answer comes certainly too late.
    AnswerTooLate,
    /// FROZEN's answer is for another run.
    WrongRun,
    /// FROZEN's answer lacks a volume.
    MissingVolume,
    /// A target file system is filled to the last block.
    TargetFull,
    /// The instance's `/run` is full.
    RunFull,
    /// The lease file is removed.
    LeaseRemoved,
    /// A foreign process thaws a file system.
    ThawedByOther,
    /// A second freeze with the same order is started on the instance.
    SecondFreeze,
    /// The disk of a frozen file system goes: it is shut down.
    DiskShutDown,
}

use Disturbance::*;

/// How often each is drawn, out of all together.
const DECK: [Disturbance; 30] = [
    Nothing,
    Nothing,
    WorkerKilled,
    WorkerKilled,
    WorkerKilled,
    GuardianKilled,
    GuardianKilled,
    GuardianKilled,
    GroupKilled,
    GroupKilled,
    BothKilled,
    BothKilled,
    WorkerStopped,
    WorkerStopped,
    GuardianStopped,
    GuardianStopped,
    NetworkHang,
    ConnectionReset,
    HalfAnswer,
    AnswerAtDeadline,
    AnswerAtDeadline,
    AnswerTooLate,
    WrongRun,
    MissingVolume,
    TargetFull,
    RunFull,
    LeaseRemoved,
    ThawedByOther,
    ThawedByOther,
    SecondFreeze,
];
/// Drawn in the stead of another, now and then: the instance has to be started anew afterwards.
const DISK_SHUT_DOWN_EVERY: usize = 25;

impl Disturbance {
    /// The faults of the network that it orders, besides what is done by hand.
    fn fault(self, plan: &Plan) -> Option<String> {
        Some(match self {
            NetworkHang if plan.variant => "hang".to_owned(),
            NetworkHang => "half-answer-hang".to_owned(),
            ConnectionReset => "reset".to_owned(),
            HalfAnswer => "half-answer".to_owned(),
            AnswerAtDeadline | AnswerTooLate => format!("at-deadline-us:{}", plan.offset_us),
            WrongRun => "other-run".to_owned(),
            MissingVolume => "missing-volume".to_owned(),
            // Only then does the deadline come while it is stopped.
            GuardianStopped if plan.variant => "hang".to_owned(),
            _ => return None,
        })
    }

    /// Whether no freeze under it can be proved: its FROZEN gets no answer that counts.
    #[must_use]
    pub fn spoils_the_answer(self) -> bool {
        matches!(self, NetworkHang | ConnectionReset | HalfAnswer | AnswerTooLate | WrongRun | MissingVolume)
    }
}

/// When it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// Once the worker shows this phase, or a later one.
    pub phase: &'static str,
    /// So much later.
    pub after_us: u64,
}

/// The phases that a worker shows, in their order.
pub const PHASES: [&str; 7] =
    ["sf:resolve", "sf:ready", "sf:flush", "sf:prime", "sf:freeze", "sf:frozen", "sf:thaw"];
/// How often each is aimed at, and how long it takes about, microseconds.
const AIMS: [(&str, u64, u32); 7] = [
    ("sf:resolve", 20_000, 1),
    ("sf:ready", 20_000, 1),
    ("sf:flush", 40_000, 2),
    ("sf:prime", 5_000, 4),
    ("sf:freeze", 5_000, 4),
    ("sf:frozen", 170_000, 6),
    ("sf:thaw", 1_000, 2),
];

/// One freeze of the campaign, and what is to happen to it: all of it follows from seed and number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Which freeze of the campaign.
    pub number: usize,
    /// What disturbs it.
    pub disturbance: Disturbance,
    /// When, for what is done by hand.
    pub moment: Moment,
    /// For how long a process is stopped, microseconds.
    pub stopped_us: u64,
    /// How far from the deadline the answer comes, microseconds.
    pub offset_us: i64,
    /// One of two kinds, where there are two.
    pub variant: bool,
    /// Picks a file system.
    pub pick: usize,
}

impl Plan {
    /// The plan of one freeze.
    #[must_use]
    pub fn of(seed: u64, number: usize) -> Self {
        let disturbance = drawn(seed, number);
        let mut random = Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        let offset_us = match disturbance {
            AnswerTooLate => random.i64(30_000..120_000),
            // The answer's way takes 4 ms, and on a busy machine ten times that.
            _ => {
                let widest = random.choice([4_000, 8_000, 20_000, 60_000]).unwrap_or(8_000);
                1_000 - random.i64(0..widest)
            }
        };
        Self {
            number,
            disturbance,
            moment: moment(disturbance, &mut random),
            stopped_us: random.u64(50_000..1_900_000),
            offset_us,
            variant: random.bool(),
            pick: random.usize(..1_000),
        }
    }

    /// Orders the faults of the network that belong to it.
    ///
    /// # Errors
    /// The region does not take them.
    pub fn order_faults(&self, client: &Client, instance: &str) -> Result<(), ClientError> {
        let Some(fault) = self.disturbance.fault(self) else { return Ok(()) };
        client.fault(&json!({
            "op": "Invoke", "function": "signal", "event": "frozen", "caller": instance,
            "fault": fault, "times": 10
        }))
    }

    /// Whether something is done by hand while the helper runs.
    #[must_use]
    pub fn is_by_hand(&self) -> bool {
        !self.disturbance.spoils_the_answer() && !matches!(self.disturbance, Nothing | AnswerAtDeadline)
    }
}

/// From a deck that is shuffled anew for every round through it.
fn drawn(seed: u64, number: usize) -> Disturbance {
    if number % DISK_SHUT_DOWN_EVERY == DISK_SHUT_DOWN_EVERY - 1 {
        return DiskShutDown;
    }
    let mut deck = DECK;
    let round = number / DECK.len();
    Rng::with_seed(seed.wrapping_add(round as u64).wrapping_mul(7_919)).shuffle(&mut deck);
    deck.get(number % DECK.len()).copied().unwrap_or(Nothing)
}

fn moment(disturbance: Disturbance, random: &mut Rng) -> Moment {
    let (phase, takes_us) = match disturbance {
        // Only then is there something to shut down.
        DiskShutDown => ("sf:frozen", 170_000),
        // Its own way takes about as long as the window.
        SecondFreeze => {
            (random.choice(["sf:resolve", "sf:ready", "sf:flush", "sf:frozen"]).unwrap_or("sf:flush"), 20_000)
        }
        ThawedByOther | LeaseRemoved => aimed(random, "sf:prime"),
        _ => aimed(random, "sf:resolve"),
    };
    Moment { phase, after_us: random.u64(..takes_us) }
}

/// One of the phases from `first` on, by weight.
fn aimed(random: &mut Rng, first: &str) -> (&'static str, u64) {
    let aims: Vec<_> = AIMS.iter().skip_while(|(phase, ..)| *phase != first).collect();
    let mut at = random.u32(..aims.iter().map(|(.., weight)| weight).sum::<u32>().max(1));
    for (phase, takes_us, weight) in aims {
        if at < *weight {
            return (phase, *takes_us);
        }
        at -= weight;
    }
    ("sf:frozen", 170_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_plans_again_and_another_one_others() {
        let plans = |seed| (0..60).map(|number| Plan::of(seed, number)).collect::<Vec<_>>();
        assert_eq!(plans(3), plans(3));
        assert_ne!(plans(3), plans(4));
    }

    #[test]
    fn a_hundred_freezes_see_every_disturbance() {
        let drawn: BTreeSet<_> = (0..100).map(|number| Plan::of(1, number).disturbance).collect();
        let all: BTreeSet<_> = DECK.into_iter().chain([DiskShutDown]).collect();
        assert_eq!(drawn, all);
    }

    #[test]
    fn an_answer_at_the_deadline_is_near_it_and_one_too_late_is_not() {
        for plan in (0..2_000).map(|number| Plan::of(1, number)) {
            match plan.disturbance {
                AnswerAtDeadline => assert!((-60_000..=1_000).contains(&plan.offset_us), "{plan:?}"),
                AnswerTooLate => assert!((30_000..=120_000).contains(&plan.offset_us), "{plan:?}"),
                _ => {}
            }
        }
    }

    #[test]
    fn every_phase_is_aimed_at() {
        let aimed: BTreeSet<_> = (0..500).map(|number| Plan::of(1, number).moment.phase).collect();
        assert_eq!(aimed, PHASES.into_iter().collect());
    }
}
