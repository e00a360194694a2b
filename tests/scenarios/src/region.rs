//! One region for one scenario: the `fleet serve` process and everything that a test asks of it.

use crate::requirements;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fleet::client::Client;
use fleet::process::FleetProcess;
use fleet::verify::Verification;
use fleet::{outside, processes};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use stillframe_wire::{AUDIENCE, InstanceId, OrderedVolume, RunId, SigningKey, VolumeId, WorkOrder};

const ADMIN: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAADMINADMINADMIN0"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_DEFAULT_REGION", "eu-central-1"),
];

/// A running region. Ends with the test, and takes everything with it.
pub struct Region {
    fleet: FleetProcess,
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

    fn start(spec: &str) -> Self {
        let fleet = FleetProcess::start(&program("fleet"), spec).unwrap_or_else(|error| panic!("{error}"));
        Self { fleet }
    }

    fn client(&self) -> &Client {
        self.fleet.client()
    }

    /// Where the region listens.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        self.client().endpoint()
    }

    /// The fleet's process id.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.fleet.pid()
    }

    /// Ends the fleet as an operator would, and waits for its end.
    ///
    /// # Panics
    /// It does not end, or not well.
    pub fn terminate(self) {
        let status = self.fleet.terminate();
        assert!(status.is_some_and(|status| status.success()), "fleet serve ended with {status:?}");
    }

    /// Kills the fleet's own process and nothing else.
    pub fn kill(self) {
        self.fleet.kill();
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

    /// Moves the region's clock.
    pub fn advance(&self, seconds: u64) {
        self.client().advance(seconds).expect("the clock moves");
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

    /// Every snapshot of the account.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let records = self.client().snapshots().expect("the region answers");
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

    // ---- Instances and volumes, through the AWS CLI.

    /// Runs the AWS CLI against the region as an administrator; its JSON, or what it said.
    pub fn aws(&self, arguments: &str) -> Result<Value, String> {
        self.aws_with(arguments, &ADMIN)
    }

    /// As [`Region::aws`], where the CLI may be missing: then says so and gives `None`.
    #[must_use]
    pub fn aws_or_skip(&self, arguments: &str) -> Option<Value> {
        requirements::program("aws").then(|| self.aws(arguments).expect("the CLI's call succeeds"))
    }

    /// Runs the AWS CLI with the credentials that an instance has from its metadata service.
    pub fn aws_as_instance(&self, instance: &str, arguments: &str) -> Result<Value, String> {
        let (id, secret, token) = self.client().instance_credentials(instance).expect("credentials");
        self.aws_with(
            arguments,
            &[
                ("AWS_ACCESS_KEY_ID", &id),
                ("AWS_SECRET_ACCESS_KEY", &secret),
                ("AWS_SESSION_TOKEN", &token),
                ("AWS_DEFAULT_REGION", "eu-central-1"),
            ],
        )
    }

    fn aws_with(&self, arguments: &str, credentials: &[(&str, &str)]) -> Result<Value, String> {
        let output = Command::new("aws")
            .args(["--endpoint-url", self.endpoint(), "--output", "json"])
            .args(arguments.split_whitespace())
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(credentials.iter().copied())
            .output()
            .map_err(|error| format!("aws: {error}"))?;
        if output.status.success() {
            let text = String::from_utf8_lossy(&output.stdout);
            Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Stops an instance and waits until it is stopped.
    pub fn stop_instance(&self, instance: &str, force: bool) {
        let force = if force { "true" } else { "false" };
        self.ec2("StopInstances", &[("InstanceId.1", instance), ("Force", force)]);
        self.wait_for_state(instance, "stopped");
    }

    /// Starts an instance and waits until it runs.
    pub fn start_instance(&self, instance: &str) {
        self.ec2("StartInstances", &[("InstanceId.1", instance)]);
        self.wait_for_state(instance, "running");
    }

    fn wait_for_state(&self, instance: &str, state: &str) {
        self.wait_until(state, || {
            let found = self.ec2("DescribeInstances", &[("InstanceId.1", instance)]);
            found.contains(&format!("<name>{state}</name>"))
        });
    }

    /// Makes a blank volume and returns its id.
    #[must_use]
    pub fn create_volume(&self, size_gib: u32) -> String {
        let made = self
            .ec2("CreateVolume", &[("AvailabilityZone", "eu-central-1a"), ("Size", &size_gib.to_string())]);
        let (_, rest) = made.split_once("<volumeId>").expect("an id");
        rest.split('<').next().expect("an end").to_owned()
    }

    /// Attaches a volume.
    pub fn attach_volume(&self, instance: &str, volume: &str, device: &str) {
        self.ec2("AttachVolume", &[("InstanceId", instance), ("VolumeId", volume), ("Device", device)]);
    }

    /// Unmounts and detaches a volume, as a careful operator does.
    pub fn detach_volume(&self, instance: &str, volume: &str) {
        self.ec2("DetachVolume", &[("InstanceId", instance), ("VolumeId", volume)]);
        self.wait_until("a detached volume", || {
            self.ec2("DescribeVolumes", &[("VolumeId.1", volume)]).contains("<status>available</status>")
        });
    }

    fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        self.client().ec2(action, parameters).unwrap_or_else(|error| panic!("{action}: {error}"))
    }

    fn ssm(&self, operation: &str, body: &Value) -> Value {
        self.client().ssm(operation, body).unwrap_or_else(|error| panic!("{operation}: {error}"))
    }

    /// Cancels every command that runs.
    pub(crate) fn cancel_commands(&self) {
        let running = self.ssm("ListCommandInvocations", &json!({}));
        for invocation in running["CommandInvocations"].as_array().into_iter().flatten() {
            if invocation["Status"] == "InProgress" {
                self.ssm("CancelCommand", &json!({"CommandId": invocation["CommandId"]}));
            }
        }
    }

    // ---- Orders.

    /// An order for the volumes of the first instance, as the backup function would sign it.
    #[must_use]
    pub fn last_order(&self) -> String {
        self.order_for("i-0aaaaaaaaaaaaaaa1")
    }

    /// An order for an instance and its first two volumes, signed with the region's key.
    #[must_use]
    pub fn order_for(&self, instance: &str) -> String {
        let key =
            self.ssm("GetParameter", &json!({"Name": "/stillframe/signing-key", "WithDecryption": true}));
        let key = key["Parameter"]["Value"].as_str().expect("a key");
        let key = BASE64_URL_SAFE_NO_PAD.decode(key).expect("a key is base64url");
        let key = SigningKey::new(key).expect("a key is long enough");
        let stem = format!("vol-{}", &instance["i-".len()..instance.len() - 1].get(..15).expect("an id"));
        let volume = |n: u32, device: &str| OrderedVolume {
            id: VolumeId::new(format!("{stem}{n:02}")).expect("a volume id"),
            device: device.to_owned(),
        };
        WorkOrder {
            v: 1,
            aud: AUDIENCE.to_owned(),
            instance: InstanceId::new(instance).expect("an instance id"),
            expires: self.client().now().expect("the region's clock") + 600,
            run: RunId::new("by-hand/2026-11-22/000000").expect("a run id"),
            policy: "by-hand".to_owned(),
            slot: "2026-11-22".to_owned(),
            volumes: vec![volume(1, "/dev/sdf"), volume(2, "/dev/sdg")],
            exclude_volumes: Vec::new(),
            exclude_boot: true,
            tags: BTreeMap::from([("stillframe:policy".to_owned(), "by-hand".to_owned())]),
            copy_volume_tags: true,
            layout_tags: 4,
            max_freeze_ms: 5_000,
            hooks: false,
            description: "by hand".to_owned(),
            freeze_root: false,
            signal_function: "signal".to_owned(),
        }
        .sign(&key)
        .expect("an order that can be signed")
    }

    /// Runs the document `Stillframe-Freeze` with an order and returns the helper's report.
    #[must_use]
    pub fn freeze_with(&self, instance: &str, order: &str) -> Value {
        let sent = self.ssm(
            "SendCommand",
            &json!({
                "DocumentName": "Stillframe-Freeze", "InstanceIds": [instance],
                "Parameters": {"order": [order]}
            }),
        );
        let command = sent["Command"]["CommandId"].clone();
        let asked = json!({"CommandId": command, "InstanceId": instance});
        let mut end = Value::Null;
        self.wait_until("the end of the command", || {
            let Ok(invocation) = self.client().ssm("GetCommandInvocation", &asked) else { return false };
            end = invocation;
            !matches!(end["Status"].as_str(), Some("Pending" | "InProgress" | "Delayed"))
        });
        let printed = end["StandardOutputContent"].as_str().unwrap_or_default();
        serde_json::from_str(printed.lines().next().unwrap_or_default())
            .unwrap_or_else(|error| panic!("no report: {error}: {end}"))
    }

    // ---- Mounts, seen from outside.

    /// The mount points that are frozen now, by the kernel's truth.
    #[must_use]
    pub fn frozen(&self) -> Vec<String> {
        let instances = self.client().state().expect("the region answers");
        let mounts = instances.into_iter().flat_map(|instance| instance.mounts);
        mounts.filter(|mount| mount.frozen).map(|mount| mount.mount_point).collect()
    }

    /// A path by which this process reaches a mount of the first instance that has it.
    pub(crate) fn mount_from_outside(&self, mount_point: &str) -> PathBuf {
        outside::path_of(self.pid(), mount_point).unwrap_or_else(|| panic!("no instance has {mount_point}"))
    }

    /// Paths to every mount.
    pub(crate) fn mounts_from_outside(&self) -> Vec<PathBuf> {
        outside::paths(self.pid(), &self.client().state().expect("the region answers"))
    }
}

/// What a fleet with this process id has left on the machine: processes, mounts, loop devices.
#[must_use]
pub fn left_behind(pid: i32) -> Vec<String> {
    let mark = format!("stillframe-fleet-{pid}");
    let mut left = Vec::new();
    if processes::Process::find(pid).is_some_and(|process| process.alive()) {
        left.push(format!("process {pid}"));
    }
    for table in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let mounts = std::fs::read_to_string(table.path().join("mountinfo")).unwrap_or_default();
        left.extend(mounts.lines().filter(|line| line.contains(&mark)).map(|line| format!("mount {line}")));
    }
    for device in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = std::fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        if backing.contains(&mark) {
            left.push(format!("loop device {:?} of {}", device.file_name(), backing.trim()));
        }
    }
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if entry.path().to_string_lossy().contains(&mark) {
            left.push(format!("file {}", entry.path().display()));
        }
    }
    left.sort();
    left.dedup();
    left
}
