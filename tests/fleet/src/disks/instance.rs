//! One instance: its volumes, and whether it runs.

use super::limit::Limit;
use super::namespace::Namespace;
use super::running::{Mounted, Running};
use super::tree::Tree;
use super::writer_process::WriterPlan;
use crate::machine::MachineError;
use crate::sync::lock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// What is plugged into an instance, running or not.
#[derive(Debug, Clone)]
pub struct Slot {
    /// The name that the operator gave it, `/dev/sdf`.
    pub device: String,
    /// Its bytes.
    pub image: PathBuf,
    /// What the instance's own fstab has of it, mounted at the next start: where, and its type.
    pub mount: Option<(PathBuf, String)>,
    /// How fast it may be, if it is limited.
    pub limit: Option<Limit>,
    /// What writes to it while it is mounted.
    pub writer: Option<WriterPlan>,
}

#[derive(Debug)]
struct State {
    slots: BTreeMap<String, Slot>,
    running: Option<Running>,
}

/// An instance.
#[derive(Debug)]
pub struct Instance {
    id: String,
    // What its tree is built from, but for the root.
    tree: Tree,
    state: Mutex<State>,
}

impl Instance {
    /// A stopped instance.
    #[must_use]
    pub fn new(id: &str, tree: Tree, slots: BTreeMap<String, Slot>) -> Self {
        Self { id: id.to_owned(), tree, state: Mutex::new(State { slots, running: None }) }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its namespace, while it runs.
    ///
    /// # Errors
    /// It is stopped.
    pub fn namespace(&self) -> Result<Arc<Namespace>, MachineError> {
        let state = lock(&self.state);
        let running = state.running.as_ref().ok_or_else(|| MachineError::Stopped(self.id.clone()))?;
        Ok(Arc::clone(running.namespace()))
    }

    /// The files with the bytes of the volumes that are plugged in.
    #[must_use]
    pub fn images(&self) -> Vec<PathBuf> {
        lock(&self.state).slots.values().map(|slot| slot.image.clone()).collect()
    }

    /// Whether the volume is plugged in.
    #[must_use]
    pub fn has(&self, volume: &str) -> bool {
        lock(&self.state).slots.contains_key(volume)
    }

    /// What is mounted now, in the order of mounting; empty while it is stopped.
    ///
    /// # Errors
    /// The kernel could not be asked.
    pub fn mounts(&self) -> Result<Vec<Mounted>, MachineError> {
        lock(&self.state).running.as_ref().map_or_else(|| Ok(Vec::new()), Running::mounts)
    }

    /// Starts it: its volumes appear, what it had mounted is mounted, writers run. No effect while it runs.
    ///
    /// # Errors
    /// A step of that failed; then it is stopped, as before.
    pub fn start(&self) -> Result<(), MachineError> {
        let mut state = lock(&self.state);
        if state.running.is_none() {
            state.running = Some(Running::boot(&self.id, self.tree.clone(), &state.slots)?);
        }
        Ok(())
    }

    /// Stops it: what runs is killed, what is mounted is unmounted. No effect while it is stopped.
    ///
    /// # Errors
    /// Something could not be ended.
    pub fn stop(&self) -> Result<(), MachineError> {
        let mut state = lock(&self.state);
        let Some(running) = state.running.take() else { return Ok(()) };
        let mounted = running.mounts();
        let halted = running.halt();
        for (volume, slot) in &mut state.slots {
            // What others have mounted, as the helper does after a restore, is theirs to mount again.
            if slot.mount.is_none() {
                continue;
            }
            let at = mounted.as_ref().ok().and_then(|all| all.iter().find(|one| one.volume == *volume));
            slot.mount = at.map(|mount| (mount.mount_point.clone(), mount.fs.clone()));
        }
        mounted.and(halted)
    }

    /// Plugs a volume in.
    ///
    /// # Errors
    /// No loop device could be had, or it could not be shown inside.
    pub fn attach(&self, volume: &str, slot: Slot) -> Result<(), MachineError> {
        let mut state = lock(&self.state);
        if let Some(running) = &mut state.running {
            running.attach(volume, &slot)?;
        }
        state.slots.insert(volume.to_owned(), slot);
        Ok(())
    }

    /// Unplugs a volume, after its writer has ended and its file systems are unmounted.
    ///
    /// # Errors
    /// It is not plugged in, or one of its file systems is in use; then it stays, and its writer goes on.
    pub fn detach(&self, volume: &str) -> Result<(), MachineError> {
        let mut state = lock(&self.state);
        let State { slots, running } = &mut *state;
        let unknown = || MachineError::Unknown { kind: "volume", id: volume.to_owned() };
        let slot = slots.get(volume).ok_or_else(unknown)?;
        if let Some(running) = running {
            running.detach(volume, slot)?;
        }
        slots.remove(volume);
        Ok(())
    }
}
