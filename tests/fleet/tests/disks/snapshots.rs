use crate::support::{Region, VOLUMES, possible, spec};
use fleet::machine::{CutRequest, MachineError, Machines};
use fleet::verify::{Journal, verify};
use std::fs;

#[test]
fn a_snapshot_without_a_freeze_is_dirty_and_one_with_it_is_clean() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true\nwriter_bulk_mb_s = 10"));
    let volumes = VOLUMES.map(|(_, id, _)| id);
    let mounts = VOLUMES.map(|(_, _, mount)| mount);
    region.wait_for_records(&volumes, 50);
    let mut dirty = [0; 3];
    for round in 0..5 {
        region.wait_for_records(&volumes, 20);
        for (count, found) in dirty.iter_mut().zip(region.cut_and_verify(&volumes, round)) {
            *count += u32::from(found.journal == Journal::Dirty);
            let records = found.records.clone().unwrap();
            assert_eq!(records.lost, 0, "what was synced is in a copy of one instant: {found:?}");
        }
    }
    assert_eq!(dirty[..2], [5, 5], "ext4 and XFS under load have something to recover");
    assert!(dirty[2] >= 1, "btrfs has, except in the instant after a commit");
    for round in 5..8 {
        region.wait_for_records(&volumes, 20);
        region.fsfreeze("-f", &mounts);
        let found = region.cut_and_verify(&volumes, round);
        region.fsfreeze("-u", &mounts);
        for one in found {
            assert!(one.is_consistent(), "{one:?}");
            let records = one.records.unwrap();
            assert!(records.acknowledged >= 70 && records.present >= records.acknowledged, "{records:?}");
        }
    }
    region.end();
}

#[test]
fn copies_of_many_btrfs_are_read_at_the_same_time_whatever_device_they_meet() {
    if !possible() {
        return;
    }
    // Regions come and go, so that loop devices change hands, and btrfs remembers what was on each.
    let read = || {
        for _ in 0..4 {
            let region = Region::new(&spec("writer = true"));
            let (_, volume, _) = VOLUMES[2];
            region.wait_for_records(&[volume], 5);
            for round in 0..10 {
                let found = region.cut_and_verify(&[volume], round).remove(0);
                assert_eq!(found.error, None, "{found:?}");
            }
            region.end();
        }
    };
    std::thread::scope(|scope| (0..6).for_each(|_| drop(scope.spawn(read))));
}

#[test]
fn a_record_that_was_promised_and_is_not_there_is_found() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    let (_, volume, _) = VOLUMES[0];
    region.wait_for_records(&[volume], 20);
    let log = region.disks.writer_log(volume);
    let forged = format!("A 999999 1\n{}", fs::read_to_string(&log).unwrap());
    fs::write(&log, forged).unwrap();
    let found = region.cut_and_verify(&[volume], 1).remove(0);
    let records = found.records.clone().unwrap();
    assert_eq!((records.lost, records.first_lost), (1, Some(999_999)), "{found:?}");
    assert!(!found.is_consistent());
    region.end();
}

#[test]
fn volumes_of_one_call_are_cut_together_or_not_at_all() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let cut = |volume: &str, snapshot: &str| CutRequest {
        volume: volume.to_owned(),
        snapshot: snapshot.to_owned(),
    };
    let (known, unknown) = (VOLUMES[0].1, "vol-0ffffffffffffffff");
    let outcome = region.disks.snapshot(&[cut(known, "snap-00000001"), cut(unknown, "snap-00000002")]);
    assert!(matches!(outcome, Err(MachineError::Unknown { kind: "volume", id }) if id == unknown));
    assert_eq!(region.disks.snapshot_path("snap-00000001"), None);

    region.disks.snapshot(&[cut(known, "snap-00000003")]).unwrap();
    let twice = region.disks.snapshot(&[cut(VOLUMES[1].1, "snap-00000004"), cut(known, "snap-00000003")]);
    assert!(twice.is_err(), "a snapshot is not overwritten");
    assert_eq!(region.disks.snapshot_path("snap-00000004"), None, "half of a set was left");

    let path = region.disks.snapshot_path("snap-00000003").unwrap();
    assert_eq!(verify(&path).error, None);
    region.disks.delete_snapshot("snap-00000003").unwrap();
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 0, "something of it was left");
    assert!(region.disks.delete_snapshot("snap-00000003").is_err());
    region.end();
}

#[test]
fn what_is_no_snapshot_is_an_error_and_not_a_verdict() {
    let found = verify(std::path::Path::new("/nonexistent/snap-1.img"));
    assert_eq!(found.journal, Journal::Unknown);
    assert!(found.error.unwrap().contains("/nonexistent/snap-1.img"));
}
