//! A blocking client of a region: for the demo, benchmarks and scenarios. AWS's services it speaks only as
//! far as those need; the AWS CLI and boto3 do the rest.

use crate::machine::InstanceMounts;
pub use crate::server::control_bodies::{BinRule, Decided, SetDeletions, SnapshotFile, SnapshotRecord, Time};
use crate::server::control_bodies::{Quiet, State};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use ureq::http::Response;
use ureq::{Agent, Body};

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The region did not answer.
    #[error("failed to reach the region at {url}")]
    Http {
        /// What was asked.
        url: String,
        /// Why.
        source: Box<ureq::Error>,
    },
    /// It answered with an error.
    #[error("the region answered {status} to {url}: {body}")]
    Refused {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The function failed.
    #[error("the function {function} failed: {payload}")]
    Function {
        /// The function.
        function: String,
        /// The error as Lambda hands it on.
        payload: String,
    },
    /// The answer is not what was expected.
    #[error("failed to read the answer to {url}")]
    Body {
        /// What was asked.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
}

/// Longer than any function runs.
const PATIENCE: Duration = Duration::from_secs(1_000);

/// The way to talk to a region.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: String,
    agent: Agent,
}

impl Client {
    /// A client of the region that listens there: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn new(endpoint: &str) -> Self {
        let config =
            Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Where the region listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    // ---- Functions.

    /// Runs a function and waits for its result.
    ///
    /// # Errors
    /// The function failed, or the region did not run it.
    pub fn invoke(&self, function: &str, event: &Value) -> Result<Value, ClientError> {
        self.invoke_as(None, function, event)
    }

    /// As [`Client::invoke`], with somebody's access key id.
    ///
    /// # Errors
    /// As [`Client::invoke`]; refused when the key's owner may not.
    pub fn invoke_as(&self, key: Option<&str>, function: &str, event: &Value) -> Result<Value, ClientError> {
        let url = self.invocation(function);
        let mut request = self.agent.post(&url);
        if let Some(key) = key {
            let credential = format!("AWS4-HMAC-SHA256 Credential={key}/00000000/region/lambda/aws4_request");
            request = request.header("Authorization", credential);
        }
        let answer = received(&url, request.send(event.to_string()))?;
        let failed = answer.headers().contains_key("X-Amz-Function-Error");
        let payload = text(&url, answer)?;
        if failed {
            return Err(ClientError::Function { function: function.to_owned(), payload });
        }
        parse(&url, &payload)
    }

    /// Hands an event to Lambda's queue.
    ///
    /// # Errors
    /// The region did not take it.
    pub fn invoke_async(&self, function: &str, event: &Value) -> Result<(), ClientError> {
        let url = self.invocation(function);
        let request = self.agent.post(&url).header("X-Amz-Invocation-Type", "Event");
        text(&url, received(&url, request.send(event.to_string()))?).map(drop)
    }

    fn invocation(&self, function: &str) -> String {
        format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint)
    }

    /// What a function's environments have logged so far.
    ///
    /// # Errors
    /// There is no such function.
    pub fn function_logs(&self, function: &str) -> Result<String, ClientError> {
        let url = self.control(&format!("logs/{function}"));
        text(&url, received(&url, self.agent.get(&url).call())?)
    }

    // ---- Faults, counts, clock.

    /// Orders a fault: [`crate::faults::FaultOrder`] as JSON.
    ///
    /// # Errors
    /// There is no such operation or fault.
    pub fn fault(&self, order: &Value) -> Result<(), ClientError> {
        self.post("faults", order)
    }

    /// Forgets the faults that still wait.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn clear_faults(&self) -> Result<(), ClientError> {
        let url = self.control("faults");
        text(&url, received(&url, self.agent.delete(&url).call())?).map(drop)
    }

    /// How often each operation was called, refused calls included.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn calls(&self) -> Result<BTreeMap<String, u64>, ClientError> {
        self.get("calls")
    }

    /// The same for one function's, or one instance's, calls.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn calls_of(&self, caller: &str) -> Result<BTreeMap<String, u64>, ClientError> {
        self.get(&format!("calls?caller={caller}"))
    }

    /// Lets time pass in the region.
    ///
    /// # Errors
    /// The region does not answer, or more than a century is to pass.
    pub fn advance(&self, seconds: u64) -> Result<(), ClientError> {
        self.post("clock", &json!({"advance_s": seconds}))
    }

    /// The region's time, seconds since 1970.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn now(&self) -> Result<u64, ClientError> {
        self.get::<Time>("clock").map(|time| time.epoch_s)
    }

    /// Has this be the SSM document of that name, in the place of a shipped one too.
    ///
    /// # Errors
    /// It is none, or none that the fleet's agent can run.
    pub fn put_document(&self, name: &str, document: &Value) -> Result<(), ClientError> {
        let url = self.control(&format!("documents/{name}"));
        text(&url, received(&url, self.agent.put(&url).send(document.to_string()))?).map(drop)
    }

    /// Takes such a document away again.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn remove_document(&self, name: &str) -> Result<(), ClientError> {
        let url = self.control(&format!("documents/{name}"));
        text(&url, received(&url, self.agent.delete(&url).call())?).map(drop)
    }

    /// What roles were asked about, and what they refused.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn rights(&self) -> Result<Decided, ClientError> {
        self.get("rights")
    }

    /// Has a schedule of the template fire.
    ///
    /// # Errors
    /// There is none of the name, it is switched off, or its role does not allow it.
    pub fn fire(&self, schedule: &str) -> Result<(), ClientError> {
        self.post(&format!("schedules/{schedule}"), &json!({}))
    }

    /// Whether nothing is under way: no call, no invocation, no command.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn quiet(&self) -> Result<bool, ClientError> {
        self.get::<Quiet>("quiet").map(|answer| answer.quiet)
    }

    /// What is under way.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn under_way(&self) -> Result<crate::region::UnderWay, ClientError> {
        self.get::<Quiet>("quiet").map(|answer| answer.under_way)
    }

    // ---- Machines.

    /// The mounts of every instance that runs, as the kernel has them.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn state(&self) -> Result<Vec<InstanceMounts>, ClientError> {
        self.get::<State>("state").map(|state| state.instances)
    }

    /// How many records each writer has had acknowledged so far, by volume.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn acknowledged(&self) -> Result<BTreeMap<String, u64>, ClientError> {
        self.get("acknowledged")
    }

    /// Has an instance's agent be `online`, `offline` or `none` from now on.
    ///
    /// # Errors
    /// There is no such instance or state.
    pub fn set_agent(&self, instance: &str, agent: &str) -> Result<(), ClientError> {
        self.post(&format!("instances/{instance}"), &json!({"agent": agent}))
    }

    /// The access key id, secret and session token that an instance has from its metadata service.
    ///
    /// # Errors
    /// There is no such instance.
    pub fn instance_credentials(&self, instance: &str) -> Result<(String, String, String), ClientError> {
        let latest = format!("{}/imds/{instance}/latest", self.endpoint);
        let url = format!("{latest}/api/token");
        let request = self.agent.put(&url).header("X-aws-ec2-metadata-token-ttl-seconds", "60");
        let token = text(&url, received(&url, request.send_empty())?)?;
        let get = |path: &str| {
            let url = format!("{latest}/meta-data/iam/security-credentials/{path}");
            let request = self.agent.get(&url).header("X-aws-ec2-metadata-token", &token);
            text(&url, received(&url, request.call())?)
        };
        let found: Value = parse(&url, &get(&get("")?)?)?;
        let field = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok((field("AccessKeyId"), field("SecretAccessKey"), field("Token")))
    }

    // ---- Snapshots.

    /// Every snapshot, as EC2 has it.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn snapshots(&self) -> Result<Vec<SnapshotRecord>, ClientError> {
        self.get("ec2/snapshots")
    }

    /// The same of another region.
    ///
    /// # Errors
    /// There is no such region.
    pub fn snapshots_in(&self, region: &str) -> Result<Vec<SnapshotRecord>, ClientError> {
        self.get(&format!("ec2/snapshots?region={region}"))
    }

    /// Where the bytes of every snapshot of every region lie.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn snapshot_files(&self) -> Result<BTreeMap<String, SnapshotFile>, ClientError> {
        self.get("snapshots")
    }

    /// Puts a snapshot into a state for good: `pending`, `completed` or `error`.
    ///
    /// # Errors
    /// There is no such snapshot or state.
    pub fn set_snapshot_state(&self, snapshot: &str, state: &str) -> Result<(), ClientError> {
        self.post(&format!("snapshots/{snapshot}"), &json!({"state": state}))
    }

    /// Says what becomes of snapshots that are deleted from now on.
    ///
    /// # Errors
    /// The region does not answer.
    pub fn set_deletions(&self, set: &SetDeletions) -> Result<(), ClientError> {
        let url = self.control("ec2/deletions");
        text(&url, received(&url, self.agent.put(&url).send_json(set))?).map(drop)
    }

    // ---- AWS.

    /// Calls EC2 as the operator; the answer's XML.
    ///
    /// # Errors
    /// EC2 refused.
    pub fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, ClientError> {
        let form =
            [("Action", action), ("Version", "2016-11-15")].into_iter().chain(parameters.iter().copied());
        text(&self.endpoint, received(&self.endpoint, self.agent.post(&self.endpoint).send_form(form))?)
    }

    /// The same in another region.
    ///
    /// # Errors
    /// EC2 refused.
    pub fn ec2_in(
        &self,
        region: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, ClientError> {
        let form =
            [("Action", action), ("Version", "2016-11-15")].into_iter().chain(parameters.iter().copied());
        let credential = format!("AWS4-HMAC-SHA256 Credential=AKIA/00000000/{region}/ec2/aws4_request");
        let request = self.agent.post(&self.endpoint).header("Authorization", credential);
        text(&self.endpoint, received(&self.endpoint, request.send_form(form))?)
    }

    /// Calls SSM as the operator.
    ///
    /// # Errors
    /// SSM refused.
    pub fn ssm(&self, operation: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self
            .agent
            .post(&self.endpoint)
            .header("X-Amz-Target", format!("AmazonSSM.{operation}"))
            .header("Content-Type", "application/x-amz-json-1.1");
        parse(
            &self.endpoint,
            &text(&self.endpoint, received(&self.endpoint, request.send(body.to_string()))?)?,
        )
    }

    // ---- Control endpoints.

    fn control(&self, path: &str) -> String {
        format!("{}/_fleet/{path}", self.endpoint)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = self.control(path);
        parse(&url, &text(&url, received(&url, self.agent.get(&url).call())?)?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<(), ClientError> {
        let url = self.control(path);
        text(&url, received(&url, self.agent.post(&url).send_json(body))?).map(drop)
    }
}

fn received(url: &str, answer: Result<Response<Body>, ureq::Error>) -> Result<Response<Body>, ClientError> {
    answer.map_err(|error| ClientError::Http { url: url.to_owned(), source: Box::new(error) })
}

/// The body of an answer that is no error.
fn text(url: &str, mut answer: Response<Body>) -> Result<String, ClientError> {
    let status = answer.status();
    let body = answer
        .body_mut()
        .with_config()
        .limit(256 << 20)
        .read_to_string()
        .map_err(|error| ClientError::Http { url: url.to_owned(), source: Box::new(error) })?;
    if status.is_success() {
        Ok(body)
    } else {
        Err(ClientError::Refused { url: url.to_owned(), status: status.as_u16(), body })
    }
}

fn parse<T: DeserializeOwned>(url: &str, text: &str) -> Result<T, ClientError> {
    serde_json::from_str(text).map_err(|source| ClientError::Body { url: url.to_owned(), source })
}
