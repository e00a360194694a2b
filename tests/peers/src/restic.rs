//! restic: a scratch repository whose snapshots are of any date, and what `restic forget` would keep.
//!
//! restic cuts time by the zone that `TZ` names, but only for a snapshot whose recorded offset is the one
//! that the zone had then. So each snapshot is made under a zone of our own with exactly that offset, which
//! also tells the two passages of an hour apart that a clock going back repeats.

use chrono::{DateTime, FixedOffset, Offset, Utc};
use chrono_tz::Tz;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::{Command, Output};
use stillframe_plan::{Keep, Rule};
use tempfile::TempDir;

/// A repository in a temporary directory, for snapshots on the calendar of one zone.
#[derive(Debug)]
pub struct Restic {
    zone: Tz,
    base: TempDir,
}

/// A version of restic, as far as its decisions differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// As it tells it.
    pub text: String,
    number: (u32, u32),
}

impl Version {
    /// Whether it keeps the oldest snapshot while a rule has room: since 0.16.
    #[must_use]
    pub fn keeps_oldest(&self) -> bool {
        self.number >= (0, 16)
    }

    /// Whether it says so: since 0.18 for certain.
    #[must_use]
    pub fn tells_oldest(&self) -> bool {
        self.number >= (0, 18)
    }
}

/// What `restic forget` decides for one group of snapshots: for each instant the reasons to keep it, none
/// where it is removed.
pub type Decision = BTreeMap<DateTime<Utc>, Vec<String>>;

impl Restic {
    /// The version that is there: of the program `restic`, or of the one that `RESTIC` names.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn version() -> io::Result<Version> {
        let output = Command::new(program()).arg("version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let number = text.split_whitespace().nth(1).and_then(|version| {
            let mut parts = version.split('.').map(|part| part.parse::<u32>());
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        });
        let number = number.ok_or_else(|| io::Error::other(format!("{text:?} names no version")))?;
        Ok(Version { text, number })
    }

    /// Makes the repository.
    ///
    /// # Errors
    /// There is no room, or restic fails.
    pub fn new(zone: Tz) -> io::Result<Self> {
        let restic = Self { zone, base: TempDir::new()? };
        std::fs::write(restic.base.path().join("file"), "x")?;
        restic.run("UTC", &["init"])?;
        Ok(restic)
    }

    /// Makes a snapshot of an instant, in whole seconds.
    ///
    /// # Errors
    /// restic fails.
    pub fn backup(&self, instant: DateTime<Utc>, host: &str, tag: &str) -> io::Result<()> {
        let local = instant.with_timezone(&self.zone);
        let offset = local.offset().fix();
        let zone = self.base.path().join(format!("{}.tz", offset.local_minus_utc()));
        std::fs::write(&zone, tzif(offset))?;
        let time = local.format("%Y-%m-%d %H:%M:%S").to_string();
        let arguments = ["backup", "--time", &time, "--host", host, "--tag", tag, "file"];
        self.run(&zone.to_string_lossy(), &arguments)?;
        Ok(())
    }

    /// What restic would keep, for each group of snapshots (`""`, `host`, `tags`, `host,tags`).
    ///
    /// # Errors
    /// restic fails, or says something that we do not understand.
    pub fn forget(&self, keep: &Keep, group_by: &str) -> io::Result<Vec<Decision>> {
        let mut arguments = vec!["forget", "--dry-run", "--no-lock", "--json", "--group-by", group_by];
        let rules = options(keep);
        arguments.extend(rules.iter().map(String::as_str));
        let output = self.run(self.zone.name(), &arguments)?;
        let groups: Vec<Value> = serde_json::from_slice(&output.stdout)?;
        groups.iter().map(decision).collect()
    }

    fn run(&self, zone: &str, arguments: &[&str]) -> io::Result<Output> {
        let repository = self.base.path().join("repository");
        let output = Command::new(program())
            .args(arguments)
            .arg("--no-cache")
            .current_dir(self.base.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.base.path())
            .env("RESTIC_PASSWORD", "x")
            .env("RESTIC_REPOSITORY", Path::new(&repository))
            .env("TZ", zone)
            .output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("restic {} failed: {}", arguments.join(" "), said.trim())))
    }
}

fn program() -> OsString {
    std::env::var_os("RESTIC").unwrap_or_else(|| "restic".into())
}

/// The rules as options.
fn options(keep: &Keep) -> Vec<String> {
    let counted = Rule::ALL.into_iter().filter(|rule| keep.count(*rule) > 0);
    let counted = counted.map(|rule| format!("--keep-{}={}", rule.as_str(), keep.count(rule)));
    counted.chain(keep.within.map(|span| format!("--keep-within={span}"))).collect()
}

fn decision(group: &Value) -> io::Result<Decision> {
    let odd = || io::Error::other(format!("not a group of restic forget: {group}"));
    let time = |snapshot: &Value| -> io::Result<DateTime<Utc>> {
        let text = snapshot.get("time").and_then(Value::as_str).ok_or_else(odd)?;
        text.parse().map_err(io::Error::other)
    };
    let mut decision = Decision::new();
    for removed in group.get("remove").and_then(Value::as_array).into_iter().flatten() {
        decision.insert(time(removed)?, Vec::new());
    }
    for kept in group.get("reasons").and_then(Value::as_array).into_iter().flatten() {
        let reasons = kept.get("matches").and_then(Value::as_array).ok_or_else(odd)?;
        let reasons = reasons.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        decision.insert(time(kept.get("snapshot").ok_or_else(odd)?)?, reasons);
    }
    Ok(decision)
}

/// A zone that has always had one offset, in the format of the time zone database.
fn tzif(offset: FixedOffset) -> Vec<u8> {
    let mut file = b"TZif".to_vec();
    file.extend([0; 16]);
    // No changes of the clock; one type of time, with an abbreviation of four bytes.
    for count in [0_u32, 0, 0, 0, 1, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend(offset.local_minus_utc().to_be_bytes());
    file.extend([0, 0]);
    file.extend(b"FIX\0");
    file
}
