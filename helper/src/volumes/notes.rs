//! What the report says about volumes of an order beside their frozen file systems: pure.

use super::inventory::Inventory;
use super::judge::{Judgement, WhyNot, judge};
use super::occupants::Occupies;
use std::collections::BTreeMap;
use stillframe_wire::{Holds, VolumeId, VolumeNote};

/// Most names in one note.
const MOST_NAMES: usize = 3;
/// Most characters of one name.
const MOST_CHARACTERS: usize = 80;

/// One note for each kind of thing on each ordered volume, in the order's order.
#[must_use]
pub fn notes(inventory: &Inventory, ordered: &[VolumeId], freeze_root: bool) -> Vec<VolumeNote> {
    let mut notes = Vec::new();
    for volume in ordered {
        let mut found: BTreeMap<Holds, Vec<String>> = BTreeMap::new();
        for occupant in inventory.occupants.iter().filter(|occupant| occupant.volumes.contains(volume)) {
            if let Some((holds, detail)) = told(&occupant.name, &occupant.what) {
                found.entry(holds).or_default().push(detail);
            }
        }
        let on_it: Vec<_> =
            inventory.filesystems.iter().filter(|fs| fs.backing.volumes.contains(volume)).collect();
        for fs in &on_it {
            match judge(fs, freeze_root) {
                Judgement::Freezable | Judgement::NotFreezable(WhyNot::NeverWritten { .. }) => {}
                Judgement::NotFreezable(_) => {
                    let mount_point = fs.mounts.first().map(|mount| mount.mount_point.to_string_lossy());
                    found.entry(Holds::NotFrozen).or_default().extend(mount_point.map(Into::into));
                }
            }
        }
        if on_it.is_empty() && found.is_empty() {
            found.insert(Holds::Nothing, Vec::new());
        }
        notes.extend(found.into_iter().map(|(holds, names)| VolumeNote {
            volume: volume.clone(),
            holds,
            detail: joined(&names),
        }));
    }
    notes
}

/// What is said about an occupant; nothing about a device without a signature that nobody uses.
fn told(name: &str, what: &Occupies) -> Option<(Holds, String)> {
    Some(match what {
        Occupies::Swap => (Holds::Swap, name.to_owned()),
        Occupies::SwapFile => (Holds::SwapFile, name.to_owned()),
        Occupies::OpenForWriting { by } => (Holds::Raw, format!("{name} by {by}")),
        Occupies::Unreachable { fs_type } => (Holds::Unreachable, format!("{name}: {fs_type}")),
        Occupies::Unknown { signature } => (Holds::Unknown, format!("{name}: {signature}")),
        Occupies::Unused { signature } => (Holds::NotMounted, format!("{name}: {}", signature.as_ref()?)),
    })
}

fn joined(names: &[String]) -> String {
    let short = |name: &String| match name.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.clone(),
    };
    let shown: Vec<String> = names.iter().take(MOST_NAMES).map(short).collect();
    let more = names.len().saturating_sub(MOST_NAMES);
    let mut text = shown.join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// A note for people.
#[must_use]
pub fn note_sentence(note: &VolumeNote) -> String {
    let detail = &note.detail;
    match note.holds {
        Holds::Raw => format!("written past every file system: {detail}"),
        Holds::Unreachable => format!("alive, and mounted where it cannot be found: {detail}"),
        Holds::Unknown => format!("may be in use: {detail}"),
        Holds::Swap => format!("swap: {detail}"),
        Holds::SwapFile => format!("swap file: {detail}"),
        Holds::NotMounted => format!("not in use: {detail}"),
        Holds::NotFrozen => format!("not frozen: {detail}"),
        Holds::Nothing | Holds::Other => "no file system of it is mounted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_stays_short_whatever_the_names_are() {
        assert_eq!(joined(&[]), "");
        let names: Vec<String> = (0..9).map(|n| format!("{n}{}", "\u{e4}".repeat(200))).collect();
        let text = joined(&names);
        assert!(text.ends_with(" and 6 more") && text.chars().count() < 300, "{text}");
    }
}
