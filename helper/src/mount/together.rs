//! All mounts of an order, or of the boot: each in a process of its own, at once where they are independent,
//! one after the other where they lie in each other. One that fails or hangs holds back only what lies in it.

use super::one::{Context, Task};
use super::record::Records;
use super::{MountError, parents};
use crate::clock::Boottime;
use crate::describe;
use crate::hooks::{Event, Facts, Hooks};
use crate::programs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::thread::Scope;
use std::time::Duration;
use stillframe_wire::{MountOrder, MountOutcome, MountPoint, MountReport, MountSpec, Mounted};

/// How long after its own time limit a mount's process is waited for.
const GRACE: Duration = Duration::from_secs(10);
/// How long the hooks of the whole may take together.
const HOOKS: Duration = Duration::from_secs(300);
/// The run's name at boot.
const BOOT: &str = "boot";

/// One mount to be made, or one that is known to be broken.
struct Node {
    at: MountPoint,
    task: Result<Task, String>,
}

/// Carries out an order.
#[must_use]
pub fn mount(root: &Path, order: &MountOrder) -> MountReport {
    let context = Context { run: order.run.clone(), hooks: order.hooks, again: false };
    let node = |spec: &MountSpec| Node {
        at: spec.mount_point.clone(),
        task: Ok(Task { spec: spec.clone(), context: context.clone() }),
    };
    let nodes = order.mounts.iter().map(node).collect();
    all(root, nodes, MountReport::new(order.run.clone()), order.hooks)
}

/// Makes every recorded mount. Needs no order, network or AWS.
#[must_use]
pub fn boot(root: &Path) -> MountReport {
    let mut report = MountReport::new(Some(BOOT.to_owned()));
    let records = match Records::below(root).all() {
        Ok(records) => records,
        Err(error) => {
            report.error = Some(describe(&error));
            return report;
        }
    };
    if records.is_empty() {
        return report;
    }
    let context = Context { run: Some(BOOT.to_owned()), hooks: true, again: true };
    let mut nodes = Vec::new();
    for (name, record) in records {
        let task = match record {
            Ok(record) => Ok(Task { spec: record.spec, context: context.clone() }),
            Err(error) => Err(describe(&error)),
        };
        let at = match &task {
            Ok(task) => Some(task.spec.mount_point.clone()),
            // What lies in a mount whose record is broken must not be mounted without it.
            Err(_) => MountPoint::of_name(&name),
        };
        match (at, task) {
            (Some(at), task) => nodes.push(Node { at, task }),
            (None, task) => report.mounts.push(broken(&name, task.err().unwrap_or_default())),
        }
    }
    all(root, nodes, report, true)
}

fn broken(name: &str, error: String) -> MountOutcome {
    let mut outcome = MountOutcome::named(name, &[], Mounted::Failed);
    outcome.error = Some(error);
    outcome
}

fn all(root: &Path, nodes: Vec<Node>, mut report: MountReport, hooks: bool) -> MountReport {
    let hooks = Hooks::new(root, hooks);
    let events = [Event::PreMounts, Event::PreMount, Event::PostMount, Event::PostMounts];
    if let Err(error) = hooks.check(&events) {
        report.error = Some(describe(&MountError::from(error)));
        report.mounts.extend(nodes.iter().map(|node| held_back(node, "a hook is refused")));
        return report;
    }
    let until = Boottime::now().after(HOOKS);
    let facts = match &report.run {
        Some(run) => Facts::default().with("RUN", run),
        None => Facts::default(),
    };
    match hooks.before(Event::PreMounts, &facts, until, &mut report.hooks) {
        Ok(()) => report.mounts.extend(by_nesting(nodes)),
        Err(error) => {
            report.error = Some(describe(&error));
            report.mounts.extend(nodes.iter().map(|node| held_back(node, "a pre-mounts hook failed")));
        }
    }
    report.mounts.sort_by(|a, b| a.mount_point.cmp(&b.mount_point));
    let failed: Vec<&str> =
        report.mounts.iter().filter(|m| !m.outcome.is_well()).map(|m| m.mount_point.as_str()).collect();
    let error = report
        .error
        .clone()
        .or_else(|| (!failed.is_empty()).then(|| format!("not mounted: {}", failed.join(", "))));
    let until = Boottime::now().after(HOOKS);
    let warnings = hooks.after(Event::PostMounts, &facts.ended(error.as_deref()), until, &mut report.hooks);
    report.warnings.extend(warnings);
    report
}

fn held_back(node: &Node, why: &str) -> MountOutcome {
    let volumes = node.task.as_ref().map_or(&[][..], |task| &task.spec.volumes);
    let mut outcome = MountOutcome::new(&node.at, volumes, Mounted::HeldBack);
    outcome.error = Some(why.to_owned());
    outcome
}

/// Everything on which the threads work.
struct Tree {
    nodes: Vec<Node>,
    parents: Vec<Option<usize>>,
    outcomes: Mutex<Vec<MountOutcome>>,
}

fn by_nesting(nodes: Vec<Node>) -> Vec<MountOutcome> {
    let points: Vec<MountPoint> = nodes.iter().map(|node| node.at.clone()).collect();
    let tree = Tree { parents: parents(&points), nodes, outcomes: Mutex::default() };
    std::thread::scope(|scope| tree.start_below(scope, None));
    tree.outcomes.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Tree {
    fn below(&self, parent: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        self.parents.iter().enumerate().filter(move |(_, above)| **above == parent).map(|(n, _)| n)
    }

    /// Starts what lies directly in `parent`; each starts what lies in it when it is mounted.
    fn start_below<'s>(&'s self, scope: &'s Scope<'s, '_>, parent: Option<usize>) {
        for n in self.below(parent) {
            scope.spawn(move || {
                let Some(node) = self.nodes.get(n) else { return };
                let outcome = match &node.task {
                    Ok(task) => in_its_own_process(task),
                    Err(error) => broken(node.at.as_str(), error.clone()),
                };
                let is_well = outcome.outcome.is_well();
                self.put(outcome);
                if is_well {
                    self.start_below(scope, Some(n));
                } else {
                    self.hold_back_below(n, &format!("{}, in which it lies, is not mounted", node.at));
                }
            });
        }
    }

    fn hold_back_below(&self, parent: usize, why: &str) {
        for n in self.below(Some(parent)) {
            if let Some(node) = self.nodes.get(n) {
                self.put(held_back(node, why));
            }
            self.hold_back_below(n, why);
        }
    }

    fn put(&self, outcome: MountOutcome) {
        self.outcomes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(outcome);
    }
}

/// Has this very program make one mount, and gives up when it takes too long: what hangs in the kernel can
/// be neither ended nor waited for.
fn in_its_own_process(task: &Task) -> MountOutcome {
    let spec = &task.spec;
    let failed = |error: String| {
        let mut outcome = MountOutcome::new(&spec.mount_point, &spec.volumes, Mounted::Failed);
        outcome.error = Some(error);
        outcome
    };
    let input = match serde_json::to_vec(task) {
        Ok(input) => input,
        Err(error) => return failed(format!("failed to write the task: {error}")),
    };
    let mut command = Command::new("/proc/self/exe");
    command.arg("mount-one").env_remove("SSM_order");
    let until = Boottime::now().after(Duration::from_secs(spec.timeout_s) + GRACE);
    match programs::run_with(&mut command, &input, until) {
        Err(error) => failed(describe(&error)),
        Ok(ran) => {
            let _ = std::io::stderr().write_all(ran.stderr.as_bytes());
            serde_json::from_str(&ran.stdout).unwrap_or_else(|_| failed(ran.failure().to_string()))
        }
    }
}
