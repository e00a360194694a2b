//! The explanation for people.

use crate::explain::{By, Change, Decision, Explained, Explanation, Instead, Unforeseen, Until};
use crate::text::{minute, table};
use std::fmt;

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(instant) => f.write_str(&minute(*instant)),
            Self::Beyond { years } => write!(f, "beyond {years} years"),
            Self::Unforeseen(Unforeseen::Guarded) => f.write_str("not foreseen"),
            Self::Unforeseen(Unforeseen::NothingFollows) => f.write_str("nothing follows"),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { rule, number, of, oldest } => {
                let oldest = if *oldest { " (oldest)" } else { "" };
                write!(f, "{} {number} of {of}{oldest}", rule.as_str())
            }
            Self::Within { span } => write!(f, "within {span}"),
            Self::Min { number, of } => write!(f, "min {number} of {of}"),
            Self::Because(reason) => reason.fmt(f),
            Self::With { volume } => write!(f, "with {volume}"),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep { by, .. } => write!(f, "keep: {}", joined(by)),
            Self::Delete { reason, held: false } => write!(f, "delete: {reason}"),
            Self::Delete { reason, held: true } => write!(f, "held: {reason}"),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deletes => "deletes it",
            Self::Spares => "spares it",
            Self::Shorter => "shorter",
            Self::Longer => "longer",
            Self::OtherReason => "other reason",
        })
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Keep { by, until } if self.change != Change::OtherReason => {
                write!(f, "{}, until {until}: {}", self.change, joined(by))
            }
            Decision::Keep { by, .. } => write!(f, "{}: {}", self.change, joined(by)),
            Decision::Delete { reason, .. } => write!(f, "{}: {reason}", self.change),
        }
    }
}

fn joined(by: &[By]) -> String {
    by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {}, keep {}, at {}", self.policy, self.keep, minute(self.now))?;
        if let Some(instead) = &self.keep_instead {
            writeln!(f, "compared with keep {instead}")?;
        }
        writeln!(f, "{}", self.assumption)?;
        for lineage in self.snapshots.chunk_by(|a, b| a.lineage == b.lineage) {
            let name = lineage.first().map(|one| one.lineage.as_str()).unwrap_or_default();
            writeln!(f, "\n{name}\n{}", self.rows(lineage))?;
        }
        if !self.snapshots.is_empty() {
            writeln!(f)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        if let Some(hold) = &self.hold {
            writeln!(f, "held: {hold}")?;
        }
        if let Some(hold) = &self.hold_instead {
            writeln!(f, "held with the other rules: {hold}")?;
        }
        let totals = &self.totals;
        if self.truncated {
            writeln!(f, "only {} of {} snapshots are shown", self.snapshots.len(), totals.snapshots)?;
        }
        write!(
            f,
            "{} snapshots: {} kept, {} deleted by the next run, {} held",
            totals.snapshots, totals.kept, totals.deleted, totals.held
        )?;
        if self.keep_instead.is_some() {
            write!(
                f,
                "\nthe other rules: {} more deleted, {} spared, {} kept longer, {} kept not as long",
                totals.instead_deletes, totals.instead_spares, totals.instead_longer, totals.instead_shorter
            )?;
        }
        Ok(())
    }
}

impl Explanation {
    fn rows(&self, snapshots: &[Explained]) -> String {
        let row = |one: &Explained| {
            let label = match one.state {
                crate::SnapshotState::Completed => one.label.as_str(),
                other => other.as_str(),
            };
            let own = if one.own_rules { " (own rules)" } else { "" };
            [
                one.volume.to_string(),
                one.snapshot.to_string(),
                minute(one.instant),
                label.to_owned(),
                one.decision.until().map_or_else(|| "-".to_owned(), |until| until.to_string()),
                format!("{}{own}", one.decision),
            ]
        };
        let head = ["volume", "snapshot", "instant", "label", "until", "decision"];
        if self.keep_instead.is_none() {
            return table(head, snapshots.iter().map(row).collect());
        }
        let wide = |one: &Explained| {
            let [a, b, c, d, e, g] = row(one);
            [a, b, c, d, e, g, one.instead.as_ref().map_or_else(String::new, ToString::to_string)]
        };
        let [a, b, c, d, e, g] = head;
        table([a, b, c, d, e, g, "by the other rules"], snapshots.iter().map(wide).collect())
    }
}
