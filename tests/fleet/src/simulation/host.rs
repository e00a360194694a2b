//! Where functions and helpers run in a simulation: in this process, each as a task.

use super::line::Line;
use crate::caller::{Caller, SIGNAL};
use crate::diskless::helper::{Answering, Helper};
use crate::lambda::{FunctionError, LARGEST_EVENT, Outcome};
use crate::machine::{ScriptEnd, ScriptResult, ShellScript};
use crate::region::Region;
use crate::sync::lock;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillframe_lambda::aws::Account;
use stillframe_lambda::backup::{self, BackupFunction, RunReport};
use stillframe_lambda::config::Config;
use stillframe_lambda::signal::SignalFunction;
use stillframe_lambda::timer;
use stillframe_wire::Exit;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, spawn_local};

/// How long a helper takes between READY and FROZEN: flush and priming.
const FLUSH: Duration = Duration::from_millis(300);

/// How an invocation of the backup function ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How long it took, on the simulation's clock.
    pub took: Duration,
    /// How long its answer is, bytes.
    pub bytes: usize,
    /// The answer, or what ended it.
    pub report: Result<Box<RunReport>, String>,
}

/// The functions' and helpers' host.
#[derive(Debug)]
pub struct Host {
    line: Line,
    mounts: Arc<BTreeMap<String, (String, String)>>,
    jobs: mpsc::UnboundedSender<Job>,
    started: AtomicU64,
    running: Arc<Mutex<HashMap<u64, AbortHandle>>>,
    ended: Arc<Mutex<Vec<Ended>>>,
    keys: Mutex<HashMap<String, String>>,
}

#[derive(Debug)]
struct Job {
    function: &'static str,
    payload: Vec<u8>,
    request: String,
    timeout: Duration,
    reply: oneshot::Sender<Outcome>,
}

/// What the host is to do.
pub struct Jobs(mpsc::UnboundedReceiver<Job>);

impl Host {
    /// A host, and what has to be served for it to work.
    #[must_use]
    pub fn new(line: Line, mounts: Arc<BTreeMap<String, (String, String)>>) -> (Self, Jobs) {
        let (jobs, taken) = mpsc::unbounded_channel();
        let host = Self {
            line,
            mounts,
            jobs,
            started: AtomicU64::new(0),
            running: Arc::default(),
            ended: Arc::default(),
            keys: Mutex::default(),
        };
        (host, Jobs(taken))
    }

    /// Runs a function on an event.
    pub async fn invoke(
        &self,
        function: &'static str,
        payload: &[u8],
        request: &str,
        timeout: Duration,
    ) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        let job = Job { function, payload: payload.to_vec(), request: request.to_owned(), timeout, reply };
        let gone = || FunctionError::exited(request, "signal: killed");
        self.jobs.send(job).map_err(|_| gone())?;
        outcome.await.unwrap_or_else(|_| Err(gone()))
    }

    /// Kills one environment, in the middle of whatever it does.
    pub fn kill(&self, environment: u64) {
        if let Some(task) = lock(&self.running).remove(&environment) {
            task.abort();
        }
    }

    /// The invocations of the backup function that have ended.
    #[must_use]
    pub fn ended(&self) -> Vec<Ended> {
        lock(&self.ended).clone()
    }

    /// What the agent does with a script.
    pub async fn carry_out(
        &self,
        region: &Arc<Region>,
        instance: &str,
        script: &ShellScript,
    ) -> ScriptResult {
        let env: BTreeMap<String, String> = script.env.iter().cloned().collect();
        let order = env.get("SSM_order").cloned();
        let helper = Helper { instance: instance.to_owned(), env, mounts: Arc::clone(&self.mounts) };
        let key = self.key_of(region, instance);
        let invoke = |function: String, event: Value| -> Answering<'_> {
            Box::pin(async {
                let (function, event) = (function, event);
                if event.get("frozen").is_some() {
                    timer::sleep(FLUSH).await;
                }
                let answer = self.line.invoke(Some(&key), &function, &event, false).await;
                answer.map_err(|error| error.to_string())
            })
        };
        let (stdout, exit) = match order {
            Some(order) => {
                let (report, exit) = helper.freeze(&order, &invoke).await;
                (report.render(), exit)
            }
            None => (String::new(), Exit::Done),
        };
        ScriptResult { end: ScriptEnd::Exited(i32::from(exit.code())), stdout, stderr: String::new() }
    }

    fn key_of(&self, region: &Region, instance: &str) -> String {
        let issue = || region.callers.issue(Caller::Instance(instance.to_owned())).access_key_id;
        lock(&self.keys).entry(instance.to_owned()).or_insert_with(issue).clone()
    }

    fn account(&self, region: &Region, name: &str) -> (u64, Account) {
        let environment = self.started.fetch_add(1, Ordering::Relaxed);
        let key = region.callers.issue(Caller::Function { name: name.to_owned(), environment });
        let secrets = [key.access_key_id.as_str(), &key.secret_access_key, &key.session_token];
        (environment, Account::behind(self.line.http_client(), secrets, &region.name))
    }
}

impl Jobs {
    /// Serves the host of this region until the region is gone.
    pub async fn serve(mut self, region: Arc<Region>) {
        let warm = Rc::new(RefCell::new(Vec::new()));
        let Some(host) = region.functions.host.get() else { return };
        let Ok(config) = Config::read(|_| None) else { return };
        while let Some(job) = self.0.recv().await {
            let (running, ended) = (Arc::clone(&host.running), Arc::clone(&host.ended));
            if job.function == SIGNAL {
                let kept: Option<(u64, SignalFunction)> = warm.borrow_mut().pop();
                let (environment, account) = match &kept {
                    Some((environment, _)) => (*environment, None),
                    None => {
                        let (environment, account) = host.account(&region, SIGNAL);
                        (environment, Some(account))
                    }
                };
                let (config, warm) = (config.clone(), Rc::clone(&warm));
                let task = spawn_local(async move {
                    let mut function = match (kept, account) {
                        (Some((_, function)), _) => function,
                        (None, Some(account)) => SignalFunction::start_in(&account, &config).await,
                        (None, None) => return,
                    };
                    let answer = function.answer(&job.payload).await;
                    lock(&running).remove(&environment);
                    warm.borrow_mut().push((environment, function));
                    let _ = job.reply.send(Ok(serde_json::to_vec(&answer).unwrap_or_default()));
                });
                lock(&host.running).insert(environment, task.abort_handle());
            } else {
                let (environment, account) = host.account(&region, job.function);
                let function = BackupFunction::start_in(&account, config.clone());
                let task = spawn_local(async move {
                    let outcome = back_up(&function, &job, &ended).await;
                    lock(&running).remove(&environment);
                    let _ = job.reply.send(outcome);
                });
                lock(&host.running).insert(environment, task.abort_handle());
            }
        }
    }
}

async fn back_up(function: &BackupFunction, job: &Job, ended: &Mutex<Vec<Ended>>) -> Outcome {
    let began = timer::now();
    let event = serde_json::from_slice(&job.payload).unwrap_or_default();
    let ends = timer::system_now() + job.timeout;
    let done = timer::within(job.timeout, function.handle(event, ends)).await;
    let (outcome, report) = match done {
        None => {
            let error = FunctionError::timed_out(&job.request, job.timeout);
            (Err(error), Err("timed out".to_owned()))
        }
        Some(Err(unfit)) => {
            let text = unfit.to_string();
            (Err(FunctionError::new(unfit.error_type(), &text)), Err(text))
        }
        Some(Ok(result)) => {
            let answer = serde_json::to_vec(&result).unwrap_or_default();
            if answer.len() > LARGEST_EVENT {
                let text = format!("Response payload size ({} bytes) exceeded maximum allowed", answer.len());
                (Err(FunctionError::new("Function.ResponseSizeTooLarge", &text)), Err(text))
            } else {
                let report = match result {
                    backup::Outcome::Run(report) => Ok(report),
                    backup::Outcome::Answer(_) => Err("the event asked something".to_owned()),
                };
                (Ok(answer), report)
            }
        }
    };
    let bytes = outcome.as_ref().map_or(0, Vec::len);
    lock(ended).push(Ended { took: timer::now().duration_since(began), bytes, report });
    outcome
}
