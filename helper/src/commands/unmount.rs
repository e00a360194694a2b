//! `stillframe-helper unmount`.

use super::print;
use anyhow::Context;
use clap::Args;
use std::path::Path;
use stillframe_helper::mount::{Wanted, unmount};
use stillframe_wire::{Exit, MountPoint, VolumeId};

/// What `unmount` takes.
#[derive(Debug, Args)]
pub struct UnmountArguments {
    /// The mount points.
    #[arg(value_parser = super::mount_point, required_unless_present_any = ["all", "volumes"],
        conflicts_with_all = ["all", "volumes"])]
    at: Vec<MountPoint>,
    /// What is mounted from these volumes.
    #[arg(long = "volume", value_name = "VOLUME", conflicts_with = "all", value_parser = super::volume)]
    volumes: Vec<VolumeId>,
    /// Everything that is recorded.
    #[arg(long)]
    all: bool,
    /// Keeps the records: it is mounted again at the next boot.
    #[arg(long)]
    keep_record: bool,
    /// Runs no hooks.
    #[arg(long)]
    no_hooks: bool,
}

/// Unmounts, and prints the report.
///
/// # Errors
/// The report cannot be printed.
pub fn run(arguments: UnmountArguments) -> anyhow::Result<Exit> {
    let wanted = match arguments {
        UnmountArguments { all: true, .. } => Wanted::All,
        UnmountArguments { ref volumes, .. } if !volumes.is_empty() => Wanted::Volumes(volumes.clone()),
        UnmountArguments { ref at, .. } => Wanted::At(at.clone()),
    };
    let report = unmount(Path::new("/"), &wanted, arguments.keep_record, !arguments.no_hooks);
    let errors = report.mounts.iter().filter_map(|mount| mount.error.as_ref()).chain(&report.error);
    for error in errors {
        stillframe_helper::say(error);
    }
    print(&(serde_json::to_string(&report).context("failed to write the report")? + "\n"))?;
    Ok(if report.is_whole() { Exit::Done } else { Exit::NotMounted })
}
