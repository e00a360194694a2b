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
use scenarios::{boot, copies, one_of_two, root, sets, third_line, unplug};
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
    /// Runs the scenarios and prints what was shown.
    Run {
        #[command(flatten)]
        at: Where,
        /// Runs only these.
        #[arg(long, value_enum)]
        only: Vec<Scenario>,
    },
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

/// What can be tried by itself, in the order in which it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Scenario {
    /// Freeze, copy, restore, verify; with the control.
    Copies,
    /// An order for one of two volumes.
    OneOfTwo,
    /// The root file system, left alone and frozen.
    Root,
    /// Worker and guardian killed at once.
    ThirdLine,
    /// A volume unplugged while frozen.
    Unplug,
    /// Mounts at real boots: ordering, hot plug, what is missing or broken.
    Boot,
    /// LVM and md sets: beside their originals, incomplete, on larger volumes.
    Sets,
}

impl Scenario {
    /// Whether it needs the guest in which every stack is under load.
    fn is_of_the_lab(self) -> bool {
        !matches!(self, Self::Boot | Self::Sets)
    }
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
        Command::Run { at, only } => run(&at, &only),
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

fn run(at: &Where, only: &[Scenario]) -> anyhow::Result<()> {
    if !is_possible()? {
        return Ok(());
    }
    let began = Instant::now();
    let workshop = workshop(at)?;
    let mut shown = Shown::default();
    let chosen = |scenario| only.is_empty() || only.contains(&scenario);
    let of_the_lab = only.is_empty() || only.iter().any(|scenario| scenario.is_of_the_lab());
    let evidence = if of_the_lab { in_the_lab(&workshop, &mut shown, chosen)? } else { None };
    if chosen(Scenario::Boot) {
        let outcome = boot::run(&workshop, &mut shown);
        shown.ended("a real boot", outcome);
    }
    if chosen(Scenario::Sets) {
        let outcome = sets::run(&workshop, &mut shown);
        shown.ended("sets", outcome);
    }
    if let Some((control, frozen)) = evidence {
        let verified = frozen.and_then(|frozen| copies::verify_frozen(&workshop, &frozen, &mut shown));
        shown.ended("freeze, copy, restore, verify", verified);
        let verified = copies::verify_unfrozen(&workshop, &control, &mut shown);
        shown.ended("the control", verified);
    }
    print(&shown.table())?;
    print(&format!(
        "\n{} shown, {} failed, {:.0} s",
        shown.held(),
        shown.failed(),
        began.elapsed().as_secs_f64()
    ))?;
    anyhow::ensure!(shown.failed() == 0, "{} claims do not hold; see above", shown.failed());
    Ok(())
}

/// The copies without and with a freeze, to be verified when the guest that made them is gone.
type Copies = (copies::Evidence, anyhow::Result<copies::Evidence>);

/// The scenarios of one guest, those that break something last.
fn in_the_lab(
    workshop: &Workshop,
    shown: &mut Shown,
    chosen: impl Fn(Scenario) -> bool,
) -> anyhow::Result<Option<Copies>> {
    let lab = Lab::start(workshop)?;
    let mut evidence = None;
    if chosen(Scenario::Copies) {
        evidence = Some((copies::unfrozen(&lab, workshop)?, copies::frozen(&lab, workshop, shown)));
    }
    if chosen(Scenario::OneOfTwo) {
        let outcome = one_of_two::run(&lab, shown);
        shown.ended("one of two volumes", outcome);
    }
    if chosen(Scenario::Root) {
        let outcome = root::left_alone(&lab, shown).and_then(|()| root::frozen(&lab, workshop, shown));
        shown.ended("root", outcome);
    }
    if chosen(Scenario::ThirdLine) {
        let outcome = third_line::run(&lab, shown);
        shown.ended("third line", outcome);
    }
    if chosen(Scenario::Unplug) {
        let outcome = unplug::run(&lab, shown);
        shown.ended("unplugged", outcome);
    }
    Ok(evidence)
}
