//! A machine in a few lines, as files below a directory: for the tests of the resolver, and for its fuzz
//! target, which has no other way to a machine.
//!
//! ```text
//! disk NAME NUMBER SERIAL                   part NAME NUMBER DISK PARTITION
//! dm NAME NUMBER MAPPED UUID BELOW...       md NAME NUMBER BELOW...
//! loop NAME NUMBER FILE                     btrfs UUID MEMBER...
//! udev NUMBER SIGNATURE                     alive TYPE NAME
//! swap PATH TYPE                            path PATH              link PATH TARGET
//! mount MOUNTINFO...                        container PID MOUNTINFO...
//! ```

use std::fs::{OpenOptions, create_dir_all};
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes a machine with nothing in it.
pub fn begin(root: &Path) -> io::Result<()> {
    append(root, "proc/self/mountinfo", "")?;
    link(root, "proc/self/ns/mnt", "mnt:[1]")
}

/// Adds what one line says. An empty line and one that begins with `#` say nothing.
pub fn add(root: &Path, line: &str) -> io::Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        _ if line.is_empty() || line.starts_with('#') => Ok(()),
        ["disk", name, number, serial] => {
            block(root, name, name, number)?;
            append(root, &format!("sys/devices/{name}/device/serial"), serial)
        }
        ["part", name, number, disk, partition] => {
            block(root, name, &format!("{disk}/{name}"), number)?;
            append(root, &format!("sys/devices/{disk}/{name}/partition"), partition)
        }
        ["dm", name, number, mapped, uuid, ref below @ ..] => {
            block(root, name, name, number)?;
            append(root, &format!("sys/devices/{name}/dm/name"), mapped)?;
            append(root, &format!("sys/devices/{name}/dm/uuid"), uuid)?;
            link(root, &format!("dev/mapper/{mapped}"), &format!("../{name}"))?;
            below.iter().try_for_each(|slave| append(root, &format!("sys/devices/{name}/slaves/{slave}"), ""))
        }
        ["md", name, number, ref below @ ..] => {
            block(root, name, name, number)?;
            below.iter().try_for_each(|slave| append(root, &format!("sys/devices/{name}/slaves/{slave}"), ""))
        }
        ["loop", name, number, image] => {
            block(root, name, name, number)?;
            append(root, &format!("sys/devices/{name}/loop/backing_file"), image)
        }
        ["btrfs", uuid, ref members @ ..] => members
            .iter()
            .try_for_each(|name| append(root, &format!("sys/fs/btrfs/{uuid}/devices/{name}"), "")),
        ["udev", number, signature] => {
            append(root, &format!("run/udev/data/b{number}"), &format!("E:ID_FS_TYPE={signature}\n"))
        }
        ["alive", fs_type, name] => create_dir_all(root.join(format!("sys/fs/{fs_type}/{name}"))),
        ["swap", path, kind] => {
            append(root, "proc/swaps", "")?;
            append(root, "proc/swaps", &format!("\n{path} {kind} 65532 0 -2"))
        }
        ["path", path] => create_dir_all(root.join(path.trim_start_matches('/'))),
        ["link", path, target] => link(root, path.trim_start_matches('/'), target),
        ["mount", ..] => mounted(root, "self", line.trim_start_matches("mount ")),
        ["container", pid, ..] => {
            link(root, &format!("proc/{pid}/ns/mnt"), &format!("mnt:[{pid}]"))?;
            mounted(root, pid, line.splitn(3, ' ').nth(2).unwrap_or_default())
        }
        _ => Err(io::Error::other("no such line")),
    }
}

fn block(root: &Path, name: &str, device: &str, number: &str) -> io::Result<()> {
    append(root, &format!("sys/devices/{device}/dev"), number)?;
    link(root, &format!("sys/class/block/{name}"), &format!("../../devices/{device}"))?;
    link(root, &format!("sys/dev/block/{number}"), &format!("../../devices/{device}"))?;
    if device == name {
        link(root, &format!("sys/block/{name}"), &format!("../devices/{device}"))?;
    }
    Ok(())
}

fn mounted(root: &Path, process: &str, line: &str) -> io::Result<()> {
    append(root, &format!("proc/{process}/mountinfo"), &format!("{line}\n"))
}

fn append(root: &Path, path: &str, text: &str) -> io::Result<()> {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).open(path)?.write_all(text.as_bytes())
}

fn link(root: &Path, path: &str, target: &str) -> io::Result<()> {
    let path = root.join(path);
    if let Some(folder) = path.parent() {
        create_dir_all(folder)?;
    }
    if path.symlink_metadata().is_ok() { Ok(()) } else { symlink(target, path) }
}
