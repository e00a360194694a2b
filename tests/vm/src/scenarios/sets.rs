//! Sets of volumes, restored: copies beside their originals, which stay as they are and mounted; what is
//! refused, with nothing changed; and copies alone on larger volumes, where all that lies between volume and
//! file system grows.

use super::boot::{booted, mount, put_in_place, said};
use crate::lab::{Workshop, volume};
use crate::shown::Shown;
use crate::stacks::devices;
use anyhow::Context;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use stillframe_wire::{MountOutcome, MountReport, Mounted, VolumeId};
use vm::disk::Disk;
use vm::guest::Guest;

/// A file system and the volumes below it, by number.
struct Set {
    name: &'static str,
    fs: &'static str,
    volumes: &'static [usize],
    device: &'static str,
    /// Whether it grows with its volumes.
    grows: bool,
}

const SETS: [Set; 6] = [
    Set { name: "stripes", fs: "ext4", volumes: &[0, 1], device: "/dev/stripes/data", grows: true },
    Set { name: "mirror", fs: "ext4", volumes: &[2, 3], device: "/dev/md/mirror", grows: true },
    // RAID 0 cannot; the report warns of it.
    Set { name: "fast", fs: "xfs", volumes: &[4, 5], device: "/dev/md/fast", grows: false },
    // On a partition.
    Set { name: "pool", fs: "xfs", volumes: &[6], device: "/dev/pool/data", grows: true },
    Set { name: "media", fs: "btrfs", volumes: &[7], device: "$d7", grows: true },
    Set { name: "plain", fs: "xfs", volumes: &[8], device: "$d8", grows: true },
];
/// MiB. XFS wants 300, and a btrfs is resized to 256 or more only.
const SIZES: [u64; 9] = [48, 48, 64, 64, 168, 168, 340, 256, 320];
/// By how much every volume is larger in the end.
const MORE: u64 = 64 << 20;

pub(crate) fn run(workshop: &Workshop, shown: &mut Shown) -> anyhow::Result<()> {
    let folder = workshop.folder("sets-of")?;
    let originals: Vec<Disk> = SIZES
        .iter()
        .enumerate()
        .map(|(n, mib)| Ok(Disk::blank(&folder, volume('5', n)?, *mib)?))
        .collect::<anyhow::Result<_>>()?;
    let guest = workshop.boot("sets", &originals)?;
    put_in_place(&guest)?;
    guest.run(&make(&originals))?;
    let all: Vec<&Disk> = originals.iter().collect();
    let copies = renamed(guest.cut(&all, &workshop.folder("sets-copied")?)?.disks, '6')?;
    let larger = renamed(guest.cut(&all, &workshop.folder("sets-larger")?)?.disks, '7')?;
    refused(&guest, shown, &copies)?;
    beside(&guest, shown, &copies)?;
    let root = guest.shut_down()?;
    again(workshop, shown, &root, &[originals, copies].concat())?;
    alone(workshop, shown, &larger)
}

/// The same bytes as other volumes.
fn renamed(disks: Vec<Disk>, kind: char) -> anyhow::Result<Vec<Disk>> {
    disks.iter().enumerate().map(|(n, disk)| Ok(disk.as_volume(volume(kind, n)?))).collect()
}

fn ids(disks: &[Disk], numbers: &[usize]) -> Vec<VolumeId> {
    numbers.iter().filter_map(|n| disks.get(*n)).map(|disk| disk.volume.clone()).collect()
}

fn make(disks: &[Disk]) -> String {
    let volumes: Vec<VolumeId> = disks.iter().map(|disk| disk.volume.clone()).collect();
    let mut script = devices(&volumes);
    script += r#"
lvm() { command lvm "$@" >/dev/null; }
lvm pvcreate -qq $d0 $d1
lvm vgcreate -qq stripes $d0 $d1
lvm lvcreate -qq -y -i 2 -I 64k -l 100%FREE -n data stripes
for of in mirror:1:$d2:$d3 fast:0:$d4:$d5; do
  name=${of%%:*} of=${of#*:}; level=${of%%:*} of=${of#*:}
  mdadm --quiet --create /dev/md/$name --homehost any --metadata 1.2 --run --assume-clean -l $level -n 2 ${of%:*} ${of#*:} 2>&1 ||
    mdadm --quiet --create /dev/md/$name --homehost any --metadata 1.2 --run -l $level -n 2 ${of%:*} ${of#*:}
done
printf 'label: gpt\n,\n' | sfdisk -q $d6
udevadm settle
lvm pvcreate -qq ${d6}p1
lvm vgcreate -qq pool ${d6}p1
lvm lvcreate -qq -y -l 100%FREE -n data pool
udevadm settle
"#;
    for Set { name, fs, device, .. } in &SETS {
        let force = if *fs == "ext4" { "-F" } else { "-f" };
        script += &format!(
            "mkfs.{fs} -q {force} {device}\nmkdir -p /srv/{name}\nmount {device} /srv/{name}\n\
             echo {name} >/srv/{name}/marker\n"
        );
    }
    script + "sync\n"
}

fn spec(set: &Set, disks: &[Disk], more: &Value) -> Value {
    let mut spec = json!({
        "volumes": ids(disks, set.volumes),
        "mount_point": format!("/copy/{}", set.name),
        "file_system": set.fs,
        "wait_s": 60,
        "timeout_s": 240,
    });
    if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
        spec.extend(more.clone());
    }
    spec
}

fn specs(disks: &[Disk]) -> Vec<Value> {
    SETS.iter().map(|set| spec(set, disks, &json!({}))).collect()
}

/// What lies in the images, as numbers.
fn bytes(disks: &[&Disk]) -> anyhow::Result<Vec<u32>> {
    let sum = |disk: &&Disk| {
        let mut file = File::open(&disk.image)?;
        let mut hasher = crc32fast::Hasher::new();
        let mut part = vec![0; 1 << 20];
        loop {
            match file.read(&mut part)? {
                0 => return Ok(hasher.finalize()),
                read => hasher.update(part.get(..read).unwrap_or_default()),
            }
        }
    };
    disks.iter().map(sum).collect()
}

/// Whether a set holds what its original did.
fn has_marker(guest: &Guest, below: &str, set: &Set) -> anyhow::Result<bool> {
    Ok(guest.run_any(&format!("cat {below}/{0}/marker", set.name))?.stdout.trim() == set.name)
}

/// How many of the sets below that folder are mounted with their data.
fn with_data(guest: &Guest, below: &str) -> anyhow::Result<usize> {
    let mut found = 0;
    for set in &SETS {
        found += usize::from(has_marker(guest, below, set)?);
    }
    Ok(found)
}

fn outcome<'r>(report: &'r MountReport, set: &Set) -> Option<&'r MountOutcome> {
    let at = format!("/copy/{}", set.name);
    report.mounts.iter().find(|mount| mount.mount_point == at)
}

/// Half a set, and copies that are not to be changed.
fn refused(guest: &Guest, shown: &mut Shown, copies: &[Disk]) -> anyhow::Result<()> {
    for set in SETS.iter().take(2) {
        let disks: Vec<&Disk> = set.volumes.iter().filter_map(|n| copies.get(*n)).collect();
        let [half, other] = disks.as_slice() else { continue };
        guest.plug(half)?;
        let before = bytes(&[half])?;
        let report = mount(guest, &[spec(set, copies, &json!({"volumes": [half.volume]}))])?;
        let named = outcome(&report, set).and_then(|mount| mount.error.clone()).unwrap_or_default();
        let holds = named.contains("only 1 of 2 parts") && bytes(&[half])? == before;
        shown.claim(format!("half of {} is refused, unchanged", set.name), holds, named, None);
        guest.plug(other)?;
        let before = bytes(&disks)?;
        for (wish, word) in [("refuse", "the order says not to mount it"), ("nouuid", "new-uuid")] {
            let report = mount(guest, &[spec(set, copies, &json!({"duplicate": wish}))])?;
            let named = outcome(&report, set).and_then(|mount| mount.error.clone()).unwrap_or_default();
            let holds = named.contains(word) && bytes(&disks)? == before;
            let claim = format!("a copy of {} with duplicate={wish} is refused, unchanged", set.name);
            shown.claim(claim, holds, named, None);
        }
    }
    Ok(())
}

/// All copies beside all originals, which are mounted.
fn beside(guest: &Guest, shown: &mut Shown, copies: &[Disk]) -> anyhow::Result<()> {
    for disk in copies.iter().skip(4) {
        guest.plug(disk)?;
    }
    let identity = "vgs --noheadings -o vg_uuid stripes pool 2>/dev/null | sort; \
                    mdadm --detail --export /dev/md/mirror | grep UUID; mdadm --detail --export /dev/md/fast | grep UUID";
    let before = guest.run(identity)?;
    let report = mount(guest, &specs(copies))?;
    for set in &SETS {
        let found = outcome(&report, set).context("an outcome is missing")?;
        let holds = found.outcome == Mounted::Mounted && found.new_uuid && has_marker(guest, "/copy", set)?;
        let evidence = format!(
            "{} {:?} {:?} {}",
            found.device.as_deref().unwrap_or("-"),
            found.outcome,
            found.warnings,
            found.error.as_deref().unwrap_or_default()
        );
        shown.claim(format!("{} imported and mounted beside its original", set.name), holds, evidence, None);
    }
    // Whatever is written to a copy is not the original's.
    guest.run("for at in /copy/*; do echo changed >$at/marker; done; sync")?;
    let (mine, after) = (with_data(guest, "/srv")?, guest.run(identity)?);
    let evidence = format!(
        "{mine} of {} with their data, UUIDs {}",
        SETS.len(),
        if before == after { "as before" } else { "changed" }
    );
    shown.claim(
        "the originals are mounted and as they were",
        mine == SETS.len() && before == after,
        evidence,
        None,
    );
    guest.run("for at in /copy/*; do echo ${at##*/} >$at/marker; done")?;
    Ok(())
}

/// The next boot, with originals and copies attached.
fn again(workshop: &Workshop, shown: &mut Shown, root: &Disk, disks: &[Disk]) -> anyhow::Result<()> {
    let guest = workshop.boot_from("sets-again", Some(root), disks)?;
    let report = booted(&guest)?;
    let found = with_data(&guest, "/copy")?;
    let evidence = format!("{found} of {} with their data; {}", SETS.len(), said(&report));
    shown.claim("booted with originals beside: every copy is mounted", found == SETS.len(), evidence, None);
    Ok(())
}

/// Copies on larger volumes, on a machine that has not seen the originals, and whose udev has done nothing.
fn alone(workshop: &Workshop, shown: &mut Shown, disks: &[Disk]) -> anyhow::Result<()> {
    for disk in disks {
        let file = File::options().write(true).open(&disk.image)?;
        file.set_len(file.metadata()?.len() + MORE)?;
    }
    let guest = workshop.boot("sets-larger-guest", disks)?;
    put_in_place(&guest)?;
    guest.run("udevadm settle; vgchange -qq -an; mdadm --quiet --stop --scan; udevadm settle; true")?;
    let left = guest.run("ls /sys/block | grep -E '^(dm-|md)' || echo none")?;
    shown.claim("nothing is assembled", left.trim() == "none", left.trim().replace('\n', " "), None);
    let report = mount(&guest, &specs(disks))?;
    for set in &SETS {
        let found = outcome(&report, set).context("an outcome is missing")?;
        let grown = found.grown_bytes >> 20;
        let is_right = if set.grows { grown > 0 } else { grown == 0 && !found.warnings.is_empty() };
        let holds = found.outcome == Mounted::Mounted
            && !found.new_uuid
            && is_right
            && has_marker(&guest, "/copy", set)?;
        let error = found.error.as_deref().unwrap_or_default();
        let evidence = format!(
            "{} {:?}, grown by {grown} MiB, {:?} {error}",
            found.device.as_deref().unwrap_or("-"),
            found.outcome,
            found.warnings
        );
        let how = if set.grows { "grown" } else { "not grown, and said so" };
        shown.claim(format!("{} assembled, mounted, {how}", set.name), holds, evidence, None);
    }
    Ok(())
}
