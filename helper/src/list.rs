//! `stillframe-helper list`: what is attached, mounted and recorded, and what a freeze could do with it. Reads
//! the machine below a root directory, changes nothing.

use crate::mount::Records;
use crate::volumes::mountinfo::Mount;
use crate::volumes::{FileSystem, Inventory, InventoryError, Judgement, judge, note_sentence, notes};
use crate::{describe, say};
use serde::Serialize;
use std::path::Path;
use stillframe_wire::{FileSystemVerdict, Holds, MountSpec, VolumeId};

/// One line: a volume, and a file system on it or something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The volume.
    pub volume: VolumeId,
    /// Its disk; nothing for one that is recorded and not attached.
    pub device: Option<String>,
    /// The type of the file system on it.
    pub fs_type: Option<String>,
    /// Where that is mounted.
    pub mount_point: Option<String>,
    /// Whether it is mounted there.
    pub mounted: bool,
    /// Whether it is mounted there again at every boot.
    pub recorded: bool,
    /// What stands between the two.
    pub layout: Option<String>,
    /// Whether an order for this volume would have it frozen, unless the policy says `freeze_root`.
    pub freezable: bool,
    /// Why not, as the report says it.
    pub reason: Option<FileSystemVerdict>,
    /// What it is when it is no mounted file system.
    pub holds: Option<Holds>,
    /// Either for people, or on what condition.
    pub note: Option<String>,
}

/// Every attached volume, and every mounted file system on each.
///
/// # Errors
/// The machine cannot be read.
pub fn rows(root: &Path) -> Result<Vec<Row>, InventoryError> {
    let inventory = Inventory::read(root)?;
    let mut recorded: Vec<MountSpec> = Vec::new();
    match Records::below(root).all() {
        Ok(records) => {
            for (_, record) in records {
                match record {
                    Ok(record) => recorded.push(record.spec),
                    Err(error) => say(&describe(&error)),
                }
            }
        }
        Err(error) => say(&describe(&error)),
    }
    let mut rows = Vec::new();
    for (volume, disk) in &inventory.volumes {
        let on_volume: Vec<&FileSystem> =
            inventory.filesystems.iter().filter(|fs| fs.backing.volumes.contains(volume)).collect();
        for fs in on_volume {
            let (reason, note) = reason_and_note(fs, volume);
            rows.push(Row {
                volume: volume.clone(),
                device: Some(format!("/dev/{disk}")),
                fs_type: Some(fs.fs_type.clone()),
                mount_point: fs.mounts.first().map(|mount| mount.mount_point.to_string_lossy().into_owned()),
                mounted: true,
                recorded: recorded.iter().any(|spec| is_of(spec, volume, fs)),
                layout: Some(fs.backing.layout()),
                freezable: reason.is_none(),
                reason,
                holds: None,
                note,
            });
        }
        let beside = notes(&inventory, std::slice::from_ref(volume), false);
        rows.extend(beside.into_iter().filter(|note| note.holds != Holds::NotFrozen).map(|note| Row {
            volume: volume.clone(),
            device: Some(format!("/dev/{disk}")),
            fs_type: None,
            mount_point: None,
            mounted: false,
            recorded: false,
            layout: None,
            freezable: false,
            reason: None,
            holds: Some(note.holds),
            note: Some(note_sentence(&note)),
        }));
    }
    let missing = recorded.iter().flat_map(|spec| spec.volumes.iter().map(move |volume| (spec, volume)));
    let is_there = |spec: &MountSpec, volume| inventory.filesystems.iter().any(|fs| is_of(spec, volume, fs));
    for (spec, volume) in missing.filter(|(spec, volume)| !is_there(spec, volume)) {
        let device = inventory.volumes.get(volume).map(|disk| format!("/dev/{disk}"));
        let note = match device {
            Some(_) => "recorded, and not mounted: stillframe-helper mount --boot",
            None => "recorded, and its volume is not attached",
        };
        rows.push(Row {
            volume: volume.clone(),
            device,
            fs_type: spec.file_system.map(|kind| kind.name().to_owned()),
            mount_point: Some(spec.mount_point.as_str().to_owned()),
            mounted: false,
            recorded: true,
            layout: None,
            freezable: false,
            reason: None,
            holds: None,
            note: Some(note.to_owned()),
        });
    }
    Ok(rows)
}

/// Whether that file system of the volume is mounted where the record says.
fn is_of(spec: &MountSpec, volume: &VolumeId, fs: &FileSystem) -> bool {
    let is_there = |mount: &Mount| mount.through.is_none() && mount.mount_point == spec.mount_point.as_path();
    spec.volumes.contains(volume) && fs.backing.volumes.contains(volume) && fs.mounts.iter().any(is_there)
}

fn reason_and_note(fs: &FileSystem, volume: &VolumeId) -> (Option<FileSystemVerdict>, Option<String>) {
    if let Judgement::NotFreezable(why) = judge(fs, false) {
        return (Some(why.verdict()), Some(why.to_string()));
    }
    let others: Vec<&str> =
        fs.backing.volumes.iter().filter(|id| *id != volume).map(VolumeId::as_str).collect();
    (None, (!others.is_empty()).then(|| format!("together with {}", others.join(", "))))
}

/// The rows as a table for people.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let head = ["VOLUME", "DEVICE", "TYPE", "MOUNT", "BOOT", "LAYOUT", "FREEZE", "NOTE"].map(str::to_owned);
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let mut lines = vec![head];
    lines.extend(rows.iter().map(|row| {
        [
            row.volume.to_string(),
            or_dash(&row.device),
            or_dash(&row.fs_type),
            or_dash(&row.mount_point),
            if row.recorded { "yes" } else { "no" }.to_owned(),
            or_dash(&row.layout),
            if row.freezable { "yes" } else { "no" }.to_owned(),
            row.note.clone().unwrap_or_default(),
        ]
    }));
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
