//! The description of a region, as `fleet serve --spec FILE` reads it: instances, their volumes, how slow
//! the services are and where the functions' programs lie. Every key but the ids has a default.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Why a spec is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// The file could not be read.
    #[error("failed to read the region's spec {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML of the agreed shape; the message shows line and key.
    #[error("the region's spec is malformed: {0}")]
    Parse(#[from] toml::de::Error),
    /// A value that cannot be.
    #[error("the region's spec: {key} of {owner}: {cause}")]
    Value {
        /// The key.
        key: &'static str,
        /// The instance, volume or table it belongs to.
        owner: String,
        /// What is wrong with it.
        cause: String,
    },
}

/// A region.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spec {
    /// Whether volumes have bytes; without, there are no file systems and instances come by the thousand.
    pub disks: bool,
    /// Whether snapshots have bytes. Without, a cut notes its instant, and volumes are files that lie on
    /// the host's file system as they are, every block written: one layer, as a disk has, for measurements.
    pub copies: bool,
    /// The region's name.
    pub region: String,
    /// The account's number.
    pub account: String,
    /// How long after its start a snapshot stays `pending`, milliseconds on the fleet's clock.
    pub snapshot_completes_after_ms: u64,
    /// The same for a copy from another region.
    pub copy_completes_after_ms: u64,
    /// Further regions, in which there is nothing at the beginning.
    pub other_regions: Vec<String>,
    /// How long after a call CloudTrail knows of it, seconds on the fleet's clock.
    pub trail_delay_s: u64,
    /// How long operations take, by operation name, milliseconds; see [`crate::latency::Latencies`].
    pub latency_ms: BTreeMap<String, u64>,
    /// Token buckets, by operation name; see [`crate::buckets`]. None by default.
    pub throttle: BTreeMap<String, BucketSpec>,
    /// The functions.
    pub function: FunctionSpec,
    /// Rules by which events of EC2 and EBS reach a function.
    #[serde(rename = "rule")]
    pub rules: Vec<RuleSpec>,
    /// The instances.
    #[serde(rename = "instance")]
    pub instances: Vec<InstanceSpec>,
    /// Volumes that are attached nowhere.
    #[serde(rename = "volume")]
    pub detached: Vec<VolumeSpec>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            disks: true,
            copies: true,
            region: "eu-central-1".to_owned(),
            account: "123456789012".to_owned(),
            snapshot_completes_after_ms: 1_500,
            copy_completes_after_ms: 1_500,
            other_regions: Vec::new(),
            trail_delay_s: 0,
            latency_ms: BTreeMap::new(),
            throttle: BTreeMap::new(),
            function: FunctionSpec::default(),
            rules: Vec::new(),
            instances: Vec::new(),
            detached: Vec::new(),
        }
    }
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketSpec {
    /// How many calls may come at once.
    pub burst: f64,
    /// How many a second after that.
    pub per_second: f64,
}

/// A rule of EventBridge.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// The kinds of event that it is for; none for all of EBS's about snapshots.
    #[serde(default)]
    pub detail_types: Vec<String>,
    /// Of the events about instances, those that tell of these states; none for all.
    #[serde(default)]
    pub states: Vec<String>,
    /// The function.
    #[serde(default = "backup")]
    pub function: String,
    /// What the function gets: JSON in which `<aws.events.event.json>` stands for the event.
    #[serde(default = "the_event")]
    pub input: String,
    /// How often each event is delivered: EventBridge promises at least once.
    #[serde(default = "once")]
    pub deliveries: u32,
}

fn once() -> u32 {
    1
}

fn backup() -> String {
    "backup".to_owned()
}

fn the_event() -> String {
    "<aws.events.event.json>".to_owned()
}

/// How functions run; the same for all of them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FunctionSpec {
    /// Where the programs `backup` and `signal` lie; else `FLEET_FUNCTIONS`, else beside this program.
    pub dir: Option<PathBuf>,
    /// After how many seconds an invocation is ended.
    pub timeout_s: u64,
    /// What a function is told that it has, MiB; not enforced.
    pub memory_mib: u32,
    /// How many environments of one function may exist at once; more invocations answer 429.
    pub concurrency: usize,
    /// Pauses before the two retries of an asynchronous invocation, milliseconds (Lambda: 1 and 2 min).
    pub retry_delays_ms: [u64; 2],
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
}

impl Default for FunctionSpec {
    fn default() -> Self {
        Self {
            dir: None,
            timeout_s: 900,
            memory_mib: 256,
            concurrency: 1_000,
            retry_delays_ms: [1_000, 2_000],
            env: BTreeMap::new(),
        }
    }
}

/// An instance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceSpec {
    /// `i-...`
    pub id: String,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Its SSM agent.
    #[serde(default)]
    pub agent: Agent,
    /// Whether it runs.
    #[serde(default)]
    pub state: PowerState,
    /// Its user data, as the instance gets it.
    #[serde(default)]
    pub user_data: String,
    /// Its volumes, attached.
    #[serde(default, rename = "volume")]
    pub volumes: Vec<VolumeSpec>,
}

/// An instance's SSM agent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Agent {
    /// It takes commands.
    #[default]
    Online,
    /// It is registered and has not been heard of for a while.
    Offline,
    /// There is none.
    None,
}

/// Whether an instance of the spec runs at the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PowerState {
    /// It runs.
    #[default]
    Running,
    /// It was shut down cleanly.
    Stopped,
}

/// A volume.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSpec {
    /// `vol-...`
    pub id: String,
    /// The name under which it is attached. Empty in the file: `/dev/xvda` for root, else the next
    /// free one from `/dev/sdf` on; [`Spec::read`] fills it in.
    #[serde(default)]
    pub device: String,
    /// Its size, MiB.
    #[serde(default = "default_size_mib")]
    pub size_mib: u64,
    /// What it is formatted with. Left out: ext4, for a root volume nothing.
    pub fs: Option<FsType>,
    /// Where it is mounted, blanks allowed. Left out: `/mnt/<id>`, unless it is not formatted;
    /// [`Spec::read`] fills it in.
    pub mount: Option<String>,
    /// Its tags.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether a checksumming writer runs on it.
    #[serde(default)]
    pub writer: bool,
    /// What that writer writes in bulk and unsynced besides, megabytes a second.
    #[serde(default)]
    pub writer_bulk_mb_s: u64,
    /// The writer's pause between two records, microseconds.
    #[serde(default = "default_writer_pause_us")]
    pub writer_pause_us: u64,
    /// How much it reads and writes at most, megabytes a second each; 0 for as much as it can. A gp3
    /// volume begins with 125.
    #[serde(default)]
    pub limit_mb_s: u64,
    /// How many requests it serves at most, a second; 0 for as many as it can. A gp3 volume begins with
    /// 3,000.
    #[serde(default)]
    pub limit_iops: u64,
    /// Whether it holds removed files open, which ext4 marks in the file system.
    #[serde(default)]
    pub writer_orphans: bool,
    /// Whether it is the boot volume.
    #[serde(default)]
    pub root: bool,
    /// Its EBS type, `gp3`.
    #[serde(default = "default_volume_type", rename = "type")]
    pub volume_type: String,
}

impl VolumeSpec {
    /// A volume of which only the id and the device are special.
    #[must_use]
    pub fn new(id: String, device: String) -> Self {
        Self {
            id,
            size_mib: default_size_mib(),
            device,
            fs: None,
            mount: None,
            tags: BTreeMap::new(),
            writer: false,
            writer_bulk_mb_s: 0,
            writer_pause_us: default_writer_pause_us(),
            limit_mb_s: 0,
            limit_iops: 0,
            writer_orphans: false,
            root: false,
            volume_type: default_volume_type(),
        }
    }

    /// What it is formatted with.
    #[must_use]
    pub fn fs_type(&self) -> FsType {
        self.fs.unwrap_or(if self.root { FsType::None } else { FsType::Ext4 })
    }
}

fn default_size_mib() -> u64 {
    400
}

fn default_writer_pause_us() -> u64 {
    2_000
}

fn default_volume_type() -> String {
    "gp3".to_owned()
}

/// The file system on a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FsType {
    /// ext4.
    Ext4,
    /// XFS, which needs 300 MiB.
    Xfs,
    /// btrfs, which needs 110 MiB.
    Btrfs,
    /// Blank.
    None,
}

impl FsType {
    /// As mount(8) and `mkfs.*` call it; `none` for a blank volume.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::None => "none",
        }
    }
}

impl Spec {
    /// Reads a spec file.
    ///
    /// # Errors
    /// It cannot be read, is malformed, or asks for something impossible; the message names the key.
    pub fn load(path: &Path) -> Result<Self, SpecError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SpecError::Read { path: path.to_owned(), source })?;
        Self::read(&text)
    }

    /// Reads a spec and fills in devices and mount points that it leaves to us.
    ///
    /// # Errors
    /// As [`Spec::load`].
    pub fn read(text: &str) -> Result<Self, SpecError> {
        let mut spec: Self = toml::from_str(text)?;
        spec.complete();
        spec.check()?;
        Ok(spec)
    }

    fn complete(&mut self) {
        for instance in &mut self.instances {
            let mut taken: BTreeSet<String> =
                instance.volumes.iter().map(|volume| volume.device.clone()).collect();
            for volume in &mut instance.volumes {
                if volume.device.is_empty() {
                    volume.device = if volume.root { "/dev/xvda".to_owned() } else { free_device(&taken) };
                    taken.insert(volume.device.clone());
                }
            }
        }
        let attached = self.instances.iter_mut().flat_map(|instance| &mut instance.volumes);
        for volume in attached {
            if volume.mount.is_none() && volume.fs_type() != FsType::None {
                volume.mount = Some(format!("/mnt/{}", volume.id));
            }
        }
    }

    fn check(&self) -> Result<(), SpecError> {
        crate::latency::Latencies::new(&self.latency_ms).map_err(|unknown| SpecError::Value {
            key: "latency_ms",
            owner: "the region".to_owned(),
            cause: unknown.to_string(),
        })?;
        if let Some(unknown) = self.throttle.keys().find(|name| crate::operation::named(name).is_none()) {
            return value("throttle", "the region", format!("{unknown:?} is no operation of the fleet"));
        }
        if let Some(rule) = self.rules.iter().find(|rule| crate::lambda::program(&rule.function).is_none()) {
            return value("function", "[[rule]]", format!("{:?} is no function of the fleet", rule.function));
        }
        if self.function.timeout_s == 0 {
            return value("timeout_s", "[function]", "must be at least 1");
        }
        let mut ids = BTreeSet::new();
        for instance in &self.instances {
            check_id(&instance.id, "i-", &mut ids)?;
            let mut devices = BTreeSet::new();
            let mut mounts = BTreeSet::new();
            for volume in &instance.volumes {
                check_volume(volume, &mut ids)?;
                if !devices.insert(&volume.device) {
                    return value(
                        "device",
                        &volume.id,
                        format!("{} is taken on {}", volume.device, instance.id),
                    );
                }
                if let Some(mount) = &volume.mount
                    && !mounts.insert(mount)
                {
                    return value("mount", &volume.id, format!("{mount} is taken on {}", instance.id));
                }
            }
            if instance.volumes.iter().filter(|volume| volume.root).count() > 1 {
                return value("root", &instance.id, "two volumes are root");
            }
        }
        self.detached.iter().try_for_each(|volume| check_volume(volume, &mut ids))
    }
}

/// The first of `/dev/sd[f-z]`, then `/dev/xvdb[a-z]`, `/dev/xvdc[a-z]`, that is not taken.
fn free_device(taken: &BTreeSet<String>) -> String {
    let sd = ('f'..='z').map(|letter| format!("/dev/sd{letter}"));
    let xvd = ('b'..='z').flat_map(|a| ('a'..='z').map(move |b| format!("/dev/xvd{a}{b}")));
    sd.chain(xvd).find(|device| !taken.contains(device)).unwrap_or_default()
}

fn check_volume<'a>(volume: &'a VolumeSpec, ids: &mut BTreeSet<&'a str>) -> Result<(), SpecError> {
    check_id(&volume.id, "vol-", ids)?;
    if volume.size_mib == 0 {
        return value("size_mib", &volume.id, "must be at least 1");
    }
    if volume.fs_type() == FsType::None && volume.writer {
        return value("writer", &volume.id, "needs a file system");
    }
    match &volume.mount {
        Some(mount) if !mount.starts_with('/') => {
            value("mount", &volume.id, format!("{mount} is not absolute"))
        }
        Some(_) if volume.fs_type() == FsType::None => value("mount", &volume.id, "needs a file system"),
        _ => Ok(()),
    }
}

fn check_id<'a>(id: &'a str, prefix: &str, ids: &mut BTreeSet<&'a str>) -> Result<(), SpecError> {
    let tail = id.strip_prefix(prefix).unwrap_or_default();
    let hexadecimal = tail.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !(8..=32).contains(&tail.len()) || !hexadecimal {
        return value("id", id, format!("must be {prefix} and 8 to 32 hexadecimal digits"));
    }
    if !ids.insert(id) {
        return value("id", id, "is used twice");
    }
    Ok(())
}

fn value<T>(key: &'static str, owner: &str, cause: impl Into<String>) -> Result<T, SpecError> {
    Err(SpecError::Value { key, owner: owner.to_owned(), cause: cause.into() })
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
