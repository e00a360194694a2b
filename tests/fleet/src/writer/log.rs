//! The writer's log: what it promised and how long its writes took. One line per entry:
//!
//! ```text
//! A 17 81237465001              record 17 is on the disk, said at this time
//! T 9 81237465002               records below 9 may be gone from now on
//! S record 81230000 81237465    a write that took long, from, to
//! E no space left on device     the end
//! ```
//! Times are nanoseconds of [`crate::boottime`].

use crate::sync::lock;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Mutex;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The record with this sequence is on the disk; said at this time.
    Acknowledged(u64, u64),
    /// Records below this sequence may be gone from this time on.
    Trimmed(u64, u64),
    /// A write took long.
    Stalled(Stall),
    /// The writer gave up.
    Failed(String),
}

/// A write that took long.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Stall {
    /// What was written: `record`, `segment`, `files` or `bulk`.
    pub operation: String,
    /// When it was asked for.
    pub from_ns: u64,
    /// When it was done.
    pub to_ns: u64,
}

impl Entry {
    fn to_line(&self) -> String {
        match self {
            Self::Acknowledged(sequence, at) => format!("A {sequence} {at}\n"),
            Self::Trimmed(sequence, at) => format!("T {sequence} {at}\n"),
            Self::Stalled(Stall { operation, from_ns, to_ns }) => {
                format!("S {operation} {from_ns} {to_ns}\n")
            }
            Self::Failed(why) => format!("E {}\n", why.replace('\n', " ")),
        }
    }

    fn of_line(line: &str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        let pair = |text: &str| {
            let (a, b) = text.split_once(' ')?;
            Some((a.parse().ok()?, b.parse().ok()?))
        };
        match kind {
            "A" => pair(rest).map(|(sequence, at)| Self::Acknowledged(sequence, at)),
            "T" => pair(rest).map(|(sequence, at)| Self::Trimmed(sequence, at)),
            "S" => {
                let (operation, times) = rest.split_once(' ')?;
                let (from_ns, to_ns) = pair(times)?;
                Some(Self::Stalled(Stall { operation: operation.to_owned(), from_ns, to_ns }))
            }
            "E" => Some(Self::Failed(rest.to_owned())),
            _ => None,
        }
    }
}

/// Where entries go.
#[derive(Debug)]
pub struct Log<W>(Mutex<W>);

impl<W: Write> Log<W> {
    /// A log into `output`.
    pub fn new(output: W) -> Self {
        Self(Mutex::new(output))
    }

    /// Writes one entry, at once.
    ///
    /// # Errors
    /// The output fails.
    pub fn note(&self, entry: &Entry) -> io::Result<()> {
        let mut output = lock(&self.0);
        output.write_all(entry.to_line().as_bytes())?;
        output.flush()
    }
}

/// A log, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promises {
    /// Acknowledged records: sequence and time.
    pub acknowledged: BTreeMap<u64, u64>,
    /// Announced trims: sequence and time.
    pub trimmed: Vec<(u64, u64)>,
    /// Writes that took long, in the order of their ends.
    pub stalls: Vec<Stall>,
    /// Why the writer gave up, if it did.
    pub failures: Vec<String>,
}

impl Promises {
    /// Reads a log; the last line may be written at this moment and is then left out.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut promises = Self::default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        for entry in whole.lines().filter_map(Entry::of_line) {
            match entry {
                Entry::Acknowledged(sequence, at) => {
                    promises.acknowledged.insert(sequence, at);
                }
                Entry::Trimmed(sequence, at) => promises.trimmed.push((sequence, at)),
                Entry::Stalled(stall) => promises.stalls.push(stall),
                Entry::Failed(why) => promises.failures.push(why),
            }
        }
        promises
    }

    /// The records that a copy made from `begun_ns` to `ended_ns` must have: acknowledged before it
    /// began, and not announced as removed before it ended.
    pub fn owed(&self, begun_ns: u64, ended_ns: u64) -> impl Iterator<Item = u64> {
        let trims = self.trimmed.iter().filter(|(_, at)| *at <= ended_ns);
        let first = trims.map(|(sequence, _)| *sequence).max().unwrap_or_default();
        let acknowledged = self.acknowledged.range(first..);
        acknowledged.filter(move |(_, at)| **at < begun_ns).map(|(sequence, _)| *sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_survive_the_log() {
        let stall = Stall { operation: "bulk".to_owned(), from_ns: 5, to_ns: 9 };
        let log = Log::new(Vec::new());
        for entry in [
            Entry::Acknowledged(1, 10),
            Entry::Trimmed(1, 11),
            Entry::Stalled(stall.clone()),
            Entry::Failed("no\nspace".to_owned()),
        ] {
            log.note(&entry).unwrap();
        }
        let text = String::from_utf8(log.0.into_inner().unwrap()).unwrap();
        assert_eq!(
            Promises::read(&text),
            Promises {
                acknowledged: [(1, 10)].into(),
                trimmed: vec![(1, 11)],
                stalls: vec![stall],
                failures: vec!["no space".to_owned()],
            }
        );
    }

    #[test]
    fn a_line_that_is_being_written_is_left_out() {
        assert_eq!(Promises::read("A 1 10\nA 2 11").acknowledged, [(1, 10)].into());
    }

    #[test]
    fn what_was_acknowledged_before_the_cut_and_not_trimmed_is_owed() {
        let promises = Promises::read("A 1 10\nA 2 20\nT 2 25\nA 3 30\nA 4 40\nT 3 45\nA 5 50\n");
        let owed = |begun, ended| promises.owed(begun, ended).collect::<Vec<_>>();
        assert_eq!(owed(24, 24), [1, 2]);
        assert_eq!(owed(24, 25), [2]);
        assert_eq!(owed(40, 41), [2, 3], "a record acknowledged at the very moment is not owed");
        assert_eq!(owed(99, 99), [3, 4, 5]);
        assert_eq!(owed(0, 0), Vec::<u64>::new());
    }
}
