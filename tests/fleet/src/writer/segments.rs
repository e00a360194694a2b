//! The files that records lie in: `segment-00000017.log`, filled one after the other, the oldest removed.

use super::record::Record;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file with this number.
pub fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("segment-{number:08}.log"))
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("segment-")?.strip_suffix(".log")?.parse().ok()
}

/// The numbers of all segments, ascending.
///
/// # Errors
/// The directory cannot be listed.
pub fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        numbers.extend(number_of(&entry?.file_name().to_string_lossy()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a directory holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Sequences of whole records, ascending.
    pub sequences: Vec<u64>,
    /// Segments that end in something that is no whole record: a write that was cut.
    pub torn: u64,
}

/// Reads every record of a writer's directory; there may be none.
///
/// # Errors
/// A file cannot be read.
pub fn read_all(dir: &Path) -> io::Result<Found> {
    let mut found = Found::default();
    for number in list(dir)? {
        let bytes = fs::read(path(dir, number))?;
        let mut rest = bytes.as_slice();
        while let Some((record, after)) = Record::decode(rest) {
            found.sequences.push(record.sequence);
            rest = after;
        }
        found.torn += u64::from(!rest.is_empty());
    }
    found.sequences.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_records_are_found_and_a_torn_one_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = |sequence| Record { sequence, time_ns: 1 }.encode();
        fs::write(path(dir.path(), 9), [bytes(3), bytes(4)].concat()).unwrap();
        let torn = bytes(6);
        fs::write(path(dir.path(), 10), [&bytes(5)[..], &torn[..torn.len() - 1]].concat()).unwrap();
        fs::write(dir.path().join("segment-00000011.tmp"), bytes(7)).unwrap();
        assert_eq!(read_all(dir.path()).unwrap(), Found { sequences: vec![3, 4, 5], torn: 1 });
    }
}
