//! Machines without disks: no file system, no bytes, no processes, and so thousands of instances. A freeze
//! command is answered as a helper would answer it when nothing stands in its way.

pub mod helper;

use crate::client::Client;
use crate::machine::{
    CutRequest, InstanceMounts, MachineError, Machines, NewVolume, RunningScript, ScriptEnd, ScriptResult,
    ShellScript, Stop,
};
use crate::spec::Spec;
use crate::sync::lock;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helper::{Answering, Helper};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use stillframe_wire::Exit;

/// The machines: who has what where.
#[derive(Debug)]
pub struct Diskless {
    instances: BTreeSet<String>,
    // Mount point and type of every volume that has one.
    mounts: Arc<BTreeMap<String, (String, String)>>,
}

impl Diskless {
    /// The machines of a spec.
    #[must_use]
    pub fn new(spec: &Spec) -> Self {
        let volumes = spec.instances.iter().flat_map(|instance| &instance.volumes);
        let mounts = volumes.filter_map(|volume| {
            let mount = (volume.mount.clone()?, volume.fs_type().as_str().to_owned());
            Some((volume.id.clone(), mount))
        });
        Self {
            instances: spec.instances.iter().map(|instance| instance.id.clone()).collect(),
            mounts: Arc::new(mounts.collect()),
        }
    }
}

impl Diskless {
    /// Mount point and type of every volume that has one.
    #[must_use]
    pub fn mounts(&self) -> Arc<BTreeMap<String, (String, String)>> {
        Arc::clone(&self.mounts)
    }
}

impl Machines for Diskless {
    fn create_volume(&self, _: &NewVolume) -> Result<(), MachineError> {
        Ok(())
    }

    fn delete_volume(&self, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn attach(&self, _: &str, _: &str, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn detach(&self, _: &str, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn snapshot(&self, _: &[CutRequest]) -> Result<(), MachineError> {
        Ok(())
    }

    fn copy_snapshot(&self, _: &str, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn delete_snapshot(&self, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn snapshot_path(&self, _: &str) -> Option<PathBuf> {
        None
    }

    fn state(&self) -> Result<Vec<InstanceMounts>, MachineError> {
        Ok(Vec::new())
    }

    fn run(&self, instance: &str, script: &ShellScript) -> Result<Box<dyn RunningScript>, MachineError> {
        if !self.instances.contains(instance) {
            return Err(MachineError::Unknown { kind: "instance", id: instance.to_owned() });
        }
        let running = Running::default();
        let end = Arc::clone(&running.end);
        let helper = Helper {
            instance: instance.to_owned(),
            env: script.env.iter().cloned().collect(),
            mounts: Arc::clone(&self.mounts),
        };
        let work = move || {
            let (stdout, exit) = match helper.env.get("SSM_order") {
                Some(order) => match mounted(order) {
                    Some(report) => (report, Exit::Done),
                    None => {
                        let (report, exit) = at_once(helper.freeze(order, &over_http(&helper)));
                        (report.render(), exit)
                    }
                },
                // The document that thaws: nothing is ever frozen here.
                None => (String::new(), Exit::Done),
            };
            let end_of_script = ScriptEnd::Exited(i32::from(exit.code()));
            finish(&end, ScriptResult { end: end_of_script, stdout, stderr: String::new() });
        };
        let named = thread::Builder::new().name("helper".to_owned());
        named.spawn(work).map_err(|source| MachineError::Step {
            step: "start a thread for the helper".to_owned(),
            source,
        })?;
        Ok(Box::new(running))
    }

    fn stop(&self, _: &str, _: Stop) -> Result<(), MachineError> {
        Ok(())
    }

    fn start(&self, _: &str) -> Result<(), MachineError> {
        Ok(())
    }

    fn shutdown(&self) {}
}

/// Signals over the region's listener, with the instance's own credentials.
fn over_http(helper: &Helper) -> impl Fn(String, Value) -> Answering<'static> + Send + Sync + 'static {
    let endpoint = helper.env.get("AWS_ENDPOINT_URL").map_or("", String::as_str);
    let (client, instance) = (Client::new(endpoint), helper.instance.clone());
    move |function, event| {
        let key = client.instance_credentials(&instance).map(|(key, ..)| key);
        let answer = key.and_then(|key| client.invoke_as(Some(&key), &function, &event));
        Box::pin(std::future::ready(answer.map_err(|error| error.to_string())))
    }
}

/// The outcome of work that blocks instead of waiting.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(outcome) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return outcome;
        }
    }
}

/// What a helper says that has mounted everything of a mount order; `None` for another order.
fn mounted(order: &str) -> Option<String> {
    let order: Value = serde_json::from_slice(&STANDARD.decode(order).ok()?).ok()?;
    let mounts = order.get("mounts")?.as_array()?.iter().map(|mount| {
        json!({"mount_point": mount["mount_point"], "volumes": mount["volumes"], "outcome": "mounted"})
    });
    Some(json!({"v": 1, "mounts": mounts.collect::<Vec<_>>()}).to_string())
}

type End = Arc<(Mutex<Option<ScriptResult>>, Condvar)>;

/// A helper that is a thread.
#[derive(Debug, Default)]
struct Running {
    end: End,
}

impl RunningScript for Running {
    fn wait(&self) -> ScriptResult {
        let (result, ended) = &*self.end;
        let waited = ended.wait_while(lock(result), |result| result.is_none());
        let result = waited.unwrap_or_else(PoisonError::into_inner);
        result.clone().unwrap_or_else(killed)
    }

    fn kill(&self) {
        finish(&self.end, killed());
    }

    fn process_group(&self) -> Option<i32> {
        None
    }
}

fn finish((result, ended): &(Mutex<Option<ScriptResult>>, Condvar), with: ScriptResult) {
    lock(result).get_or_insert(with);
    ended.notify_all();
}

fn killed() -> ScriptResult {
    ScriptResult { end: ScriptEnd::Killed, stdout: String::new(), stderr: String::new() }
}
