//! Worker and guardian die in the same instant, with everything frozen. Nobody of the helper is left: what
//! thaws then is a timer of systemd's where the helper left one, and `stillframe-helper thaw` in any case.

use super::{MAX_FREEZE, nothing_left, nothing_stuck};
use crate::freeze::{freeze, order};
use crate::lab::Lab;
use crate::shown::Shown;
use crate::stacks::{STACKS, mounts};
use crate::workload::probe::Write;
use std::time::Duration;

/// A write that hangs for so long is no slow one.
const HANGS: Duration = Duration::from_millis(700);
/// The timer's patience, generously: systemd starts a process each second, on emulated processors.
const TIMER: Duration = Duration::from_secs(25);

/// The helper in a control group of its own, which the kernel kills as one.
const GROUP: &str = "/sys/fs/cgroup/stillframe-test";

pub(crate) fn run(lab: &Lab, shown: &mut Shown) -> anyhow::Result<()> {
    let join = format!("mkdir -p {GROUP}; echo $$ >{GROUP}/cgroup.procs");
    let order = order(&lab.volumes(), MAX_FREEZE)?;
    let outcome = freeze(&lab.guest, &order, &join, |_| {
        let timers = lab.guest.run("systemctl list-units --type=timer --no-legend --plain 'stillframe*'")?;
        let killed_ns = lab.guest.now_ns()?;
        lab.guest.run(&format!("echo 1 >{GROUP}/cgroup.kill"))?;
        Ok((timers.trim().to_owned(), killed_ns))
    })?;
    let said = outcome.said();
    let Some((timers, killed_ns)) = outcome.at_frozen else {
        anyhow::bail!("the helper never said FROZEN: {said}")
    };
    let is_dead = outcome.done.code.is_none() && outcome.report.is_none();
    shown.claim("worker and guardian are killed at once while all is frozen", is_dead, said, None);
    let all = mounts();
    let by_hand = timers.is_empty();
    if by_hand {
        let writes = lab.probe(&all, HANGS)?;
        let hang = writes.iter().filter(|write| **write == Write::Hangs).count();
        let evidence = format!("{hang} of {} left frozen", all.len());
        shown.claim("no timer: nothing thaws", hang == all.len(), evidence, None);
        lab.guest.run("/opt/stillframe-helper thaw")?;
    }
    let writes = lab.probe(&all, TIMER)?;
    let is_free = !writes.contains(&Write::Hangs);
    let claim = if by_hand { "`stillframe-helper thaw` thaws it" } else { "a timer of systemd's thaws it" };
    let took = if is_free { Some(thawed_after(lab, killed_ns)?) } else { None };
    shown.claim(claim, is_free, if by_hand { "no timer" } else { &timers }, took);
    if !is_free {
        lab.guest.run("/opt/stillframe-helper thaw --force")?;
    }
    lab.guest.run(&format!("rmdir {GROUP}"))?;
    nothing_stuck(lab, shown, "after the third line")?;
    nothing_left(lab, shown, "after the third line")
}

/// When the last file system took its next record, by the guest's clock.
fn thawed_after(lab: &Lab, killed_ns: u64) -> anyhow::Result<Duration> {
    let mut last = 0;
    for stack in &STACKS {
        let records = lab.logs(stack.name)?.written.acknowledged;
        last = last.max(records.values().copied().find(|at| *at > killed_ns).unwrap_or(u64::MAX));
    }
    Ok(Duration::from_nanos(last.saturating_sub(killed_ns)))
}
