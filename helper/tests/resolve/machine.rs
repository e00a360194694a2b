//! Machines to read: recorded ones (`tests/fixtures/*.tar.gz` are the readable parts of `/sys`, `/proc` and
//! `/run` of a Debian guest with NVMe disks that identify like EBS), and ones described in a few lines.

use std::fs::create_dir_all;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use stillframe_helper::volumes::{Inventory, Target, judge_target, notes, resolve};
use stillframe_wire::VolumeId;

/// A recorded machine, unpacked, with the links that udev made in `/dev/disk/by-id`.
pub fn recorded(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = here(&format!("tests/fixtures/{name}.tar.gz"));
    let unpacked =
        Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let links = std::fs::read_to_string(folder.path().join("cmd/dev-disk.txt")).unwrap();
    for line in links.lines() {
        let Some((link, target)) = line.split_once(" -> ") else { continue };
        let link = folder.path().join("dev").join(link);
        create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, link).unwrap();
    }
    folder
}

/// A described machine, see `described.rs`.
pub fn described(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    super::described::begin(folder.path()).unwrap();
    for line in text.lines() {
        super::described::add(folder.path(), line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
    }
    folder
}

/// A path of this package.
pub fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A volume of the recorded machines.
pub fn volume(n: &str) -> VolumeId {
    VolumeId::new(format!("vol-0f{n:0>15}")).unwrap()
}

/// Each target as `mount point: type, layout, volumes, level`.
pub fn lines(targets: &[Target]) -> Vec<String> {
    targets
        .iter()
        .map(|target| {
            let volumes: Vec<&str> = target.volumes.iter().map(VolumeId::as_str).collect();
            format!(
                "{}: {}, {}, {}, level {}",
                target.mount_point().display(),
                target.fs_type,
                target.layout,
                short(&volumes.join(" + ")),
                target.level
            )
        })
        .collect()
}

/// All that an order for these volumes finds, or why it is refused, and what the report would say.
pub fn resolution(inventory: &Inventory, ordered: &[VolumeId]) -> String {
    let mut text = String::new();
    match resolve(inventory, ordered) {
        Err(error) => text.push_str(&format!("refused: {}\n", short(&error.to_string()))),
        Ok(targets) => {
            for (line, target) in lines(&targets).into_iter().zip(&targets) {
                text.push_str(&format!("{line}\n"));
                for mount in target.mounts.iter().skip(1) {
                    text.push_str(&format!("    also at {}\n", mount.path().display()));
                }
                text.push_str(&format!("    {}\n", judge_target(target, false)));
            }
        }
    }
    for note in notes(inventory, ordered, false) {
        let holds = serde_json::to_value(note.holds).unwrap();
        let volume = short(note.volume.as_str());
        let line = format!("{volume} holds {}: {}", holds.as_str().unwrap(), note.detail);
        text.push_str(&format!("{}\n", line.trim_end_matches([':', ' '])));
    }
    text
}

fn short(text: &str) -> String {
    text.replace("vol-0f000000000000", "")
        .replace("vol-0c000000000000", "c")
        .replace("vol-0aaaaaaaaaaaaaaaa", "boot")
}
