//! Worker and guardian die in the same instant, with everything frozen. Nobody of the helper is left: what
//! thaws then is a timer of systemd's where the helper left one, and `stillframe-helper thaw` in any case.

use super::nothing_stuck;
use crate::freeze::{freeze, order};
use crate::lab::Lab;
use crate::shown::Shown;
use crate::stacks::mounts;
use crate::workload::probe::Write;
use std::time::{Duration, Instant};

const MAX_FREEZE: Duration = Duration::from_secs(3);
/// How much later than the deadline the timer may be done: systemd starts a process, on emulated processors.
const TIMER_SLACK: Duration = Duration::from_secs(5);
const HANGS: Duration = Duration::from_millis(700);

/// The helper in a control group of its own, which the kernel kills as one.
const GROUP: &str = "/sys/fs/cgroup/stillframe-test";

pub(crate) fn run(lab: &Lab, shown: &mut Shown) -> anyhow::Result<()> {
    let join = format!("mkdir -p {GROUP}; echo $$ >{GROUP}/cgroup.procs");
    let order = order(&lab.volumes(), MAX_FREEZE)?;
    let outcome = freeze(&lab.guest, &order, &join, |_| {
        let timers = lab.guest.run("systemctl list-units --type=timer --no-legend --plain 'stillframe*'")?;
        lab.guest.run(&format!("echo 1 >{GROUP}/cgroup.kill"))?;
        Ok((timers.trim().to_owned(), Instant::now()))
    })?;
    let said = outcome.said();
    let Some((timers, killed)) = outcome.at_frozen else {
        anyhow::bail!("the helper never said FROZEN: {said}")
    };
    let all = mounts();
    let left = lab.probe(&all, HANGS)?;
    let hang = left.iter().filter(|write| **write == Write::Hangs).count();
    let evidence = format!("{said}; {hang} of {} left frozen", all.len());
    shown.claim("worker and guardian killed at once leave it frozen", hang == all.len(), evidence, None);
    if timers.is_empty() {
        let began = Instant::now();
        let text = lab.guest.run("/opt/stillframe-helper thaw")?;
        shown.claim("no timer; `stillframe-helper thaw` thaws it", true, text.trim(), Some(began.elapsed()));
    } else {
        let writes = lab.probe(&all, MAX_FREEZE + TIMER_SLACK)?;
        let free = !writes.contains(&Write::Hangs);
        let evidence = format!("{timers}; max_freeze {} ms", MAX_FREEZE.as_millis());
        shown.claim("the third line thaws it by itself", free, evidence, Some(killed.elapsed()));
        if !free {
            lab.guest.run("/opt/stillframe-helper thaw --force")?;
        }
    }
    lab.guest.run(&format!("rmdir {GROUP}"))?;
    nothing_stuck(lab, shown, "after the third line")
}
