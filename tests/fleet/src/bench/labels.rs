//! `fleet bench labels`: are labels true? Randomised runs with faults, and then the snapshots' own bytes:
//! none that is labelled `filesystem` may have a journal to recover or lack a record that was acknowledged
//! before the cut. Snapshots taken unfrozen under the same load must show both, else the check proves
//! nothing.

use super::{BenchError, next_day, policy, region, start, wait};
use crate::client::Client;
use crate::processes::{self, Process};
use crate::verify::{self, Journal};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const SPEC: &str = include_str!("../../specs/two-instances.toml");

/// What disturbs a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Disturbance {
    Nothing,
    NoAgent,
    LostAnswer,
    LateAnswer,
    Throttled,
    SignalDown,
    SignalSlow,
    WorkerKilled,
    GuardianKilled,
    ThawedByOther,
    BackupKilled,
}

impl Disturbance {
    const ALL: [Self; 11] = [
        Self::Nothing,
        Self::NoAgent,
        Self::LostAnswer,
        Self::LateAnswer,
        Self::Throttled,
        Self::SignalDown,
        Self::SignalSlow,
        Self::WorkerKilled,
        Self::GuardianKilled,
        Self::ThawedByOther,
        Self::BackupKilled,
    ];

    fn fault(self) -> Option<Value> {
        Some(match self {
            Self::LostAnswer => json!({"op": "CreateSnapshots", "fault": "drop-response"}),
            Self::LateAnswer => json!({"op": "CreateSnapshots", "fault": "delay-ms:2500"}),
            Self::Throttled => json!({"op": "CreateSnapshots", "fault": "throttle", "times": 3}),
            Self::SignalDown => {
                json!({"op": "Invoke", "fault": "error500", "times": 4, "function": "signal"})
            }
            Self::SignalSlow => {
                json!({"op": "Invoke", "fault": "delay-ms:900", "times": 2, "function": "signal"})
            }
            Self::BackupKilled => json!({"op": "CreateTags", "fault": "kill-caller", "caller": "backup"}),
            _ => return None,
        })
    }
}

#[derive(Debug, Default, Serialize)]
struct Figures {
    runs: usize,
    seed: u64,
    snapshots: usize,
    filesystem: usize,
    filesystem_dirty: usize,
    filesystem_lost: u64,
    crash: usize,
    crash_dirty: usize,
    crash_with_loss: usize,
    left_frozen: usize,
    records_checked: u64,
    disturbances: BTreeMap<String, usize>,
    violations: Vec<String>,
}

/// Runs the campaign and prints it; whether every label was true and the check could have failed.
///
/// # Errors
/// It could not be run to its end.
pub fn run(runs: usize, seed: u64, as_json: bool) -> Result<bool, BenchError> {
    let fleet = start(SPEC, &std::env::temp_dir())?;
    let client = fleet.client();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut figures = Figures { runs, seed, ..Figures::default() };
    let mut checked = BTreeSet::new();
    for run in 0..runs {
        // Each once, then by chance.
        let by_chance = random.usize(..Disturbance::ALL.len());
        let disturbance = Disturbance::ALL[if run < Disturbance::ALL.len() { run } else { by_chance }];
        *figures.disturbances.entry(format!("{disturbance:?}")).or_default() += 1;
        one_run(client, disturbance, &mut random)?;
        check(client, disturbance, &mut checked, &mut figures)?;
        if !as_json && run % 10 == 9 {
            eprintln!(
                "{} runs, {} snapshots, {} violations",
                run + 1,
                figures.snapshots,
                figures.violations.len()
            );
        }
        next_day(client)?;
    }
    let provable = figures.crash_dirty > 0 && figures.filesystem > 0;
    if as_json {
        println!("{}", json!(figures));
    } else {
        print(&figures, provable);
    }
    Ok(figures.violations.is_empty() && provable)
}

fn one_run(client: &Client, disturbance: Disturbance, random: &mut fastrand::Rng) -> Result<(), BenchError> {
    let mut policy = policy();
    policy["max_freeze_ms"] = json!(2_000);
    if disturbance == Disturbance::NoAgent {
        policy["consistency"] = json!("crash");
    }
    if let Some(fault) = disturbance.fault() {
        client.fault(&fault).map_err(region("order a fault"))?;
    }
    let after = Duration::from_micros(random.u64(..700_000));
    std::thread::scope(|scope| {
        let run = scope.spawn(|| client.invoke("backup", &policy));
        match disturbance {
            Disturbance::WorkerKilled => hit(client.endpoint(), after, |name| name != "sf:guardian"),
            Disturbance::GuardianKilled => hit(client.endpoint(), after, |name| name == "sf:guardian"),
            Disturbance::ThawedByOther => thaw_in_window(client),
            _ => {}
        }
        // A function that was killed or refused says so; what counts is what it left.
        let _ = run.join();
    });
    client.clear_faults().map_err(region("clear the faults"))?;
    wait(60, "quiet", || client.quiet().map_err(region("ask whether anything runs")))
}

/// Kills one helper process that the name fits, a random time after it was first seen.
fn hit(endpoint: &str, after: Duration, fits: impl Fn(&str) -> bool) {
    let found = processes::poll(Duration::from_secs(5), || {
        processes::of_endpoint(endpoint, |name| name.starts_with("sf:") && fits(name)).first().copied()
    });
    if let Some(process) = found {
        std::thread::sleep(after);
        process.signal(9);
    }
}

/// Thaws one mount as soon as a helper shows that it is frozen.
fn thaw_in_window(client: &Client) {
    let frozen = processes::poll(Duration::from_secs(15), || {
        processes::of_endpoint(client.endpoint(), |name| name == "sf:frozen").first().copied()
    });
    let inside = frozen.as_ref().map(Process::root);
    let Some(root) = inside else { return };
    for mount in ["srv/wal", "var/log/search"] {
        let path = root.join(mount);
        if path.is_dir() {
            let _ = std::process::Command::new("fsfreeze").arg("-u").arg(path).status();
        }
    }
}

/// Looks into every snapshot that is new.
fn check(
    client: &Client,
    disturbance: Disturbance,
    checked: &mut BTreeSet<String>,
    figures: &mut Figures,
) -> Result<(), BenchError> {
    let files = client.snapshot_files().map_err(region("find the snapshots' files"))?;
    for record in client.snapshots().map_err(region("list the snapshots"))? {
        if !checked.insert(record.id.clone()) {
            continue;
        }
        let Some(file) = files.get(&record.id) else { continue };
        let found = verify::verify(&file.path);
        let records = found.records.clone().unwrap_or_default();
        let label = record.tags.get("stillframe:consistency").map_or("", String::as_str);
        let dirty = found.journal != Journal::Clean;
        figures.snapshots += 1;
        figures.records_checked += records.acknowledged;
        if label == "filesystem" {
            figures.filesystem += 1;
            figures.filesystem_dirty += usize::from(dirty);
            figures.filesystem_lost += records.lost;
            if !found.is_consistent() {
                figures
                    .violations
                    .push(format!("{disturbance:?}: {} {}: {found:?}", record.id, record.volume));
            }
        } else {
            figures.crash += 1;
            figures.crash_dirty += usize::from(dirty);
            figures.crash_with_loss += usize::from(records.lost > 0);
        }
    }
    let mounts = client.state().map_err(region("read the mounts"))?;
    let frozen: Vec<_> =
        mounts.iter().flat_map(|instance| &instance.mounts).filter(|mount| mount.frozen).collect();
    figures.left_frozen += frozen.len();
    figures.violations.extend(frozen.iter().map(|mount| format!("{disturbance:?}: left frozen: {mount:?}")));
    Ok(())
}

fn print(figures: &Figures, provable: bool) {
    println!(
        "{} runs (seed {}), {} snapshots, {} records checked",
        figures.runs, figures.seed, figures.snapshots, figures.records_checked
    );
    println!("disturbed by {:?}\n", figures.disturbances);
    println!("{:<12} {:>10} {:>16} {:>14}", "label", "snapshots", "journal dirty", "records lost");
    println!(
        "{:<12} {:>10} {:>16} {:>14}",
        "filesystem", figures.filesystem, figures.filesystem_dirty, figures.filesystem_lost
    );
    println!(
        "{:<12} {:>10} {:>16} {:>14}",
        "crash",
        figures.crash,
        figures.crash_dirty,
        format!("in {}", figures.crash_with_loss)
    );
    for violation in &figures.violations {
        println!("VIOLATION {violation}");
    }
    if !provable {
        println!(
            "The check proves nothing: no unfrozen snapshot was dirty, or none was labelled filesystem."
        );
    }
}
