//! A whole machine: sysfs, mounts, udev's database, swaps, described in a few lines (see the tests of the
//! resolver, whose machines are the seeds). Whatever it looks like, it is read to the end, and an order is
//! either refused or answered with targets that lie on its volumes and on nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use stillframe_fuzz::described;
use stillframe_fuzz::volumes::{Inventory, judge, judge_target, notes, resolve};
use stillframe_wire::VolumeId;

fuzz_target!(|text: &str| {
    let folder = tempfile::tempdir().expect("a folder for the machine");
    described::begin(folder.path()).expect("an empty machine");
    for line in text.lines().take(60).filter(|line| stays_below(line)) {
        // What is no line says nothing.
        let _ = described::add(folder.path(), line);
    }
    let Ok(inventory) = Inventory::read(folder.path()) else { return };
    let all: Vec<VolumeId> = inventory.volumes.keys().cloned().collect();
    for fs in &inventory.filesystems {
        let _ = judge(fs, false).to_string();
    }
    let mut orders: Vec<&[VolumeId]> = vec![&all];
    orders.extend(all.chunks(1));
    for order in orders {
        for note in notes(&inventory, order, false) {
            assert!(order.contains(&note.volume));
        }
        let Ok(targets) = resolve(&inventory, order) else { continue };
        let devices: BTreeSet<_> = targets.iter().map(|target| target.device).collect();
        assert_eq!(devices.len(), targets.len(), "one super block twice");
        for target in &targets {
            assert!(!target.volumes.is_empty() && !target.mounts.is_empty());
            assert!(target.volumes.iter().all(|volume| order.contains(volume)));
            assert!(target.level <= targets.len());
            let _ = judge_target(target, true).to_string();
        }
    }
});

/// Whether the line makes nothing outside the machine's folder.
fn stays_below(line: &str) -> bool {
    let is_link_out = line.starts_with("link") && line.split_whitespace().nth(2).is_some_and(|to| to.starts_with('/'));
    !line.contains("..") && !is_link_out
}
