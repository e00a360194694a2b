//! A fleet in a process of its own, as demo, benchmarks and scenarios start it: `fleet serve` with a spec,
//! ended by SIGTERM when it is dropped.

use crate::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Why no fleet could be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The spec could not be written or the program not be started.
    #[error("failed to start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended instead of saying where it listens. Its own message is on stderr.
    #[error("{program} serve ended before it was ready (it printed {printed:?}, {status:?})")]
    NotReady {
        /// The program.
        program: String,
        /// What it printed instead of its endpoint.
        printed: String,
        /// How it ended.
        status: Option<ExitStatus>,
    },
}

/// A template that drives a fleet.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// The file.
    pub path: &'a Path,
    /// Its parameters; the others have their defaults.
    pub parameters: &'a [(&'a str, &'a str)],
    /// Whether its rules carry the region's events to the functions.
    pub follows_rules: bool,
}

/// How long a fleet may take to end: it unmounts, thaws and detaches.
const END: Duration = Duration::from_secs(60);

/// A running fleet.
#[derive(Debug)]
pub struct FleetProcess {
    child: Option<Child>,
    client: Client,
}

impl FleetProcess {
    /// Starts `program serve` with this spec and waits until it listens.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it is ready.
    pub fn start(program: &Path, spec: &str) -> Result<Self, StartError> {
        Self::start_in(program, spec, &std::env::temp_dir())
    }

    /// The same, with its work directory made in `dir`.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it is ready.
    pub fn start_in(program: &Path, spec: &str, dir: &Path) -> Result<Self, StartError> {
        Self::start_as(program, spec, dir, &[])
    }

    /// The same, driven by a template with these parameters.
    ///
    /// # Errors
    /// The program cannot be started, or ends before it is ready.
    pub fn deployed(program: &Path, spec: &str, template: &Template<'_>) -> Result<Self, StartError> {
        let mut arguments = vec!["--template".into(), template.path.as_os_str().to_owned()];
        for (name, value) in template.parameters {
            arguments.extend(["--parameter".into(), OsString::from(format!("{name}={value}"))]);
        }
        if template.follows_rules {
            arguments.push("--follow-rules".into());
        }
        Self::start_as(program, spec, &std::env::temp_dir(), &arguments)
    }

    fn start_as(program: &Path, spec: &str, dir: &Path, arguments: &[OsString]) -> Result<Self, StartError> {
        let name = program.display().to_string();
        let spawn = |source| StartError::Spawn { program: name.clone(), source };
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").map_err(spawn)?;
        file.write_all(spec.as_bytes()).map_err(spawn)?;
        let mut child = Command::new(program)
            .args(["serve", "--spec"])
            .arg(file.path())
            .args(arguments)
            .env("TMPDIR", dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(spawn)?;
        let mut printed = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut printed).map_err(spawn)?;
        }
        match printed.trim().strip_prefix("endpoint=") {
            Some(endpoint) => Ok(Self { client: Client::new(endpoint), child: Some(child) }),
            None => Err(StartError::NotReady { program: name, printed, status: child.wait().ok() }),
        }
    }

    /// The way to talk to it.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its process id; 0 once it has ended.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).unwrap_or(0)
    }

    /// Ends it with SIGTERM and waits until it is gone; `None` when it had to be killed.
    pub fn terminate(mut self) -> Option<ExitStatus> {
        self.end(Signal::TERM)
    }

    /// Kills it and nothing else: what a crash leaves.
    pub fn kill(mut self) {
        self.end(Signal::KILL);
    }

    fn end(&mut self, signal: Signal) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        // The child is not reaped yet, so its id cannot belong to another process.
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
        let end = Instant::now() + END;
        while Instant::now() < end {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}

impl Drop for FleetProcess {
    fn drop(&mut self) {
        self.end(Signal::TERM);
    }
}
