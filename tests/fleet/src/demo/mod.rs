//! `fleet demo`: a region of two instances and four volumes goes through some days. A backup, a second run
//! that skips, days with pruning; then the newest snapshot of every volume is mounted and checked against
//! what its writer had acknowledged. All of it with the real functions, the real helper and, where this
//! machine allows it, real file systems.

#![allow(clippy::indexing_slicing, reason = "a missing key of a JSON value reads as null")]

mod figures;
mod table;

use crate::client::{Client, ClientError};
use crate::disks;
use crate::outside;
use crate::process::{FleetProcess, StartError, Template};
use crate::verify;
use figures::{Figures, FrozenMs, Labels};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SPEC: &str = include_str!("../../specs/two-instances.toml");
const DAY_S: u64 = 86_400;
/// Days after the first; with `keep.last` = 3 the later ones prune.
const DAYS: u32 = 4;
const KEEP_LAST: u64 = 3;

/// Why the demo could not be shown to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The path of this program is not known, so its sibling programs are not either.
    #[error("failed to find this program's own path")]
    OwnPath(#[source] std::io::Error),
    /// No region.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The region did not answer as it should.
    #[error("failed to {step}")]
    Region {
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        source: ClientError,
    },
    /// A snapshot's bytes could not be checked.
    #[error("failed to verify {snapshot} of {volume}: {cause}")]
    Verify {
        /// The snapshot.
        snapshot: String,
        /// Its volume.
        volume: String,
        /// Why.
        cause: String,
    },
    /// Something did not come about in time.
    #[error("waited {0} s for {1}")]
    Waited(u64, &'static str),
}

fn region(step: &'static str) -> impl Fn(ClientError) -> DemoError {
    move |source| DemoError::Region { step, source }
}

/// Runs the demo; prints tables, or with `as_json` only one line of figures at the end. Whether every
/// promise that it looks at was kept.
///
/// # Errors
/// The demo could not be run to its end.
pub fn run(as_json: bool) -> Result<bool, DemoError> {
    let say = |text: &str| {
        if !as_json {
            println!("{text}");
        }
    };
    let missing = disks::missing();
    if let Some(missing) = &missing {
        let sentence = format!("No real file systems here: {missing}.");
        if as_json {
            eprintln!("{sentence}")
        } else {
            println!("{sentence}")
        }
        say("It runs the control plane alone: no freeze, no bytes, labels `crash`; left out are the helper,");
        say("the frozen times and the verification of the snapshots.\n");
    }
    let with_disks = missing.is_none();
    let spec = if with_disks {
        SPEC.to_owned()
    } else {
        // Without machines there is no agent that could freeze anything.
        format!("disks = false\n{}", SPEC.replace("[[instance]]", "[[instance]]\nagent = \"none\""))
    };
    let program = std::env::current_exe().map_err(DemoError::OwnPath)?;
    let template = stack::infra().join("template.yaml");
    let template = Template { path: &template, parameters: &[], follows_rules: false };
    let fleet = FleetProcess::deployed(&program, &spec, &template)?;
    let consistency = if with_disks { "filesystem" } else { "crash" };
    let mut show = Show { consistency, fleet: &fleet, client: fleet.client(), summaries: Vec::new() };
    say(&format!(
        "A region of two instances and four volumes listens on {}.\n\
         infra/template.yaml drives it: its roles decide every call of functions and instances.\n",
        fleet.client().endpoint()
    ));
    if with_disks {
        show.wait_for_writers()?;
    }

    say("First run. The plan:\n");
    say(show.plan()?["plan"].as_str().unwrap_or("(no plan)"));
    let first = show.backup()?;
    say("\nThe result:\n");
    say(&table::restore_points(&first));

    say("\nThe same event again:\n");
    let again = show.backup()?;
    say(&table::skipped(&again));

    say(&format!("\n{DAYS} days pass; keep.last = {KEEP_LAST}.\n"));
    for day in 1..=DAYS {
        show.client.advance(DAY_S).map_err(region("move the clock"))?;
        let summary = show.backup()?;
        let made = table::snapshots(&summary).count();
        let pruned = summary["pruned"].as_array().map_or(0, Vec::len);
        say(&format!("  day {day}: {} snapshots made, {pruned} pruned", made));
    }

    let mut figures = show.figures()?;
    if with_disks {
        say("\nThe newest snapshot of every volume, mounted and read:\n");
        show.verify_newest(&mut figures, &say)?;
    }
    figures.left_frozen = show.left_frozen()?;
    let decided = show.client.rights().map_err(region("ask what was refused"))?;
    for denial in &decided.denied {
        say(&format!("\nA right is missing. {}", denial.sentence));
    }
    say(&format!(
        "\n{} restore points; labels: {} filesystem, {} crash, {} offline; frozen {} ms (median), {} ms (worst);\n\
         {} records acknowledged before the cuts, {} lost; {} journals dirty; {} left frozen; {} pruned.",
        figures.restore_points,
        figures.labels.filesystem,
        figures.labels.crash,
        figures.labels.offline,
        figures.frozen_ms.median,
        figures.frozen_ms.worst,
        figures.records_acknowledged,
        figures.records_lost,
        figures.journals_dirty,
        figures.left_frozen,
        figures.pruned,
    ));
    if as_json {
        println!("{}", json!(figures));
    }
    let promised = if with_disks { figures.labels.crash == 0 } else { figures.labels.filesystem == 0 };
    Ok(decided.denied.is_empty()
        && promised
        && figures.records_lost == 0
        && figures.journals_dirty == 0
        && figures.left_frozen == 0)
}

/// A region on show, and what its runs have said.
struct Show<'a> {
    /// What the policy asks for: without disks there is nothing better than `crash`.
    consistency: &'static str,
    fleet: &'a FleetProcess,
    client: &'a Client,
    summaries: Vec<Value>,
}

impl Show<'_> {
    fn policy(&self) -> Value {
        json!({
            "policy": "daily", "every": "day", "timezone": "UTC",
            "select": {"tag:stillframe": "daily"},
            "consistency": self.consistency, "on_failure": "crash",
            "keep": {"last": KEEP_LAST}
        })
    }

    fn plan(&self) -> Result<Value, DemoError> {
        let mut policy = self.policy();
        policy["dry_run"] = json!(true);
        self.client.invoke("backup", &policy).map_err(region("plan a backup"))
    }

    fn backup(&mut self) -> Result<Value, DemoError> {
        let summary =
            self.client.invoke("backup", &self.policy()).map_err(region("run the backup function"))?;
        self.summaries.push(summary.clone());
        Ok(summary)
    }

    /// A snapshot of volumes without records would prove nothing.
    fn wait_for_writers(&self) -> Result<(), DemoError> {
        let instances = self.client.state().map_err(region("read the mounts"))?;
        let mounts = outside::paths(self.fleet.pid(), &instances);
        let end = Instant::now() + Duration::from_secs(20);
        while !outside::written_to(&mounts) {
            if Instant::now() > end {
                return Err(DemoError::Waited(20, "records of every writer"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn figures(&self) -> Result<Figures, DemoError> {
        let made: Vec<&Value> = self.summaries.iter().flat_map(table::snapshots).map(|(_, s)| s).collect();
        let points = self.summaries.iter().filter_map(|summary| summary["restore_points"].as_array());
        let pruned = self.summaries.iter().filter_map(|summary| summary["pruned"].as_array());
        Ok(Figures {
            restore_points: points.map(|points| points.len() as u64).sum(),
            labels: Labels::count(made.iter().filter_map(|snapshot| snapshot["label"].as_str())),
            frozen_ms: FrozenMs::of(
                made.iter().filter_map(|snapshot| snapshot["frozen_us"].as_u64()).collect(),
            ),
            pruned: pruned.map(|pruned| pruned.len() as u64).sum(),
            ..Figures::default()
        })
    }

    fn verify_newest(&self, figures: &mut Figures, say: &impl Fn(&str)) -> Result<(), DemoError> {
        let mut newest: BTreeMap<String, (String, String, String)> = BTreeMap::new();
        for record in self.client.snapshots().map_err(region("list the snapshots"))? {
            let label = record.tags.get("stillframe:consistency").cloned().unwrap_or_default();
            let known = newest.get(&record.volume);
            if known.is_none_or(|(start, ..)| *start < record.start_time) {
                newest.insert(record.volume, (record.start_time, record.id, label));
            }
        }
        let files = self.client.snapshot_files().map_err(region("find the snapshots' files"))?;
        for (volume, (_, snapshot, label)) in newest {
            let path = files.get(&snapshot).map(|file| file.path.clone()).unwrap_or_else(PathBuf::new);
            let found = verify::verify(&path);
            let (None, Some(records)) = (&found.error, &found.records) else {
                let cause = found.error.unwrap_or_else(|| "it holds no file system".to_owned());
                return Err(DemoError::Verify { snapshot, volume, cause });
            };
            let dirty = found.journal != verify::Journal::Clean;
            figures.records_acknowledged += records.acknowledged;
            figures.records_lost += records.lost;
            figures.journals_dirty += u64::from(dirty && label == "filesystem");
            say(&format!(
                "  {volume} {:<5} {snapshot} {label}: {} ({}); {} records acknowledged before the cut, {} lost",
                found.fs,
                if dirty { "journal dirty" } else { "journal clean" },
                found.journal_evidence,
                records.acknowledged,
                records.lost
            ));
        }
        Ok(())
    }

    fn left_frozen(&self) -> Result<u64, DemoError> {
        let instances = self.client.state().map_err(region("read the mounts"))?;
        let frozen = instances.iter().flat_map(|instance| &instance.mounts).filter(|mount| mount.frozen);
        Ok(frozen.count() as u64)
    }
}
