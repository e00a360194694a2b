//! One mount, from its spec to its outcome. First all that can be found wrong is, with nothing changed;
//! then the hooks, and what changes the volume; then the mount, and what is done to what is mounted.

use super::device::{self, Device};
use super::file_system::{self, Content};
use super::options::{Options, options};
use super::place::{self, mounted_at};
use super::record::{Record, Records};
use super::{MountError, duplicate, grow, sets};
use crate::clock::Boottime;
use crate::hooks::{Event, Facts, Hooks};
use crate::volumes::mountinfo::Mount;
use crate::volumes::read_mounts;
use crate::{describe, say};
use rustix::fd::OwnedFd;
use rustix::fs::{FlockOperation, Gid, Mode, OFlags, Uid, chmod, chown, flock, open};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use stillframe_wire::{MountOutcome, MountSpec, Mounted, RanHook, VolumeId};

/// How often is looked whether another helper has let a volume go.
const PAUSE: Duration = Duration::from_millis(20);
/// What the hooks after a mount may take beyond its time.
const LAST_HOOKS: Duration = Duration::from_secs(5);

/// What surrounds a mount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The restore's run, or `boot`.
    pub run: Option<String>,
    /// Whether hooks run.
    pub hooks: bool,
    /// Whether it is a recorded mount, made again: owner and permissions are left as they are, and the
    /// record is.
    pub again: bool,
}

/// What the process of one mount is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The mount.
    pub spec: MountSpec,
    /// What surrounds it.
    pub context: Context,
}

/// Makes one mount on the machine whose root directory is `root`.
#[must_use]
pub fn one(root: &Path, task: &Task) -> MountOutcome {
    let began = Boottime::now();
    let (spec, context) = (&task.spec, &task.context);
    let mut work = Work {
        root,
        spec,
        context,
        hooks: Hooks::new(root, context.hooks),
        until: began.after(Duration::from_secs(spec.timeout_s)),
        facts: Facts::of(spec, context.run.as_deref()),
        outcome: MountOutcome::new(&spec.mount_point, &spec.volumes, Mounted::Failed),
    };
    // Where a hook cannot be trusted none is run, and nothing is done.
    let trusted = work.hooks.check(&[Event::PreMount, Event::PostMount]);
    let may_run_hooks = trusted.is_ok();
    let ended = trusted.map_err(MountError::from).and_then(|()| work.run());
    let mut outcome = work.outcome;
    match ended {
        Ok(ended) => outcome.outcome = ended,
        Err(error) => outcome.error = Some(describe(&error)),
    }
    if may_run_hooks && outcome.outcome != Mounted::Already {
        let facts = work.facts.ended(outcome.error.as_deref());
        // A mount that took all its time is told of nevertheless.
        let until = work.until.max(Boottime::now().after(LAST_HOOKS));
        let failed = work.hooks.after(Event::PostMount, &facts, until, &mut outcome.hooks);
        outcome.warnings.extend(failed);
    }
    outcome.ms = Boottime::now().since(began).as_millis().try_into().unwrap_or(u64::MAX);
    outcome
}

struct Work<'a> {
    root: &'a Path,
    spec: &'a MountSpec,
    context: &'a Context,
    hooks: Hooks,
    until: Boottime,
    facts: Facts,
    outcome: MountOutcome,
}

impl Work<'_> {
    fn run(&mut self) -> Result<Mounted, MountError> {
        let spec = self.spec;
        let options = options(&spec.mount_options)?;
        let owner = self.owner()?;
        let mounts = read_mounts(self.root)?;
        // Before the volume is waited for. What is mounted there already may be this very volume.
        let is_taken = mounted_at(&mounts, &spec.mount_point).is_some();
        place::look(self.root, &spec.mount_point, spec.over_non_empty || is_taken)?;
        let _locks = self.lock()?;
        let device = device::find(self.root, spec, self.until)?;
        self.saw(&device);
        if let Some(changed) = &device.changed {
            self.outcome.new_uuid = true;
            self.warn(changed.clone());
        }
        let mounts = read_mounts(self.root)?;
        if let Some(there) = mounted_at(&mounts, &spec.mount_point) {
            if device.is_in(there) {
                self.record()?;
                return Ok(Mounted::Already);
            }
            if !spec.over_non_empty {
                let source_ = there.source.clone();
                return Err(MountError::Taken { path: spec.mount_point.clone().into(), source_ });
            }
        }
        let content = file_system::judge(&device, spec, self.until)?;
        let is_mounted = mounts.iter().any(|mount| device.is_in(mount));
        if !is_mounted && let Some(by) = device.held_by()? {
            return Err(MountError::InUse { device: device.shown(), by });
        }
        self.in_time()?;
        self.prepared(device, content, is_mounted, options, &mounts)?;
        let at = self.root.join(spec.mount_point.as_str().trim_start_matches('/'));
        if let Err(error) = self.own(&at, owner) {
            self.warn(format!("failed to set owner or mode of {}: {error}", spec.mount_point));
        }
        self.record()?;
        Ok(Mounted::Mounted)
    }

    /// Changes what has to be changed, and mounts.
    fn prepared(
        &mut self,
        mut device: Device,
        content: Content,
        is_mounted: bool,
        mut options: Options,
        mounts: &[Mount],
    ) -> Result<(), MountError> {
        let spec = self.spec;
        let (Content::FileSystem(kind) | Content::Blank(kind)) = content;
        self.outcome.file_system = Some(kind.name().to_owned());
        self.facts = self.facts.clone().with("FILE_SYSTEM", kind.name());
        let mut ran: Vec<RanHook> = Vec::new();
        let allowed = self.hooks.before(Event::PreMount, &self.facts, self.until, &mut ran);
        self.outcome.hooks = ran;
        allowed?;
        let may_write = !options.is_read_only();
        if !is_mounted && spec.grow && may_write {
            self.outcome.warnings.extend(sets::grow(self.root, &device, self.until));
        }
        if let Content::Blank(kind) = content {
            say(&format!("{} is blank: making {kind} on it", device.shown()));
            device.signature = file_system::make(&device, kind, self.until)?;
            self.outcome.formatted = true;
        } else if !is_mounted {
            // ext4 does not mind, and to look at every disk takes its time where there are many.
            let minds = !file_system::is_ext(kind);
            let original = || duplicate::original(self.root, &device, kind, mounts, self.until);
            if let Some(original) = minds.then(original).flatten() {
                let wish = spec.duplicate;
                let settled =
                    duplicate::settle(self.root, &device, kind, wish, options, original, self.until)?;
                let is_new;
                (options, is_new) = settled;
                self.outcome.new_uuid |= is_new;
                if is_new {
                    device.signature = super::signature::Signature::of(&device.path(), self.until)?;
                }
            }
            if spec.check && may_write {
                let warning = file_system::check(&device, kind, self.until)?;
                self.outcome.warnings.extend(warning);
            }
            if spec.grow && may_write {
                match grow::before_mount(&device, kind, self.until) {
                    Ok(bytes) => self.outcome.grown_bytes = bytes,
                    Err(warning) => self.warn(warning),
                }
            }
        }
        self.saw(&device);
        self.in_time()?;
        let place = place::open_or_make(self.root, &spec.mount_point, spec.over_non_empty)?;
        if let Err(source) = file_system::mount(&device, kind, &options, &place.path()) {
            place.unmake();
            return Err(MountError::Mount {
                device: device.shown(),
                path: spec.mount_point.clone().into(),
                kind: kind.name(),
                options: options.data,
                source,
            });
        }
        if spec.grow && may_write && !self.outcome.formatted {
            let at = self.root.join(spec.mount_point.as_str().trim_start_matches('/'));
            match grow::file_system(self.root, &device, kind, &at, self.until) {
                Ok(bytes) => self.outcome.grown_bytes += bytes,
                Err(warning) => self.warn(warning),
            }
        }
        Ok(())
    }

    fn saw(&mut self, device: &Device) {
        self.outcome.device = Some(device.shown());
        self.outcome.uuid.clone_from(&device.signature.uuid);
        if self.outcome.file_system.is_none() {
            self.outcome.file_system.clone_from(&device.signature.kind);
        }
        self.facts = self.facts.clone().with("DEVICE", device.shown());
        if let Some(uuid) = &device.signature.uuid {
            self.facts = self.facts.clone().with("UUID", uuid);
        }
    }

    fn warn(&mut self, warning: String) {
        say(&warning);
        self.outcome.warnings.push(warning);
    }

    fn in_time(&self) -> Result<(), MountError> {
        let is_over = Boottime::now() >= self.until;
        if is_over { Err(MountError::TooLong { seconds: self.spec.timeout_s }) } else { Ok(()) }
    }

    /// The volumes' locks, so that two helpers that were started together do not both prepare one.
    fn lock(&self) -> Result<Vec<OwnedFd>, MountError> {
        use std::os::unix::fs::DirBuilderExt;
        let folder = self.root.join("run/stillframe");
        let failed = |verb, source: std::io::Error| MountError::Place { verb, path: folder.clone(), source };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(|error| failed("make", error))?;
        let mut volumes: Vec<&VolumeId> = self.spec.volumes.iter().collect();
        // In one order, so that nobody waits in a circle.
        volumes.sort();
        let mut locks = Vec::with_capacity(volumes.len());
        for volume in volumes {
            let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::CLOEXEC;
            let lock = open(folder.join(format!("{volume}.lock")), flags, Mode::RUSR | Mode::WUSR)
                .map_err(|error| failed("open a lock in", error.into()))?;
            loop {
                match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                    Ok(()) => break,
                    Err(Errno::WOULDBLOCK) if Boottime::now() < self.until => std::thread::sleep(PAUSE),
                    Err(Errno::WOULDBLOCK) => return Err(MountError::Busy { volume: volume.clone() }),
                    Err(error) => return Err(failed("lock in", error.into())),
                }
            }
            locks.push(lock);
        }
        Ok(locks)
    }

    fn owner(&self) -> Result<(Option<Uid>, Option<Gid>), MountError> {
        let number = |kind, file, name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match number_of(&self.root.join(file), name) {
                Some(number) => Ok(Some(number)),
                None => Err(MountError::NoSuchName { kind, name: name.clone() }),
            },
        };
        let user = number("user", "etc/passwd", &self.spec.owner)?;
        let group = number("group", "etc/group", &self.spec.group)?;
        Ok((user.map(Uid::from_raw), group.map(Gid::from_raw)))
    }

    fn own(&self, at: &Path, (user, group): (Option<Uid>, Option<Gid>)) -> Result<(), Errno> {
        if self.context.again {
            return Ok(());
        }
        if user.is_some() || group.is_some() {
            chown(at, user, group)?;
        }
        self.spec.mode_bits().map_or(Ok(()), |mode| chmod(at, Mode::from_raw_mode(mode)))
    }

    fn record(&mut self) -> Result<(), MountError> {
        if self.context.again {
            self.outcome.recorded = true;
        } else if self.spec.record {
            let (uuid, run) = (self.outcome.uuid.clone(), self.context.run.clone());
            Records::below(self.root).write(&Record { spec: self.spec.clone(), uuid, run })?;
            self.outcome.recorded = true;
        }
        Ok(())
    }
}

/// The number of a user or group: itself when it is one, else as `/etc/passwd` or `/etc/group` has it. A
/// static program cannot ask anybody else.
fn number_of(file: &Path, name: &str) -> Option<u32> {
    if let Ok(number) = name.parse() {
        return Some(number);
    }
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_up_and_a_number_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwd");
        std::fs::write(&file, "root:x:0:0::/:/bin/sh\npostgres:x:26:27::/:\n").unwrap();
        let number = |name| number_of(&file, name);
        assert_eq!((number("postgres"), number("1001"), number("nobody")), (Some(26), Some(1001), None));
    }
}
