//! `fleet`: the embedded region as a program.

use anyhow::Context;
use clap::{Parser, Subcommand};
use fleet::deployment::Deployment;
use fleet::fleet::{DrivenBy, Fleet};
use fleet::lambda::launch;
use fleet::spec::Spec;
use fleet::{bench, demo, disks, verify, writer};
use stack::Place;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// An AWS region on this machine, for demos and tests.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a region until SIGTERM or SIGINT; prints `endpoint=http://127.0.0.1:PORT` when it is ready.
    Serve {
        /// The region's description, TOML.
        #[arg(long)]
        spec: PathBuf,
        /// Where to listen; port 0 is any free one.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// A SAM template that says what the functions are called and may do, which documents and schedules there
        /// are: `infra/template.yaml`. Its roles decide every call that functions and instances make.
        #[arg(long)]
        template: Option<PathBuf>,
        /// A parameter of the template, as `NAME=VALUE`; again for more.
        #[arg(long = "parameter", value_name = "NAME=VALUE", requires = "template")]
        parameters: Vec<String>,
        /// Has the template's rules carry events to the functions.
        #[arg(long, requires = "template")]
        follow_rules: bool,
    },
    /// Two instances, four volumes, some days: backup, skip, prune, verify.
    Demo {
        /// Prints the figures as one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures.
    #[command(subcommand)]
    Bench(Bench),
    /// Checks a snapshot's bytes, given the file that `/_fleet/snapshots` names.
    Verify {
        /// The snapshot's file.
        snapshot: PathBuf,
    },
    /// Ends what a killed fleet left on this machine.
    Sweep,
    /// Writes checksummed records; started by the fleet inside an instance.
    #[command(hide = true)]
    Writer(writer::Args),
    /// Writes one byte to a file system that may be frozen; started by the fleet inside an instance.
    #[command(hide = true)]
    Probe(disks::probe::Args),
    /// Becomes a function's program that dies with the fleet; started by the fleet.
    #[command(hide = true)]
    Launch(launch::Args),
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// How long writers stand still, ours beside other ways, against one Invoke and one CreateSnapshots.
    Freeze(bench::freeze::Options),
    /// Randomised runs with faults: do the labels tell the truth about the bytes?
    Labels {
        /// Runs.
        #[arg(long, default_value_t = 200)]
        runs: usize,
        /// Where the random numbers start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Prints one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Freezes under load, each hit at a random instant by what can happen to one: are the promises kept?
    Kill {
        /// Freezes, of 1 to 4 file systems each.
        #[arg(long, default_value_t = 100)]
        runs: usize,
        /// Where the random numbers start.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Where the images lie instead of the temporary directory; `/dev/shm` is in memory.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Prints one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// A firing over ten thousand instances on the fleet's own clock: calls, time, memory; one by one beside it.
    Scale(bench::scale::Options),
    /// From the event to the last mount, by number of volumes, against the services' latencies; serial beside it.
    Restore(bench::restore::Options),
    /// What starting a function costs, beside the same in Python.
    Functions {
        /// Where the programs `backup` and `signal` lie.
        #[arg(long, default_value = "target/function")]
        functions: PathBuf,
        /// A Python that has boto3.
        #[arg(long, default_value = "python3")]
        python: String,
        /// Starts of each.
        #[arg(long, default_value_t = 11)]
        runs: usize,
        /// Prints one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Enough for a thread per running command, however many instances there are.
const THREADS: usize = 16_384;

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve { spec, listen, template, parameters, follow_rules } => {
            Spec::load(&spec).map_err(Into::into).and_then(|spec| {
                let deployment = template.map(|path| deployment(&spec, &path, &parameters)).transpose()?;
                let driven_by =
                    deployment.map(|deployment| DrivenBy { deployment, follows_rules: follow_rules });
                serve(spec, driven_by, listen)
            })
        }
        Command::Demo { json } => kept(demo::run(json).map_err(Into::into)),
        Command::Bench(Bench::Freeze(options)) => bench::freeze::run(&options).map_err(Into::into),
        Command::Bench(Bench::Labels { runs, seed, json }) => {
            kept(bench::labels::run(runs, seed, json).map_err(Into::into))
        }
        Command::Bench(Bench::Kill { runs, seed, dir, json }) => {
            let dir = dir.unwrap_or_else(std::env::temp_dir);
            kept(bench::kill::run(runs, seed, &dir, json).map_err(Into::into))
        }
        Command::Bench(Bench::Functions { functions, python, runs, json }) => {
            bench::functions::run(&functions, &python, runs, json).map_err(Into::into)
        }
        Command::Bench(Bench::Restore(options)) => kept(bench::restore::run(&options).map_err(Into::into)),
        Command::Bench(Bench::Scale(options)) => kept(bench::scale::run(&options)),
        Command::Verify { snapshot } => check(&snapshot),
        Command::Sweep => sweep(),
        Command::Writer(args) => writer::run(&args).context("the writer gave up"),
        Command::Probe(args) => disks::probe::run(&args).context("the probe gave up"),
        Command::Launch(args) => Err(launch::run(&args)).context("failed to start the function's program"),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fleet: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What was shown has to be as promised.
fn kept(outcome: anyhow::Result<bool>) -> anyhow::Result<()> {
    anyhow::ensure!(outcome?, "a promise was not kept; see above");
    Ok(())
}

fn check(snapshot: &Path) -> anyhow::Result<()> {
    let found = verify::verify(snapshot);
    println!("{}", serde_json::to_string_pretty(&found).context("failed to print")?);
    anyhow::ensure!(found.is_consistent(), "{} is not consistent", snapshot.display());
    Ok(())
}

fn sweep() -> anyhow::Result<()> {
    // Benchmarks may have been told to keep their images in memory.
    for base in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
        for ended in disks::sweep::sweep(&base) {
            println!("ended {}", ended.display());
        }
    }
    Ok(())
}

fn deployment(spec: &Spec, template: &Path, parameters: &[String]) -> anyhow::Result<Deployment> {
    let place = Place { account: spec.account.clone(), region: spec.region.clone() };
    let parameters = parameters.iter().map(|given| {
        given.split_once('=').with_context(|| format!("{given}: a parameter is written NAME=VALUE"))
    });
    let parameters = parameters.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Deployment::load(template, &place, &parameters)?)
}

fn serve(spec: Spec, driven_by: Option<DrivenBy>, listen: SocketAddr) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        // Before anything is made, so that a signal that comes early is not lost.
        let mut terminated = signal(SignalKind::terminate()).context("failed to listen for SIGTERM")?;
        let mut interrupted = signal(SignalKind::interrupt()).context("failed to listen for SIGINT")?;
        let fleet = Fleet::start(spec, driven_by, listen).await?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "endpoint={}", fleet.endpoint())
            .and_then(|()| stdout.flush())
            .context("failed to print")?;
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        fleet.shutdown().await;
        Ok(())
    })
}
