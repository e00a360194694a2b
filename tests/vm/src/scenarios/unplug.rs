//! A volume is taken away while it is frozen, before the cut: the helper ends, says that nothing is proved,
//! and leaves nothing frozen.

use super::{MAX_FREEZE, listed, nothing_left};
use crate::freeze::{freeze, order};
use crate::lab::Lab;
use crate::shown::Shown;
use crate::stacks::{STACKS, Stack};
use anyhow::Context;
use std::time::Instant;
use stillframe_wire::Verdict;

/// Whose volume is taken away: one with several file systems on it, XFS and btrfs among them, and one of two
/// under a single file system.
const VICTIMS: [&str; 2] = ["stripe", "linear"];

pub(crate) fn run(lab: &Lab, shown: &mut Shown) -> anyhow::Result<()> {
    for name in VICTIMS {
        let victim = STACKS.iter().find(|stack| stack.name == name).context("there is no such stack")?;
        one(lab, victim, shown)?;
    }
    Ok(())
}

fn one(lab: &Lab, victim: &Stack, shown: &mut Shown) -> anyhow::Result<()> {
    let mut numbers = victim.volumes.to_vec();
    // And an innocent one.
    numbers.extend(STACKS.iter().find(|stack| stack.name == "mirror").map_or(&[][..], |stack| stack.volumes));
    let volumes = lab.some(&numbers);
    let gone = volumes.first().context("the victim has no volume")?;
    let order = order(&volumes, MAX_FREEZE)?;
    let began = Instant::now();
    let outcome = freeze(&lab.guest, &order, "", |frozen| {
        lab.guest.unplug(gone)?;
        frozen.is_detached(gone);
        Ok(())
    })?;
    let took = began.elapsed();
    let what = format!("{} on {} unplugged while frozen", victim.fs.as_str(), victim.layout);
    let was_frozen = outcome.at_frozen.is_some();
    let claims_nothing = outcome.report.as_ref().is_some_and(|report| {
        report.verdict != Verdict::Consistent
            && !report.snapshots.iter().any(|snapshot| snapshot.volume == *gone && snapshot.frozen)
    });
    shown.claim(format!("{what}: not consistent"), was_frozen && claims_nothing, outcome.said(), Some(took));
    let stuck = lab.stuck()?;
    shown.claim(format!("{what}: nothing left frozen"), stuck.is_empty(), listed(&stuck), None);
    nothing_left(lab, shown, &what)
}
