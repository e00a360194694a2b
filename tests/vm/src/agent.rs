//! The guest's end of the control channel.

use crate::words::{Done, HELLO, Request, Task};
use fleet::boottime::now_ns;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

/// Serves the port until the host closes it.
///
/// # Errors
/// The port cannot be read or written.
pub fn serve(port: &Path) -> io::Result<()> {
    let port = File::options().read(true).write(true).open(port)?;
    let answers = Arc::new(Mutex::new(port.try_clone()?));
    answer(&answers, Done { number: HELLO, ..Done::default() })?;
    for line in BufReader::new(port).lines() {
        let Ok(Request { number, task }) = serde_json::from_str(&line?) else { continue };
        match task {
            Task::Run(script) => {
                let answers = Arc::clone(&answers);
                std::thread::spawn(move || answer(&answers, Done { number, ..run(&script) }));
            }
            // From this thread, which never ends: some programs die with the thread that started them.
            Task::Start { command, log } => answer(&answers, Done { number, ..start(&command, &log) })?,
        }
    }
    Ok(())
}

fn answer(port: &Mutex<File>, done: Done) -> io::Result<()> {
    let mut text = serde_json::to_string(&Done { at_ns: now_ns(), ..done })?;
    text.push('\n');
    port.lock().unwrap_or_else(PoisonError::into_inner).write_all(text.as_bytes())
}

fn run(script: &str) -> Done {
    match Command::new("sh").args(["-c", script]).stdin(Stdio::null()).output() {
        Ok(output) => Done {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            ..Done::default()
        },
        Err(error) => Done { stderr: format!("failed to start sh: {error}"), ..Done::default() },
    }
}

fn start(command: &[String], log: &Path) -> Done {
    let start = || {
        let (program, arguments) =
            command.split_first().ok_or_else(|| io::Error::other("there is no program to start"))?;
        let log = File::create(log)?;
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn()
    };
    match start() {
        Ok(_) => Done { code: Some(0), ..Done::default() },
        Err(error) => Done { stderr: format!("failed to start {command:?}: {error}"), ..Done::default() },
    }
}
