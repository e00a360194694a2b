//! What a freeze is disturbed by, when, and the doing of it.

use super::helpers::{Helper, Part};
use super::inside::Inside;
use crate::boottime::now_ns;
use crate::client::Client;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SIGKILL: i32 = 9;
const SIGCONT: i32 = 18;
const SIGSTOP: i32 = 19;

/// A phase that is not reached in this time is not reached any more.
const REACHED: Duration = Duration::from_secs(30);
/// Pause between two looks at the phase: in those that pass in milliseconds, or come just before, and else.
const LOOK: Duration = Duration::from_micros(80);
const LOOK_LAZILY: Duration = Duration::from_millis(1);

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
    pub fn order_faults(&self, client: &Client, instance: &str) -> Result<(), crate::client::ClientError> {
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

/// What was done by hand.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Hit {
    /// When, nanoseconds since boot.
    pub at_ns: u64,
    /// The phase that the worker showed just before.
    pub phase: String,
    /// And just after.
    pub then: String,
    /// Whether it had an effect: the thaw thawed, the second freeze ran.
    pub told: bool,
    /// What there is to say of it.
    pub note: String,
}

/// Waits for the moment and disturbs. Nothing, when the moment never came.
pub fn disturb(plan: &Plan, helper: &Helper, inside: &Inside, client: &Client) -> Option<Hit> {
    if !wait_for(plan.moment, helper) {
        return None;
    }
    let mut hit = Hit { phase: helper.phase(), at_ns: now_ns(), ..Hit::default() };
    act(plan, helper, inside, client, &mut hit);
    Some(hit)
}

/// Until the worker shows the phase or a later one, and then as long as was drawn.
fn wait_for(moment: Moment, helper: &Helper) -> bool {
    let place = |phase: &str| PHASES.iter().position(|one| *one == phase);
    let end = Instant::now() + REACHED;
    loop {
        let phase = helper.phase();
        if place(&phase) >= place(moment.phase) && place(&phase).is_some() {
            std::thread::sleep(Duration::from_micros(moment.after_us));
            return true;
        }
        if !phase.starts_with("sf:") || phase == "sf:report" || Instant::now() > end {
            return false;
        }
        let soon = matches!(phase.as_str(), "sf:flush" | "sf:prime" | "sf:freeze");
        std::thread::sleep(if soon { LOOK } else { LOOK_LAZILY });
    }
}

fn act(plan: &Plan, helper: &Helper, inside: &Inside, client: &Client, hit: &mut Hit) {
    let worker = &helper.worker.process;
    let guardian = helper.guardian.get().map(|part| part.process);
    let mut then = None;
    match plan.disturbance {
        WorkerKilled => worker.signal(SIGKILL),
        GuardianKilled => guardian.iter().for_each(|guardian| guardian.signal(SIGKILL)),
        GroupKilled => {
            if let Some(group) = Pid::from_raw(helper.group).filter(|_| worker.alive()) {
                let _ = kill_process_group(group, Signal::KILL);
            }
        }
        BothKilled => {
            let both = [Some(*worker), guardian];
            let order: [usize; 2] = if plan.pick % 2 == 0 { [0, 1] } else { [1, 0] };
            // Who is left for a few microseconds thaws; stopped before, neither does.
            let signals: &[i32] = if plan.variant { &[SIGSTOP, SIGKILL] } else { &[SIGKILL] };
            for signal in signals {
                for process in order.iter().filter_map(|at| both.get(*at).copied().flatten()) {
                    process.signal(*signal);
                }
            }
        }
        WorkerStopped => then = stop(&helper.worker),
        GuardianStopped => then = helper.guardian.get().and_then(stop),
        TargetFull => hit.note = inside.fill(plan.pick),
        RunFull => hit.note = inside.fill_run(),
        LeaseRemoved => hit.told = inside.remove_lease(),
        ThawedByOther => hit.told = inside.thaw(plan.pick),
        DiskShutDown if hit.phase == "sf:frozen" => hit.note = inside.shut_down(plan.pick),
        SecondFreeze => (hit.told, hit.note) = second_freeze(client, helper),
        _ => {}
    }
    hit.then = helper.phase();
    if let Some(part) = then {
        std::thread::sleep(Duration::from_micros(plan.stopped_us));
        // Drawn by the same random numbers as all else: the last bit of the file system's.
        let kills = plan.pick % 2 == 1;
        part.process.signal(if kills { SIGKILL } else { SIGCONT });
        part.process.signal(SIGCONT);
        hit.note = format!(
            "stopped for {} ms, then {}",
            plan.stopped_us / 1_000,
            if kills { "killed" } else { "continued" }
        );
    }
}

fn stop(part: &Part) -> Option<&Part> {
    part.process.signal(SIGSTOP);
    Some(part)
}

/// Runs the document again with the order that the helper was given. Whether it ran, and what came of it.
fn second_freeze(client: &Client, helper: &Helper) -> (bool, String) {
    let sent = client.ssm(
        "SendCommand",
        &json!({
            "DocumentName": "Stillframe-Freeze", "InstanceIds": [helper.instance],
            "Comment": "second", "Parameters": {"order": [helper.order]}
        }),
    );
    let command = match sent {
        Ok(sent) => sent.pointer("/Command/CommandId").cloned().unwrap_or_default(),
        Err(error) => return (false, error.to_string()),
    };
    let asked = json!({"CommandId": command, "InstanceId": helper.instance});
    let end = Instant::now() + REACHED;
    while Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
        let Ok(seen) = client.ssm("GetCommandInvocation", &asked) else { continue };
        let text = |name: &str| seen.get(name).and_then(Value::as_str).unwrap_or_default();
        if !matches!(text("Status"), "Pending" | "InProgress" | "Delayed") {
            return (true, super::judge::verdict_of(text("StandardOutputContent")));
        }
    }
    (false, "it did not end".to_owned())
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
