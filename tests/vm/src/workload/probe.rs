//! Which file systems take a write now: one byte each, by a process each, which hangs where it is frozen.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The command line of `vm probe`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to wait for the last of them, milliseconds.
    #[arg(long)]
    limit_ms: u64,
    /// Their mount points.
    mounts: Vec<PathBuf>,
}

/// What became of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Write {
    /// Done after so many milliseconds.
    Done(u64),
    /// Refused after so many: the disk is gone.
    Refused(u64),
    /// It hangs.
    Hangs,
}

/// One result for each mount point. A write that hangs goes on by itself when it can.
///
/// # Errors
/// No process can be started.
pub fn run(args: &Args) -> std::io::Result<Vec<Write>> {
    let began = Instant::now();
    let mut children: Vec<Child> = Vec::with_capacity(args.mounts.len());
    for mount in &args.mounts {
        children.push(
            Command::new("sh")
                .args(["-c", "echo x >>\"$0\""])
                .arg(mount.join("probe"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?,
        );
    }
    let mut writes = vec![Write::Hangs; children.len()];
    while writes.contains(&Write::Hangs) && began.elapsed() < Duration::from_millis(args.limit_ms) {
        for (child, write) in
            children.iter_mut().zip(&mut writes).filter(|(_, write)| **write == Write::Hangs)
        {
            if let Some(status) = child.try_wait()? {
                let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                *write = if status.success() { Write::Done(ms) } else { Write::Refused(ms) };
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(writes)
}
