//! Lambda: `Invoke` of the functions `backup` and `signal`, which are the real programs. Environments are
//! kept warm and work on one invocation at a time; more are started on demand. An asynchronous invocation
//! that fails is repeated twice.

pub mod environment;
pub mod launch;
pub mod runtime_api;

use crate::api_error::ApiError;
use crate::caller::Caller;
use crate::deployment::Deployed;
use crate::random;
use crate::region::Region;
use crate::simulation::Host;
use crate::spec::FunctionSpec;
use crate::sync::lock;
use environment::Environment;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// The functions that exist.
pub const NAMES: [&str; 3] = ["backup", crate::caller::SIGNAL, "restore"];

/// Most bytes of a synchronous event, and of an asynchronous one.
pub(crate) const LARGEST_EVENT: usize = 6 << 20;
const LARGEST_QUEUED: usize = 1 << 20;

/// A function's own failure: Lambda answers 200 and says so in a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The error as JSON.
    pub payload: Vec<u8>,
}

impl FunctionError {
    /// An error that Lambda itself reports.
    #[must_use]
    pub fn new(kind: &str, message: &str) -> Self {
        Self { payload: json!({"errorType": kind, "errorMessage": message}).to_string().into_bytes() }
    }

    /// The error that a program posted.
    #[must_use]
    pub fn of_program(payload: Vec<u8>) -> Self {
        Self { payload }
    }

    pub(crate) fn exited(request: &str, status: &str) -> Self {
        let message = format!("RequestId: {request} Error: Runtime exited with error: {status}");
        Self::new("Runtime.ExitError", &message)
    }

    pub(crate) fn timed_out(request: &str, timeout: Duration) -> Self {
        let message =
            format!("RequestId: {request} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
        Self::new("Sandbox.Timedout", &message)
    }
}

/// The functions of a region.
#[derive(Debug)]
pub struct Functions {
    /// How they run.
    pub spec: FunctionSpec,
    /// In a simulation, functions and helpers are not processes but run here.
    pub host: OnceLock<Host>,
    /// The fleet's own program, through which the others are started so that they die with it.
    pub launcher: Option<PathBuf>,
    programs: PathBuf,
    /// What a template says of them, by program.
    pub deployed: BTreeMap<&'static str, Deployed>,
    /// What ended environments have logged, by their number.
    old_logs: Mutex<BTreeMap<u64, (&'static str, String)>>,
    idle: Mutex<BTreeMap<&'static str, Vec<Arc<Environment>>>>,
    all: Mutex<BTreeMap<u64, Arc<Environment>>>,
    busy: BTreeMap<&'static str, AtomicUsize>,
    queued: AtomicUsize,
    started: AtomicU64,
}

/// The program of that name.
#[must_use]
pub fn program(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

impl Functions {
    /// Functions whose programs lie in `programs`.
    #[must_use]
    pub fn new(spec: FunctionSpec, programs: PathBuf, launcher: Option<PathBuf>) -> Self {
        Self {
            spec,
            host: OnceLock::new(),
            launcher,
            programs,
            deployed: BTreeMap::new(),
            old_logs: Mutex::default(),
            idle: Mutex::default(),
            all: Mutex::default(),
            busy: NAMES.into_iter().map(|name| (name, AtomicUsize::new(0))).collect(),
            queued: AtomicUsize::new(0),
            started: AtomicU64::new(0),
        }
    }

    /// The function that somebody means: `arn:aws:lambda:<region>:<account>:function:<name>[:<version>]`, or
    /// `name[:<version>]`. In a region that a template drives, functions are called what it calls them; the
    /// operator may use the programs' names there too.
    #[must_use]
    pub fn named(&self, caller: &Caller, name_or_arn: &str) -> Option<&'static str> {
        let name = bare(name_or_arn)?;
        let deployed = self.deployed.iter().find(|(_, deployed)| deployed.name == name);
        match deployed {
            Some((program, _)) => Some(*program),
            None if self.deployed.is_empty() || *caller == Caller::Operator => program(name),
            None => None,
        }
    }

    /// What a function is called.
    #[must_use]
    pub fn name_of(&self, program: &'static str) -> &str {
        self.deployed.get(program).map_or(program, |deployed| deployed.name.as_str())
    }

    fn timeout_of(&self, program: &str) -> Duration {
        let most = Duration::from_secs(self.spec.timeout_s);
        self.deployed.get(program).map_or(most, |deployed| deployed.timeout.min(most))
    }

    /// Everything that a function's environments have logged, in the order in which they were started.
    #[must_use]
    pub fn logs(&self, name: &str) -> String {
        let mut texts = lock(&self.old_logs).clone();
        let live =
            lock(&self.all).values().map(|one| (one.number, (one.function, one.log()))).collect::<Vec<_>>();
        texts.extend(live);
        texts.into_values().filter(|(function, _)| *function == name).map(|(_, text)| text).collect()
    }

    /// The most memory that an environment of a function that lives has had, MiB.
    #[must_use]
    pub fn peak_mib(&self, name: &str) -> Option<f64> {
        let all = lock(&self.all);
        let peaks = all.values().filter(|one| one.function == name).filter_map(|one| one.peak_mib());
        peaks.max_by(f64::total_cmp)
    }

    /// How many invocations run or wait in the queue.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let busy: usize = self.busy.values().map(|count| count.load(Ordering::SeqCst)).sum();
        busy + self.queued.load(Ordering::SeqCst)
    }

    /// Kills one environment and waits for its end.
    pub async fn kill(&self, number: u64) {
        if let Some(host) = self.host.get() {
            return host.kill(number);
        }
        let environment = lock(&self.all).get(&number).cloned();
        if let Some(environment) = environment {
            environment.end().await;
        }
    }

    /// Ends every environment and waits for that.
    pub async fn shutdown(&self) {
        let all = std::mem::take(&mut *lock(&self.all));
        lock(&self.idle).clear();
        for environment in all.values() {
            environment.kill();
        }
        for environment in all.values() {
            environment.end().await;
        }
    }

    /// A warm environment that was started at the clock's present offset. Older ones are ended.
    fn warm(&self, name: &'static str, offset_s: i64) -> Option<Arc<Environment>> {
        let mut idle = lock(&self.idle);
        let warm = idle.entry(name).or_default();
        while let Some(environment) = warm.pop() {
            if environment.offset_s == offset_s && !environment.is_dead() {
                return Some(environment);
            }
            self.retire(&environment);
        }
        None
    }

    fn retire(&self, environment: &Environment) {
        environment.kill();
        if lock(&self.all).remove(&environment.number).is_some() {
            lock(&self.old_logs).insert(environment.number, (environment.function, environment.log()));
        }
    }

    async fn cold(&self, region: &Region, name: &'static str) -> std::io::Result<Arc<Environment>> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let program = self.programs.join(name);
        let environment = Arc::new(Environment::start(region, name, &program, number).await?);
        lock(&self.all).insert(number, Arc::clone(&environment));
        Ok(environment)
    }
}

/// How an invocation ends: the function's answer or its failure.
pub type Outcome = Result<Vec<u8>, FunctionError>;

/// A function's name, of its ARN or with a version.
#[must_use]
pub fn bare(name_or_arn: &str) -> Option<&str> {
    let name = match name_or_arn.split_once(":function:") {
        Some((_, rest)) => rest,
        None => name_or_arn,
    };
    name.split(':').next()
}

/// The error for a function that does not exist.
#[must_use]
pub fn not_found(region: &Region, name: &str) -> ApiError {
    let message = format!("Function not found: {}", region.function_arn(name));
    ApiError::new("ResourceNotFoundException", message).status(404)
}

/// Refuses an event that is too large or no JSON.
///
/// # Errors
/// As Lambda answers them.
pub fn check_event(payload: &[u8], queued: bool) -> Result<(), ApiError> {
    if payload.len() > if queued { LARGEST_QUEUED } else { LARGEST_EVENT } {
        return Err(ApiError::new("RequestTooLargeException", "Request must be smaller.").status(413));
    }
    if !payload.is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(payload).is_err() {
        return Err(ApiError::new(
            "InvalidRequestContentException",
            "Could not parse request body into json.",
        ));
    }
    Ok(())
}

/// Runs a function on an event to its end.
///
/// # Errors
/// Too many invocations at once, or its program cannot be started. What the function itself makes of the
/// event is inside.
pub async fn invoke(
    region: &Region,
    name: &'static str,
    payload: &[u8],
    request: &str,
) -> Result<Outcome, ApiError> {
    let functions = &region.functions;
    let Some(busy) = functions.busy.get(name) else { return Err(not_found(region, name)) };
    let _busy = Busy::enter(busy, functions.spec.concurrency)?;
    let timeout = functions.timeout_of(name);
    if let Some(host) = functions.host.get() {
        return Ok(host.invoke(name, payload, request, timeout).await);
    }
    let arn = region.function_arn(functions.name_of(name));
    // A warm environment may turn out dead when the event is handed over; a cold one that dies before it
    // takes the event is the function's own failure.
    loop {
        let warm = functions.warm(name, region.clock.offset_s());
        let was_warm = warm.is_some();
        let environment = match warm {
            Some(environment) => environment,
            None => functions.cold(region, name).await.map_err(|error| {
                let program = functions.programs.join(name);
                ApiError::internal(&StartError { program: program.display().to_string(), source: error })
            })?,
        };
        let outcome = environment.run(request, payload.to_vec(), &arn, timeout).await;
        if environment.is_dead() {
            functions.retire(&environment);
        } else if outcome.is_some() {
            lock(&functions.idle).entry(name).or_default().push(environment);
        }
        match outcome {
            Some(outcome) => return Ok(outcome),
            None if was_warm => {}
            None => return Ok(Err(FunctionError::exited(request, "it ended while it started"))),
        }
    }
}

/// Hands an event to the queue, which sees to it that it is run, three times if need be.
pub fn invoke_later(region: &Arc<Region>, name: &'static str, payload: Vec<u8>, request: String) {
    let region = Arc::clone(region);
    region.functions.queued.fetch_add(1, Ordering::SeqCst);
    tokio::spawn(async move {
        let delays = region.functions.spec.retry_delays_ms;
        for delay in std::iter::once(0).chain(delays) {
            stillframe_lambda::timer::sleep(Duration::from_millis(delay)).await;
            match invoke(&region, name, &payload, &request).await {
                Ok(Ok(_)) => break,
                Ok(Err(error)) => {
                    let error = String::from_utf8_lossy(&error.payload).into_owned();
                    tracing::warn!(function = name, error, "an asynchronous invocation failed");
                }
                Err(error) => {
                    tracing::warn!(function = name, %error, "an asynchronous invocation was not run")
                }
            }
        }
        region.functions.queued.fetch_sub(1, Ordering::SeqCst);
    });
}

/// A new request's id.
#[must_use]
pub fn request_id() -> String {
    random::uuid()
}

/// A program that cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("failed to start the function's program {program}")]
struct StartError {
    program: String,
    source: std::io::Error,
}

/// Counts one invocation for as long as it runs.
struct Busy<'a>(&'a AtomicUsize);

impl<'a> Busy<'a> {
    fn enter(count: &'a AtomicUsize, most: usize) -> Result<Self, ApiError> {
        let busy = Self(count);
        if count.fetch_add(1, Ordering::SeqCst) >= most {
            return Err(ApiError::new("TooManyRequestsException", "Rate Exceeded.").status(429));
        }
        Ok(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Where functions' programs lie: as the spec says, else `FLEET_FUNCTIONS`, else beside this program.
#[must_use]
pub fn programs(spec: &FunctionSpec) -> PathBuf {
    let beside = || std::env::current_exe().ok().and_then(|path| path.parent().map(Path::to_owned));
    spec.dir
        .clone()
        .or_else(|| std::env::var_os("FLEET_FUNCTIONS").map(PathBuf::from))
        .or_else(beside)
        .unwrap_or_default()
}

#[cfg(test)]
#[path = "lambda_tests.rs"]
mod tests;
