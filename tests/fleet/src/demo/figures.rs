//! The demo's figures: what `--json` prints.

use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that the demo counted.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Restore points made: one per instance and run.
    pub restore_points: u64,
    /// Snapshots made, by label.
    pub labels: Labels,
    /// How long file systems were frozen.
    pub frozen_ms: FrozenMs,
    /// Records that writers had acknowledged before the cuts that were verified.
    pub records_acknowledged: u64,
    /// Those of them that the snapshots lack. Anything but 0 is a broken promise.
    pub records_lost: u64,
    /// Verified snapshots labelled `filesystem` whose journal has to be recovered.
    pub journals_dirty: u64,
    /// File systems that were still frozen at the end.
    pub left_frozen: u64,
    /// Snapshots that were pruned.
    pub pruned: u64,
}

/// Snapshots by label.
#[derive(Debug, Default, Serialize)]
pub struct Labels {
    /// Frozen while cut, with proof.
    pub filesystem: u64,
    /// As after a power cut.
    pub crash: u64,
    /// Nothing could write.
    pub offline: u64,
}

impl Labels {
    /// Counts labels by their names.
    #[must_use]
    pub fn count<'a>(labels: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for label in labels {
            *counts.entry(label).or_default() += 1;
        }
        let of = |label| counts.get(label).copied().unwrap_or_default();
        Self { filesystem: of("filesystem"), crash: of("crash"), offline: of("offline") }
    }
}

/// Frozen times, milliseconds; both 0 when nothing was frozen.
#[derive(Debug, Default, Serialize)]
pub struct FrozenMs {
    /// The middle one.
    pub median: f64,
    /// The longest.
    pub worst: f64,
}

impl FrozenMs {
    /// Of frozen times in microseconds.
    #[must_use]
    pub fn of(mut us: Vec<u64>) -> Self {
        us.sort_unstable();
        let ms = |us: Option<&u64>| us.map_or(0.0, |&us| (us as f64 / 100.0).round() / 10.0);
        Self { median: ms(us.get(us.len() / 2)), worst: ms(us.last()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_with_one_decimal() {
        let times = FrozenMs::of(vec![430_000, 410_120, 420_060]);
        assert!((times.median - 420.1).abs() < 1e-9 && (times.worst - 430.0).abs() < 1e-9, "{times:?}");
        let none = FrozenMs::of(vec![]);
        assert!(none.median == 0.0 && none.worst == 0.0);
    }

    #[test]
    fn labels_are_counted_by_name() {
        let labels = Labels::count(["crash", "filesystem", "crash"].into_iter());
        assert_eq!((labels.filesystem, labels.crash, labels.offline), (1, 2, 0));
    }
}
