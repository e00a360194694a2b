//! Growing into a larger volume: the partition and what lies between it and the file system ([`super::sets`])
//! before the mount, the file system after it. What cannot be grown is mounted as it is, and the report warns
//! of it.

use super::device::Device;
use super::file_system::{IN_ORDER, is_ext};
use crate::clock::Boottime;
use crate::programs;
use crate::volumes::sysfs::{Below, Sysfs};
use std::path::Path;
use stillframe_wire::FileSystemKind;

/// A partition table keeps a copy of itself at the end, and partitions begin at whole MiB: less room than
/// this is none.
const SLACK: u64 = 2 << 20;
const CAP_SYS_RESOURCE: u64 = 1 << 24;

/// Grows a partition to the end of its disk, when it is the last one and there is room. What to warn of, if
/// anything. No file system on it may be mounted.
pub(super) fn partition(root: &Path, name: &str, until: Boottime) -> Option<String> {
    let sysfs = Sysfs::new(root);
    let Below::Disk { disk, partition } = sysfs.below(name) else { return None };
    let number: u32 = partition.parse().ok()?;
    let end = sysfs.start(name)? + sysfs.size(name)?;
    if sysfs.size(&disk)? < end + SLACK {
        return None;
    }
    let is_last = sysfs.partitions(&disk).iter().all(|(_, other)| sysfs.start(other) <= sysfs.start(name));
    if !is_last {
        return Some(format!(
            "/dev/{disk} is larger than its partitions, and another lies behind /dev/{name}"
        ));
    }
    let mut sfdisk = programs::program("sfdisk");
    // The kernel is told of this partition only, by partx: others of the disk may be in use.
    sfdisk
        .args(["--no-reread", "--no-tell-kernel", "-q", "-N", &number.to_string()])
        .arg(root.join("dev").join(&disk));
    let grown = programs::run_with(&mut sfdisk, b", +\n", until).and_then(|ran| ran.ended_with(&[0]));
    let failed = |error| format!("failed to grow partition /dev/{name}: {error}");
    match grown {
        Err(error) => Some(failed(crate::describe(&error))),
        Ok(_) => {
            let is_seen = || sysfs.size(name).is_some_and(|size| sysfs.start(name).unwrap_or(0) + size > end);
            if !is_seen() {
                let mut partx = programs::program("partx");
                partx.args(["-u", "-n", &number.to_string()]).arg(root.join("dev").join(&disk));
                let _ = programs::run(&mut partx, until);
            }
            (!is_seen()).then(|| failed("the kernel still sees the old size".to_owned()))
        }
    }
}

/// Grows an ext4 before it is mounted, where this process lacks the right to do so afterwards
/// (`CAP_SYS_RESOURCE`, which a container may not have). By how many bytes, or what to warn of. It takes a
/// whole check, so it is not the usual way.
pub(super) fn before_mount(device: &Device, kind: FileSystemKind, until: Boottime) -> Result<u64, String> {
    let before = ext_size(&device.path()).unwrap_or(u64::MAX);
    if !is_ext(kind) || may_grow_mounted() || device.size() < before.saturating_add(SLACK) {
        return Ok(0);
    }
    let failed = |error| format!("failed to grow {}: {}", device.shown(), crate::describe(&error));
    let mut check = programs::program("e2fsck");
    check.args(["-f", "-p"]).arg(device.path());
    programs::run(&mut check, until).and_then(|ran| ran.ended_with(&IN_ORDER)).map_err(failed)?;
    let mut grow = programs::program("resize2fs");
    grow.arg(device.path());
    programs::run(&mut grow, until).and_then(|ran| ran.ended_with(&[0])).map_err(failed)?;
    Ok(ext_size(&device.path()).unwrap_or(before).saturating_sub(before))
}

fn may_grow_mounted() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rights = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let rights = rights.and_then(|rights| u64::from_str_radix(rights.trim(), 16).ok());
    rights.is_none_or(|rights| rights & CAP_SYS_RESOURCE != 0)
}

/// The size that the super block of an ext2, ext3 or ext4 tells: blocks (in two halves) times their size.
fn ext_size(device: &Path) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let mut block = [0; 1024];
    std::fs::File::open(device).ok()?.read_exact_at(&mut block, 1024).ok()?;
    let word = |at: usize| Some(u64::from(u32::from_le_bytes(block.get(at..at + 4)?.try_into().ok()?)));
    let is_64_bit = word(0x60)? & 0x80 != 0;
    let high = if is_64_bit { word(0x150)? } else { 0 };
    (word(0x38)? & 0xffff == 0xef53).then_some(())?;
    (high << 32 | word(4)?).checked_mul(1024_u64.checked_shl(u32::try_from(word(0x18)?).ok()?)?)
}

/// Grows a mounted file system to its device. By how many bytes, or what to warn of.
pub(super) fn file_system(
    root: &Path,
    device: &Device,
    kind: FileSystemKind,
    at: &Path,
    until: Boottime,
) -> Result<u64, String> {
    let before = size(at);
    let mut commands = Vec::new();
    if is_ext(kind) {
        if !may_grow_mounted() {
            return Ok(0);
        }
        let mut command = programs::program("resize2fs");
        command.arg(device.path());
        commands.push(command);
    } else if kind == FileSystemKind::Xfs {
        let mut command = programs::program("xfs_growfs");
        command.arg("-d").arg(at);
        commands.push(command);
    } else if device.whole_size() > before {
        for member in members(root, device) {
            let mut command = programs::program("btrfs");
            command.args(["filesystem", "resize", &format!("{member}:max")]).arg(at);
            commands.push(command);
        }
    }
    for mut command in commands {
        let ran = programs::run(&mut command, until).and_then(|ran| ran.ended_with(&[0]));
        ran.map_err(|error| format!("failed to grow {}: {}", device.shown(), crate::describe(&error)))?;
    }
    Ok(size(at).saturating_sub(before))
}

fn size(at: &Path) -> u64 {
    rustix::fs::statvfs(at).map_or(0, |found| found.f_blocks * found.f_frsize)
}

/// The numbers of a mounted btrfs' devices.
fn members(root: &Path, device: &Device) -> Vec<String> {
    let sysfs = Sysfs::new(root);
    let of_it =
        sysfs.btrfs().into_iter().find(|(_, names)| names.iter().any(|name| device.names.contains(name)));
    let Some((fsid, _)) = of_it else { return vec!["1".to_owned()] };
    let folder = root.join("sys/fs/btrfs").join(fsid).join("devinfo");
    let entries = std::fs::read_dir(folder).map(|entries| {
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    });
    entries.ok().filter(|members| !members.is_empty()).unwrap_or_else(|| vec!["1".to_owned()])
}
