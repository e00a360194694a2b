//! The storage that is tried: eight file systems on eight volumes, through everything that Linux puts
//! between the two.

use fleet::spec::FsType;
use std::fmt::Write;
use stillframe_wire::VolumeId;

/// The size of each volume, MiB. XFS wants 300 for itself.
pub(crate) const SIZES: [u64; 8] = [80, 80, 800, 100, 100, 160, 160, 100];

/// One file system and what it lies on.
#[derive(Debug)]
pub(crate) struct Stack {
    /// Its name; it is mounted at `/srv/<name>`.
    pub(crate) name: &'static str,
    /// For people.
    pub(crate) layout: &'static str,
    pub(crate) fs: FsType,
    /// The device, once it is assembled.
    pub(crate) device: &'static str,
    /// The volumes below, by number.
    pub(crate) volumes: &'static [usize],
}

pub(crate) const STACKS: [Stack; 8] = [
    Stack {
        name: "stripe",
        layout: "LVM striped over two",
        fs: FsType::Ext4,
        device: "/dev/stripes/data",
        volumes: &[0, 1],
    },
    Stack { name: "linear", layout: "LVM", fs: FsType::Xfs, device: "/dev/pool/linear", volumes: &[2] },
    Stack { name: "thin", layout: "LVM thin", fs: FsType::Ext4, device: "/dev/pool/thin", volumes: &[2] },
    Stack {
        name: "origin",
        layout: "LVM with a snapshot",
        fs: FsType::Ext4,
        device: "/dev/pool/origin",
        volumes: &[2],
    },
    Stack {
        name: "vault",
        layout: "LUKS on LVM",
        fs: FsType::Btrfs,
        device: "/dev/mapper/vault",
        volumes: &[2],
    },
    Stack {
        name: "mirror",
        layout: "md RAID 1",
        fs: FsType::Ext4,
        device: "/dev/disk/by-id/md-name-any:mirror",
        volumes: &[3, 4],
    },
    Stack {
        name: "fast",
        layout: "md RAID 0",
        fs: FsType::Xfs,
        device: "/dev/disk/by-id/md-name-any:fast",
        volumes: &[5, 6],
    },
    Stack { name: "secret", layout: "LUKS", fs: FsType::Ext4, device: "/dev/mapper/secret", volumes: &[7] },
];

impl Stack {
    pub(crate) fn mount(&self) -> String {
        format!("/srv/{}", self.name)
    }
}

/// Every mount point.
pub(crate) fn mounts() -> Vec<String> {
    STACKS.iter().map(Stack::mount).collect()
}

/// A script's beginning: `$d0`, `$d1`, ... are the devices of the volumes.
pub(crate) fn devices(volumes: &[VolumeId]) -> String {
    let mut script = String::from("set -e\nudevadm settle\n");
    for (n, volume) in volumes.iter().enumerate() {
        let serial = volume.serial();
        let _ = writeln!(
            script,
            "for s in /sys/block/nvme*n1/device/serial; do read -r id <$s; \
             [ $id != {serial} ] || {{ s=${{s%/device/serial}}; d{n}=/dev/${{s##*/}}; }}; done; : ${{d{n}:?}}"
        );
    }
    script
}

/// Makes all of it on blank volumes, and mounts it.
pub(crate) fn make(volumes: &[VolumeId]) -> String {
    let mut script = devices(volumes);
    script += r#"
lvm() { command lvm "$@" >/dev/null; }
luks() { printf sesame | cryptsetup "$@"; }
lvm pvcreate -qq $d0 $d1 $d2
lvm vgcreate -qq stripes $d0 $d1
lvm lvcreate -qq -y -i 2 -I 64k -l 100%FREE -n data stripes
lvm vgcreate -qq pool $d2
lvm lvcreate -qq -y -L 320M -n linear pool
lvm lvcreate -qq -y -L 96M -T pool/thinpool -V 160M -n thin
lvm lvcreate -qq -y -L 80M -n origin pool
lvm lvcreate -qq -y -L 160M -n vault pool
mdadm --quiet --create /dev/md/mirror --homehost any --metadata 1.2 --run --assume-clean -l 1 -n 2 $d3 $d4
mdadm --quiet --create /dev/md/fast --homehost any --metadata 1.2 --run -l 0 -n 2 $d5 $d6
for of in $d7:secret /dev/pool/vault:vault; do
  luks luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --key-file - ${of%:*}
  luks open --key-file - ${of%:*} ${of#*:}
done
udevadm settle
"#;
    for Stack { fs, device, .. } in &STACKS {
        let make = match fs {
            FsType::Ext4 => "mkfs.ext4 -q -F",
            FsType::Xfs => "mkfs.xfs -q -f -K",
            FsType::Btrfs => "mkfs.btrfs -q -f -K",
            FsType::None => "true",
        };
        let _ = writeln!(script, "{make} {device}");
    }
    // Only now, or the snapshot would keep what was there before the file system.
    script += "lvm lvcreate -qq -y -s -L 64M -n before pool/origin\n";
    for stack in &STACKS {
        let _ = writeln!(script, "mkdir -p {0}; mount {1} {0}", stack.mount(), stack.device);
    }
    script
}

/// Puts copies of the volumes together: what autoassembly has not done already.
pub(crate) fn assemble(volumes: &[VolumeId]) -> String {
    let mut script = devices(volumes);
    script += r#"
vgchange -qq -ay
mdadm --assemble --scan || true
udevadm settle
for of in $d7:secret /dev/pool/vault:vault; do
  printf sesame | cryptsetup open --key-file - ${of%:*} ${of#*:}
done
udevadm settle
"#;
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_volume_lies_under_a_stack() {
        for n in 0..SIZES.len() {
            assert!(STACKS.iter().any(|stack| stack.volumes.contains(&n)), "volume {n}");
        }
    }

    #[test]
    fn the_scripts_are_shell() {
        let volumes: Vec<VolumeId> =
            (0..SIZES.len()).map(|n| VolumeId::new(format!("vol-0a{n:015x}")).unwrap()).collect();
        for script in [make(&volumes), assemble(&volumes)] {
            let status = std::process::Command::new("sh").args(["-nc", &script]).status().unwrap();
            assert!(status.success(), "{script}");
        }
    }
}
