//! What the tests share: a region in a directory of its own, scripts on its instances, waiting.

use fleet::disks::{Config, Disks};
use fleet::machine::{CutRequest, Machines, RunningScript, ScriptResult, ShellScript};
use fleet::spec::Spec;
use fleet::verify::{Verification, verify};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The instance that most tests use.
pub const DB: &str = "i-0aaaaaaaaaaaaaaa1";
/// Its volumes: type, id, mount point.
pub const VOLUMES: [(&str, &str, &str); 3] = [
    ("ext4", "vol-0aaaaaaaaaaaaaa01", "/srv/pg data"),
    ("xfs", "vol-0aaaaaaaaaaaaaa02", "/srv/search"),
    ("btrfs", "vol-0aaaaaaaaaaaaaa03", "/var/lib/queue"),
];

/// `false`, said on stderr, where real disks cannot be had.
pub fn possible() -> bool {
    let Some(reason) = fleet::disks::missing() else { return true };
    assert!(std::env::var_os("STILLFRAME_REQUIRE").is_none_or(|value| value != "1"), "{reason}");
    eprintln!("skipped: {reason}");
    false
}

/// One instance with a volume of each type; `extra` goes into each volume's table.
pub fn spec(extra: &str) -> Spec {
    let mut text = format!("[[instance]]\nid = \"{DB}\"\n");
    for (fs, id, mount) in VOLUMES {
        text += &format!("[[instance.volume]]\nid = \"{id}\"\nfs = \"{fs}\"\nmount = \"{mount}\"\n{extra}\n");
    }
    Spec::read(&text).unwrap()
}

/// A region in a temporary directory of its own.
pub struct Region {
    pub disks: Disks,
    pub base: tempfile::TempDir,
}

impl Region {
    pub fn new(spec: &Spec) -> Self {
        let base = tempfile::tempdir().unwrap();
        let disks = Disks::new(spec, &config(base.path())).unwrap();
        Self { disks, base }
    }

    /// Starts lines of shell on the instance.
    pub fn start(&self, script: &str) -> Box<dyn RunningScript> {
        self.start_for(script, Duration::from_secs(60))
    }

    pub fn start_for(&self, script: &str, timeout: Duration) -> Box<dyn RunningScript> {
        let env = vec![("SSM_COMMAND_ID".to_owned(), "1234-abcd".to_owned())];
        let commands = script.lines().map(str::to_owned).collect();
        self.disks.run(DB, &ShellScript { commands, env, timeout }).unwrap()
    }

    pub fn run(&self, script: &str) -> ScriptResult {
        self.start(script).wait()
    }

    /// Freezes or thaws file systems of the instance from inside.
    pub fn fsfreeze(&self, flag: &str, mount_points: &[&str]) {
        let each = |mount: &&str| format!("fsfreeze {flag} '{mount}' || exit 1\n");
        let result = self.run(&mount_points.iter().map(each).collect::<String>());
        assert_eq!(result.end, fleet::machine::ScriptEnd::Exited(0), "{}", result.stderr);
    }

    /// Mount points that are frozen now.
    pub fn frozen(&self) -> Vec<String> {
        let state = self.disks.state().unwrap();
        let mounts = state.into_iter().flat_map(|instance| instance.mounts);
        mounts.filter(|mount| mount.frozen).map(|mount| mount.mount_point).collect()
    }

    /// Waits until every writer has acknowledged so many more records.
    pub fn wait_for_records(&self, volumes: &[&str], more: usize) {
        let count = |volume: &str| {
            let log = fs::read_to_string(self.disks.writer_log(volume)).unwrap_or_default();
            log.lines().filter(|line| line.starts_with("A ")).count()
        };
        for volume in volumes {
            let before = count(volume);
            wait_until(&format!("records on {volume}"), || count(volume) >= before + more);
        }
    }

    /// Cuts snapshots of these volumes, named after them and `name`, and checks them.
    pub fn cut_and_verify(&self, volumes: &[&str], name: u32) -> Vec<Verification> {
        let snapshot = |volume: &str| volume.replace("vol-0", &format!("snap-{name}"));
        let cuts: Vec<_> = volumes
            .iter()
            .map(|volume| CutRequest { volume: (*volume).to_owned(), snapshot: snapshot(volume) })
            .collect();
        self.disks.snapshot(&cuts).unwrap();
        cuts.iter().map(|cut| verify(&self.disks.snapshot_path(&cut.snapshot).unwrap())).collect()
    }

    /// Ends it; nothing may be left.
    pub fn end(self) {
        self.disks.shutdown();
        assert_nothing_left(self.base.path());
    }
}

/// What the disks of a test are made with.
pub fn config(base: &Path) -> Config {
    Config { base: base.to_owned(), helper: None, fleet: PathBuf::from(env!("CARGO_BIN_EXE_fleet")) }
}

/// Polls; fails after a time that only something broken needs.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// No file, mount, loop device or process of a fleet below `base`.
pub fn assert_nothing_left(base: &Path) {
    let files: Vec<_> = fs::read_dir(base).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.is_empty(), "left: {files:?}");
    let place = base.to_str().unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(place), "left mounted: {mounts}");
    // One that somebody looks at just now, as blkid does at every disk, goes when it is let go of.
    wait_until("the loop devices to be gone", || loop_devices_below(base).is_empty());
}

/// The files behind loop devices, those below `base`.
pub fn loop_devices_below(base: &Path) -> Vec<String> {
    let entries = fs::read_dir("/sys/block").unwrap().flatten();
    let files = entries.filter_map(|entry| fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.filter(|file| file.starts_with(base.to_str().unwrap())).collect()
}
