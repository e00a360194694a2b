//! One region for one scenario: the `fleet serve` process and everything that a test asks of it.

use crate::requirements;
use fleet::client::{Client, Decided};
use fleet::outside;
use fleet::process::{FleetProcess, Template};
use fleet::server::control_bodies::SnapshotRecord;
use fleet::spec::Spec;
use fleet::verify::Verification;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A running region. Ends with the test, and takes everything with it.
pub struct Region {
    fleet: Option<FleetProcess>,
    expects_denials: AtomicBool,
}

/// Whoever is refused something without the test's having said so has a role that lacks a right.
impl Drop for Region {
    fn drop(&mut self) {
        let Some(fleet) = &self.fleet else { return };
        if self.expects_denials.load(Ordering::Relaxed) || std::thread::panicking() {
            return;
        }
        // One that does not answer any more was killed by the test.
        let denied = fleet.client().rights().map(|decided| decided.denied).unwrap_or_default();
        assert!(denied.is_empty(), "roles of the template lack rights: {denied:#?}");
    }
}

/// A snapshot as the region's records have it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// Its volume.
    pub volume: String,
    /// `pending`, `completed` or `error`.
    pub state: String,
    /// Its tag `stillframe:consistency`; empty when it has none.
    pub label: String,
    /// When it was started, RFC 3339.
    pub start_time: String,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
}

/// A program of this workspace, built beside the tests.
fn program(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    let program = path.join(name);
    assert!(program.exists(), "{} is not built: run `make build`", program.display());
    program
}

impl Region {
    /// A region with real file systems; `None`, after saying why, where this machine has no means for it.
    #[must_use]
    pub fn with_disks(spec: &str) -> Option<Self> {
        requirements::disks().then(|| Self::start(spec))
    }

    /// A region of records only: nothing is formatted, frozen or copied.
    #[must_use]
    pub fn without_disks(spec: &str) -> Self {
        Self::start(&format!("disks = false\n{spec}"))
    }

    /// Driven by the template, whose roles decide every call: a region in which a right is missing fails its test.
    /// Regions beside it are those that the stack may copy to.
    fn start(spec: &str) -> Self {
        Self::deployed(spec, &[], false)
    }

    /// A region of records only in which the template's rules carry events to the functions.
    #[must_use]
    pub fn with_rules(spec: &str, parameters: &[(&str, &str)]) -> Self {
        Self::deployed(&format!("disks = false\n{spec}"), parameters, true)
    }

    fn deployed(spec: &str, parameters: &[(&str, &str)], follows_rules: bool) -> Self {
        let others = Spec::read(spec).map(|spec| spec.other_regions.join(",")).unwrap_or_default();
        let mut parameters = parameters.to_vec();
        if !others.is_empty() {
            parameters.push(("CopyRegions", &others));
        }
        let path = stack::infra().join("template.yaml");
        let template = Template { path: &path, parameters: &parameters, follows_rules };
        let fleet = FleetProcess::deployed(&program("fleet"), spec, &template)
            .unwrap_or_else(|error| panic!("{error}"));
        Self { fleet: Some(fleet), expects_denials: AtomicBool::new(false) }
    }

    fn fleet(&self) -> &FleetProcess {
        self.fleet.as_ref().expect("the fleet is taken at the end only")
    }

    /// From now on it is no failure when somebody is refused something.
    pub fn expect_denials(&self) {
        self.expects_denials.store(true, Ordering::Relaxed);
    }

    /// What roles were asked about so far, and what they refused.
    #[must_use]
    pub fn decided(&self) -> Decided {
        self.client().rights().expect("the region answers")
    }

    /// Has a schedule of the template fire.
    pub fn fire(&self, schedule: &str) {
        self.client().fire(schedule).expect("the schedule fires");
    }

    pub(crate) fn client(&self) -> &Client {
        self.fleet().client()
    }

    /// Where the region listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.client().endpoint()
    }

    /// The fleet's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.fleet().pid()
    }

    /// Ends the fleet as an operator would, and waits for its end.
    ///
    /// # Panics
    /// It does not end, or not well.
    pub fn terminate(mut self) {
        let status = self.fleet.take().and_then(FleetProcess::terminate);
        assert!(status.is_some_and(|status| status.success()), "fleet serve ended with {status:?}");
    }

    /// Kills the fleet's own process and nothing else.
    pub fn kill(mut self) {
        if let Some(fleet) = self.fleet.take() {
            fleet.kill();
        }
    }

    // ---- The functions.

    /// Runs a policy.
    ///
    /// # Panics
    /// The function answers with an error.
    pub fn backup(&self, policy: Value) -> Value {
        self.invoke("backup", &policy)
    }

    /// Runs a policy that may be refused; the error is the function's message.
    pub fn try_backup(&self, policy: Value) -> Result<Value, String> {
        self.client().invoke("backup", &policy).map_err(|error| error.to_string())
    }

    /// Runs a policy and does something else as soon as an operation has been called by it.
    pub fn backup_while(&self, policy: Value, operation: &str, meanwhile: impl FnOnce()) -> Value {
        let before = self.calls(operation);
        std::thread::scope(|scope| {
            let run = scope.spawn(|| self.backup(policy));
            self.wait_until(operation, || self.calls(operation) > before);
            meanwhile();
            run.join().expect("the run ends")
        })
    }

    /// Calls a function and waits for its result.
    ///
    /// # Panics
    /// The function answers with an error.
    pub fn invoke(&self, function: &str, event: &Value) -> Value {
        match self.client().invoke(function, event) {
            Ok(result) => result,
            Err(error) => panic!("{function}: {error}\n{}", self.function_logs(function)),
        }
    }

    /// Restores; the error is the function's message.
    pub fn try_restore(&self, event: &Value) -> Result<Value, String> {
        self.client().invoke("restore", event).map_err(|error| error.to_string())
    }

    /// Hands an event to Lambda's queue.
    pub fn invoke_async(&self, function: &str, event: &Value) {
        self.client().invoke_async(function, event).expect("the queue takes it");
    }

    /// What a function's environments have logged so far.
    #[must_use]
    pub fn function_logs(&self, function: &str) -> String {
        self.client().function_logs(function).unwrap_or_default()
    }

    // ---- Faults, clock and counts.

    /// The next `times` calls of an operation go wrong.
    pub fn fault(&self, operation: &str, fault: &str, times: u64) {
        self.faults(&json!({"op": operation, "fault": fault, "times": times}));
    }

    /// As [`Region::fault`], with everything that a fault can say.
    pub fn faults(&self, fault: &Value) {
        self.client().fault(fault).expect("the fault is accepted");
    }

    /// Forgets the faults that have met no call yet.
    pub fn clear_faults(&self) {
        self.client().clear_faults().expect("the region answers");
    }

    /// Moves the region's clock.
    pub fn advance(&self, seconds: u64) {
        self.client().advance(seconds).expect("the clock moves");
    }

    /// Moves the region's clock to the next early morning (UTC), so that the hours after it are of one day.
    pub fn advance_to_morning(&self) {
        const DAY: u64 = 86_400;
        let now = self.client().now().expect("the region has a clock");
        self.advance(DAY - now % DAY + 3 * 3_600);
    }

    /// How often an operation was called, refused calls included.
    #[must_use]
    pub fn calls(&self, operation: &str) -> u64 {
        self.client().calls().expect("counts").get(operation).copied().unwrap_or_default()
    }

    /// What one function called, and how often.
    #[must_use]
    pub fn calls_of_function(&self, function: &str) -> BTreeMap<String, u64> {
        self.client().calls_of(function).expect("counts")
    }

    /// Waits until a condition holds.
    ///
    /// # Panics
    /// It does not within a minute.
    pub fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !condition() {
            assert!(Instant::now() < end, "waited a minute for {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until no command, invocation or thaw is under way any more.
    pub fn settle_down(&self) {
        self.wait_until("quiet", || self.client().quiet().expect("the region answers"));
    }

    /// Lets every pending snapshot complete.
    pub fn complete_snapshots(&self) {
        self.advance(60);
        self.wait_until("completed snapshots", || self.snapshots().iter().all(|s| s.state != "pending"));
    }

    // ---- Snapshots.

    /// Every snapshot of the account in its region.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        Self::read(self.client().snapshots().expect("the region answers"))
    }

    /// Every snapshot of the account in another region.
    #[must_use]
    pub fn snapshots_in(&self, region: &str) -> Vec<Snapshot> {
        Self::read(self.client().snapshots_in(region).expect("there is such a region"))
    }

    fn read(records: Vec<SnapshotRecord>) -> Vec<Snapshot> {
        records
            .into_iter()
            .map(|record| Snapshot {
                label: record.tags.get("stillframe:consistency").cloned().unwrap_or_default(),
                id: record.id,
                volume: record.volume,
                state: record.state,
                start_time: record.start_time,
                tags: record.tags,
            })
            .collect()
    }

    /// The labels of the set that was started last.
    #[must_use]
    pub fn labels_of_newest_run(&self) -> Vec<String> {
        let snapshots = self.snapshots();
        let newest = snapshots.iter().map(|snapshot| &snapshot.start_time).max().cloned();
        snapshots.into_iter().filter(|s| Some(&s.start_time) == newest.as_ref()).map(|s| s.label).collect()
    }

    /// Where the bytes of every snapshot lie.
    #[must_use]
    pub fn snapshot_files(&self) -> BTreeMap<String, PathBuf> {
        let files = self.client().snapshot_files().expect("the region answers");
        files.into_iter().map(|(id, file)| (id, file.path)).collect()
    }

    /// Reads a snapshot's bytes: its journal, and every record acknowledged before the cut.
    #[must_use]
    pub fn verify(&self, snapshot: &str) -> Verification {
        let file = &self.snapshot_files()[snapshot];
        fleet::verify::verify(file)
    }

    /// Puts a snapshot into a state, as EBS would.
    pub fn set_snapshot_state(&self, snapshot: &str, state: &str) {
        self.client().set_snapshot_state(snapshot, state).expect("the region answers");
    }

    // ---- Mounts, seen from outside.

    /// The mount points that are frozen now, by the kernel's truth.
    #[must_use]
    pub fn frozen(&self) -> Vec<String> {
        let instances = self.client().state().expect("the region answers");
        let mounts = instances.into_iter().flat_map(|instance| instance.mounts);
        mounts.filter(|mount| mount.frozen).map(|mount| mount.mount_point).collect()
    }

    /// A path by which this process reaches a file of an instance that runs.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn inside(&self, instance: &str, path: &str) -> PathBuf {
        let root = outside::root_of(self.pid(), instance);
        root.unwrap_or_else(|| panic!("{instance} does not run")).join(path.trim_start_matches('/'))
    }

    /// How many records each writer has had acknowledged so far, by volume.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<String, u64> {
        self.client().acknowledged().expect("the region answers")
    }

    /// What is mounted on an instance, by the kernel's truth: mount point and volume.
    #[must_use]
    pub fn mounted_on(&self, instance: &str) -> BTreeMap<String, String> {
        let mut instances = self.client().state().expect("the region answers");
        instances.retain(|one| one.id == instance);
        let mounts = instances.into_iter().flat_map(|one| one.mounts);
        mounts.map(|mount| (mount.mount_point, mount.volume)).collect()
    }

    /// A path by which this process reaches a mount of the first instance that has it.
    pub(crate) fn mount_from_outside(&self, mount_point: &str) -> PathBuf {
        outside::path_of(self.pid(), mount_point).unwrap_or_else(|| panic!("no instance has {mount_point}"))
    }

    /// Paths to every mount.
    pub(crate) fn mounts_from_outside(&self) -> Vec<PathBuf> {
        outside::paths(self.pid(), &self.client().state().expect("the region answers"))
    }

    /// The same of one instance.
    pub(crate) fn mounts_of(&self, instance: &str) -> Vec<PathBuf> {
        let mut instances = self.client().state().expect("the region answers");
        instances.retain(|one| one.id == instance);
        outside::paths(self.pid(), &instances)
    }
}
