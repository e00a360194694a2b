//! The command line of `stillframe-helper`. stdout carries one JSON document (`list` without `--json`: a
//! table); everything else goes to stderr.

mod commands;

use anyhow::Context;
use clap::{Parser, Subcommand};
use commands::{mount, print, unmount, warm};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use stillframe_helper::freeze::flush::Approach;
use stillframe_helper::{doctor, freeze, install, list, say, thaw};
use stillframe_wire::{Exit, Verdict};

/// Freezes file systems for a snapshot, and thaws them; mounts what a restore brought back.
#[derive(Parser)]
#[command(name = "stillframe-helper", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carries out a work order: freeze, signal, thaw, report.
    Freeze {
        /// The signed work order, a JSON Web Token.
        #[arg(long, env = "SSM_order", hide_env_values = true)]
        order: String,
        /// Does everything up to the first freeze, and reports how that went.
        #[arg(long, conflicts_with = "plain")]
        rehearse: bool,
        /// Freezes without flush rounds and prime: what a plain freeze costs, for measurements.
        #[arg(long, hide = true)]
        plain: bool,
    },
    /// Thaws what a freeze left frozen. Needs no order and no network.
    Thaw {
        /// Thaw even while a freeze is under way and in time.
        #[arg(long)]
        force: bool,
        /// Started by this systemd timer, which is to end when nothing is left to thaw.
        #[arg(long, hide = true, conflicts_with = "force")]
        third_line: Option<String>,
    },
    /// Says whether a freeze would work here: for each mount, and for what a freeze needs.
    Doctor {
        /// The signal function's name or ARN, to ask whether it can be reached.
        #[arg(long)]
        function: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Mounts volumes, and records that for every later boot.
    Mount(mount::MountArguments),
    /// Makes one mount, in a process of its own.
    #[command(hide = true)]
    MountOne,
    /// Unmounts what was mounted from volumes, and forgets it.
    Unmount(unmount::UnmountArguments),
    /// Reads a restored volume through once, so that no block is slow when it is first needed.
    Warm(warm::WarmArguments),
    /// Writes the systemd units that mount at boot, and the directories for hooks and records.
    Install {
        /// Below this directory: for an image that is being made.
        #[arg(long, default_value = "/")]
        root: PathBuf,
    },
    /// Shows volumes, what is mounted from them, and what can be frozen.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let exit = match Cli::parse().command {
        Command::Freeze { order, rehearse, plain } => freeze_command(
            &order,
            match (rehearse, plain) {
                (true, _) => Approach::Rehearsal,
                (_, true) => Approach::Plain,
                _ => Approach::Flushed,
            },
        ),
        Command::Thaw { force, third_line } => thaw_command(force, third_line.as_deref()),
        Command::Doctor { function, json } => doctor_command(function.as_deref(), json),
        Command::Mount(arguments) => mount::run(arguments),
        Command::MountOne => mount::run_one(),
        Command::Unmount(arguments) => unmount::run(arguments),
        Command::Warm(arguments) => warm::run(arguments),
        Command::Install { root } => install_command(&root),
        Command::List { json } => list_command(json),
    };
    match exit {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(Exit::NotFrozen.code())
        }
    }
}

fn freeze_command(order: &str, approach: Approach) -> anyhow::Result<Exit> {
    let here = std::env::var("AWS_SSM_INSTANCE_ID").ok().filter(|id| !id.is_empty());
    let report = freeze::run(order.trim(), here.as_deref(), approach, &|report| {
        // The exit code holds, whether or not anybody still reads.
        if let Err(error) = print(&report.render()) {
            say(&format!("failed to print the report: {error}"));
        }
    });
    Ok(match report.verdict {
        Verdict::Consistent | Verdict::Rehearsed => Exit::Done,
        Verdict::Refused => Exit::Refused,
        Verdict::NotFrozen => Exit::NotFrozen,
        Verdict::Unproved => Exit::Unproved,
        Verdict::ThawUncertain => Exit::ThawUncertain,
    })
}

fn thaw_command(force: bool, third_line: Option<&str>) -> anyhow::Result<Exit> {
    let (thawed, exit) = match third_line {
        Some(timer) => thaw::run_as_third_line(timer),
        None => thaw::run(force),
    };
    print(&(serde_json::to_string(&thawed).context("failed to write the result")? + "\n"))?;
    Ok(exit)
}

fn doctor_command(function: Option<&str>, json: bool) -> anyhow::Result<Exit> {
    let findings = doctor::findings(&doctor::look(Path::new("/"), function));
    if json {
        print(&(serde_json::to_string(&findings).context("failed to write the findings")? + "\n"))?;
    } else {
        print(&doctor::table(&findings))?;
    }
    Ok(doctor::exit(&findings))
}

fn install_command(root: &Path) -> anyhow::Result<Exit> {
    let installed = install::install_this(root)?;
    print(&(serde_json::to_string(&installed).context("failed to write the result")? + "\n"))?;
    Ok(Exit::Done)
}

fn list_command(json: bool) -> anyhow::Result<Exit> {
    let rows = list::rows(Path::new("/"))?;
    if json {
        print(&(serde_json::to_string(&rows).context("failed to write the list")? + "\n"))?;
    } else {
        print(&list::table(&rows))?;
    }
    Ok(Exit::Done)
}
