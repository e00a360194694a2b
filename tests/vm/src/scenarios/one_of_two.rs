//! An order that names one of two volumes under a file system is refused, and both are named.

use super::MAX_FREEZE;
use crate::freeze::{freeze, order};
use crate::lab::Lab;
use crate::shown::Shown;
use crate::stacks::STACKS;
use stillframe_wire::{Exit, Reason, Verdict};

pub(crate) fn run(lab: &Lab, shown: &mut Shown) -> anyhow::Result<()> {
    for stack in &STACKS {
        let [_, _] = stack.volumes else { continue };
        let both = lab.some(stack.volumes);
        for ordered in &both {
            let order = order(std::slice::from_ref(ordered), MAX_FREEZE)?;
            let outcome = freeze(&lab.guest, &order, "", |_| Ok(()))?;
            let is_refused = outcome.done.code == Some(i32::from(Exit::Refused.code()))
                && outcome.at_frozen.is_none()
                && outcome.report.as_ref().is_some_and(|report| {
                    let error = report.error.as_deref().unwrap_or_default();
                    report.verdict == Verdict::Refused
                        && report.reason == Some(Reason::SpansOtherVolume)
                        && both.iter().all(|volume| error.contains(volume.as_str()))
                });
            let claim = format!("{} with only {ordered} ordered is refused, both named", stack.layout);
            shown.claim(claim, is_refused, outcome.said(), None);
        }
    }
    Ok(())
}
