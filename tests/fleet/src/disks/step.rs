//! Errors of the host, with the step that they ended.

use crate::machine::MachineError;
use std::io;
use std::process::Command;

/// For `map_err`: the step, verb and object, that a system call belonged to.
pub(crate) fn step<E: Into<io::Error>>(step: impl Into<String>) -> impl FnOnce(E) -> MachineError {
    move |source| MachineError::Step { step: step.into(), source: source.into() }
}

/// Runs a program of the host to its end; a failure carries the end of what it printed.
pub(crate) fn run_program(command: &mut Command, object: &str) -> Result<(), MachineError> {
    let failed = format!("run {} on {object}", command.get_program().to_string_lossy());
    let output = command.output().map_err(step(failed.clone()))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    let skipped = printed.chars().count().saturating_sub(500);
    let tail: String = printed.trim().chars().skip(skipped).collect();
    Err(MachineError::Program { step: failed, output: format!("{}: {tail}", output.status) })
}
