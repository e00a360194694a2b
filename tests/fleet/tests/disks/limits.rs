//! Disks with a speed limit, and regions whose snapshots have no bytes.

use crate::support::{DB, Region, VOLUMES, assert_nothing_left, config, possible, spec, wait_until};
use fleet::disks::{CutRecord, Disks, limit, sweep};
use fleet::machine::{CutRequest, Machines, ScriptEnd};
use fleet::spec::Spec;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const BASE: &str = "FLEET_TEST_BASE";
const LIMITED: &str = "limit_mb_s = 20\nlimit_iops = 1000";
const MIB: u64 = 24;

/// One test with limits at a time: a number that one has let go of is soon another's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `false`, said on stderr, where disks cannot be limited.
fn limits_possible() -> bool {
    if !possible() {
        return false;
    }
    let Some(reason) = limit::missing() else { return true };
    assert!(std::env::var_os("STILLFRAME_REQUIRE").is_none_or(|value| value != "1"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

fn limited() -> Spec {
    let mut spec = spec(LIMITED);
    spec.copies = false;
    spec
}

/// The numbers of loop devices whose files lie below `base`.
fn numbers_below(base: &Path) -> Vec<u32> {
    let entries = fs::read_dir("/sys/block").unwrap().flatten();
    let numbers = entries.filter_map(|entry| {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).ok()?;
        let number = entry.file_name().to_str()?.strip_prefix("loop")?.parse().ok()?;
        file.starts_with(base.to_str()?).then_some(number)
    });
    numbers.collect()
}

/// How many of these devices the kernel limits.
fn limited_now(numbers: &[u32]) -> usize {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let groups = table.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let group = groups.map(|at| at.join("blkio.throttle.write_bps_device")).find(|file| file.exists());
    let limits = fs::read_to_string(group.unwrap()).unwrap();
    let is_limited = |number: &&u32| limits.lines().any(|line| line.starts_with(&format!("7:{number} ")));
    numbers.iter().filter(is_limited).count()
}

#[test]
fn a_limited_disk_is_slow_for_direct_and_for_buffered_writes_on_every_kind_of_file_system() {
    if !limits_possible() {
        return;
    }
    let _alone = alone();
    let region = Region::new(&limited());
    let numbers = numbers_below(region.base.path());
    assert_eq!(limited_now(&numbers), 3);
    let least = Duration::from_millis(MIB * 1_048_576 / 20_000 * 8 / 10);
    for (fs, _, mount) in VOLUMES {
        for how in ["oflag=direct", "conv=fsync"] {
            let began = Instant::now();
            let line = format!("dd if=/dev/zero of='{mount}/file' bs=1M count={MIB} {how} status=none");
            assert_eq!(region.run(&line).end, ScriptEnd::Exited(0));
            let took = began.elapsed();
            assert!(took >= least, "{MIB} MiB on {fs} with {how} in {took:?}: the limit does not hold");
        }
    }
    region.end();
    assert_eq!(limited_now(&numbers), 0, "limits stay with numbers that others will be given");
}

/// Not a test: the fleet that [`the_limits_of_a_killed_fleet_are_lifted`] kills.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn a_limited_fleet_that_waits_to_be_killed() {
    let Some(base) = std::env::var_os(BASE).map(PathBuf::from) else { return };
    let _disks = Disks::new(&limited(), &config(&base)).unwrap();
    println!("\nready");
    loop {
        std::thread::park();
    }
}

#[test]
fn the_limits_of_a_killed_fleet_are_lifted() {
    if !limits_possible() {
        return;
    }
    let _alone = alone();
    let base = tempfile::tempdir().unwrap();
    let mut fleet = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "limits::a_limited_fleet_that_waits_to_be_killed", "--ignored", "--nocapture"])
        .env(BASE, base.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(fleet.stdout.take().unwrap()).lines();
    lines.find(|line| line.as_ref().unwrap() == "ready").expect("the fleet did not come up").unwrap();
    let numbers = numbers_below(base.path());
    assert_eq!(limited_now(&numbers), 3);
    fleet.kill().unwrap();
    fleet.wait().unwrap();
    wait_until("the end of its devices", || numbers_below(base.path()).is_empty());
    assert!(limited_now(&numbers) > 0, "the kernel lifts limits by itself: this test proves nothing");
    assert_eq!(sweep::sweep(base.path()).len(), 1);
    assert_eq!(limited_now(&numbers), 0);
    assert_nothing_left(base.path());
}

#[test]
fn a_snapshot_without_bytes_notes_its_instant_and_images_are_written_out() {
    if !possible() {
        return;
    }
    let mut spec = spec("writer = true");
    spec.copies = false;
    let region = Region::new(&spec);
    let (_, volume, _) = VOLUMES[0];
    let cut = CutRequest { volume: volume.to_owned(), snapshot: "snap-00000001".to_owned() };
    region.disks.snapshot(&[cut]).unwrap();
    let path = region.disks.snapshot_path("snap-00000001").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    let record = CutRecord::read(&path).unwrap();
    assert_eq!((record.volume.as_str(), record.begun_ns), (volume, record.ended_ns));
    let files = fs::read_dir(path.parent().unwrap().parent().unwrap().join("volumes")).unwrap().flatten();
    for image in files.map(|file| file.metadata().unwrap()) {
        use std::os::unix::fs::MetadataExt;
        assert!(image.blocks() * 512 >= image.len(), "an image has holes");
    }
    assert!(region.disks.state().unwrap().iter().any(|instance| instance.id == DB));
    region.disks.delete_snapshot("snap-00000001").unwrap();
    region.end();
}
