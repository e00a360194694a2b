//! What is laid over the packages: the agent's unit, and the absence of everything that a guest of ten
//! minutes without a keyboard can do without. Most of the boot's time is saved here.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const FILES: [(&str, &str, u32); 8] = [
    ("etc/systemd/system/vm-agent.service", include_str!("../../image/agent.service"), 0o644),
    ("usr/local/lib/vm-agent", include_str!("../../image/agent.sh"), 0o755),
    ("etc/modules-load.d/vm.conf", "virtio_pci\nvirtio_console\nvirtio_net\n", 0o644),
    ("etc/hostname", "guest\n", 0o644),
    ("etc/machine-id", "0123456789abcdef0123456789abcdef\n", 0o444),
    // What freezes the root file system must not wait for the journal to write to it.
    ("etc/systemd/journald.conf.d/vm.conf", "[Journal]\nStorage=volatile\n", 0o644),
    ("etc/fstab", "tmpfs /tmp tmpfs mode=1777 0 0\n", 0o644),
    (
        "etc/systemd/system/systemd-udev-trigger.service.d/vm.conf",
        "[Service]\nExecStart=\nExecStart=udevadm trigger --action=add --subsystem-match=block \
         --subsystem-match=nvme --subsystem-match=net --subsystem-match=mem --subsystem-match=misc\n",
        0o644,
    ),
];

const MASKED_UNITS: [&str; 24] = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty.target",
    "lvm2-monitor.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-logind.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-repart.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
    "systemd-user-sessions.service",
];

const MASKED_GENERATORS: [&str; 10] = [
    "systemd-debug-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-run-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
];

/// Everything that decides what the overlay is.
pub(super) fn ingredients() -> String {
    format!("{FILES:?}{MASKED_UNITS:?}{MASKED_GENERATORS:?}")
}

/// Writes it below `root`.
pub(super) fn write(root: &Path) -> io::Result<()> {
    let units = root.join("etc/systemd/system");
    let generators = root.join("etc/systemd/system-generators");
    let wanted = units.join("sysinit.target.wants");
    for folder in [&units, &generators, &wanted] {
        fs::create_dir_all(folder)?;
    }
    for (name, text, mode) in FILES {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    symlink("../vm-agent.service", wanted.join("vm-agent.service"))?;
    for unit in MASKED_UNITS {
        symlink("/dev/null", units.join(unit))?;
    }
    for generator in MASKED_GENERATORS {
        symlink("/dev/null", generators.join(generator))?;
    }
    Ok(())
}
