//! One script, run as the agent runs it (amazon-ssm-agent, `runscript.go` and `executers_unix.go`): the
//! lines in a file of mode 0700, `sh -c <file>` as root in a process group of its own, waited for until
//! both outputs are at their end. A background process that holds one keeps the script in progress, and
//! a timeout or a cancel kills the group, not the session.

use super::process::Process;
use crate::disks::namespace::Namespace;
use crate::disks::step::step;
use crate::disks::tree::PROGRAMS;
use crate::machine::{MachineError, RunningScript, ScriptResult, ShellScript};
use crate::sync::lock;
use rustix::event::{EventfdFlags, eventfd};
use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

/// Whose agent it is.
#[derive(Debug, Clone)]
pub struct Agent {
    /// The instance.
    pub instance: String,
    /// The region.
    pub region: String,
}

/// Starts a script on an instance, inside its namespace.
///
/// # Errors
/// The script cannot be written or no process can be started.
pub fn start(
    agent: &Agent,
    namespace: &Namespace,
    number: u64,
    script: &ShellScript,
) -> Result<Box<dyn RunningScript>, MachineError> {
    let failed = format!("start a script on {}", agent.instance);
    let cancel = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
    let cancel = Arc::new(cancel.map_err(step(failed.clone()))?);
    let outcome = Arc::new(Outcome::default());
    let (tell, started) = std::sync::mpsc::channel();
    let work = {
        let (agent, script) = (agent.clone(), script.clone());
        let (cancel, outcome) = (Arc::clone(&cancel), Arc::clone(&outcome));
        move || match spawn(&agent, number, &script) {
            Ok(process) => {
                let _ = tell.send(Ok(process.group()));
                outcome.set(process.supervise(&cancel, Instant::now() + script.timeout));
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        }
    };
    namespace.spawn(&format!("{}/ssm", agent.instance), work)?;
    let ended = |_| io::Error::other("its thread ended early");
    let group = started.recv().map_err(ended).and_then(|outcome| outcome).map_err(step(failed))?;
    Ok(Box::new(Running { group, cancel, outcome }))
}

/// Inside the namespace: writes the file and starts the shell.
fn spawn(agent: &Agent, number: u64, script: &ShellScript) -> io::Result<Process> {
    let file = write_script(agent, number, script)?;
    let path = format!("{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(shell_quoted(&file))
        .current_dir("/")
        .env_clear()
        .env("PATH", path)
        .env("LANG", "C.UTF-8")
        .env("AWS_SSM_INSTANCE_ID", &agent.instance)
        .env("AWS_SSM_REGION_NAME", &agent.region)
        .env("AWS_SSM_PLATFORM_NAME", "Stillframe fleet")
        .env("AWS_SSM_PLATFORM_VERSION", "1")
        .envs(script.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    match Process::of(&mut child) {
        Ok(process) => Ok(process),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error)
        }
    }
}

/// The agent's own place for it; the number stands for the step.
fn write_script(agent: &Agent, number: u64, script: &ShellScript) -> io::Result<PathBuf> {
    let command = script.env.iter().find(|(name, _)| name == "SSM_COMMAND_ID");
    let command = command.map_or("no-command", |(_, id)| id.as_str());
    let dir = Path::new("/var/lib/amazon/ssm")
        .join(&agent.instance)
        .join("document/orchestration")
        .join(command)
        .join(format!("{number}.awsrunShellScript"));
    fs::create_dir_all(&dir)?;
    let path = dir.join("_script.sh");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o700).open(&path)?;
    file.write_all(script.commands.join("\n").as_bytes())?;
    file.write_all(b"\n")?;
    Ok(path)
}

/// The path holds what the region calls a command; nothing of it may be read as shell.
fn shell_quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// How it ended, once it has.
#[derive(Debug, Default)]
struct Outcome {
    result: Mutex<Option<ScriptResult>>,
    known: Condvar,
}

impl Outcome {
    fn set(&self, result: ScriptResult) {
        *lock(&self.result) = Some(result);
        self.known.notify_all();
    }

    fn wait(&self) -> ScriptResult {
        let mut result = lock(&self.result);
        loop {
            match &*result {
                Some(result) => return result.clone(),
                None => result = self.known.wait(result).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// The handle on a script.
#[derive(Debug)]
struct Running {
    group: i32,
    cancel: Arc<OwnedFd>,
    outcome: Arc<Outcome>,
}

impl RunningScript for Running {
    fn wait(&self) -> ScriptResult {
        self.outcome.wait()
    }

    fn kill(&self) {
        let _ = rustix::io::write(&*self.cancel, &1u64.to_ne_bytes());
    }

    fn process_group(&self) -> Option<i32> {
        Some(self.group)
    }
}
