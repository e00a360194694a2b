//! What was shown: one row a claim, with the evidence and the time.

use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Display;
use std::time::Duration;

/// The rows so far.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    rows: Vec<[String; 4]>,
    failed: usize,
}

impl Shown {
    /// A claim that holds or does not; a failure is said at once, too.
    pub(crate) fn claim(
        &mut self,
        claim: impl Display,
        holds: bool,
        evidence: impl Display,
        took: Option<Duration>,
    ) {
        let took = took.map_or_else(String::new, |took| format!("{:.1}", took.as_secs_f64() * 1_000.0));
        let verdict = if holds { "ok" } else { "FAILED" };
        eprintln!("{verdict:6} {claim}: {evidence}");
        self.failed += usize::from(!holds);
        self.rows.push([verdict.to_owned(), claim.to_string(), took, evidence.to_string()]);
    }

    /// A scenario's end: an error is a claim that does not hold.
    pub(crate) fn ended(&mut self, scenario: &str, outcome: anyhow::Result<()>) {
        if let Err(error) = outcome {
            self.claim(scenario, false, format!("{error:#}").replace('\n', " "), None);
        }
    }

    /// How many claims hold.
    pub(crate) fn held(&self) -> usize {
        self.rows.len() - self.failed
    }

    /// How many claims do not hold.
    pub(crate) fn failed(&self) -> usize {
        self.failed
    }

    /// All of it, for people.
    pub(crate) fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["", "what", "ms", "evidence"]);
        if let Some(column) = table.column_mut(2) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for row in &self.rows {
            table.add_row(row);
        }
        table.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_hold_is_counted_and_shown() {
        let mut shown = Shown::default();
        shown.claim("water is wet", true, "looked", Some(Duration::from_micros(1_500)));
        shown.claim("the moon is square", false, "looked", None);
        shown.ended("the sun", Err(anyhow::anyhow!("too\nbright")));
        shown.ended("the stars", Ok(()));
        assert_eq!((shown.held(), shown.failed()), (1, 2));
        let table = shown.table();
        let row = |of: &str| table.lines().find(|line| line.contains(of)).unwrap().to_owned();
        assert!(row("wet").contains("1.5") && !row("wet").contains("FAILED"), "{table}");
        assert!(row("square").contains("FAILED") && row("sun").contains("too bright"), "{table}");
    }
}
