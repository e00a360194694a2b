//! Machines without disks: no file system, no bytes, no processes, and so thousands of instances. A freeze
//! command is answered as a helper would answer it when nothing stands in its way: it fetches the
//! instance's credentials, sends READY and FROZEN to the signal function, and prints the report.

use crate::client::Client;
use crate::machine::{
    CutRequest, InstanceMounts, MachineError, Machines, NewVolume, RunningScript, ScriptEnd, ScriptResult,
    ShellScript, Stop,
};
use crate::spec::Spec;
use crate::sync::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use stillframe_wire::{
    Answer, Exit, FileSystem, FileSystemReport, FileSystemVerdict, Frozen, InstanceId, Ready, Reason, Report,
    Signal, SnapshotReport, Verdict, WorkOrder,
};

/// The machines: who has what where.
#[derive(Debug)]
pub struct Diskless {
    instances: BTreeSet<String>,
    // Mount point and type of every volume that is mounted while its instance runs.
    mounts: BTreeMap<String, (String, String)>,
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
            mounts: mounts.collect(),
        }
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
        let (end, instance, env) = (Arc::clone(&running.end), instance.to_owned(), script.env.clone());
        let mounts = self.mounts.clone();
        let helper = move || {
            let (report, exit) = match variable(&env, "SSM_order") {
                Some(order) => freeze(&instance, order, &env, &mounts),
                // The document that thaws: nothing is ever frozen here.
                None => return finish(&end, done(String::new(), Exit::Done)),
            };
            finish(&end, done(report.render(), exit));
        };
        let named = thread::Builder::new().name("helper".to_owned());
        named
            .spawn(helper)
            .map_err(|source| MachineError::Step { step: "start a thread for the helper".to_owned(), source })?;
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

fn done(stdout: String, exit: Exit) -> ScriptResult {
    ScriptResult { end: ScriptEnd::Exited(i32::from(exit.code())), stdout, stderr: String::new() }
}

fn variable<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// READY, FROZEN, and a report that says what came of them.
fn freeze(
    instance: &str,
    order: &str,
    env: &[(String, String)],
    mounts: &BTreeMap<String, (String, String)>,
) -> (Report, Exit) {
    match try_freeze(instance, order, env, mounts) {
        Ok(report) => (report, Exit::Done),
        Err((mut report, reason, error)) => {
            report.reason = Some(reason);
            report.error = Some(error);
            let exit = if report.verdict == Verdict::Refused { Exit::Refused } else { Exit::NotFrozen };
            (report, exit)
        }
    }
}

fn try_freeze(
    instance: &str,
    token: &str,
    env: &[(String, String)],
    mounts: &BTreeMap<String, (String, String)>,
) -> Result<Report, (Report, Reason, String)> {
    let refused = |reason, error: String| (Report::new(Verdict::Refused), reason, error);
    let order =
        WorkOrder::read_unverified(token).map_err(|error| refused(Reason::BadOrder, error.to_string()))?;
    let here = InstanceId::new(instance).map_err(|error| refused(Reason::BadOrder, error.to_string()))?;
    order.for_instance(&here).map_err(|error| refused(Reason::BadOrder, error.to_string()))?;
    let client = Client::new(variable(env, "AWS_ENDPOINT_URL").unwrap_or_default());
    let unreachable = |error: String| {
        let mut report = Report::new(Verdict::NotFrozen);
        report.run = Some(order.run.clone());
        report.instance = Some(here.clone());
        (report, Reason::SignalUnreachable, error)
    };
    let (key, ..) =
        client.instance_credentials(instance).map_err(|error| unreachable(error.to_string()))?;
    let send = |signal: &Signal| {
        let event = serde_json::to_value(signal).map_err(|error| unreachable(error.to_string()))?;
        let answer = client.invoke_as(Some(&key), &order.signal_function, &event);
        let answer = answer.map_err(|error| unreachable(error.to_string()))?;
        Answer::read(answer.to_string().as_bytes()).map_err(|error| unreachable(error.to_string()))
    };
    let filesystems: Vec<FileSystem> = order
        .volumes
        .iter()
        .filter_map(|volume| {
            let (mount_point, fs_type) = mounts.get(volume.id.as_str())?;
            Some(FileSystem {
                mount_point: mount_point.clone(),
                fs_type: fs_type.clone(),
                uuid: None,
                volumes: vec![volume.id.clone()],
                layout: "disk".to_owned(),
            })
        })
        .collect();
    let ready = Ready { order: token.to_owned(), filesystems: filesystems.clone() };
    if let Answer::Refused(refusal) = send(&Signal::Ready(ready))? {
        return Err(refused(Reason::RefusedBySignal, refusal.message));
    }
    let frozen =
        Frozen { order: token.to_owned(), budget_ms: order.max_freeze_ms, filesystems: filesystems.clone() };
    let cut = match send(&Signal::Frozen(frozen))? {
        Answer::Cut(cut) => cut,
        Answer::Refused(refusal) => return Err(refused(Reason::RefusedBySignal, refusal.message)),
        Answer::Ready(_) => return Err(unreachable("READY's answer to FROZEN".to_owned())),
    };
    let mut report = Report::new(Verdict::Consistent);
    report.run = Some(order.run.clone());
    report.instance = Some(here.clone());
    let mounted: BTreeSet<_> = filesystems.iter().flat_map(|fs| &fs.volumes).collect();
    report.snapshots = cut
        .snapshots
        .into_iter()
        .map(|one| SnapshotReport {
            frozen: mounted.contains(&one.volume),
            volume: one.volume,
            snapshot: one.snapshot,
        })
        .collect();
    let verdict = FileSystemVerdict::Frozen;
    let reported = |fs: FileSystem| FileSystemReport { mount_point: fs.mount_point, frozen_us: 1, verdict };
    report.filesystems = filesystems.into_iter().map(reported).collect();
    Ok(report)
}
