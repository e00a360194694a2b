//! Running other programs: `blkid`, `mkfs`, `e2fsck`, hooks. Each has a time limit and a process group of
//! its own, which is killed at the limit; nothing of ours waits longer for it, not even for one that hangs
//! in the kernel. Not for the freeze's window, which starts no process.

use crate::clock::Boottime;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Where programs are looked for, whatever the caller's environment says.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// More of a program's output than this is read and dropped.
const MOST_OUTPUT: usize = 256 << 10;
/// How long a killed program may take to be gone, and how long a finished one's output is waited for: a
/// process that it left behind may hold the pipe.
const GRACE: Duration = Duration::from_secs(1);
/// How much of its words an error repeats.
const MOST_WORDS: usize = 300;

/// A program did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It is not there, or cannot be run.
    #[error("failed to start {program}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It took too long and was killed.
    #[error("{program} did not end within {seconds} s and was killed")]
    TooLong {
        /// Which.
        program: String,
        /// The limit, seconds.
        seconds: u64,
    },
    /// It was killed, since nobody wanted its end any more.
    #[error("{program} was killed before its end")]
    Unwanted {
        /// Which.
        program: String,
    },
    /// It ended with an error.
    #[error("{program} failed ({status}): {words}")]
    Failed {
        /// Which.
        program: String,
        /// How it ended.
        status: String,
        /// What it said.
        words: String,
    },
}

/// A program that has ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its name.
    pub program: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Ran {
    /// Its exit code; nothing when a signal ended it.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// What it said, in one line, the end of it if it said much.
    #[must_use]
    pub fn words(&self) -> String {
        let said = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        let line = said.split_whitespace().collect::<Vec<_>>().join(" ");
        let skip = line.chars().count().saturating_sub(MOST_WORDS);
        if line.is_empty() { "it said nothing".to_owned() } else { line.chars().skip(skip).collect() }
    }

    /// Itself when it ended with one of these codes.
    ///
    /// # Errors
    /// Another code, or a signal; with what it said.
    pub fn ended_with(self, good: &[i32]) -> Result<Self, ProgramError> {
        if self.code().is_some_and(|code| good.contains(&code)) { Ok(self) } else { Err(self.failure()) }
    }

    /// Its end as an error.
    #[must_use]
    pub fn failure(&self) -> ProgramError {
        let status = match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "no exit code".to_owned(),
        };
        ProgramError::Failed { program: self.program.clone(), status, words: self.words() }
    }
}

/// A program by its name, to be found in [`PATH`], in the C locale.
#[must_use]
pub fn program(name: &str) -> Command {
    let mut command = Command::new(found(name));
    command.env("PATH", PATH).env("LC_ALL", "C").env_remove("SSM_order");
    command
}

/// `Command` looks into the caller's own PATH; a name that is in ours is given whole.
fn found(name: &str) -> String {
    if name.contains('/') {
        return name.to_owned();
    }
    let mut places = PATH.split(':').map(|folder| format!("{folder}/{name}"));
    places.find(|path| std::path::Path::new(path).is_file()).unwrap_or_else(|| name.to_owned())
}

/// Runs it to its end, or to the limit.
///
/// # Errors
/// It cannot be started, or is killed at the limit. An exit code is no error.
pub fn run(command: &mut Command, until: Boottime) -> Result<Ran, ProgramError> {
    run_with(command, b"", until)
}

/// The same, with something to read on its stdin.
///
/// # Errors
/// As [`run`].
pub fn run_with(command: &mut Command, input: &[u8], until: Boottime) -> Result<Ran, ProgramError> {
    run_unless(command, input, until, None)
}

/// The same, killed also when the other end of `unwanted` closes.
///
/// # Errors
/// As [`run`].
pub fn run_unless(
    command: &mut Command,
    input: &[u8],
    until: Boottime,
    unwanted: Option<BorrowedFd<'_>>,
) -> Result<Ran, ProgramError> {
    let path = command.get_program().to_string_lossy().into_owned();
    let program = path.rsplit('/').next().unwrap_or(&path).to_owned();
    let began = Boottime::now();
    let stdin = if input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut child = command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|source| ProgramError::Start { program: program.clone(), source })?;
    if let Some(mut stdin) = child.stdin.take() {
        let input = input.to_owned();
        std::thread::spawn(move || stdin.write_all(&input));
    }
    let stdout = read_aside(child.stdout.take());
    let stderr = read_aside(child.stderr.take());
    let Some(status) = end_of(&mut child, until, unwanted) else {
        if Boottime::now() < until {
            return Err(ProgramError::Unwanted { program });
        }
        return Err(ProgramError::TooLong { program, seconds: until.since(began).as_secs() });
    };
    let text = |output: Receiver<String>| output.recv_timeout(GRACE).unwrap_or_default();
    Ok(Ran { program, status, stdout: text(stdout), stderr: text(stderr) })
}

/// Waits until it ends; at the limit, or when it is not wanted any more, kills its process group and gives up.
fn end_of(child: &mut Child, until: Boottime, unwanted: Option<BorrowedFd<'_>>) -> Option<ExitStatus> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw)?;
    let ends = pidfd_open(pid, PidfdFlags::empty()).ok();
    let wait = |limit: Duration, unwanted: Option<BorrowedFd<'_>>| {
        let Some(ends) = &ends else { return false };
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut polled = vec![PollFd::new(ends, PollFlags::IN)];
        polled.extend(unwanted.map(|end| PollFd::from_borrowed_fd(end, PollFlags::IN)));
        let _ = poll(&mut polled, Some(&limit));
        polled.get(1).is_some_and(|end| !end.revents().is_empty())
    };
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        let left = until.since(Boottime::now());
        if left.is_zero() {
            break;
        }
        if wait(left, unwanted) {
            break;
        }
    }
    let _ = kill_process_group(pid, Signal::KILL);
    wait(GRACE, None);
    let _ = child.try_wait();
    None
}

/// Reads to the end in a thread of its own, which lives as long as somebody holds the other end.
fn read_aside(from: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (sender, receiver) = channel();
    let Some(mut from) = from else { return receiver };
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut part) {
            if kept.len() < MOST_OUTPUT {
                kept.extend_from_slice(part.get(..count).unwrap_or_default());
            }
        }
        let _ = sender.send(String::from_utf8_lossy(&kept).into_owned());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Ran, ProgramError> {
        run(program("sh").args(["-c", script]), Boottime::now().after(limit))
    }

    #[test]
    fn output_and_exit_code_are_told() {
        let ran = shell("echo out; echo err >&2; exit 3", Duration::from_secs(20)).unwrap();
        assert_eq!((ran.code(), ran.stdout.as_str(), ran.stderr.as_str()), (Some(3), "out\n", "err\n"));
        let error = ran.ended_with(&[0]).unwrap_err().to_string();
        assert_eq!(error, "sh failed (exit code 3): err");
        let ran =
            run_with(&mut program("cat"), b"in", Boottime::now().after(Duration::from_secs(20))).unwrap();
        assert_eq!(ran.stdout, "in");
    }

    #[test]
    fn one_that_takes_too_long_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 600 & echo $! $$ > {}; wait", pids.display());
        let error = shell(&script, Duration::from_secs(1)).unwrap_err();
        assert!(matches!(error, ProgramError::TooLong { .. }), "{error}");
        let pids = std::fs::read_to_string(pids).unwrap();
        for pid in pids.split_whitespace() {
            let limit = Boottime::now().after(Duration::from_secs(5));
            let lives = || {
                std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z"))
            };
            while lives() && Boottime::now() < limit {
                std::thread::yield_now();
            }
            assert!(!lives(), "{pid} lives on");
        }
    }

    #[test]
    fn one_that_nobody_wants_any_more_is_killed_at_once() {
        let (end, ended) = std::os::unix::net::UnixStream::pair().unwrap();
        let ends = std::thread::spawn(move || {
            use rustix::fd::AsFd;
            let until = Boottime::now().after(Duration::from_secs(60));
            run_unless(program("sleep").arg("600"), b"", until, Some(ended.as_fd()))
        });
        drop(end);
        let error = ends.join().unwrap().unwrap_err();
        assert!(matches!(error, ProgramError::Unwanted { .. }), "{error}");
    }

    #[test]
    fn one_that_leaves_a_process_behind_is_not_waited_for() {
        let began = Boottime::now();
        let ran = shell("sleep 5 & exit 0", Duration::from_secs(60)).unwrap();
        assert_eq!(ran.code(), Some(0));
        assert!(Boottime::now().since(began) < Duration::from_secs(4));
    }
}
