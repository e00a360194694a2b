//! `stillframe-helper doctor`: would a freeze work here, and if not, what is to be done? Looks at the
//! machine, judges ([`findings()`]), prints; it freezes nothing and changes nothing.

mod findings;
mod seen;

pub use findings::{Finding, Grade, findings};
pub use seen::{FunctionSeen, LockSeen, MountSeen, Seen, look};

use stillframe_wire::Exit;

/// The findings as a table for people: grade, what was looked at, how it is, what to do.
#[must_use]
pub fn table(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.about.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for finding in findings {
        let (grade, about) = (finding.grade.word(), &finding.about);
        text.push_str(&format!("{grade:<7}  {about:width$}  {}\n", finding.sentence));
        if let Some(advice) = &finding.advice {
            text.push_str(&format!("{:<7}  {:width$}  -> {advice}\n", "", ""));
        }
    }
    text
}

/// How the command ends: with a code of its own when a freeze would not work.
#[must_use]
pub fn exit(findings: &[Finding]) -> Exit {
    let is_bad = findings.iter().any(|finding| finding.grade == Grade::Problem);
    if is_bad { Exit::NotFrozen } else { Exit::Done }
}
