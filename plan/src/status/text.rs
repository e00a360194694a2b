//! The status for people. It ends with the table that operators know from the script of 2012: volume,
//! snapshot, status, date, description.

use crate::status::{AgentState, LineageStatus, PolicyStatus, Standing};
use crate::text::{age, minute, table};
use std::fmt;

impl Standing {
    /// What an operator reads.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NeverGood => "OVERDUE, none is good",
            Self::Overdue => "OVERDUE",
            Self::NoneYet => "no good one yet",
            Self::NotBackedUp => "not backed up any more",
            Self::Fine => "fine",
            Self::Ended => "volume gone",
        }
    }
}

impl fmt::Display for PolicyStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        writeln!(
            f,
            "policy {}, slot {}, at {}: {} volumes selected, {} lineages, {} overdue, {} never backed up",
            self.policy,
            self.slot,
            minute(self.now),
            totals.selected,
            totals.lineages,
            totals.overdue,
            totals.never_backed_up
        )?;
        if self.selects_nothing {
            writeln!(f, "the policy selects no volume")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for never in &self.never_backed_up {
            let on = never.instance.as_ref().map_or_else(String::new, |instance| format!(" on {instance}"));
            let overdue = if never.overdue { "OVERDUE, " } else { "" };
            writeln!(f, "never backed up: {}{on}, {overdue}made {} ago", never.volume, age(never.age_s))?;
        }
        for silent in &self.agents {
            let says = match silent.agent {
                AgentState::Offline => "agent offline",
                AgentState::Unknown => "SSM knows no agent",
            };
            let volumes: Vec<&str> = silent.volumes.iter().map(|volume| volume.as_str()).collect();
            writeln!(f, "{says}: {} ({})", silent.instance, volumes.join(", "))?;
        }
        if !self.lineages.is_empty() {
            let head =
                ["lineage", "newest good", "age", "label", "size", "snapshot", "rehearsed", "standing"];
            writeln!(f, "\n{}", table(head, self.lineages.iter().map(line).collect()))?;
        }
        if !self.snapshots.is_empty() {
            let row = |one: &crate::SnapshotLine| {
                [
                    one.volume.to_string(),
                    one.snapshot.to_string(),
                    one.status.as_str().to_owned(),
                    minute(one.date),
                    one.description.as_str().to_owned(),
                ]
            };
            let head = ["volume", "snapshot", "status", "date", "description"];
            writeln!(f, "\n{}", table(head, self.snapshots.iter().map(row).collect()))?;
        }
        if self.truncated {
            writeln!(f, "only {} of {} snapshots are shown", self.snapshots.len(), totals.snapshots)?;
        }
        Ok(())
    }
}

fn line(one: &LineageStatus) -> [String; 8] {
    let dash = || "-".to_owned();
    let good = one.newest_good.as_ref();
    let rehearsed = one.rehearsed.as_ref().map(|rehearsal| match rehearsal.age_s {
        Some(age_s) => format!("{} ago", age(age_s)),
        None => format!("{:?}", rehearsal.at),
    });
    [
        one.lineage.clone(),
        good.map_or_else(dash, |good| minute(good.instant)),
        good.map_or_else(dash, |good| age(good.age_s)),
        good.map_or_else(dash, |good| good.label.to_string()),
        good.map_or_else(dash, |good| format!("{} GiB", good.size_gib)),
        good.map_or_else(dash, |good| {
            good.snapshots.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(", ")
        }),
        rehearsed.unwrap_or_else(dash),
        one.standing.as_str().to_owned(),
    ]
}
