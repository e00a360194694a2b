//! `stillframe-helper mount`: from an order, from the command line, or from the records.

use super::print;
use anyhow::Context;
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};
use stillframe_helper::mount::{Task, boot, mount, one};
use stillframe_wire::{Exit, FileSystemKind, MountOrder, MountPoint, MountReport, MountSpec, VolumeId};

/// More than this is no order.
const MOST_BYTES: u64 = 1 << 20;

/// What `mount` takes.
#[derive(Debug, Args)]
pub struct MountArguments {
    /// The order, a JSON file; `-` reads it from stdin.
    #[arg(required_unless_present_any = ["boot", "volumes"], conflicts_with_all = ["boot", "volumes"])]
    order: Option<PathBuf>,
    /// Mounts all that is recorded.
    #[arg(long, conflicts_with = "volumes")]
    boot: bool,
    /// Mounts this volume, or these (one file system over all of them).
    #[arg(long = "volume", value_name = "VOLUME", requires = "at", value_parser = super::volume)]
    volumes: Vec<VolumeId>,
    /// Where.
    #[arg(long, requires = "volumes", value_parser = super::mount_point)]
    at: Option<MountPoint>,
    /// The type that it must have, and that a blank volume gets.
    #[arg(long, requires = "volumes", value_name = "TYPE")]
    file_system: Option<String>,
    /// Mount options, as in fstab.
    #[arg(long, requires = "volumes", default_value = "")]
    options: String,
    /// The volume was made blank: a file system may be made on it.
    #[arg(long, requires = "file_system")]
    blank: bool,
    /// Mounts even over what is not empty.
    #[arg(long, requires = "volumes")]
    over_non_empty: bool,
    /// Does not record it: it is not mounted again at boot.
    #[arg(long, requires = "volumes")]
    no_record: bool,
    /// Runs no hooks.
    #[arg(long, requires = "volumes")]
    no_hooks: bool,
    /// How long all of it may take, seconds.
    #[arg(long, requires = "volumes", value_name = "SECONDS")]
    timeout: Option<u64>,
}

/// Mounts, and prints the report.
///
/// # Errors
/// The order cannot be read, or the report not be printed.
pub fn run(arguments: MountArguments) -> anyhow::Result<Exit> {
    let root = Path::new("/");
    let report = if arguments.boot {
        boot(root)
    } else {
        match order(arguments) {
            Ok(order) => mount(root, &order),
            Err(error) => {
                let mut report = MountReport::new(None);
                report.error = Some(format!("{error:#}"));
                report
            }
        }
    };
    for mount in &report.mounts {
        if let Some(error) = &mount.error {
            stillframe_helper::say(&format!("failed to mount {}: {error}", mount.mount_point));
        }
    }
    if let Some(error) = &report.error {
        stillframe_helper::say(error);
    }
    print(&(serde_json::to_string(&report).context("failed to write the report")? + "\n"))?;
    Ok(if report.is_whole() { Exit::Done } else { Exit::NotMounted })
}

/// One mount, for the helper that started this process.
///
/// # Errors
/// The task is malformed.
pub fn run_one() -> anyhow::Result<Exit> {
    let mut text = Vec::new();
    std::io::stdin().take(MOST_BYTES).read_to_end(&mut text).context("failed to read the task")?;
    let task: Task = serde_json::from_slice(&text).context("failed to understand the task")?;
    let outcome = one(Path::new("/"), &task);
    print(&serde_json::to_string(&outcome).context("failed to write the outcome")?)?;
    Ok(Exit::Done)
}

fn order(arguments: MountArguments) -> anyhow::Result<MountOrder> {
    let mut volumes = arguments.volumes.into_iter();
    if let (Some(volume), Some(at)) = (volumes.next(), arguments.at) {
        let mut spec = MountSpec::new(volume, at);
        spec.volumes.extend(volumes);
        spec.file_system = match arguments.file_system.as_deref() {
            None => None,
            Some(name) => Some(FileSystemKind::named(name).with_context(|| {
                format!("--file-system {name:?} is none of ext2, ext3, ext4, xfs, btrfs")
            })?),
        };
        spec.mount_options = arguments.options;
        spec.blank = arguments.blank;
        spec.over_non_empty = arguments.over_non_empty;
        spec.record = !arguments.no_record;
        if let Some(timeout) = arguments.timeout {
            spec.timeout_s = timeout;
            spec.wait_s = spec.wait_s.min(timeout);
        }
        let order = MountOrder { v: 1, run: None, hooks: !arguments.no_hooks, mounts: vec![spec] };
        order.check()?;
        return Ok(order);
    }
    let path = arguments.order.context("neither an order nor a volume was given")?;
    let mut text = Vec::new();
    if path == Path::new("-") {
        std::io::stdin().take(MOST_BYTES).read_to_end(&mut text).context("failed to read stdin")?;
    } else {
        let file =
            std::fs::File::open(&path).with_context(|| format!("failed to open {}", path.display()))?;
        file.take(MOST_BYTES)
            .read_to_end(&mut text)
            .with_context(|| format!("failed to read {}", path.display()))?;
    }
    Ok(MountOrder::read(&text)?)
}
