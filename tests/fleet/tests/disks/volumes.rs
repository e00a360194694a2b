use crate::support::{DB, Region, VOLUMES, loop_devices_below, possible, spec, wait_until};
use fleet::machine::{CutRequest, MachineError, Machines, NewVolume, ScriptEnd};

const COPY: &str = "vol-0bbbbbbbbbbbbbb01";

#[test]
fn a_volume_from_a_snapshot_has_its_bytes_and_can_be_larger() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    assert_eq!(region.run("echo kept > '/srv/pg data/file' && sync").end, ScriptEnd::Exited(0));
    let cut = CutRequest { volume: VOLUMES[0].1.to_owned(), snapshot: "snap-00000001".to_owned() };
    region.disks.snapshot(&[cut]).unwrap();
    let from = Some("snap-00000001".to_owned());
    region.disks.create_volume(&NewVolume { id: COPY.to_owned(), size_mib: 500, from }).unwrap();
    region.disks.attach(DB, COPY, "/dev/sdx").unwrap();
    let result = region.run(
        "blockdev --getsize64 /dev/sdx\nmkdir /mnt/copy && mount /dev/sdx /mnt/copy && cat /mnt/copy/file",
    );
    assert_eq!((result.stdout.as_str(), result.stderr.as_str()), ("524288000\nkept\n", ""));
    let mounts = region.disks.state().unwrap().remove(0).mounts;
    assert!(mounts.iter().any(|mount| mount.volume == COPY && mount.mount_point == "/mnt/copy"));
    assert!(matches!(region.disks.delete_volume(COPY), Err(MachineError::Busy(_))));
    region.disks.detach(DB, COPY).unwrap();
    assert_eq!(region.run("ls /dev/sdx").end, ScriptEnd::Exited(2), "the device is still there");
    region.disks.delete_volume(COPY).unwrap();
    assert!(matches!(region.disks.delete_volume(COPY), Err(MachineError::Unknown { .. })));
    region.end();
}

#[test]
fn a_volume_in_use_is_not_unplugged_and_its_writer_goes_on() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    let (_, volume, mount) = VOLUMES[1];
    let holder = region.start(&format!("exec 5< '{mount}'\ntouch /run/held\nsleep 60"));
    wait_until("the holder", || region.run("[ -e /run/held ]").end == ScriptEnd::Exited(0));
    assert!(matches!(region.disks.detach(DB, volume), Err(MachineError::Busy(id)) if id == volume));
    region.wait_for_records(&[volume], 5);
    holder.kill();
    holder.wait();
    region.disks.detach(DB, volume).unwrap();
    let found = region.cut_and_verify(&[volume], 1).remove(0);
    assert!(found.is_consistent(), "a detached volume is clean: {found:?}");
    region.end();
}

#[test]
fn a_volume_that_is_unplugged_while_frozen_leaves_its_device_free() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    for (_, volume, mount) in VOLUMES {
        region.fsfreeze("-f", &[mount]);
        region.disks.detach(DB, volume).unwrap();
    }
    let bound = loop_devices_below(region.base.path());
    assert!(bound.iter().all(|file| file.contains("vault.img")), "{bound:?}");
    region.end();
}
