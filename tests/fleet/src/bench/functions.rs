//! `fleet bench functions`: what starting a function costs, beside the same thing in Python with boto3.
//!
//! Each program is started as Lambda starts it, with a Runtime API that notes when the first request for an
//! event arrives. Memory is the resident set at that moment.

use super::{BenchError, io, median};
use crate::process::FleetProcess;
use serde::Serialize;
use serde_json::json;
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PEER: &str = include_str!("../../peers/signal_handler.py");
const FIRST_POLL_LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
struct Row {
    program: String,
    size_mb: f64,
    first_poll_ms: f64,
    memory_mb: f64,
}

/// Runs the benchmark and prints it. `functions` is the directory of the programs, `python` the
/// interpreter of the peer, which needs boto3.
///
/// # Errors
/// A program cannot be started or never asks for an event.
pub fn run(functions: &Path, python: &str, runs: usize, as_json: bool) -> Result<(), BenchError> {
    let program = std::env::current_exe().map_err(io("find this program's own path"))?;
    let region = FleetProcess::start(&program, "disks = false\n")?;
    let peer = tempfile::NamedTempFile::with_suffix(".py").map_err(io("make a file for the peer"))?;
    fs::write(peer.path(), PEER).map_err(io("write the peer"))?;

    let endpoint = region.client().endpoint();
    let (backup, signal) = (functions.join("backup"), functions.join("signal"));
    let peer_size = python_size(python).unwrap_or_default();
    let mut rows = Vec::new();
    for (name, command, size) in [
        ("backup", vec![backup.clone()], size_of(&backup)),
        ("signal", vec![signal.clone()], size_of(&signal)),
        ("signal in Python", vec![PathBuf::from(python), peer.path().to_owned()], peer_size),
    ] {
        let (mut polls, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..runs {
            let (first_poll, resident) = start_once(&command, name, endpoint)?;
            polls.push(first_poll.as_secs_f64() * 1_000.0);
            memory.push(resident);
        }
        let row = Row {
            program: name.to_owned(),
            size_mb: round(size as f64 / 1e6),
            first_poll_ms: round(median(&mut polls)),
            memory_mb: round(median(&mut memory)),
        };
        rows.push(row);
    }
    if as_json {
        println!("{}", json!(rows));
        return Ok(());
    }
    println!("{:<20} {:>9} {:>16} {:>11}", "function", "size MB", "first poll ms", "memory MB");
    for row in rows {
        println!(
            "{:<20} {:>9.1} {:>16.1} {:>11.1}",
            row.program, row.size_mb, row.first_poll_ms, row.memory_mb
        );
    }
    Ok(())
}

fn round(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// The size of boto3 and what it brings: what the peer's package would hold.
fn python_size(python: &str) -> Option<u64> {
    let code = "import os, boto3, botocore, s3transfer, jmespath, dateutil, urllib3\n\
                print(sum(os.path.getsize(os.path.join(d, f)) for m in (boto3, botocore, s3transfer, jmespath, dateutil, urllib3) \
                for d, _, fs in os.walk(os.path.dirname(m.__file__)) for f in fs if not f.endswith('.pyc')))";
    let output = Command::new(python).args(["-c", code]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// Ends the process also when the benchmark fails.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Time from the start to the first poll, and the resident set then, in MB.
fn start_once(command: &[PathBuf], name: &str, endpoint: &str) -> Result<(Duration, f64), BenchError> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(BenchError::Missing(format!("there is no program for {name}")));
    };
    let listener = TcpListener::bind("127.0.0.1:0").map_err(io("listen"))?;
    let address = listener.local_addr().map_err(io("listen"))?;
    listener.set_nonblocking(true).map_err(io("listen"))?;
    let started_at = Instant::now();
    let started = Command::new(program)
        .args(arguments)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAADMINADMINADMIN0")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(io(format!("start {}", program.display())))?;
    let started = Started(started);
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let polled_at = Instant::now();
                let mut first = [0_u8; 64];
                let _ = stream.set_nonblocking(false);
                let read = stream.read(&mut first).unwrap_or(0);
                let resident = resident_mb(started.0.id()).unwrap_or_default();
                if first.get(..read).is_some_and(|head| head.starts_with(b"GET ")) {
                    return Ok((polled_at - started_at, resident));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if started_at.elapsed() > FIRST_POLL_LIMIT {
                    return Err(BenchError::Waited(FIRST_POLL_LIMIT.as_secs(), "a function's first poll"));
                }
                std::thread::sleep(Duration::from_micros(50));
            }
            Err(error) => return Err(io("accept a function's poll")(error)),
        }
    }
}

fn resident_mb(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1_024.0 / 1e6)
}
