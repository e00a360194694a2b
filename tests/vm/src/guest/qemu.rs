//! The machine that QEMU is told to be.

use super::Machine;
use crate::disk::Disk;
use crate::image::Image;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The serial number of the disk with the programs, which is no volume.
const PROGRAMS: &str = "programs";

/// Disks can be plugged into so many slots.
pub(super) const SLOTS: usize = 20;

const CHIPS: [&str; 14] = [
    "-machine",
    "q35,accel=tcg",
    "-cpu",
    "max,la57=off",
    "-smp",
    "2",
    "-m",
    "896",
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    "-nographic",
];

/// `nvme_core.multipath=N`: QEMU's controller claims more than one path, EBS's does not.
const KERNEL: &str = "console=ttyS0 rw rootfstype=ext4 systemd.unit=multi-user.target nvme_core.multipath=N \
                      net.ifnames=0 mitigations=off audit=0 apparmor=0 selinux=0 nokaslr tsc=reliable \
                      no_timer_check systemd.show_status=false quiet";

pub(super) fn qmp_socket(folder: &Path) -> PathBuf {
    folder.join("qmp")
}

pub(super) fn control_socket(folder: &Path) -> PathBuf {
    folder.join("control")
}

pub(super) fn console(folder: &Path) -> PathBuf {
    folder.join("console.log")
}

pub(super) fn slot(n: usize) -> String {
    format!("slot{n}")
}

pub(super) fn node(serial: &str) -> String {
    format!("node-{serial}")
}

pub(super) fn device_id(serial: &str) -> String {
    format!("disk-{serial}")
}

/// The disk's bytes. Flushes are not handed on: what this machine would lose with its power nobody needs.
pub(super) fn blockdev(disk: &Disk) -> Value {
    bytes(&disk.volume.serial(), &disk.image, false)
}

/// The controller that shows them, as EBS does.
pub(super) fn device(disk: &Disk, slot: &str) -> Value {
    controller(&disk.volume.serial(), slot)
}

fn bytes(serial: &str, image: &Path, read_only: bool) -> Value {
    let cache = json!({"direct": false, "no-flush": true});
    let file = json!({"driver": "file", "filename": image, "cache": cache, "read-only": read_only});
    json!({"driver": "raw", "node-name": node(serial), "file": file, "cache": cache, "read-only": read_only})
}

fn controller(serial: &str, bus: &str) -> Value {
    json!({"driver": "nvme", "id": device_id(serial), "drive": node(serial), "serial": serial, "bus": bus})
}

/// The whole machine: root disk and programs on the bus itself, every other disk in a slot.
pub(super) fn command(machine: &Machine<'_>, root: &Disk) -> Command {
    let folder = machine.folder;
    // QEMU ends when whoever started it does, however that ends.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]).args(CHIPS);
    command.arg("-kernel").arg(&machine.image.kernel);
    command.args(["-append", &format!("root={} {KERNEL}", Image::root())]);
    command.args(["-netdev", "user,id=net,ipv6=off", "-device", "virtio-net-pci,netdev=net,romfile="]);
    command.args(["-qmp", &format!("unix:{},server=on,wait=off", qmp_socket(folder).display())]);
    let control = control_socket(folder);
    command.args(["-chardev", &format!("socket,id=control,path={},server=on,wait=off", control.display())]);
    command.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=control,name=control"]);
    command.args(["-serial", &format!("file:{}", console(folder).display())]);
    for n in 0..SLOTS {
        // A device each: what is plugged behind a function of one with several is not announced to the guest.
        let place = format!("addr={:#x}", 8 + n);
        command.args(["-device", &format!("pcie-root-port,id={},chassis={},{place}", slot(n), n + 1)]);
    }
    let mut attach = |blockdev: Value, device: Value| {
        command.args(["-blockdev", &blockdev.to_string(), "-device", &device.to_string()]);
    };
    attach(blockdev(root), device(root, "pcie.0"));
    attach(bytes(PROGRAMS, machine.programs, true), controller(PROGRAMS, "pcie.0"));
    for (n, disk) in machine.disks.iter().enumerate() {
        attach(blockdev(disk), device(disk, &slot(n)));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}
