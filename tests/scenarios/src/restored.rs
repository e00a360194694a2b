//! What a restore has brought back, read on the instance that it was restored onto and held against what was
//! promised to whoever wrote it.

use crate::region::Region;
use fleet::boottime::now_ns;
use fleet::disks::CutRecord;
use fleet::writer::{DIR, Promises, read_all};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

impl Region {
    /// How many records of a volume's writer were acknowledged before its snapshot was cut, and how many of
    /// those are missing below this mount point.
    ///
    /// # Panics
    /// There is nothing to be read.
    #[must_use]
    pub fn owed_and_lost(&self, instance: &str, mount_point: &str, snapshot: &str) -> (usize, usize) {
        let cut = self.cut_of(snapshot);
        let log = fs::read_to_string(&cut.writer_log).expect("the writer's log");
        let owed: Vec<u64> = Promises::read(&log).owed(cut.begun_ns, cut.ended_ns).collect();
        let found = read_all(&self.inside(instance, mount_point).join(DIR)).expect("the writer's records");
        let found: BTreeSet<u64> = found.sequences.into_iter().collect();
        (owed.len(), owed.iter().filter(|sequence| !found.contains(sequence)).count())
    }

    /// When a snapshot was cut.
    ///
    /// # Panics
    /// There is no such snapshot.
    #[must_use]
    pub fn cut_of(&self, snapshot: &str) -> CutRecord {
        CutRecord::read(&self.snapshot_files()[snapshot]).expect("the record of the cut")
    }

    /// Waits until so many file systems are mounted on an instance from its volumes, its own root not counted.
    ///
    /// # Panics
    /// They are not within a minute.
    pub fn wait_for_mounts(&self, instance: &str, mounts: usize) {
        self.wait_until("the mounts", || {
            self.mounted_on(instance).keys().filter(|at| *at != "/").count() == mounts
        });
    }

    /// What the restore function told of a mount in its report.
    #[must_use]
    pub fn mount_in<'r>(report: &'r Value, mount_point: &str) -> &'r Value {
        let mounts = report["mounts"]["mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        mounts.iter().find(|mount| mount["mount_point"] == mount_point).unwrap_or(&Value::Null)
    }

    /// Writes a file on an instance, and has it reach the disk.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write_inside(&self, instance: &str, path: &str, text: &str) {
        let path = self.inside(instance, path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        let mut file = File::create(path).expect("a file");
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).expect("a write");
    }

    /// Reads a file on an instance; `None` where there is none.
    #[must_use]
    pub fn read_inside(&self, instance: &str, path: &str) -> Option<String> {
        fs::read_to_string(self.inside(instance, path)).ok()
    }
}

/// A program that writes each number to one volume and then to another, as a database writes its log and then
/// its tables: at every instant the first has at most one number more. It ends with this value.
#[derive(Debug)]
pub struct PairWriter {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u64>>>,
}

/// The file of a [`PairWriter`] below each of its directories.
const NUMBERS: &str = "numbers";

impl PairWriter {
    /// Begins to write, below these two directories.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn start(first: &Path, second: &Path) -> Self {
        let open = |dir: &Path| File::create(dir.join(NUMBERS)).expect("the volumes can be written to");
        let (mut first, mut second) = (open(first), open(second));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut acknowledged = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                for file in [&mut first, &mut second] {
                    let text = format!("{}\n", acknowledged.len());
                    file.write_all(text.as_bytes()).and_then(|()| file.sync_data()).expect("a write");
                }
                acknowledged.push(now_ns());
            }
            acknowledged
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends it; when each number was acknowledged.
    ///
    /// # Panics
    /// A write failed.
    #[must_use]
    pub fn finish(mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().expect("it runs").join().expect("every write went well")
    }

    /// How many numbers lie below a directory.
    ///
    /// # Panics
    /// It cannot be read, or a number is missing.
    #[must_use]
    pub fn count(dir: &Path) -> usize {
        let text = fs::read_to_string(dir.join(NUMBERS)).expect("the numbers");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for (n, line) in whole.lines().enumerate() {
            assert_eq!(line, n.to_string(), "in {}", dir.display());
        }
        whole.lines().count()
    }
}

impl Drop for PairWriter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
