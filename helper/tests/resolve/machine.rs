//! Machines to read: recorded ones (`tests/fixtures/*.tar.gz` are the readable parts of `/sys`, `/proc` and
//! `/run` of a Debian guest with NVMe disks that identify like EBS), and ones described in a few lines.

use std::fs::{create_dir_all, write};
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

/// A described machine. One line says one thing:
///
/// ```text
/// disk NAME NUMBER SERIAL          part NAME NUMBER DISK PARTITION
/// dm NAME NUMBER MAPPED UUID BELOW...       md NAME NUMBER BELOW...
/// loop NAME NUMBER FILE            btrfs UUID MEMBER...
/// udev NUMBER SIGNATURE            alive TYPE NAME
/// swap PATH TYPE                   path PATH               link PATH TARGET
/// mount MOUNTINFO...               container PID MOUNTINFO...
/// ```
pub fn described(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut swaps = String::from("Filename\tType\tSize\tUsed\tPriority\n");
    create_dir_all(root.join("proc/self/ns")).unwrap();
    symlink("mnt:[1]", root.join("proc/self/ns/mnt")).unwrap();
    write(root.join("proc/self/mountinfo"), "").unwrap();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["disk", name, number, serial] => {
                block(root, name, name, number);
                file(root, &format!("sys/devices/{name}/device/serial"), serial);
            }
            ["part", name, number, disk, partition] => {
                block(root, name, &format!("{disk}/{name}"), number);
                file(root, &format!("sys/devices/{disk}/{name}/partition"), partition);
            }
            ["dm", name, number, mapped, uuid, ref below @ ..] => {
                block(root, name, name, number);
                file(root, &format!("sys/devices/{name}/dm/name"), mapped);
                file(root, &format!("sys/devices/{name}/dm/uuid"), uuid);
                below.iter().for_each(|slave| file(root, &format!("sys/devices/{name}/slaves/{slave}"), ""));
                symlinked(root, &format!("dev/mapper/{mapped}"), &format!("../{name}"));
            }
            ["md", name, number, ref below @ ..] => {
                block(root, name, name, number);
                below.iter().for_each(|slave| file(root, &format!("sys/devices/{name}/slaves/{slave}"), ""));
            }
            ["loop", name, number, image] => {
                block(root, name, name, number);
                file(root, &format!("sys/devices/{name}/loop/backing_file"), image);
            }
            ["btrfs", uuid, ref members @ ..] => {
                let member = |name: &&str| file(root, &format!("sys/fs/btrfs/{uuid}/devices/{name}"), "");
                members.iter().for_each(member);
            }
            ["udev", number, signature] => {
                file(root, &format!("run/udev/data/b{number}"), &format!("E:ID_FS_TYPE={signature}\n"));
            }
            ["alive", fs_type, name] => create_dir_all(root.join("sys/fs").join(fs_type).join(name)).unwrap(),
            ["swap", path, kind] => swaps.push_str(&format!("{path} {kind} 65532 0 -2\n")),
            ["path", path] => create_dir_all(root.join(path.trim_start_matches('/'))).unwrap(),
            ["link", path, target] => symlinked(root, path.trim_start_matches('/'), target),
            ["mount", ..] => mounted(root, "self", &line["mount ".len()..]),
            ["container", pid, ..] => {
                symlinked(root, &format!("proc/{pid}/ns/mnt"), &format!("mnt:[{pid}]"));
                mounted(root, pid, line.splitn(3, ' ').nth(2).unwrap());
            }
            _ => panic!("what is {line:?}?"),
        }
    }
    write(root.join("proc/swaps"), swaps).unwrap();
    folder
}

fn block(root: &Path, name: &str, device: &str, number: &str) {
    file(root, &format!("sys/devices/{device}/dev"), number);
    symlinked(root, &format!("sys/class/block/{name}"), &format!("../../devices/{device}"));
    symlinked(root, &format!("sys/dev/block/{number}"), &format!("../../devices/{device}"));
    if device == name {
        symlinked(root, &format!("sys/block/{name}"), &format!("../devices/{device}"));
    }
}

fn file(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    create_dir_all(path.parent().unwrap()).unwrap();
    write(path, text).unwrap();
}

fn symlinked(root: &Path, path: &str, target: &str) {
    let path = root.join(path);
    create_dir_all(path.parent().unwrap()).unwrap();
    if path.symlink_metadata().is_err() {
        symlink(target, path).unwrap();
    }
}

fn mounted(root: &Path, process: &str, line: &str) {
    let path = format!("proc/{process}/mountinfo");
    let before = std::fs::read_to_string(root.join(&path)).unwrap_or_default();
    file(root, &path, &format!("{before}{line}\n"));
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
