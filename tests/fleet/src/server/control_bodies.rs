//! The JSON of the control endpoints, as server and client share it.

use crate::machine::InstanceMounts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// `GET /_fleet/state`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// The instances that run.
    pub instances: Vec<InstanceMounts>,
}

/// One entry of `GET /_fleet/snapshots`: where a snapshot's bytes are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// The volume.
    pub volume: String,
    /// The file.
    pub path: PathBuf,
}

/// One entry of `GET /_fleet/ec2/snapshots`: a snapshot as `DescribeSnapshots` has it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Its id.
    pub id: String,
    /// The volume.
    pub volume: String,
    /// `pending`, `completed` or `error`.
    pub state: String,
    /// When it was cut, RFC 3339.
    pub start_time: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// `POST /_fleet/clock`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Advance {
    /// How far, seconds.
    pub advance_s: u32,
}

/// The region's clock: the answer of `GET` and `POST /_fleet/clock`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Time {
    /// RFC 3339.
    pub now: String,
    /// Seconds since 1970.
    pub epoch_s: u64,
    /// How far ahead of the system's clock, seconds.
    pub offset_s: i64,
}

/// `GET /_fleet/quiet`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Quiet {
    /// Whether nothing is under way.
    pub quiet: bool,
    /// What is, else.
    pub under_way: crate::region::UnderWay,
}

/// `GET /_fleet/rights`: what roles were asked about, and what they refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Decided {
    /// Every different call, with the role that it was put to.
    pub asked: Vec<crate::rights::Asked>,
    /// Every call that was refused.
    pub denied: Vec<crate::rights::Denial>,
}

/// `POST /_fleet/snapshots/<id>`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSnapshot {
    /// The state that it has from now on.
    pub state: crate::ec2::inventory::SnapshotState,
}

/// `PUT /_fleet/ec2/deletions`: what becomes of snapshots that are deleted from now on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SetDeletions {
    /// How long they can still be seen, seconds on the fleet's clock.
    pub seen_for_s: u32,
    /// The rule of the Recycle Bin.
    pub recycle_bin: Option<BinRule>,
}

/// A rule of the Recycle Bin.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BinRule {
    /// How long it holds a snapshot.
    pub retain_days: u32,
    /// Only those with this tag.
    #[serde(default)]
    pub tag: Option<(String, String)>,
}

/// `POST /_fleet/instances/<id>`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetInstance {
    /// The state of its agent from now on.
    pub agent: crate::spec::Agent,
}
