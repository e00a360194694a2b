//! What the region asks of the machines underneath it: volumes, snapshots' bytes, commands, and the
//! kernel's truth about mounts.
//!
//! Two kinds of machines exist: [`crate::disks`] has image files, loop devices, real file systems and
//! mount namespaces; [`crate::diskless`] has none of them and serves thousands of instances. The region
//! keeps the records (tags, states, times); machines keep bytes and processes, and know nothing of AWS.
//!
//! An implementation is built from the [`Spec`](crate::spec::Spec): when its constructor returns, every
//! volume of the spec exists, those of running instances are attached, formatted and mounted and their
//! writers run; those of stopped instances are formatted and cleanly unmounted.
//!
//! All calls block, may come from several threads at once, and are made from threads where blocking is
//! allowed. Those threads end when they have been idle for a while: a child that is to die with its parent
//! (PR_SET_PDEATHSIG goes by thread) must be started from a thread that stays.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Why a machine did not do what it was asked. The region answers it as AWS's `InternalError`.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// The region asked for something that the machines do not have; their records disagree.
    #[error("the machines know no {kind} {id}")]
    Unknown {
        /// `volume`, `snapshot` or `instance`.
        kind: &'static str,
        /// Its id.
        id: String,
    },
    /// The instance is stopped.
    #[error("instance {0} is stopped")]
    Stopped(String),
    /// A file system of the volume is mounted and stays so.
    #[error("volume {0} is in use on the instance")]
    Busy(String),
    /// A step on the host failed.
    #[error("failed to {step}")]
    Step {
        /// What was tried: verb and object.
        step: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program on the host (`mkfs.xfs`) failed.
    #[error("failed to {step}: {output}")]
    Program {
        /// What was tried: verb and object.
        step: String,
        /// The end of what it printed.
        output: String,
    },
}

/// A volume to be made after the start: blank, or from a snapshot. It is neither formatted nor mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVolume {
    /// Its id.
    pub id: String,
    /// Its size in MiB; at least the snapshot's.
    pub size_mib: u64,
    /// The snapshot whose bytes it starts with.
    pub from: Option<String>,
}

/// One snapshot to be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutRequest {
    /// The volume.
    pub volume: String,
    /// The id of its new snapshot.
    pub snapshot: String,
}

/// How an instance is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The operating system shuts down: commands and writers end, file systems are unmounted.
    Clean,
    /// The power goes: what was not on the disk is lost.
    Forced,
}

/// The mounts of one instance, as the kernel has them.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InstanceMounts {
    /// The instance.
    pub id: String,
    /// What is mounted in its namespace from its volumes.
    pub mounts: Vec<Mount>,
}

/// One mounted file system.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// Where.
    pub mount_point: String,
    /// The volume it lies on.
    pub volume: String,
    /// Its type, `ext4`.
    pub fs: String,
    /// Whether a write to it waits.
    pub frozen: bool,
}

/// One `aws:runShellScript` step as the SSM agent gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShellScript {
    /// The lines, parameters that are pasted already pasted.
    pub commands: Vec<String>,
    /// What the agent adds to the environment: `SSM_<parameter>`, `SSM_COMMAND_ID`,
    /// `AWS_SSM_INSTANCE_ID`, and where this region's endpoints are.
    pub env: Vec<(String, String)>,
    /// `timeoutSeconds`: after it the agent kills the process group with SIGKILL.
    pub timeout: Duration,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScriptEnd {
    /// By itself, with this code (128 + number when a signal that was not the agent's ended it).
    Exited(i32),
    /// Killed by the agent at its timeout.
    TimedOut,
    /// Killed by [`RunningScript::kill`].
    Killed,
}

/// What a script left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptResult {
    /// How it ended.
    pub end: ScriptEnd,
    /// What it printed; the agent keeps the first 24,000 characters.
    pub stdout: String,
    /// What it printed to stderr; the agent keeps the first 8,000 characters.
    pub stderr: String,
}

/// A script that runs. Dropping the handle neither waits for it nor ends it.
pub trait RunningScript: Send + Sync {
    /// Waits for the end of the script and, as the agent does, of everything that holds its stdout.
    fn wait(&self) -> ScriptResult;
    /// SIGKILL to the whole process group, as the agent does on cancel. No effect after the end.
    fn kill(&self);
    /// The process group, where there is one: for tests that hit one process of it.
    fn process_group(&self) -> Option<i32>;
}

/// The machines of a region.
pub trait Machines: Send + Sync {
    /// Makes a volume, blank or from a snapshot's bytes.
    ///
    /// # Errors
    /// The snapshot is unknown, or there is no room.
    fn create_volume(&self, volume: &NewVolume) -> Result<(), MachineError>;

    /// Destroys a volume that is attached nowhere.
    ///
    /// # Errors
    /// The volume is unknown or its bytes cannot be removed.
    fn delete_volume(&self, volume: &str) -> Result<(), MachineError>;

    /// Plugs a volume in: its device and its by-id link appear on the instance. Nothing is mounted.
    ///
    /// # Errors
    /// Either is unknown, or no loop device could be had.
    fn attach(&self, instance: &str, volume: &str, device: &str) -> Result<(), MachineError>;

    /// Unplugs a volume. The region's operator has it unmounted first, as a careful one would; a writer
    /// on it ends.
    ///
    /// # Errors
    /// Either is unknown, or a file system of it is in use and cannot be unmounted.
    fn detach(&self, instance: &str, volume: &str) -> Result<(), MachineError>;

    /// Copies the volumes' bytes as they are on the disks now, as close together in time as possible;
    /// all or nothing.
    ///
    /// # Errors
    /// No snapshot was made.
    fn snapshot(&self, cuts: &[CutRequest]) -> Result<(), MachineError>;

    /// Copies a snapshot's bytes, as another snapshot's.
    ///
    /// # Errors
    /// It is unknown, or there is no room.
    fn copy_snapshot(&self, from: &str, to: &str) -> Result<(), MachineError>;

    /// Removes a snapshot's bytes.
    ///
    /// # Errors
    /// It is unknown or cannot be removed.
    fn delete_snapshot(&self, snapshot: &str) -> Result<(), MachineError>;

    /// The file with a snapshot's bytes; `None` where machines keep none. What a check of the bytes
    /// needs besides (the writers' acknowledgements at the cut) lies beside it.
    fn snapshot_path(&self, snapshot: &str) -> Option<PathBuf>;

    /// The kernel's truth: the mounts of every running instance and whether each is frozen.
    ///
    /// # Errors
    /// The kernel could not be asked.
    fn state(&self) -> Result<Vec<InstanceMounts>, MachineError>;

    /// How many records each writer has had acknowledged so far, by volume. Empty where none runs.
    ///
    /// # Errors
    /// A writer's log cannot be read.
    fn acknowledged(&self) -> Result<BTreeMap<String, u64>, MachineError> {
        Ok(BTreeMap::new())
    }

    /// Starts one script on an instance as the SSM agent does: as root, in a process group of its own.
    /// The implementation keeps the timeout.
    ///
    /// # Errors
    /// The instance is unknown or stopped, or no process could be started.
    fn run(&self, instance: &str, script: &ShellScript) -> Result<Box<dyn RunningScript>, MachineError>;

    /// Stops an instance: its commands and writers end, its volumes stay attached.
    ///
    /// # Errors
    /// The instance is unknown or something of it could not be ended.
    fn stop(&self, instance: &str, how: Stop) -> Result<(), MachineError>;

    /// Starts a stopped instance: what it had mounted by itself is mounted again, its writers run, and the
    /// units that are installed on it are started. What others have mounted is theirs to mount again.
    ///
    /// # Errors
    /// The instance is unknown or a file system cannot be mounted.
    fn start(&self, instance: &str) -> Result<(), MachineError>;

    /// Ends everything: no process, mount, namespace, loop device or frozen file system stays. A second
    /// call does nothing.
    fn shutdown(&self);
}
