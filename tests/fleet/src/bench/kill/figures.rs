//! The campaign in numbers.

use super::judge::{Judgement, Seen};
use super::plan::Disturbance;
use super::stage::Outcome;
use serde::Serialize;
use std::collections::BTreeMap;

/// What is told at the end.
#[derive(Debug, Default, Serialize)]
pub struct Figures {
    /// Where the random numbers started.
    pub seed: u64,
    /// Freezes.
    pub freezes: usize,
    /// File systems of those.
    pub file_systems: BTreeMap<String, usize>,
    /// How long it all took, seconds.
    pub took_s: u64,
    /// The longest that a file system took no writes, milliseconds: from the last answer before it to the
    /// first after it.
    pub longest_stall_ms: f64,
    /// The longest that one may have been frozen after its FIFREEZE had returned.
    pub longest_frozen_ms: f64,
    /// The longest that one may have been frozen beyond its `max_freeze`; negative when none was.
    pub longest_beyond_max_freeze_ms: f64,
    /// The longest that one may have been frozen after the worker's death.
    pub longest_after_death_ms: f64,
    /// How long the third line took, each time that it was needed.
    pub third_line_ms: Vec<f64>,
    /// By disturbance.
    pub disturbances: BTreeMap<Disturbance, Row>,
    /// Snapshots labelled `filesystem`, each with its bytes read.
    pub filesystem: usize,
    /// The others, how many of them were read, and how many of those had a dirty journal.
    pub crash: usize,
    /// See [`Figures::crash`].
    pub crash_read: usize,
    /// See [`Figures::crash`].
    pub crash_dirty: usize,
    /// What looked like a violation and is explained by the machine.
    pub explained: Vec<String>,
    /// Broken promises.
    pub violations: Vec<String>,
}

/// One disturbance.
#[derive(Debug, Default, Serialize)]
pub struct Row {
    /// How often.
    pub freezes: usize,
    /// In which phase it really landed, where it was done by hand; `never` when its moment did not come.
    pub phases: BTreeMap<String, usize>,
    /// What the helpers reported.
    pub verdicts: BTreeMap<String, usize>,
    /// What came of second freezes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub notes: BTreeMap<String, usize>,
    /// How often it had an effect of its own: a foreign thaw thawed, a lease was there.
    pub told: usize,
    /// Snapshots labelled `filesystem`.
    pub filesystem: usize,
    /// The others.
    pub crash: usize,
}

impl Figures {
    /// Adds one freeze.
    pub fn add(&mut self, seen: &Seen, outcome: &Outcome, judgement: Judgement) {
        if self.freezes == 0 {
            self.longest_beyond_max_freeze_ms = f64::NEG_INFINITY;
        }
        self.freezes += 1;
        for volume in &seen.volumes {
            let fs = volume.name.split(['(', ')']).nth(1).unwrap_or_default();
            *self.file_systems.entry(fs.to_owned()).or_default() += 1;
        }
        let frozen = ms(judgement.frozen_ns);
        self.longest_stall_ms = self.longest_stall_ms.max(ms(judgement.stall_ns));
        self.longest_frozen_ms = self.longest_frozen_ms.max(frozen);
        self.longest_beyond_max_freeze_ms =
            self.longest_beyond_max_freeze_ms.max(round(frozen - ms(seen.max_freeze_ns)));
        self.longest_after_death_ms = self.longest_after_death_ms.max(ms(judgement.after_death_ns));
        self.third_line_ms.extend(judgement.third_line_ns.map(ms));
        self.filesystem += outcome.filesystem;
        self.crash += outcome.crash;
        let row = self.disturbances.entry(seen.plan.disturbance).or_default();
        row.freezes += 1;
        row.filesystem += outcome.filesystem;
        row.crash += outcome.crash;
        for verdict in &outcome.verdicts {
            *row.verdicts.entry(verdict.clone()).or_default() += 1;
        }
        if let Some(hit) = &seen.hit {
            *row.phases.entry(hit.phase.clone()).or_default() += 1;
            row.told += usize::from(hit.told);
            if seen.plan.disturbance == Disturbance::SecondFreeze {
                *row.notes.entry(hit.note.clone()).or_default() += 1;
            }
        } else if seen.plan.is_by_hand() {
            *row.phases.entry("never".to_owned()).or_default() += 1;
        }
        let name = format!("freeze {} ({:?}): ", seen.plan.number, seen.plan.disturbance);
        self.explained.extend(judgement.explained.into_iter().map(|what| format!("{name}{what}")));
        self.violations.extend(judgement.violations.into_iter().map(|what| format!("{name}{what}")));
    }

    /// Whether the check of labels could have failed, and there was something to check.
    #[must_use]
    pub fn provable(&self) -> bool {
        self.crash_dirty > 0 && self.filesystem > 0
    }

    /// Prints all of it.
    pub fn print(&self) {
        println!(
            "{} freezes of {:?} in {} s, seed {}\n",
            self.freezes, self.file_systems, self.took_s, self.seed
        );
        println!("longest without writes                {:>9.1} ms", self.longest_stall_ms);
        println!("longest frozen, at most               {:>9.1} ms", self.longest_frozen_ms);
        println!(
            "longest beyond max_freeze, at most    {:>9.1} ms (100 allowed)",
            self.longest_beyond_max_freeze_ms
        );
        println!(
            "longest after the worker's death      {:>9.1} ms (100 allowed)",
            self.longest_after_death_ms
        );
        let mut third = self.third_line_ms.clone();
        let median = crate::bench::median(&mut third);
        println!(
            "third line, worker and guardian dead  {:>9.1} ms median, {:.1} worst, {} times\n",
            median,
            third.last().copied().unwrap_or_default(),
            third.len()
        );
        for (disturbance, row) in &self.disturbances {
            println!(
                "{:<18} {:>5} freezes, labelled {} filesystem {} crash",
                format!("{disturbance:?}"),
                row.freezes,
                row.filesystem,
                row.crash
            );
            if !row.phases.is_empty() {
                println!("    landed in {}", counts(&row.phases));
            }
            if row.told > 0 {
                println!("    had an effect {} times", row.told);
            }
            println!("    reported  {}", counts(&row.verdicts));
            if !row.notes.is_empty() {
                println!("    came to   {}", counts(&row.notes));
            }
        }
        println!(
            "\n{} snapshots labelled filesystem, all read; of {} others {} read, {} with a dirty journal",
            self.filesystem, self.crash, self.crash_read, self.crash_dirty
        );
        for one in &self.explained {
            println!("explained: {one}");
        }
        for violation in &self.violations {
            println!("VIOLATION {violation}");
        }
        println!("{} violations", self.violations.len());
        if !self.provable() {
            println!(
                "The check of labels proves nothing: no unfrozen snapshot was dirty, or none was labelled filesystem."
            );
        }
    }
}

fn counts(of: &BTreeMap<String, usize>) -> String {
    of.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}

fn ms(ns: u64) -> f64 {
    round(ns as f64 / 1e6)
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
