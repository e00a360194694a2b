//! The ways to take a backup that are compared. Each is done for real: through the fleet's SSM, its agent
//! and its functions, with `fsfreeze` where others use it.

use super::cell::INSTANCE;
use super::seen::Mounts;
use crate::bench::{BenchError, io, policy, region};
use crate::client::Client;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How often a caller asks whether a command has ended. (The waiter of the AWS SDK for Python asks every
/// 5 s.)
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// A command that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(90);
/// After so long the peers' file systems are thawed by a process that waits for nothing else. The
/// published sample has the same time.
const AUTO_THAW_S: u64 = 60;

const FREEZE_DOCUMENT: &str = "Stillframe-Freeze";
const PEER_FREEZE: &str = "Peer-Freeze";
const PEER_THAW: &str = "Peer-Thaw";
const SHIPPED: &str = include_str!("../../../../../infra/documents/Stillframe-Freeze.json");
const START: &str = "exec stillframe-helper freeze";

/// A way to take a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Way {
    /// Ours, as it ships.
    Ours,
    /// A Run Command freezes every file system with `fsfreeze -f`; `CreateSnapshots` is called from
    /// outside when it has ended; another Run Command thaws. So do the pre and post scripts that AWS
    /// publishes for Data Lifecycle Manager.
    TwoCommands,
    /// Freeze one volume, `CreateSnapshot`, thaw it, then the next, as Snaptastic did: every write stands
    /// still for one volume's turn only, and there is no instant that all volumes share.
    OneByOne,
    /// Ours without flush and prime.
    Plain,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::TwoCommands => "two Run Commands",
            Self::OneByOne => "one volume after another",
            Self::Plain => "ours, no flush, no prime",
        }
    }
}

/// One turn that warms up, then the rounds.
pub(super) fn turns(rounds: usize) -> impl Iterator<Item = Way> {
    let round = [Way::Ours, Way::TwoCommands, Way::Ours, Way::OneByOne, Way::Ours, Way::Plain];
    std::iter::once(Way::Ours).chain(std::iter::repeat_n(round, rounds).flatten())
}

/// What one turn left.
#[derive(Debug)]
pub(super) struct Taken {
    /// Whether it came to a freeze.
    pub(super) frozen: bool,
    /// The snapshots that it made.
    pub(super) snapshots: Vec<String>,
    /// For ours, the restore point's line of the summary.
    pub(super) point: Value,
}

/// The ways, on one region.
#[derive(Debug)]
pub(super) struct Ways<'a> {
    client: &'a Client,
    mounts: &'a Mounts,
    plain: Value,
}

impl<'a> Ways<'a> {
    /// Registers the peers' documents.
    pub(super) fn prepare(client: &'a Client, mounts: &'a Mounts) -> Result<Self, BenchError> {
        let missing = |what: &str| BenchError::Missing(what.to_owned());
        if !SHIPPED.contains(START) {
            return Err(missing("the shipped document does not start the helper as it used to"));
        }
        let plain = serde_json::from_str(&SHIPPED.replace(START, &format!("{START} --plain")))
            .map_err(|error| missing(&error.to_string()))?;
        let put = |name: &str, lines: Vec<String>| {
            let document = json!({
                "schemaVersion": "2.2",
                "mainSteps": [{"action": "aws:runShellScript", "name": "peer", "inputs": {"runCommand": lines}}],
            });
            client.put_document(name, &document).map_err(region("register a peer's document"))
        };
        let places: Vec<&str> = mounts.places().collect();
        put(PEER_FREEZE, freeze_script(&places))?;
        put(PEER_THAW, thaw_script(&places))?;
        Ok(Self { client, mounts, plain })
    }

    /// Takes a backup.
    pub(super) fn take(&self, way: Way) -> Result<Taken, BenchError> {
        match way {
            Way::Ours => self.ours(),
            Way::TwoCommands => self.two_commands(),
            Way::OneByOne => self.one_by_one(),
            Way::Plain => {
                let put = self.client.put_document(FREEZE_DOCUMENT, &self.plain);
                put.map_err(region("register the plain freeze"))?;
                let taken = self.ours();
                let removed = self.client.remove_document(FREEZE_DOCUMENT);
                removed.map_err(region("take the plain freeze away"))?;
                taken
            }
        }
    }

    /// Deletes the peers' snapshots; ours are pruned by us.
    pub(super) fn forget(&self, way: Way, taken: &Taken) -> Result<(), BenchError> {
        if matches!(way, Way::Ours | Way::Plain) {
            return Ok(());
        }
        taken.snapshots.iter().try_for_each(|id| {
            let deleted = self.client.ec2("DeleteSnapshot", &[("SnapshotId", id)]);
            deleted.map(drop).map_err(region("delete a peer's snapshot"))
        })
    }

    fn ours(&self) -> Result<Taken, BenchError> {
        let mut summary =
            self.client.invoke("backup", &policy()).map_err(region("run the backup function"))?;
        let point = summary["restore_points"][0].take();
        if point["phases"]["window_us"].as_u64().unwrap_or_default() == 0 {
            eprintln!("a turn was not frozen: {point} {summary}");
            return Ok(Taken { frozen: false, snapshots: Vec::new(), point });
        }
        let made = point["snapshots"].as_array().into_iter().flatten();
        let snapshots = made.filter_map(|one| Some(one["snapshot"].as_str()?.to_owned())).collect();
        Ok(Taken { frozen: true, snapshots, point })
    }

    fn two_commands(&self) -> Result<Taken, BenchError> {
        self.command(PEER_FREEZE)?;
        let made = self.client.ec2(
            "CreateSnapshots",
            &[
                ("InstanceSpecification.InstanceId", INSTANCE),
                ("InstanceSpecification.ExcludeBootVolume", "true"),
            ],
        );
        self.command(PEER_THAW)?;
        let made = made.map_err(region("take the peer's snapshots"))?;
        Ok(Taken { frozen: true, snapshots: values(&made, "snapshotId"), point: Value::Null })
    }

    /// Sends a command and asks until it has ended well.
    fn command(&self, document: &str) -> Result<(), BenchError> {
        let body = json!({"DocumentName": document, "InstanceIds": [INSTANCE]});
        let sent = self.client.ssm("SendCommand", &body).map_err(region("send a peer's command"))?;
        let asked = json!({"CommandId": sent["Command"]["CommandId"], "InstanceId": INSTANCE});
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            std::thread::sleep(ASK_AGAIN);
            let found = self
                .client
                .ssm("GetCommandInvocation", &asked)
                .map_err(region("ask for a peer's command"))?;
            match found["Status"].as_str().unwrap_or_default() {
                "Success" => return Ok(()),
                "Pending" | "InProgress" | "Delayed" => {}
                _ => return Err(BenchError::Missing(format!("{document} failed: {found}"))),
            }
        }
        Err(BenchError::Waited(PATIENCE.as_secs(), "the end of a peer's command"))
    }

    fn one_by_one(&self) -> Result<Taken, BenchError> {
        let mut snapshots = Vec::new();
        for (volume, place) in self.mounts.volumes() {
            let thaw = AutoThaw::arm(&place)?;
            fsfreeze("-f", &place)?;
            let made = self.client.ec2("CreateSnapshot", &[("VolumeId", volume)]);
            fsfreeze("-u", &place)?;
            drop(thaw);
            let made = made.map_err(region("take the peer's snapshot"))?;
            snapshots.extend(values(&made, "snapshotId"));
        }
        Ok(Taken { frozen: true, snapshots, point: Value::Null })
    }
}

fn fsfreeze(flag: &str, place: &Path) -> Result<(), BenchError> {
    let status = Command::new("fsfreeze").arg(flag).arg(place).status().map_err(io("run fsfreeze"))?;
    if status.success() {
        return Ok(());
    }
    Err(BenchError::Missing(format!("fsfreeze {flag} {} failed: {status}", place.display())))
}

/// A process that thaws in a while, unless it is ended before.
#[derive(Debug)]
struct AutoThaw(Child);

impl AutoThaw {
    fn arm(place: &Path) -> Result<Self, BenchError> {
        // It holds the directory itself: nothing has to be found again when it is needed.
        let held = std::fs::File::open(place).map_err(io(format!("open {}", place.display())))?;
        let line = format!("sleep {AUTO_THAW_S} </dev/null; exec fsfreeze -u /proc/self/fd/0");
        let mut command = Command::new("sh");
        command.args(["-c", &line]).process_group(0);
        let child = command.stdin(held).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        child.map(Self).map_err(io("arm a thaw"))
    }
}

impl Drop for AutoThaw {
    fn drop(&mut self) {
        // Not reaped yet, so the number still names its group.
        if let Some(group) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

/// Freezes all or none, the thaw of last resort armed before.
fn freeze_script(places: &[&str]) -> Vec<String> {
    let all = places.join(" ");
    [
        "#!/bin/sh",
        &format!(
            "setsid sh -c 'sleep {AUTO_THAW_S}; for at in {all}; do fsfreeze -u \"$at\"; done' \
             </dev/null >/dev/null 2>&1 &"
        ),
        "echo $! >/run/peer-auto-thaw",
        &format!("for at in {all}; do"),
        "  fsfreeze -f \"$at\" && done=\"$at $done\" && continue",
        "  for back in $done; do fsfreeze -u \"$back\"; done",
        "  exit 201",
        "done",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn thaw_script(places: &[&str]) -> Vec<String> {
    [
        "#!/bin/sh",
        "failed=0",
        &format!("for at in {}; do fsfreeze -u \"$at\" || failed=202; done", places.join(" ")),
        "kill -- \"-$(cat /run/peer-auto-thaw)\"",
        "exit $failed",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// What stands in the elements of that name.
fn values(xml: &str, element: &str) -> Vec<String> {
    let (open, close) = (format!("<{element}>"), format!("</{element}>"));
    let parts = xml.split(&open).skip(1);
    parts.filter_map(|part| Some(part.split_once(&close)?.0.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_comes_between_any_two_of_the_others() {
        let turns: Vec<Way> = turns(2).collect();
        assert_eq!(turns.len(), 13);
        assert!(turns.windows(2).all(|pair| pair[0] == Way::Ours || pair[1] == Way::Ours));
        for way in [Way::Ours, Way::TwoCommands, Way::OneByOne, Way::Plain] {
            assert!(turns.iter().filter(|one| **one == way).count() >= 2);
        }
    }

    #[test]
    fn elements_are_found_in_an_answer() {
        let xml =
            "<set><item><snapshotId>snap-1</snapshotId></item><item><snapshotId>snap-2</snapshotId></item>";
        assert_eq!(values(xml, "snapshotId"), ["snap-1", "snap-2"]);
    }
}
