//! `stillframe-helper`: the static program on the instance. It freezes the file systems that a work
//! order names, tells the signal function, thaws, and prints a report; it thaws what a dead run
//! left frozen; and it mounts what a restore brought back, then and at every boot. It holds no key, no AWS rights but to invoke the signal function, and no
//! configuration.

pub mod clock;
pub mod doctor;
pub mod freeze;
pub mod grace_periods;
pub mod hooks;
pub mod install;
mod kernel_log;
pub mod list;
pub mod mount;
pub mod programs;
pub mod run_dir;
pub mod signal;
pub mod sys;
pub mod thaw;
pub mod third_line;
pub mod trusted;
pub mod volumes;
pub mod warm;

use std::io::Write;

/// An error and its causes in one line.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // A transparent error says its cause's words.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

/// Says a line to the operator: on stderr, which may be closed. stdout is the report's alone.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "stillframe-helper: {line}");
}
