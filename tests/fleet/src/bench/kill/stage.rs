//! A region in which round after round of freezes is run, disturbed and looked at.

use super::calls::Call;
use super::disturb::Hit;
use super::helpers::{Helper, Scan};
use super::inside::{DOWN, Inside};
use super::judge::{Deaths, Seen, SeenSnapshot, SeenVolume};
use super::looks::{ended_orders, read};
use super::plan::Plan;
use super::running::{Running, look_for_helpers};
use super::site::{INSTANCES, Site};
use super::watch::{Stall, Watch};
use crate::bench::{BenchError, io, next_day, policy, region, start, wait};
use crate::boottime::now_ns;
use crate::client::Client;
use crate::disks::vault_of;
use crate::outside;
use crate::process::FleetProcess;
use crate::processes;
use crate::sync::lock;
use crate::sys;
use fastrand::Rng;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What ends by itself after a run has ended: guardians, questions to file systems.
const ENDS: Duration = Duration::from_secs(2);
/// How long a run and all that it started may take, seconds.
const QUIET_S: u64 = 120;

/// The region of a part of the campaign.
pub struct Stage {
    // In the order in which they have to end: a watch keeps its file system busy.
    insides: Vec<Inside>,
    control: Watch,
    machine: Watch,
    scan: Scan,
    checked: BTreeSet<String>,
    fleet: FleetProcess,
}

/// What one round has shown.
#[derive(Debug, Default)]
pub struct Round {
    /// The freezes.
    pub freezes: Vec<(Seen, Outcome)>,
    /// What was broken by the round as a whole.
    pub violations: Vec<String>,
    /// Whether something of it never ended: the region is of no use any more.
    pub stuck: bool,
    /// Crash-consistent snapshots whose bytes were read, and how many of those had a dirty journal.
    pub crash_read: usize,
    /// See [`Round::crash_read`].
    pub crash_dirty: usize,
}

/// How a freeze ended.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The verdicts of its helpers.
    pub verdicts: Vec<String>,
    /// How many of its snapshots are labelled `filesystem`.
    pub filesystem: usize,
    /// How many are not.
    pub crash: usize,
}

impl Stage {
    /// Makes a region by these random numbers, with its images in `dir`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn set(random: &mut Rng, dir: &Path) -> Result<Self, BenchError> {
        let site = Site::random(random);
        let fleet = start(&site.spec, dir)?;
        let insides = site
            .instances
            .iter()
            .map(|machine| Inside::of(fleet.pid(), machine))
            .collect::<Result<_, _>>()?;
        let control = outside::path_of(fleet.pid(), &site.control)
            .ok_or_else(|| BenchError::Missing("the control is nowhere mounted".to_owned()))?;
        Ok(Self {
            insides,
            control: Watch::of(&control).map_err(io("watch the control"))?,
            machine: Watch::of_the_machine().map_err(io("watch the machine"))?,
            scan: Scan::below(fleet.pid()),
            checked: BTreeSet::new(),
            fleet,
        })
    }

    /// Bytes that the images hold which lie below `dir`; 0 where the file system there clones files itself.
    pub fn holds(&self, dir: &Path) -> u64 {
        std::fs::metadata(vault_of(dir, self.fleet.pid())).map_or(0, |vault| vault.blocks() * 512)
    }

    /// Runs the policy once, with one plan for each instance.
    ///
    /// # Errors
    /// The region does not do what it should.
    pub fn round(&mut self, plans: &[Plan], max_freeze_ms: u64) -> Result<Round, BenchError> {
        let client = self.fleet.client().clone();
        for (plan, inside) in plans.iter().zip(&self.insides) {
            plan.order_faults(&client, &inside.machine.id).map_err(region("order a fault"))?;
        }
        self.lags();
        let mut asked = policy();
        asked["max_freeze_ms"] = json!(max_freeze_ms);
        asked["keep"] = json!({"last": 1});
        if plans.len() < INSTANCES {
            // Fewer freezes than instances are left to run.
            let spared = self.insides.iter().skip(plans.len());
            for inside in spared {
                client.set_agent(&inside.machine.id, "none").map_err(region("stop an agent"))?;
            }
        }
        let running = Running {
            plans,
            insides: &self.insides,
            client: &client,
            helpers: Mutex::default(),
            hits: Mutex::default(),
            over: AtomicBool::new(false),
        };
        let scan = &mut self.scan;
        let ran = std::thread::scope(|scope| {
            let running = &running;
            scope.spawn(move || look_for_helpers(scope, running, scan));
            let summary = client.invoke("backup", &asked);
            let quiet =
                wait(QUIET_S, "quiet", || client.quiet().map_err(region("ask whether anything runs")));
            // What is stuck is looked at before anybody clears it away.
            let stuck = match quiet {
                Ok(()) => Ok(None),
                Err(error @ BenchError::Waited(..)) => Ok(Some(running.what_runs(&error))),
                Err(error) => Err(error),
            };
            running.over.store(true, SeqCst);
            stuck.map(|stuck| (summary, stuck))
        })?;
        let helpers = std::mem::take(&mut *lock(&running.helpers));
        let hits = std::mem::take(&mut *lock(&running.hits));
        client.clear_faults().map_err(region("clear the faults"))?;
        let mut round = Round::default();
        if let (_, Some(stuck)) = ran {
            round.violations.push(stuck);
            round.stuck = true;
            return Ok(round);
        }
        if let (Err(error), _) = ran {
            round.violations.push(format!("the backup function failed: {error}"));
        }
        self.nothing_left(plans, &mut round);
        self.insides.iter().for_each(Inside::free);
        let ended = ended_orders(&client)?;
        let lags = self.lags();
        let snapshots = self.new_snapshots(&client, &mut round)?;
        for (at, plan) in plans.iter().enumerate() {
            let Some(inside) = self.insides.get(at) else { continue };
            let seen = seen(*plan, inside, hits.get(&at).cloned(), &helpers, max_freeze_ms, &snapshots);
            let orders = ended.iter().filter(|order| order.instance == inside.machine.id);
            let near = |lag: &Stall| {
                let mut stalls = seen.volumes.iter().flat_map(|volume| &volume.stalls);
                stalls.any(|stall| stall.since_ns <= lag.to_ns && lag.from_ns <= stall.to_ns)
            };
            let lags = lags.iter().copied().filter(near).collect();
            let seen = Seen { lags, ..seen };
            let count = |filesystem: bool| {
                let all = seen.volumes.iter().flat_map(|volume| &volume.snapshots);
                all.filter(|snapshot| (snapshot.label == "filesystem") == filesystem).count()
            };
            let outcome = Outcome {
                verdicts: orders.map(|order| order.verdict.clone()).collect(),
                filesystem: count(true),
                crash: count(false),
            };
            round.freezes.push((seen, outcome));
        }
        self.start_anew(&hits)?;
        next_day(&client)?;
        Ok(round)
    }

    /// When this machine did not run what measures, or a file system that is never frozen took no write.
    fn lags(&self) -> Vec<Stall> {
        let mut lags = self.machine.take();
        lags.extend(self.control.take());
        lags
    }

    /// After a run: no helper's process, and every file system takes writes. What is frozen is thawed.
    fn nothing_left(&self, plans: &[Plan], round: &mut Round) {
        let what = || plans.iter().map(|plan| (plan.number, plan.disturbance)).collect::<Vec<_>>();
        let endpoint = self.fleet.client().endpoint();
        let gone = processes::poll(ENDS, || {
            processes::of_endpoint(endpoint, |name| name.starts_with("sf:")).is_empty().then_some(())
        });
        if gone.is_none() {
            let left = processes::of_endpoint(endpoint, |name| name.starts_with("sf:"));
            let left: Vec<_> = left.iter().map(|process| (process.pid, process.name())).collect();
            round.violations.push(format!("processes left: {left:?} after {:?}", what()));
        }
        let now = now_ns();
        for inside in &self.insides {
            for (watch, volume) in inside.watches.iter().zip(&inside.machine.volumes) {
                if processes::poll(ENDS, || (watch.answered_ns() > now).then_some(())).is_some() {
                    continue;
                }
                let thawed = watch.handle().map(sys::thaw);
                round.violations.push(format!(
                    "left frozen: {} ({}) of {}; thawed: {thawed:?}; after {:?}",
                    volume.mount,
                    volume.fs,
                    inside.machine.id,
                    what()
                ));
            }
        }
    }

    /// The snapshots that were made since the last call, by volume, with their bytes read as far as needed.
    fn new_snapshots(
        &mut self,
        client: &Client,
        round: &mut Round,
    ) -> Result<BTreeMap<String, Vec<SeenSnapshot>>, BenchError> {
        let files = client.snapshot_files().map_err(region("find the snapshots' files"))?;
        let mut all: BTreeMap<String, Vec<SeenSnapshot>> = BTreeMap::new();
        for record in client.snapshots().map_err(region("list the snapshots"))? {
            if !self.checked.insert(record.id.clone()) {
                continue;
            }
            let snapshot = read(&record, files.get(&record.id), round);
            all.entry(record.volume).or_default().push(snapshot);
        }
        Ok(all)
    }

    /// Instances with a full or shut down file system are stopped and started: their load has ended.
    fn start_anew(&mut self, hits: &BTreeMap<usize, Hit>) -> Result<(), BenchError> {
        let ends = |hit: &Hit| hit.note.starts_with("filled") || hit.note.starts_with(DOWN);
        let mut which: BTreeSet<usize> =
            hits.iter().filter(|(_, hit)| ends(hit)).map(|(at, _)| *at).collect();
        // A full btrfs may give up later, too.
        let broken = |inside: &Inside| inside.watches.iter().any(Watch::is_read_only);
        which.extend(self.insides.iter().enumerate().filter(|(_, inside)| broken(inside)).map(|(at, _)| at));
        if which.is_empty() {
            return Ok(());
        }
        let machines: Vec<_> = which
            .iter()
            .filter_map(|at| self.insides.get(*at))
            .map(|inside| inside.machine.clone())
            .collect();
        // A watch would keep the file system busy.
        for at in &which {
            if let Some(inside) = self.insides.get_mut(*at) {
                inside.watches.clear();
            }
        }
        let client = self.fleet.client();
        let names: Vec<String> = (1..=machines.len()).map(|n| format!("InstanceId.{n}")).collect();
        let ids: Vec<(&str, &str)> = names
            .iter()
            .map(String::as_str)
            .zip(machines.iter().map(|machine| machine.id.as_str()))
            .collect();
        for action in ["StopInstances", "StartInstances"] {
            client.ec2(action, &ids).map_err(region("start an instance anew"))?;
            wait(QUIET_S, "instances", || client.quiet().map_err(region("ask whether anything runs")))?;
        }
        for (at, machine) in which.iter().zip(&machines) {
            if let Some(inside) = self.insides.get_mut(*at) {
                *inside = Inside::of(self.fleet.pid(), machine)?;
            }
        }
        Ok(())
    }
}

fn seen(
    plan: Plan,
    inside: &Inside,
    hit: Option<Hit>,
    helpers: &[Arc<Helper>],
    max_freeze_ms: u64,
    snapshots: &BTreeMap<String, Vec<SeenSnapshot>>,
) -> Seen {
    let mine = || helpers.iter().filter(|helper| helper.instance == inside.machine.id);
    let calls: Vec<Call> = mine().flat_map(|helper| helper.calls()).collect();
    let volumes = inside.watches.iter().zip(&inside.machine.volumes).map(|(watch, volume)| SeenVolume {
        name: format!("{} ({})", volume.mount, volume.fs),
        stalls: watch.take(),
        calls: calls.iter().filter(|call| call.mount == volume.mount).cloned().collect(),
        read_only: watch.is_read_only(),
        snapshots: snapshots.get(&volume.id).cloned().unwrap_or_default(),
    });
    // One that never had a guardian has frozen nothing: refused, like a second freeze, or ended before.
    let froze = mine().filter(|helper| helper.guardian.get().is_some());
    let deaths = froze.map(|helper| Deaths {
        worker_ns: helper.worker.died_ns(),
        guardian_ns: helper.guardian.get().and_then(|part| part.died_ns()),
    });
    Seen {
        plan,
        hit,
        max_freeze_ns: max_freeze_ms * 1_000_000,
        volumes: volumes.collect(),
        helpers: deaths.collect(),
        lags: Vec::new(),
    }
}
