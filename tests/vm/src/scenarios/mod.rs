//! What is tried in the guest, one file each. A scenario states claims; an error is something else that
//! went wrong.

pub(crate) mod copies;
pub(crate) mod one_of_two;
pub(crate) mod root;
pub(crate) mod third_line;
pub(crate) mod unplug;

use crate::lab::Lab;
use crate::shown::Shown;
use std::time::Duration;

/// Long enough for emulated processors that share two real ones.
pub(crate) const MAX_FREEZE: Duration = Duration::from_secs(10);

/// Nothing is frozen, whatever happened before.
pub(crate) fn nothing_stuck(lab: &Lab, shown: &mut Shown, after: &str) -> anyhow::Result<()> {
    let stuck = lab.stuck()?;
    shown.claim(format!("{after}: every file system takes writes"), stuck.is_empty(), listed(&stuck), None);
    Ok(())
}

/// Names in one line.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() { "none hangs".to_owned() } else { format!("hang: {}", names.join(", ")) }
}
