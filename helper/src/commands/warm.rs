//! `stillframe-helper warm`.

use super::print;
use anyhow::{Context, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use stillframe_helper::volumes::attached;
use stillframe_helper::warm::{Options, warm};
use stillframe_wire::{Exit, VolumeId};

/// Where it is noted how far each volume was read: EBS keeps what it has fetched over a reboot.
const NOTES: &str = "/var/lib/stillframe/warm";

/// What `warm` takes.
#[derive(Debug, Args)]
pub struct WarmArguments {
    /// The volume, as its id or its device.
    volume: String,
    /// Requests in flight.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    depth: u16,
    /// KiB of one request.
    #[arg(long, default_value_t = 1024, value_name = "KIB", value_parser = clap::value_parser!(u32).range(4..=65536))]
    block: u32,
    /// MiB per second at most.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// A file that names files, one a line, to be read before all else.
    #[arg(long, value_name = "LIST")]
    first: Option<PathBuf>,
    /// Where it is noted how far it came.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Begins at the beginning, whatever was noted.
    #[arg(long)]
    anew: bool,
}

/// Reads a volume through, and prints how that went.
///
/// # Errors
/// There is no such volume, or it cannot be opened.
pub fn run(arguments: WarmArguments) -> anyhow::Result<Exit> {
    let device = if arguments.volume.starts_with('/') {
        PathBuf::from(&arguments.volume)
    } else {
        let id = VolumeId::new(arguments.volume.as_str())?;
        match attached(Path::new("/")).get(&id) {
            Some(disk) => Path::new("/dev").join(disk),
            None => bail!("volume {id} is not attached to this instance"),
        }
    };
    let name = arguments.volume.trim_start_matches('/').replace('/', "-");
    let state = arguments.state.unwrap_or_else(|| Path::new(NOTES).join(name + ".json"));
    if arguments.anew {
        let _ = std::fs::remove_file(&state);
    }
    let first = match &arguments.first {
        None => Vec::new(),
        Some(list) => {
            let text = std::fs::read_to_string(list)
                .with_context(|| format!("failed to read {}", list.display()))?;
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(PathBuf::from).collect()
        }
    };
    let options = Options {
        device,
        identity: arguments.volume,
        depth: arguments.depth.into(),
        block: usize::try_from(arguments.block)? << 10,
        rate: arguments.rate.map(|rate| u64::from(rate) << 20),
        state: Some(state),
        first,
    };
    let warmed = warm(&options)?;
    for failed in warmed.failed.iter().take(10) {
        stillframe_helper::say(&format!("failed to read {failed}"));
    }
    print(&(serde_json::to_string(&warmed).context("failed to write the result")? + "\n"))?;
    Ok(if warmed.failed.is_empty() { Exit::Done } else { Exit::NotRead })
}
