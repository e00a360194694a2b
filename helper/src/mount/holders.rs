//! Who holds a mounted file system: processes that have a file of it open or mapped, work in it, or have it
//! for their root directory, and mounts that lie in it. Reads `/proc`; a process that ends meanwhile is left
//! out.

use crate::volumes::mountinfo::{DeviceNumber, Mount};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More than this are counted, not named.
const MOST_NAMED: usize = 8;

/// Who holds what is mounted at `mount`'s mount point, for people; empty when nobody could be found.
pub(super) fn holders(root: &Path, mounts: &[Mount], mount: &Mount) -> Vec<String> {
    let at = &mount.mount_point;
    let mut found: Vec<String> = mounts
        .iter()
        .filter(|inner| {
            inner.through.is_none() && inner.mount_point != *at && inner.mount_point.starts_with(at)
        })
        .map(|inner| format!("{} is mounted in it", inner.mount_point.display()))
        .collect();
    let Ok(entries) = fs::read_dir(root.join("proc")) else { return found };
    let device = fs::symlink_metadata(at).ok().map(|found| found.dev());
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    for pid in pids.into_iter().filter(|pid| *pid != std::process::id()) {
        let process = root.join("proc").join(pid.to_string());
        let uses = uses(&process, at, mount.device, device);
        if !uses.is_empty() {
            let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
            found.push(format!("{} (pid {pid}: {})", name.trim(), uses.join(", ")));
        }
    }
    if found.len() > MOST_NAMED {
        let more = found.len() - MOST_NAMED;
        found.truncate(MOST_NAMED);
        found.push(format!("and {more} more"));
    }
    found
}

fn uses(process: &Path, at: &Path, super_block: DeviceNumber, device: Option<u64>) -> Vec<String> {
    let lies_there = |link: PathBuf| {
        let Ok(target) = fs::read_link(&link) else { return false };
        // A pipe or a socket has no path; what has one may be of another mount namespace.
        target.is_absolute()
            && (target.starts_with(at)
                || device.is_some_and(|device| fs::metadata(&link).is_ok_and(|found| found.dev() == device)))
    };
    let mut uses = Vec::new();
    for (link, what) in [("cwd", "working directory"), ("root", "root directory"), ("exe", "program")] {
        if lies_there(process.join(link)) {
            uses.push(what.to_owned());
        }
    }
    let open = fs::read_dir(process.join("fd"))
        .map_or(0, |entries| entries.flatten().filter(|entry| lies_there(entry.path())).count());
    if open > 0 {
        uses.push(format!("{open} open file{}", if open == 1 { "" } else { "s" }));
    }
    if uses.is_empty() && maps_a_file(process, at, super_block) {
        uses.push("mapped file".to_owned());
    }
    uses
}

/// `address perms offset dev inode path`, the device in hexadecimal.
fn maps_a_file(process: &Path, at: &Path, super_block: DeviceNumber) -> bool {
    let number = format!("{:02x}:{:02x}", super_block.major, super_block.minor);
    let text = fs::read(process.join("maps")).unwrap_or_default();
    String::from_utf8_lossy(&text).lines().any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(3);
        let (device, path) = (fields.next(), fields.nth(1));
        device == Some(number.as_str()) || path.is_some_and(|path| Path::new(path).starts_with(at))
    })
}
