use crate::support::{
    DB, VOLUMES, assert_nothing_left, config, loop_devices_below, possible, spec, wait_until,
};
use fleet::disks::{Disks, sweep};
use fleet::machine::{Machines, ShellScript};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const BASE: &str = "FLEET_TEST_BASE";

/// Not a test: the fleet that [`a_killed_fleet_is_swept`] kills.
#[test]
#[ignore = "run by another test, as a process of its own"]
fn a_fleet_that_waits_to_be_killed() {
    let Some(base) = std::env::var_os(BASE).map(PathBuf::from) else { return };
    let disks = Disks::new(&spec("writer = true"), &config(&base)).unwrap();
    let freeze: String = VOLUMES.map(|(_, _, mount)| format!("fsfreeze -f '{mount}'\n")).concat();
    let background = "setsid sleep 600 >/dev/null 2>&1 </dev/null & echo $!\n";
    let commands = vec![background.to_owned() + &freeze];
    let script = ShellScript { commands, env: vec![], timeout: Duration::from_secs(60) };
    let result = disks.run(DB, &script).unwrap().wait();
    println!("\nready {}", result.stdout.trim());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_fleet_is_swept() {
    if !possible() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let mut fleet = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "left_behind::a_fleet_that_waits_to_be_killed", "--ignored", "--nocapture"])
        .env(BASE, base.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(fleet.stdout.take().unwrap()).lines();
    let ready = lines.find_map(|line| Some(line.unwrap().strip_prefix("ready ")?.to_owned()));
    let background = ready.expect("the fleet did not come up");
    assert_eq!(sweep::sweep(base.path()), Vec::<PathBuf>::new(), "a living fleet was swept");
    fleet.kill().unwrap();
    fleet.wait().unwrap();
    // Frozen, with writers that wait for a thaw: nothing of it ends by itself.
    assert!(loop_devices_below(base.path()).len() >= 3);
    assert!(Path::new("/proc").join(&background).exists());

    let swept = sweep::sweep(base.path());
    assert_eq!(swept.len(), 1, "{swept:?}");
    assert_nothing_left(base.path());
    wait_until("the background process's end", || !Path::new("/proc").join(&background).exists());
}

#[test]
fn a_region_that_cannot_be_made_leaves_nothing() {
    if !possible() {
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let mut spec = spec("writer = true");
    spec.instances[0].volumes[2].size_mib = 1;
    let error = Disks::new(&spec, &config(base.path())).unwrap_err().to_string();
    assert!(error.contains("mkfs.btrfs"), "{error}");
    assert_nothing_left(base.path());
}
