//! Every stack: one file for each machine says all that an order finds there. `cases/recorded/NAME.txt` is what
//! an order for every volume of the recorded machine NAME finds; `cases/NAME.txt` describes a machine and
//! then, after a line of dashes for each order, what the order for those volumes finds (`all` for all).
//!
//! `STILLFRAME_BLESS=1` writes down what is found.

use super::machine::{described, here, recorded, resolution};
use std::path::Path;
use stillframe_helper::volumes::Inventory;
use stillframe_wire::VolumeId;

const ORDER: &str = "--- order ";

fn compare(file: &Path, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    if std::env::var("STILLFRAME_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(file, found).unwrap();
    }
    panic!("{} is not what is found:\n{found}\nexpected:\n{expected}", file.display());
}

fn names(folder: &Path, suffix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> =
        entries.filter_map(|name| Some(name.to_str()?.strip_suffix(suffix)?.to_owned())).collect();
    names.sort();
    names
}

#[test]
fn every_recorded_machine_is_resolved_as_written_down() {
    let machines = names(&here("tests/fixtures"), ".tar.gz");
    assert_eq!(machines.len(), 9, "{machines:?}");
    for name in machines {
        let inventory = Inventory::read(recorded(&name).path()).unwrap();
        let all: Vec<VolumeId> = inventory.volumes.keys().cloned().collect();
        let file = here(&format!("tests/resolve/cases/recorded/{name}.txt"));
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        compare(&file, &expected, &resolution(&inventory, &all));
    }
}

#[test]
fn every_described_machine_is_resolved_as_written_down() {
    let cases = names(&here("tests/resolve/cases"), ".txt");
    assert!(cases.len() >= 15, "{cases:?}");
    for name in cases {
        let file = here(&format!("tests/resolve/cases/{name}.txt"));
        let text = std::fs::read_to_string(&file).unwrap();
        let (machine, _) = text.split_once(ORDER).unwrap();
        let inventory = Inventory::read(described(machine).path()).unwrap();
        let mut found = machine.to_owned();
        for order in text.lines().filter_map(|line| line.strip_prefix(ORDER)) {
            let volumes: Vec<VolumeId> = match order {
                "all" => inventory.volumes.keys().cloned().collect(),
                some => some.split(' ').map(super::machine::volume).collect(),
            };
            found.push_str(&format!("{ORDER}{order}\n{}", resolution(&inventory, &volumes)));
        }
        compare(&file, &text, &found);
    }
}
