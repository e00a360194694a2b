//! How a function's program is started: what its environment says, and that it dies with the fleet.

use crate::caller::Caller;
use crate::region::Region;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The command line of `fleet launch`, which a function's program is started through.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// The fleet's process id.
    #[arg(long)]
    pub parent: i32,
    /// The program.
    pub program: PathBuf,
}

/// Has this process die with its parent, and becomes the program.
///
/// # Errors
/// The parent is dead already, or the program cannot be started. Does not return otherwise.
pub fn run(args: &Args) -> io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    // A parent that died before the line above sends no signal.
    if getppid() != Pid::from_raw(args.parent) {
        return io::Error::other("the fleet has ended");
    }
    Command::new(&args.program).exec()
}

/// The command that starts a program, through the launcher where there is one.
pub fn command(launcher: Option<&Path>, program: &Path) -> Command {
    let Some(launcher) = launcher else { return Command::new(program) };
    let mut command = Command::new(launcher);
    command.args(["launch", "--parent", &std::process::id().to_string()]).arg(program);
    command
}

/// The whole environment of a program: nothing of the fleet's own but `PATH`.
pub fn variables(region: &Region, name: &str, number: u64, runtime_api: &str) -> Vec<(String, String)> {
    let caller = Caller::Function { name: name.to_owned(), environment: number };
    let credentials = region.callers.issue(caller);
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let functions = &region.functions;
    let deployed = functions.deployed.get(name);
    let memory = deployed.map_or(functions.spec.memory_mib, |deployed| deployed.memory_mib);
    let called = deployed.map_or(name, |deployed| deployed.name.as_str());
    let mut variables = vec![
        own("PATH", &std::env::var("PATH").unwrap_or_default()),
        own("TZ", ":UTC"),
        own("AWS_LAMBDA_RUNTIME_API", runtime_api),
        own("AWS_LAMBDA_FUNCTION_NAME", called),
        own("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        own("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory.to_string()),
        own("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        own("AWS_LAMBDA_LOG_GROUP_NAME", &format!("/aws/lambda/{called}")),
        own("AWS_LAMBDA_LOG_STREAM_NAME", &format!("{called}-{number}")),
        own("AWS_REGION", &region.name),
        own("AWS_DEFAULT_REGION", &region.name),
        own("AWS_ACCESS_KEY_ID", &credentials.access_key_id),
        own("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key),
        own("AWS_SESSION_TOKEN", &credentials.session_token),
        own("AWS_EC2_METADATA_DISABLED", "true"),
        own("AWS_ENDPOINT_URL", &region.endpoint),
        own("STILLFRAME_CLOCK_OFFSET_S", &region.clock.offset_s().to_string()),
    ];
    let further = deployed.into_iter().flat_map(|deployed| &deployed.environment);
    variables.extend(further.map(|(name, value)| own(name, value)));
    variables.extend(functions.spec.env.iter().map(|(name, value)| own(name, value)));
    variables
}
