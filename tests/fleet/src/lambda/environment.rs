//! One execution environment: a process of the function's program and the Runtime API that it polls.
//!
//! Each has a listener of its own, because the program is told only a host and a port. It works on one
//! invocation at a time. It dies when the invocation is out of time, when it is killed on purpose, and
//! with the fleet.

use super::runtime_api::{self, Reply};
use super::{FunctionError, launch};
use crate::region::Region;
use crate::server;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, mpsc, oneshot, watch};

/// One invocation on its way to a program.
#[derive(Debug)]
pub struct Job {
    /// The request's id.
    pub request: String,
    /// The event.
    pub payload: Vec<u8>,
    /// When it ends, milliseconds since 1970 on the system's clock.
    pub deadline_ms: u128,
    /// The function's ARN.
    pub arn: String,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// An environment that lives or has died.
#[derive(Debug)]
pub struct Environment {
    /// The function.
    pub function: &'static str,
    /// Its number; its credentials carry it.
    pub number: u64,
    /// The clock's offset that it was started with, seconds.
    pub offset_s: i64,
    pid: Option<u32>,
    jobs: mpsc::Sender<Job>,
    kill: watch::Sender<bool>,
    /// Why it died, once it has.
    died: watch::Receiver<Option<String>>,
    // Has no name: nothing is left of it, however the fleet ends.
    log: File,
    // Ends with the environment.
    _listener: server::Listener,
}

impl Environment {
    /// Starts the program.
    ///
    /// # Errors
    /// It cannot be started, or there is no port or log file to be had.
    pub async fn start(region: &Region, name: &'static str, program: &Path, number: u64) -> io::Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let (jobs, taken) = mpsc::channel(1);
        let (kill, killed) = watch::channel(false);
        let (death, died) = watch::channel(None);
        let listener = server::listen(socket, runtime_api::router(Arc::new(Mutex::new(taken)), kill.clone()));

        let log = tempfile::tempfile()?;
        let mut command: Command = launch::command(region.functions.launcher.as_deref(), program).into();
        command
            .env_clear()
            .envs(launch::variables(region, name, number, &address.to_string()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .kill_on_drop(true);
        let child = command.spawn()?;
        let pid = child.id();
        tokio::spawn(watch_over(child, killed, death));
        Ok(Self {
            function: name,
            number,
            offset_s: region.clock.offset_s(),
            pid,
            jobs,
            kill,
            died,
            log,
            _listener: listener,
        })
    }

    /// Has the program work on one event.
    ///
    /// `None`: the program had died before it took the event, so that another may. An error inside is the
    /// function's own.
    pub async fn run(
        &self,
        request: &str,
        payload: Vec<u8>,
        arn: &str,
        timeout: Duration,
    ) -> Option<Result<Vec<u8>, FunctionError>> {
        let (reply, answer) = oneshot::channel();
        let deadline = SystemTime::now() + timeout;
        let deadline_ms =
            deadline.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let job = Job { request: request.to_owned(), payload, deadline_ms, arn: arn.to_owned(), reply };
        if self.is_dead() || self.jobs.send(job).await.is_err() {
            return None;
        }
        tokio::select! {
            answer = answer => match answer {
                Ok(reply) => Some(reply),
                // Whoever held the job is gone: the process has ended.
                Err(_) => Some(Err(FunctionError::exited(request, &self.death(Duration::from_secs(1)).await))),
            },
            cause = self.death(Duration::MAX) => Some(Err(FunctionError::exited(request, &cause))),
            () = tokio::time::sleep(timeout) => {
                self.kill();
                Some(Err(FunctionError::timed_out(request, timeout)))
            }
        }
    }

    /// Waits until the process has ended, but not longer than that; why it did.
    async fn death(&self, at_most: Duration) -> String {
        let mut died = self.died.clone();
        match tokio::time::timeout(at_most, died.wait_for(Option::is_some)).await {
            Ok(Ok(cause)) => cause.clone().unwrap_or_default(),
            _ => "the connection to its Runtime API closed".to_owned(),
        }
    }

    /// The most memory that its process has had, MiB.
    #[must_use]
    pub fn peak_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib / 1024.0)
    }

    /// What its process has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        let length = self.log.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        // Not the file's own position: the process writes at that.
        match self.log.read_exact_at(&mut bytes, 0) {
            Ok(()) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(the log cannot be read: {error})\n"),
        }
    }

    /// Whether its process has ended.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.died.borrow().is_some() || self.died.has_changed().is_err()
    }

    /// Kills its process. Once is enough.
    pub fn kill(&self) {
        self.kill.send_replace(true);
    }

    /// Kills its process and waits for its end.
    pub async fn end(&self) {
        self.kill();
        let _ = self.died.clone().wait_for(Option::is_some).await;
    }
}

/// Waits for the order to kill, or for ever.
async fn ordered(kill: &mut watch::Receiver<bool>) {
    if kill.wait_for(|killed| *killed).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits for the end of the process, or for the order to end it.
async fn watch_over(mut child: Child, mut kill: watch::Receiver<bool>, death: watch::Sender<Option<String>>) {
    let ended = tokio::select! {
        status = child.wait() => status,
        () = ordered(&mut kill) => {
            let _ = child.start_kill();
            child.wait().await
        }
    };
    death.send_replace(Some(ended.map_or_else(|error| error.to_string(), |status| status.to_string())));
}
