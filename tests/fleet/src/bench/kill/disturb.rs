//! The doing of what a plan says: at its moment, to its process or file system.

use super::helpers::{Helper, Part};
use super::inside::Inside;
use super::plan::Disturbance::*;
use super::plan::{Moment, PHASES, Plan};
use crate::boottime::now_ns;
use crate::client::Client;
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
            let order: [usize; 2] = if plan.pick.is_multiple_of(2) { [0, 1] } else { [1, 0] };
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
        let kills = !plan.pick.is_multiple_of(2);
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
