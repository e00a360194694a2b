//! What is tried in the guest, one file each. A scenario states claims; an error is something else that
//! went wrong.

pub(crate) mod boot;
pub(crate) mod copies;
pub(crate) mod one_of_two;
pub(crate) mod root;
pub(crate) mod sets;
pub(crate) mod third_line;
pub(crate) mod unplug;

use crate::lab::Lab;
use crate::shown::Shown;
use std::time::Duration;

/// Long enough for emulated processors that share two real ones.
pub(crate) const MAX_FREEZE: Duration = Duration::from_secs(30);

/// Nothing is frozen, whatever happened before.
pub(crate) fn nothing_stuck(lab: &Lab, shown: &mut Shown, after: &str) -> anyhow::Result<()> {
    let stuck = lab.stuck()?;
    shown.claim(format!("{after}: every file system takes writes"), stuck.is_empty(), listed(&stuck), None);
    Ok(())
}

/// No lease, no process and no timer of the helper's is left, within some seconds.
pub(crate) fn nothing_left(lab: &Lab, shown: &mut Shown, after: &str) -> anyhow::Result<()> {
    let left = lab.guest.run(
        "for try in $(seq 100); do\n\
         left=$(ls /run/stillframe | grep -vx lock; cat /proc/[0-9]*/comm 2>/dev/null | grep ^sf:;\n\
         systemctl list-units --all --no-legend --plain 'stillframe*')\n\
         [ \"$left\" ] || break; sleep 0.1; done; echo $left",
    )?;
    let left = left.trim();
    let evidence = if left.is_empty() { "none" } else { left };
    shown.claim(format!("{after}: no lease, process or timer is left"), left.is_empty(), evidence, None);
    Ok(())
}

/// Names in one line.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none hangs".to_owned() } else { format!("hang: {}", names.join(", ")) }
}
