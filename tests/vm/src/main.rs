//! `vm`: the helper against LVM, md RAID, LUKS, the root file system and systemd, in a guest.

mod freeze;
mod lab;
mod requirements;
mod scenarios;
mod shown;
mod signal_function;
mod stacks;
mod workload;

use anyhow::Context;
use clap::{Parser, Subcommand};
use lab::{Lab, Workshop};
use scenarios::{copies, one_of_two, root, third_line, unplug};
use shown::Shown;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use vm::image::Image;
use workload::{examine, probe, writer};

/// Tries the helper in a Debian guest.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs every scenario and prints what was shown.
    Run(Where),
    /// Boots a guest, runs one shell script in it as root and prints its output.
    Try {
        #[command(flatten)]
        at: Where,
        /// The script.
        script: String,
    },
    /// The guest's end of the control channel.
    #[command(hide = true)]
    Agent {
        /// The virtio-serial port.
        port: PathBuf,
    },
    /// Keeps a file system busy; runs in the guest.
    #[command(hide = true)]
    Writer(writer::Args),
    /// Looks at a copy; runs in the guest.
    #[command(hide = true)]
    Examine(examine::Args),
    /// Which file systems take writes; runs in the guest.
    #[command(hide = true)]
    Probe(probe::Args),
}

#[derive(Debug, clap::Args)]
struct Where {
    /// The static helper.
    #[arg(long)]
    helper: PathBuf,
    /// Where built images are kept.
    #[arg(long, default_value = "target/vm")]
    cache: PathBuf,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Run(at) => run(&at),
        Command::Try { at, script } => attempt(&at, &script),
        Command::Agent { port } => vm::agent::serve(&port).context("the agent gave up"),
        Command::Writer(args) => writer::run(&args).context("the writer gave up"),
        Command::Examine(args) => examine::run(&args).and_then(|copy| print(&serde_json::to_string(&copy)?)),
        Command::Probe(args) => probe::run(&args)
            .context("the probe gave up")
            .and_then(|writes| print(&serde_json::to_string(&writes)?)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush()).context("failed to print")
}

/// Whether there can be a guest here. Says so when not; under `STILLFRAME_REQUIRE=1` that is an error.
fn is_possible() -> anyhow::Result<bool> {
    let Some(missing) = requirements::missing() else { return Ok(true) };
    let is_required = std::env::var_os("STILLFRAME_REQUIRE").is_some_and(|value| value == "1");
    anyhow::ensure!(!is_required, "cannot run, and STILLFRAME_REQUIRE=1: {missing}");
    eprintln!("skipped: {missing}");
    Ok(false)
}

fn workshop(at: &Where) -> anyhow::Result<Workshop> {
    let began = Instant::now();
    let image = Image::ready(&at.cache)?;
    if image.is_new {
        eprintln!("vm: the guest's image is built after {:.1} s", began.elapsed().as_secs_f64());
    }
    Workshop::open(image, &at.helper)
}

fn attempt(at: &Where, script: &str) -> anyhow::Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let workshop = workshop(at)?;
    let guest = workshop.boot("try", &[])?;
    let done = guest.run_any(script)?;
    eprint!("{}", done.stderr);
    print(&done.stdout)?;
    anyhow::ensure!(done.code == Some(0), "the script ended with {:?}", done.code);
    Ok(())
}

fn run(at: &Where) -> anyhow::Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let began = Instant::now();
    let workshop = workshop(at)?;
    let mut shown = Shown::default();
    all(&workshop, &mut shown)?;
    print(&shown.table())?;
    print(&format!("\n{:.0} s", began.elapsed().as_secs_f64()))?;
    anyhow::ensure!(shown.failed() == 0, "{} claims do not hold; see above", shown.failed());
    Ok(())
}

/// Every scenario, those that break something last.
fn all(workshop: &Workshop, shown: &mut Shown) -> anyhow::Result<()> {
    let lab = Lab::start(workshop)?;
    let control = copies::unfrozen(&lab, workshop)?;
    let frozen = copies::frozen(&lab, workshop, shown);
    let rest: [(&str, &dyn Fn(&mut Shown) -> anyhow::Result<()>); 5] = [
        ("one of two volumes", &|shown| one_of_two::run(&lab, shown)),
        ("root left alone", &|shown| root::left_alone(&lab, shown)),
        ("root frozen", &|shown| root::frozen(&lab, workshop, shown)),
        ("third line", &|shown| third_line::run(&lab, shown)),
        ("unplugged", &|shown| unplug::run(&lab, shown)),
    ];
    for (name, scenario) in rest {
        if let Err(error) = scenario(shown) {
            shown.broke(name, &error);
        }
    }
    drop(lab);
    match frozen.and_then(|evidence| copies::verify_frozen(workshop, &evidence, shown)) {
        Ok(()) => {}
        Err(error) => shown.broke("freeze, copy, restore, verify", &error),
    }
    if let Err(error) = copies::verify_unfrozen(workshop, &control, shown) {
        shown.broke("the control", &error);
    }
    Ok(())
}
