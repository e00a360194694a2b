//! `fleet bench restore`: how long it takes from the event to the last mount, by number of volumes, against the
//! critical path of the services' latencies as they are configured: what a restore has to pay that does
//! everything for all volumes at the same time, and nothing of its own. Beside it the serial way, one volume
//! after the other.
//!
//! The function, the document and the helper are the real ones; the volumes are real file systems, backed up
//! by the real functions. Every figure comes from a region of its own.

mod path;
mod serial;

use super::{BenchError, io, median, region, wait};
use crate::client::Client;
use crate::outside;
use crate::process::FleetProcess;
use path::{Latency, critical_path};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// What a restore may take, as a multiple of the critical path.
const MARK: f64 = 1.15;
/// The instance that is backed up, and the one that its volumes come back to.
const SOURCE: &str = "i-0aaaaaaaaaaaaaaa1";
const HOST: &str = "i-0bbbbbbbbbbbbbbb2";
/// Longer than any restore here.
const PATIENCE_S: u64 = 600;
/// How often is looked whether all is mounted.
const LOOK: Duration = Duration::from_millis(2);

/// The command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many volumes.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16])]
    pub volumes: Vec<u8>,
    /// Restores of each number; the middle one counts.
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// How long `CreateVolume` and `AttachVolume` take until the volume is available or attached, milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pub volume_ms: u64,
    /// Without the serial way.
    #[arg(long)]
    pub alone: bool,
    /// Prints one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// What one number of volumes took.
#[derive(Debug, Clone, Serialize)]
struct Row {
    volumes: u8,
    critical_path_ms: f64,
    ours_ms: f64,
    ratio: f64,
    /// How much of it is the helper's: the longest of its mounts.
    helper_ms: f64,
    serial_ms: Option<f64>,
    serial_ratio: Option<f64>,
}

/// Runs it and prints it; whether the mark was kept.
///
/// # Errors
/// It could not be run to its end.
pub fn run(options: &Options) -> Result<bool, BenchError> {
    let latency = Latency::with(options.volume_ms);
    let mut rows = Vec::new();
    for volumes in &options.volumes {
        rows.push(measure((*volumes).max(1), &latency, options)?);
    }
    let kept = rows.iter().all(|row| row.ratio <= MARK);
    if options.json {
        println!("{}", json!({"bench": "restore", "mark": MARK, "rows": rows, "kept": kept}));
    } else {
        print!("{}", table(&rows, &latency));
    }
    Ok(kept)
}

fn measure(volumes: u8, latency: &Latency, options: &Options) -> Result<Row, BenchError> {
    let (mut times, mut helper) = (Vec::new(), Vec::new());
    for _ in 0..options.runs.max(1) {
        let fleet = backed_up(volumes, latency)?;
        let (ms, helper_ms) = ours(&fleet, volumes)?;
        times.push(ms);
        helper.push(helper_ms);
    }
    let serial_ms = if options.alone {
        None
    } else {
        let fleet = backed_up(volumes, latency)?;
        Some(serial::restore(&fleet, volumes)?)
    };
    let (critical_path_ms, ours_ms) = (critical_path(latency), median(&mut times));
    let ratio = |ms: f64| (ms / critical_path_ms * 100.0).round() / 100.0;
    let (ratio, serial_ratio) = (ratio(ours_ms), serial_ms.map(ratio));
    let helper_ms = median(&mut helper);
    Ok(Row { volumes, critical_path_ms, ours_ms, ratio, helper_ms, serial_ms, serial_ratio })
}

/// A region in which everything is backed up and nothing restored.
fn backed_up(volumes: u8, latency: &Latency) -> Result<FleetProcess, BenchError> {
    if let Some(missing) = crate::disks::missing() {
        return Err(BenchError::Missing(missing));
    }
    let program = std::env::current_exe().map_err(io("find this program's own path"))?;
    let fleet = FleetProcess::start(&program, &spec(volumes, latency))?;
    let client = fleet.client();
    client.invoke("backup", &super::policy()).map_err(region("back up"))?;
    client.advance(60).map_err(region("move the clock"))?;
    wait(60, "completed snapshots", || {
        let all = client.snapshots().map_err(region("list snapshots"))?;
        Ok(all.len() == usize::from(volumes) && all.iter().all(|one| one.state == "completed"))
    })?;
    Ok(fleet)
}

fn spec(volumes: u8, latency: &Latency) -> String {
    let mut spec = latency.spec();
    // As the template's roles want them: for orders, and for volumes that a restore attaches.
    let tags = "tags = { role = \"db\", stillframe = \"volumes\", \"stillframe:restore\" = \"user-data\" }";
    let _ = write!(spec, "[[instance]]\nid = \"{HOST}\"\n{tags}\n[[instance]]\nid = \"{SOURCE}\"\n{tags}\n");
    for n in 0..volumes {
        let _ = write!(
            spec,
            "[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa{n:02x}\"\nsize_mib = 64\nfs = \"ext4\"\n\
             mount = \"/srv/{n:02}\"\ntags = {{ stillframe = \"daily\" }}\n"
        );
    }
    spec
}

/// From the event to the last mount, and what of that the helper tells of its longest mount, milliseconds.
fn ours(fleet: &FleetProcess, volumes: u8) -> Result<(f64, f64), BenchError> {
    let event = json!({"restore": {"instance": HOST}});
    std::thread::scope(|scope| {
        let began = Instant::now();
        let restore = scope.spawn(|| fleet.client().invoke("restore", &event));
        let mounted = mounted_at(fleet, volumes, || restore.is_finished());
        let result = restore.join().map_err(|_| BenchError::Waited(0, "a restore that panicked"))?;
        let result = result.map_err(region("restore"))?;
        match mounted {
            Some(at) => {
                let mounts = result["mounts"]["mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
                let longest = mounts.iter().filter_map(|mount| mount["ms"].as_f64()).fold(0.0, f64::max);
                Ok(((at - began).as_secs_f64() * 1_000.0, longest))
            }
            None => Err(BenchError::Missing(format!("the restore ended without the mounts: {result}"))),
        }
    })
}

/// When the last of so many file systems was seen mounted; `None` when that did not come about.
fn mounted_at(fleet: &FleetProcess, volumes: u8, has_ended: impl Fn() -> bool) -> Option<Instant> {
    let root = outside::root_of(fleet.pid(), HOST)?;
    let table = root.parent()?.join("mountinfo");
    let end = Instant::now() + Duration::from_secs(PATIENCE_S);
    loop {
        let over = has_ended() || Instant::now() > end;
        if mounts_in(&table) == usize::from(volumes) {
            return Some(Instant::now());
        }
        if over {
            return None;
        }
        std::thread::sleep(LOOK);
    }
}

fn mounts_in(table: &Path) -> usize {
    let table = std::fs::read_to_string(table).unwrap_or_default();
    table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with("/srv/"))).count()
}

fn ended_well(client: &Client, command: &Value) -> Result<bool, BenchError> {
    let asked = json!({"CommandId": command, "InstanceId": HOST});
    let found = client.ssm("GetCommandInvocation", &asked).map_err(region("look at the mount command"))?;
    match found["Status"].as_str() {
        Some("Success") => Ok(true),
        Some("Pending" | "InProgress" | "Delayed") => Ok(false),
        _ => Err(BenchError::Missing(format!("the mount command did not end well: {found}"))),
    }
}

fn table(rows: &[Row], latency: &Latency) -> String {
    let mut text = format!("{latency}\n\n");
    let _ = writeln!(
        text,
        "{:>7} {:>16} {:>14} {:>7} {:>10} {:>11} {:>7}",
        "volumes", "critical path ms", "to mounted ms", "ratio", "helper ms", "serial ms", "ratio"
    );
    for row in rows {
        let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let _ = writeln!(
            text,
            "{:>7} {:>16.0} {:>14.0} {:>7.2} {:>10.0} {:>11} {:>7}",
            row.volumes,
            row.critical_path_ms,
            row.ours_ms,
            row.ratio,
            row.helper_ms,
            or_dash(row.serial_ms.map(|ms| format!("{ms:.0}"))),
            or_dash(row.serial_ratio.map(|ratio| format!("{ratio:.2}"))),
        );
    }
    let worst = rows.iter().map(|row| row.ratio).fold(0.0, f64::max);
    let word = if worst <= MARK { "kept" } else { "MISSED" };
    let _ = writeln!(text, "\n{word}: at most {worst:.2} times the critical path, allowed {MARK:.2}");
    text
}
