//! The figures of a cell, and the marks that ours has to meet.

use super::cell::{Cell, Disk, Fs};
use super::seen::Seen;
use super::ways::{Taken, Way};
use crate::bench::median;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Ours: the writers' longest stall, to the limit.
const MEDIAN_MARK: f64 = 1.05;
const WORST_MARK: f64 = 1.15;
/// Ours: 16 file systems to one.
const SCALE_MARK: f64 = 1.1;
const MANY: u8 = 16;

/// The parts of a freeze in the helper's report.
const PHASES: [&str; 6] = ["flush_us", "prime_us", "freeze_us", "sync_us", "signal_us", "thaw_us"];

/// Median and worst of some turns, milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) worst: f64,
    #[serde(skip)]
    all: Vec<f64>,
}

impl Spread {
    fn add(&mut self, ms: f64) {
        self.all.push(ms);
    }

    fn finish(&mut self) {
        let round = |value: f64| (value * 1_000.0).round() / 1_000.0;
        self.median = round(median(&mut self.all));
        self.worst = round(self.all.last().copied().unwrap_or_default());
    }
}

/// What one way came to.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct WayFigures {
    pub(super) turns: usize,
    /// Turns that did not come to a freeze, and count for nothing else here.
    pub(super) not_frozen: usize,
    /// The writers' longest stall around the cut.
    pub(super) stall_ms: Spread,
    /// From the first stalled write of any file system to the last.
    pub(super) window_ms: Spread,
    /// The longest stall outside of that: of the flush and the prime, where there are any.
    pub(super) outside_ms: Spread,
    /// The same for a small write with its fdatasync.
    pub(super) synced_outside_ms: Spread,
    /// The parts, as the helper reports them; without those of ways that have no helper.
    pub(super) phases_ms: BTreeMap<&'static str, Spread>,
}

/// What one cell came to.
#[derive(Debug, Clone, Serialize)]
pub(super) struct CellFigures {
    pub(super) fs: Fs,
    pub(super) count: u8,
    pub(super) disk: Disk,
    pub(super) limit_ms: u64,
    /// The longest that a write took before each turn, with nothing done.
    pub(super) idle_ms: Spread,
    pub(super) ways: BTreeMap<Way, WayFigures>,
    /// Ours: stalls to the limit.
    pub(super) median_ratio: f64,
    pub(super) worst_ratio: f64,
    pub(super) median_met: bool,
    pub(super) worst_met: bool,
}

impl CellFigures {
    pub(super) fn new(cell: &Cell, limit_ms: u64) -> Self {
        Self {
            fs: cell.fs,
            count: cell.count,
            disk: cell.disk,
            limit_ms,
            idle_ms: Spread::default(),
            ways: BTreeMap::new(),
            median_ratio: 0.0,
            worst_ratio: 0.0,
            median_met: false,
            worst_met: false,
        }
    }

    pub(super) fn add_idle(&mut self, longest: Duration) {
        self.idle_ms.add(ms(longest));
    }

    pub(super) fn add_failed(&mut self, way: Way) {
        self.ways.entry(way).or_default().not_frozen += 1;
    }

    pub(super) fn add(&mut self, way: Way, seen: &Seen, taken: &Taken) {
        let figures = self.ways.entry(way).or_default();
        figures.turns += 1;
        figures.stall_ms.add(ms(seen.stall));
        figures.window_ms.add(ms(seen.window));
        figures.outside_ms.add(ms(seen.outside));
        figures.synced_outside_ms.add(ms(seen.synced_outside));
        for phase in PHASES {
            if let Some(us) = taken.point["phases"][phase].as_u64() {
                figures.phases_ms.entry(phase).or_default().add(us as f64 / 1_000.0);
            }
        }
    }

    pub(super) fn finish(&mut self) {
        self.idle_ms.finish();
        for figures in self.ways.values_mut() {
            let WayFigures { stall_ms, window_ms, outside_ms, synced_outside_ms, phases_ms, .. } = figures;
            let parts = phases_ms.values_mut();
            parts.chain([stall_ms, window_ms, outside_ms, synced_outside_ms]).for_each(Spread::finish);
        }
        if let Some(ours) = self.ways.get(&Way::Ours) {
            self.median_ratio = self.ratio(ours.stall_ms.median);
            self.worst_ratio = self.ratio(ours.stall_ms.worst);
            self.median_met = self.median_ratio <= MEDIAN_MARK;
            self.worst_met = self.worst_ratio <= WORST_MARK;
        }
    }

    pub(super) fn ratio(&self, ms: f64) -> f64 {
        ms / self.limit_ms as f64
    }
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

/// Many file systems beside one.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Scale {
    pub(super) fs: Fs,
    pub(super) disk: Disk,
    pub(super) one_ms: f64,
    pub(super) many_ms: f64,
    pub(super) ratio: f64,
    pub(super) met: bool,
}

impl Scale {
    /// For every type and disk of which both were measured.
    pub(super) fn of(cells: &[CellFigures]) -> Vec<Self> {
        let stall = |cell: &CellFigures| cell.ways.get(&Way::Ours).map(|ours| ours.stall_ms.median);
        let ones = cells.iter().filter(|cell| cell.count == 1);
        ones.filter_map(|one| {
            let same = |cell: &&CellFigures| (cell.fs, cell.disk, cell.count) == (one.fs, one.disk, MANY);
            let (one_ms, many_ms) = (stall(one)?, stall(cells.iter().find(same)?)?);
            let ratio = many_ms / one_ms;
            Some(Self { fs: one.fs, disk: one.disk, one_ms, many_ms, ratio, met: ratio <= SCALE_MARK })
        })
        .collect()
    }
}

/// What has to be met, in words.
pub(super) fn marks() -> String {
    format!(
        "marks: ours, a writer's longest stall: median at most {MEDIAN_MARK} and worst at most {WORST_MARK} times \
         the limit; {MANY} file systems at most {SCALE_MARK} times one"
    )
}
