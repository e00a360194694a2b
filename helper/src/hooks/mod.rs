//! Hooks: executables in `/etc/stillframe/hooks/<event>.d/`, run as root in the order of their names before
//! and after what the helper does. All of an event's are looked at before the first one runs, and one that
//! others than root could have written stops everything. What they print goes to stderr.
//!
//! A `pre-` hook that fails keeps the thing from being done, and its `post-` hooks run all the same, with
//! `STILLFRAME_OUTCOME=failed`; a `post-` hook that fails changes nothing of what was done.

use crate::clock::Boottime;
use crate::programs::{self, ProgramError};
use crate::trusted::{self, NotTrusted};
use crate::{describe, say};
use rustix::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use stillframe_wire::{MountSpec, RanHook};

/// Where they lie, counted from the root directory.
pub const FOLDER: &str = "etc/stillframe/hooks";
/// How long one hook may run.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Before and after what hooks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Before the first of all mounts of an order, or of the boot.
    PreMounts,
    /// After the last.
    PostMounts,
    /// Before each mount.
    PreMount,
    /// After each mount.
    PostMount,
    /// Before the first of all unmounts.
    PreUnmounts,
    /// After the last.
    PostUnmounts,
    /// Before each unmount.
    PreUnmount,
    /// After each unmount.
    PostUnmount,
    /// Before a freeze.
    PreSnapshots,
    /// After its last thaw.
    PostSnapshots,
    /// Before a freeze, for each file system that is to be frozen.
    PreSnapshot,
    /// After its last thaw, for each of them.
    PostSnapshot,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::PreMounts,
        Self::PostMounts,
        Self::PreMount,
        Self::PostMount,
        Self::PreUnmounts,
        Self::PostUnmounts,
        Self::PreUnmount,
        Self::PostUnmount,
        Self::PreSnapshots,
        Self::PostSnapshots,
        Self::PreSnapshot,
        Self::PostSnapshot,
    ];

    /// Its name, and that of its folder before `.d`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PreMounts => "pre-mounts",
            Self::PostMounts => "post-mounts",
            Self::PreMount => "pre-mount",
            Self::PostMount => "post-mount",
            Self::PreUnmounts => "pre-unmounts",
            Self::PostUnmounts => "post-unmounts",
            Self::PreUnmount => "pre-unmount",
            Self::PostUnmount => "post-unmount",
            Self::PreSnapshots => "pre-snapshots",
            Self::PostSnapshots => "post-snapshots",
            Self::PreSnapshot => "pre-snapshot",
            Self::PostSnapshot => "post-snapshot",
        }
    }
}

/// A hook that will not be run.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// Its folder cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others than root could have written it.
    #[error("failed to accept a hook: {0}")]
    NotTrusted(#[from] NotTrusted),
    /// It ran, and failed.
    #[error("the {event} hook {name} failed: {why}")]
    Failed {
        /// Its event.
        event: &'static str,
        /// Its file name.
        name: String,
        /// How.
        why: String,
    },
}

/// What a hook learns, as variables `STILLFRAME_<NAME>`.
#[derive(Debug, Clone, Default)]
pub struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// What is known of a mount before it is looked at.
    #[must_use]
    pub fn of(spec: &MountSpec, run: Option<&str>) -> Self {
        let volumes: Vec<&str> = spec.volumes.iter().map(stillframe_wire::VolumeId::as_str).collect();
        let mut facts = Self::default().with("VOLUME", volumes.join(" "));
        facts = facts.with("MOUNT_POINT", spec.mount_point.as_str());
        if let Some(kind) = spec.file_system {
            facts = facts.with("FILE_SYSTEM", kind.name());
        }
        if let Some(run) = run { facts.with("RUN", run) } else { facts }
    }

    /// One more, or another value of one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value.into()));
        self
    }

    /// How it ended: `done`, or `failed` with the error.
    #[must_use]
    pub fn ended(self, error: Option<&str>) -> Self {
        match error {
            None => self.with("OUTCOME", "done"),
            Some(error) => self.with("OUTCOME", "failed").with("ERROR", error),
        }
    }

    fn put(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            // No variable can hold a zero byte.
            command.env(format!("STILLFRAME_{name}"), value.replace('\0', ""));
        }
    }
}

/// The hooks of a machine.
#[derive(Debug, Clone)]
pub struct Hooks {
    root: PathBuf,
    on: bool,
    unwanted: Option<Arc<OwnedFd>>,
}

impl Hooks {
    /// Those below `root` (`/` on a machine); none at all when they are off.
    #[must_use]
    pub fn new(root: &Path, on: bool) -> Self {
        Self { root: root.to_owned(), on, unwanted: None }
    }

    /// The same, each killed when the other end of `unwanted` closes.
    #[must_use]
    pub fn unless(self, unwanted: Arc<OwnedFd>) -> Self {
        Self { unwanted: Some(unwanted), ..self }
    }

    /// Whether every hook of these events may be run.
    ///
    /// # Errors
    /// One that others than root could have written.
    pub fn check(&self, events: &[Event]) -> Result<(), HookError> {
        events.iter().try_for_each(|event| self.of(*event).map(drop))
    }

    /// An event's hooks, in their order. Names that begin with a dot or end with `~`, and files that are
    /// not executable, are no hooks.
    ///
    /// # Errors
    /// As [`Hooks::check`].
    pub fn of(&self, event: Event) -> Result<Vec<PathBuf>, HookError> {
        let relative = Path::new(FOLDER).join(format!("{}.d", event.name()));
        let folder = self.root.join(&relative);
        if !self.on {
            return Ok(Vec::new());
        }
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(HookError::Read { path: folder, source }),
        };
        trusted::directory(&self.root, &relative)?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| HookError::Read { path: folder.clone(), source })?;
            let name = entry.file_name();
            let shown = name.to_string_lossy();
            if shown.starts_with('.') || shown.ends_with('~') {
                continue;
            }
            trusted::file(&self.root, &relative.join(&name))?;
            let mode = entry.metadata().map(|found| found.permissions().mode()).unwrap_or(0);
            if mode & 0o111 == 0 {
                say(&format!("{} is not executable, and so no hook", entry.path().display()));
                continue;
            }
            found.push(entry.path());
        }
        found.sort();
        Ok(found)
    }

    /// Runs an event's hooks until one fails. What ran is put to `ran`, in either case.
    ///
    /// # Errors
    /// One failed or took too long, or may not be run.
    pub fn before(
        &self,
        event: Event,
        facts: &Facts,
        until: Boottime,
        ran: &mut Vec<RanHook>,
    ) -> Result<(), HookError> {
        for hook in self.of(event)? {
            let one = self.run(event, &hook, facts, until);
            let failed = one.error.clone().map(|why| (one.name.clone(), why));
            ran.push(one);
            if let Some((name, why)) = failed {
                return Err(HookError::Failed { event: event.name(), name, why });
            }
        }
        Ok(())
    }

    /// Runs all of an event's hooks, whichever fail, and says what failed.
    pub fn after(&self, event: Event, facts: &Facts, until: Boottime, ran: &mut Vec<RanHook>) -> Vec<String> {
        let hooks = match self.of(event) {
            Ok(hooks) => hooks,
            Err(error) => return vec![describe(&error)],
        };
        let mut failed = Vec::new();
        for hook in hooks {
            let one = self.run(event, &hook, facts, until);
            if let Some(why) = &one.error {
                let name = one.name.clone();
                failed.push(HookError::Failed { event: event.name(), name, why: why.clone() }.to_string());
            }
            ran.push(one);
        }
        failed
    }

    fn run(&self, event: Event, hook: &Path, facts: &Facts, until: Boottime) -> RanHook {
        let began = Boottime::now();
        let name = hook.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let mut command = Command::new(hook);
        command
            .env_clear()
            .env("PATH", programs::PATH)
            .env("LC_ALL", "C")
            .env("STILLFRAME_HOOK", event.name());
        command.current_dir("/");
        facts.put(&mut command);
        let ran = programs::run_unless(
            &mut command,
            b"",
            until.min(began.after(LIMIT)),
            self.unwanted.as_ref().map(|end| end.as_fd()),
        );
        let ms = Boottime::now().since(began).as_millis().try_into().unwrap_or(u64::MAX);
        if let Ok(ran) = &ran {
            for line in ran.stdout.lines().chain(ran.stderr.lines()) {
                say(&format!("{}/{name}: {line}", event.name()));
            }
        }
        let exit = ran.as_ref().ok().and_then(programs::Ran::code);
        let error = match ran.and_then(|ran| ran.ended_with(&[0])) {
            Ok(_) => None,
            Err(ProgramError::Failed { status, words, .. }) => Some(format!("{status}: {words}")),
            Err(error) => Some(describe(&error)),
        };
        RanHook { event: event.name().to_owned(), name, exit, ms, error }
    }
}

#[cfg(test)]
#[path = "hooks_tests.rs"]
mod tests;
