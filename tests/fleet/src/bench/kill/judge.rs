//! Whether a freeze that was disturbed kept the promises. Pure: what was seen goes in, what was broken comes
//! out.

use super::calls::{Call, Ioctl};
use super::disturb::Hit;
use super::plan::{Disturbance, Plan};
use super::watch::Stall;
use crate::disks::CutRecord;
use crate::verify::Verification;
use serde_json::Value;

/// What is allowed beyond `max_freeze`, and after the worker's death, nanoseconds.
pub const SLACK_NS: u64 = 100_000_000;

/// A thaw that begins so late after it was due is not late by the kernel's doing alone; half of what is
/// allowed, with the time that the look for it takes.
const THAW_ASKED_NS: u64 = SLACK_NS / 2;
/// One that began before it was due is the same thaw: the worker was killed while it thawed.
const THAW_EARLY_NS: u64 = 1_000_000_000;
/// It was seen to the end, but for the last look.
const THAW_SEEN_NS: u64 = 20_000_000;

/// One freeze of one instance as it was seen.
#[derive(Debug)]
pub struct Seen {
    /// What was to happen to it.
    pub plan: Plan,
    /// What was done by hand, if its moment came.
    pub hit: Option<Hit>,
    /// How long anything may be frozen, nanoseconds.
    pub max_freeze_ns: u64,
    /// Its file systems.
    pub volumes: Vec<SeenVolume>,
    /// Its helpers; more than one, when the order was sent again.
    pub helpers: Vec<Deaths>,
    /// Times in which this machine did not run even what measures.
    pub lags: Vec<Stall>,
}

/// One file system.
#[derive(Debug)]
pub struct SeenVolume {
    /// Its name in messages: `/srv/03-1 (xfs)`.
    pub name: String,
    /// When it took no writes.
    pub stalls: Vec<Stall>,
    /// When it was seen being frozen and thawed.
    pub calls: Vec<Call>,
    /// Whether it had become read-only: then it takes no writes at any time.
    pub read_only: bool,
    /// Its snapshots of this run.
    pub snapshots: Vec<SeenSnapshot>,
}

/// One snapshot.
#[derive(Debug, Clone)]
pub struct SeenSnapshot {
    /// Its id.
    pub id: String,
    /// Its label.
    pub label: String,
    /// When it was cut.
    pub cut: Option<CutRecord>,
    /// What its bytes say, when they were read.
    pub bytes: Option<Verification>,
}

/// When the processes of a helper died, nanoseconds since boot.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deaths {
    /// The worker.
    pub worker_ns: Option<u64>,
    /// The guardian.
    pub guardian_ns: Option<u64>,
}

/// What is to be said of one freeze.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Broken promises.
    pub violations: Vec<String>,
    /// What looked like one and was this machine's doing, or FIFREEZE's own time.
    pub explained: Vec<String>,
    /// The longest that a file system took no writes, nanoseconds.
    pub stall_ns: u64,
    /// The longest that one may have been frozen after its FIFREEZE had returned.
    pub frozen_ns: u64,
    /// The longest that one may have been frozen after the worker's death.
    pub after_death_ns: u64,
    /// How long the third line took, when worker and guardian died with something frozen.
    pub third_line_ns: Option<u64>,
}

/// Judges one freeze.
#[must_use]
pub fn judge(seen: &Seen) -> Judgement {
    let mut judgement = Judgement::default();
    for volume in &seen.volumes {
        for stall in &volume.stalls {
            time(seen, volume, stall, &mut judgement);
        }
        for snapshot in volume.snapshots.iter().filter(|snapshot| snapshot.label == "filesystem") {
            label(seen, volume, snapshot, &mut judgement);
        }
    }
    judgement
}

fn time(seen: &Seen, volume: &SeenVolume, stall: &Stall, judgement: &mut Judgement) {
    if let Some(orphaned_ns) = seen.orphaned_ns().filter(|at| stall.may_span(*at)) {
        let took = stall.to_ns.saturating_sub(orphaned_ns);
        judgement.third_line_ns = judgement.third_line_ns.max(Some(took));
        return;
    }
    // Before that it was not frozen, or its FIFREEZE had not returned.
    let since_ns = volume.seen_freezing_ns(stall).unwrap_or_default().max(stall.since_ns);
    let at_most = stall.to_ns.saturating_sub(since_ns);
    judgement.stall_ns = judgement.stall_ns.max(stall.at_most_ns());
    judgement.frozen_ns = judgement.frozen_ns.max(at_most);
    let limit = seen.max_freeze_ns + SLACK_NS;
    if at_most > limit {
        let what = format!("{} frozen for {} at most, {} allowed", volume.name, ms(at_most), ms(limit));
        seen.blame(what, volume, (since_ns + seen.max_freeze_ns, stall.to_ns), judgement);
    } else if stall.at_most_ns() > limit {
        let took = format!("took no writes for {}", ms(stall.at_most_ns()));
        judgement.explained.push(format!(
            "{} {took}, {} of it before its FIFREEZE had returned",
            volume.name,
            ms(since_ns.saturating_sub(stall.since_ns))
        ));
    }
    for died_ns in seen.helpers.iter().filter_map(|deaths| deaths.worker_ns) {
        if !stall.may_span(died_ns) {
            continue;
        }
        let after = stall.to_ns.saturating_sub(died_ns);
        judgement.after_death_ns = judgement.after_death_ns.max(after);
        if after > SLACK_NS {
            let what = format!("{} frozen {} after the worker's death", volume.name, ms(after));
            seen.blame(what, volume, (died_ns, stall.to_ns), judgement);
        }
    }
}

impl Seen {
    /// Since when nobody was left to thaw: worker and guardian were killed together.
    fn orphaned_ns(&self) -> Option<u64> {
        let hit = self.hit.as_ref()?;
        if self.plan.disturbance != Disturbance::BothKilled {
            return None;
        }
        // A worker that is killed inside FIFREEZE dies when that returns.
        let helper = self.helpers.iter().find(|deaths| {
            deaths.guardian_ns.is_some_and(|at| at.abs_diff(hit.at_ns) < SLACK_NS)
                && deaths.worker_ns.is_some_and(|at| at >= hit.at_ns)
        })?;
        Some(helper.worker_ns?.max(helper.guardian_ns?))
    }

    /// A violation, unless this machine ran nothing in the time that was too long, or the thaw was asked for
    /// when it was due and the kernel took that long for it. `due_ns`: since when it should be thawed.
    fn blame(
        &self,
        what: String,
        volume: &SeenVolume,
        (due_ns, to_ns): (u64, u64),
        judgement: &mut Judgement,
    ) {
        let from_ns = due_ns + SLACK_NS;
        let over = to_ns.saturating_sub(from_ns);
        let overlap = |lag: &Stall| to_ns.min(lag.to_ns).saturating_sub(from_ns.max(lag.from_ns));
        let lagged = self.lags.iter().map(overlap).max().unwrap_or_default();
        let thaw = volume.calls.iter().find(|call| {
            call.ioctl == Ioctl::Thaw
                && (due_ns.saturating_sub(THAW_EARLY_NS)..=due_ns + THAW_ASKED_NS).contains(&call.first_ns)
                && call.last_ns + THAW_SEEN_NS >= to_ns
        });
        if over <= lagged {
            judgement.explained.push(format!("{what}; the machine ran nothing for {}", ms(lagged)));
        } else if let Some(thaw) = thaw {
            judgement.explained.push(format!(
                "{what}; FITHAW was asked for {} after that was due, and took {} in {}",
                ms(thaw.first_ns.saturating_sub(due_ns)),
                ms(to_ns.saturating_sub(thaw.first_ns)),
                thaw.waits_in
            ));
        } else {
            judgement.violations.push(format!("{what}; {} of it not explained: {self:?}", ms(over)));
        }
    }
}

impl SeenVolume {
    /// When, within the stall, a thread was last seen inside FIFREEZE.
    fn seen_freezing_ns(&self, stall: &Stall) -> Option<u64> {
        let freezes = self.calls.iter().filter(|call| call.ioctl == Ioctl::Freeze);
        freezes.map(|call| call.last_ns).filter(|at| stall.may_span(*at)).max()
    }
}

fn ms(ns: u64) -> String {
    format!("{:.1} ms", ns as f64 / 1e6)
}

/// Phases in which a worker may be killed and yet have told the truth: it may have thawed already when the
/// signal reaches it, and have written its report.
const PROVED: [&str; 2] = ["sf:thaw", "sf:report"];

fn label(seen: &Seen, volume: &SeenVolume, snapshot: &SeenSnapshot, judgement: &mut Judgement) {
    let name = format!("{} of {}", snapshot.id, volume.name);
    let mut lie = |why: String| {
        judgement.violations.push(format!("{name} is labelled filesystem, but {why}: {seen:?}"));
    };
    match &snapshot.bytes {
        Some(bytes) if bytes.is_consistent() => {}
        Some(_) => lie("its bytes say otherwise".to_owned()),
        None => lie("its bytes could not be read".to_owned()),
    }
    if seen.plan.disturbance.spoils_the_answer() {
        lie("its FROZEN got no answer that counts".to_owned());
    }
    let Some(cut) = &snapshot.cut else { return lie("nobody knows when it was cut".to_owned()) };
    let frozen = |stall: &Stall| stall.surely_spans(cut.begun_ns, cut.ended_ns);
    if !volume.read_only && !volume.stalls.iter().any(frozen) {
        lie("its file system was not seen frozen around the cut".to_owned());
    }
    if seen.helpers.iter().any(|deaths| deaths.guardian_ns.is_some_and(|at| at < cut.ended_ns)) {
        // One whose helper was repeated has its own guardian.
        if seen.helpers.len() == 1 {
            lie("its guardian was dead before it was cut".to_owned());
        }
    }
    let Some(hit) = &seen.hit else { return };
    let in_window = hit.phase == "sf:frozen" && hit.then == "sf:frozen";
    match seen.plan.disturbance {
        Disturbance::ThawedByOther if hit.told && in_window => {
            lie("another process thawed in its window".to_owned());
        }
        Disturbance::WorkerKilled | Disturbance::GroupKilled | Disturbance::BothKilled
            if seen.helpers.len() == 1 && !PROVED.contains(&hit.phase.as_str()) =>
        {
            lie("its worker was killed".to_owned());
        }
        _ => {}
    }
}

/// A report's verdict and reason in a few words.
#[must_use]
pub fn verdict_of(stdout: &str) -> String {
    let Ok(report) = serde_json::from_str::<Value>(stdout.lines().next().unwrap_or_default()) else {
        return "no report".to_owned();
    };
    let word = |name: &str| report.get(name).and_then(Value::as_str);
    match (word("verdict"), word("reason")) {
        // Nothing that is done here should lead there.
        (Some(verdict), Some(reason @ ("signal-unreachable" | "refused-by-signal" | "throttled"))) => {
            format!("{verdict} ({reason}: {})", word("error").unwrap_or_default())
        }
        (Some(verdict), Some(reason)) => format!("{verdict} ({reason})"),
        (Some(verdict), None) => verdict.to_owned(),
        (None, _) => "no report".to_owned(),
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
