//! What host and guest say to each other over the control channel: one JSON document a line.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The number of the agent's first line, which answers nothing.
pub const HELLO: u64 = 0;

/// Something to be done in the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Which one; its answer carries the same number.
    pub number: u64,
    /// What.
    pub task: Task,
}

/// What can be done in the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// A shell script, to its end. Others may run at the same time.
    Run(String),
    /// A program that goes on, with its output in a file.
    Start {
        /// The program and its arguments.
        command: Vec<String>,
        /// Where its standard output goes.
        log: PathBuf,
    },
}

/// How it went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Whose answer this is.
    pub number: u64,
    /// The exit code; absent when there is none.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it printed besides.
    pub stderr: String,
    /// When it was over: nanoseconds of the guest's CLOCK_BOOTTIME, which stands still while the guest is
    /// stopped.
    pub at_ns: u64,
}
