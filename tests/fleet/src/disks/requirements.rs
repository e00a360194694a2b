//! What real disks need of the machine.

use std::fs::File;
use std::path::Path;

const PROGRAMS: [(&str, &str); 4] = [
    ("mkfs.xfs", "xfsprogs"),
    ("xfs_logprint", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mke2fs", "e2fsprogs"),
];
const FILE_SYSTEMS: [&str; 3] = ["ext4", "xfs", "btrfs"];

/// Why this machine cannot have real disks, in one sentence; `None` if it can.
#[must_use]
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("real disks need root, for loop devices and mounts".to_owned());
    }
    if let Err(error) = File::options().read(true).write(true).open("/dev/loop-control") {
        return Some(format!(
            "real disks need loop devices, and /dev/loop-control cannot be opened: {error}"
        ));
    }
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let unknown = FILE_SYSTEMS.iter().find(|fs| !known.lines().any(|line| line.trim() == **fs) && !loads(fs));
    if let Some(fs) = unknown {
        return Some(format!("real disks need {fs}, which this kernel does not know"));
    }
    let (program, package) = PROGRAMS.iter().find(|(program, _)| !installed(program))?;
    Some(format!("real disks need the program {program}: install {package}"))
}

/// Whether the kernel could load it when it is asked for.
fn loads(fs: &str) -> bool {
    std::process::Command::new("modprobe").args(["-q", fs]).status().is_ok_and(|status| status.success())
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = ["/sbin", "/usr/sbin"].map(Path::new);
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
        || own.iter().any(|dir| dir.join(program).is_file())
}
