//! What was found, and the marks that it is held against.

use super::account::{Account, Found};
use crate::buckets;
use crate::region::Region;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::time::Duration;

const MOST_RATIO: f64 = 1.15;
const MOST_CALLS: f64 = 2.3;
/// The most that Lambda gives.
const MOST_MIB: f64 = 10_240.0;

/// The figures of one run. Times are the fleet's own.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    /// Instances.
    pub instances: usize,
    /// Volumes.
    pub volumes: usize,
    /// Snapshots that there were.
    pub snapshots: usize,
    /// Volumes without a restore point of the slot.
    pub without: usize,
    /// Restore points too many.
    pub duplicates: usize,
    /// Snapshots with the label that was asked for.
    pub as_asked: usize,
    /// Snapshots with less.
    pub crash: usize,
    /// From the first firing to the end of all that came of it.
    pub makespan_s: f64,
    /// The least time that the bucket of `CreateSnapshots` allows.
    pub allowed_s: f64,
    /// Firings that it took.
    pub firings: u32,
    /// Invocations of the backup function, with how long each took and how it ended.
    pub invocations: Vec<String>,
    /// The functions' calls of EC2 and SSM.
    pub calls: BTreeMap<&'static str, u64>,
    /// How many of these a bucket refused.
    pub throttled: u64,
    /// How many `CreateSnapshots` a bucket refused while somebody was frozen.
    pub throttled_while_frozen: u64,
    /// Faults that came by chance.
    pub faults: BTreeMap<&'static str, u64>,
    /// The longest answer of the function, bytes.
    pub longest_answer: usize,
    /// The most memory that the function's process has had, MiB.
    pub memory_mib: Option<f64>,
    /// The tool that takes volumes one by one.
    pub naive: Option<Naive>,
    /// How long all this took on this machine.
    pub machine_s: f64,
}

/// The figures of the tool that takes volumes one by one.
#[derive(Debug, Clone, Serialize)]
pub struct Naive {
    /// How long it took.
    pub makespan_s: f64,
    /// Its calls.
    pub calls: u64,
    /// How many of these a bucket refused.
    pub throttled: u64,
}

impl Figures {
    /// Of a run that has ended.
    pub fn of(region: &Region, account: &Account, found: Found, makespan: Duration, firings: u32) -> Self {
        let functions = ["backup", "signal"].map(|name| region.calls.by_operation(Some(name)));
        let mut calls = BTreeMap::new();
        for (name, count) in functions.into_iter().flatten().filter(|(name, _)| *name != "Invoke") {
            *calls.entry(name).or_default() += count;
        }
        let throttled_of = |name| region.throttled.by_operation(Some(name));
        let throttled = throttled_of("backup").values().chain(throttled_of("signal").values()).sum();
        let ended = region.functions.host.get().map(|host| host.ended()).unwrap_or_default();
        let invocations = ended.iter().map(|one| {
            let how = match &one.report {
                Ok(report) => format!("{:?}, {}", report.status, reasons(report)),
                Err(cause) => cause.clone(),
            };
            format!("{:.0} s: {how}", one.took.as_secs_f64())
        });
        Self {
            instances: account.instances,
            volumes: account.volumes(),
            snapshots: account.volumes() * account.sets,
            without: found.without,
            duplicates: found.duplicates,
            as_asked: found.as_asked,
            crash: found.crash,
            makespan_s: makespan.as_secs_f64(),
            allowed_s: allowed_s(account.instances),
            firings,
            invocations: invocations.collect(),
            calls,
            throttled,
            throttled_while_frozen: throttled_of("signal").get("CreateSnapshots").copied().unwrap_or(0),
            faults: region.faults.chance_hits(),
            longest_answer: ended.iter().map(|one| one.bytes).max().unwrap_or(0),
            ..Self::default()
        }
    }

    fn ratio(&self) -> f64 {
        self.makespan_s / self.allowed_s
    }

    fn calls_per_instance(&self) -> f64 {
        let made: u64 = self.calls.values().sum();
        per(made - self.throttled, self.instances)
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut out = String::new();
        let mut line = |text: String| {
            let _ = writeln!(out, "{text}");
        };
        line(format!(
            "{} instances, {} volumes, {} snapshots; times on the fleet's own clock",
            self.instances, self.volumes, self.snapshots
        ));
        line(format!(
            "  {:.0} s from the firing to the end; the bucket of CreateSnapshots allows {:.0} s",
            self.makespan_s, self.allowed_s
        ));
        line(format!("  {} firing(s); {} invocation(s):", self.firings, self.invocations.len()));
        for invocation in &self.invocations {
            line(format!("    {invocation}"));
        }
        line(format!("  snapshots: {} filesystem, {} crash", self.as_asked, self.crash));
        line(format!("  faults: {}", counts(&self.faults)));
        line(format!("  calls: {}", counts(&self.calls)));
        line(format!(
            "  of these refused by a bucket: {}, while somebody was frozen: {}",
            self.throttled, self.throttled_while_frozen
        ));
        line(format!("  longest answer of the function: {} bytes (Lambda takes 6 MiB)", self.longest_answer));
        if let Some(naive) = &self.naive {
            line(format!(
                "  one by one (describe, create, tag; no faults): {:.0} s, {} calls and {} refused by a bucket, \
                 {:.2} per instance",
                naive.makespan_s,
                naive.calls - naive.throttled,
                naive.throttled,
                per(naive.calls - naive.throttled, self.instances)
            ));
        }
        line(format!("  on this machine: {:.0} s", self.machine_s));
        out
    }
}

fn per(count: u64, of: usize) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (count, of) = (count as f64, of.max(1) as f64);
    count / of
}

/// The least time in which the bucket gives so many tokens.
fn allowed_s(instances: usize) -> f64 {
    let bucket = buckets::published().get("CreateSnapshots").copied();
    bucket.map_or(0.0, |bucket| (per(instances as u64, 1) - bucket.burst).max(0.0) / bucket.per_second)
}

fn counts(counts: &BTreeMap<&'static str, u64>) -> String {
    let each: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    if each.is_empty() { "none".to_owned() } else { each.join(", ") }
}

fn reasons(report: &stillframe_lambda::backup::RunReport) -> String {
    let mut notes: BTreeMap<String, u64> = BTreeMap::new();
    for note in report.failures.iter().chain(&report.warnings) {
        *notes.entry(note.reason.clone()).or_default() += 1;
    }
    let notes: Vec<String> = notes.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    format!("notes: {}", if notes.is_empty() { "none".to_owned() } else { notes.join(", ") })
}

/// What a run is held against.
#[derive(Debug)]
pub struct Marks(Vec<(&'static str, f64, f64)>);

impl Marks {
    /// The marks of these figures. A fleet below the bucket's burst has no time to be held against: the rest
    /// of a run is then longer than what the bucket allows.
    pub fn of(figures: &Figures) -> Self {
        let mut marks = vec![
            ("volumes without a restore point", per(figures.without as u64, 1), 0.0),
            ("restore points too many", per(figures.duplicates as u64, 1), 0.0),
            ("CreateSnapshots throttled while frozen", per(figures.throttled_while_frozen, 1), 0.0),
        ];
        // Below that a run's fixed parts (looks, the last report) weigh more than the bucket.
        if figures.instances >= 5_000 {
            marks.push(("makespan, of what the buckets allow", figures.ratio(), MOST_RATIO));
            marks.push(("calls per instance", figures.calls_per_instance(), MOST_CALLS));
        }
        marks.extend(figures.memory_mib.map(|mib| ("memory of the function, MiB", mib, MOST_MIB)));
        Self(marks)
    }

    /// Whether all are kept.
    pub fn kept(&self) -> bool {
        self.0.iter().all(|(_, found, most)| found <= most)
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, found, most) in &self.0 {
            let verdict = if found <= most { "ok" } else { "MISSED" };
            writeln!(f, "{what}: {found:.3}, at most {most}: {verdict}")?;
        }
        Ok(())
    }
}
