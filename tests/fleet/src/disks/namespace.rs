//! A mount namespace that lives in this process: a thread that entered it and does nothing but bear other
//! threads, which are then inside, too. Programs that such a thread starts see the instance's tree.
//!
//! The namespace ends, with every mount in it, when the last thread and program inside is gone; so it
//! cannot outlive a fleet that is killed, except through the programs that run in it.

use super::step::step;
use crate::machine::MachineError;
use crate::sys;
use rustix::thread::gettid;
use std::fs;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

type Birth = Box<dyn FnOnce() + Send>;

/// A mount namespace.
#[derive(Debug)]
pub struct Namespace {
    thread: i32,
    id: u64,
    // Options, so that drop can end the thread and wait for it.
    births: Option<Sender<Birth>>,
    resident: Option<JoinHandle<()>>,
}

impl Namespace {
    /// Makes a copy of this process's namespace and has `build` change it, on the thread that stays.
    ///
    /// # Errors
    /// No namespace or thread can be had, or `build` fails.
    pub fn create(
        name: &str,
        build: impl FnOnce() -> Result<(), MachineError> + Send + 'static,
    ) -> Result<Self, MachineError> {
        let failed = format!("make a mount namespace for {name}");
        let (births, inbox) = channel::<Birth>();
        let (tell, built) = channel();
        let resident = Builder::new()
            .name(format!("{name}/ns"))
            .spawn({
                let failed = failed.clone();
                move || {
                    let outcome = sys::unshare_mounts()
                        .map_err(step(failed.clone()))
                        .and_then(|()| build())
                        .and_then(|()| own_namespace().map_err(step(failed)));
                    let failure = outcome.is_err();
                    if tell.send(outcome.map(|id| (gettid().as_raw_nonzero().get(), id))).is_err() || failure
                    {
                        return;
                    }
                    for birth in inbox {
                        birth();
                    }
                }
            })
            .map_err(step(failed.clone()))?;
        let ended = || io::Error::other("its thread ended early");
        let (thread, id) = built.recv().map_err(|_| step(failed)(ended()))??;
        Ok(Self { thread, id, births: Some(births), resident: Some(resident) })
    }

    /// Starts a thread inside.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<T>, MachineError> {
        let failed = || format!("start a thread for {name}");
        let builder = Builder::new().name(name.to_owned());
        let (tell, born) = channel();
        let birth: Birth = Box::new(move || {
            let _ = tell.send(builder.spawn(work));
        });
        let gone = || io::Error::other("the namespace has ended");
        let births = self.births.as_ref().ok_or_else(|| step(failed())(gone()))?;
        births.send(birth).map_err(|_| step(failed())(gone()))?;
        born.recv().map_err(|_| step(failed())(gone()))?.map_err(step(failed()))
    }

    /// Does something inside and waits for it.
    ///
    /// # Errors
    /// No thread can be had, or it panicked.
    pub fn enter<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, MachineError> {
        let panicked = |_| step(name.to_owned())(io::Error::other("its thread panicked"));
        self.spawn(name, work)?.join().map_err(panicked)
    }

    /// The table of mounts, as seen from inside.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn mount_table(&self) -> io::Result<String> {
        let table = fs::read(format!("/proc/self/task/{}/mountinfo", self.thread))?;
        Ok(String::from_utf8_lossy(&table).into_owned())
    }

    /// The programs that run inside now.
    ///
    /// # Errors
    /// `/proc` cannot be listed.
    pub fn processes(&self) -> io::Result<Vec<i32>> {
        let mut inside = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let name = entry?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            if self.holds(pid) {
                inside.push(pid);
            }
        }
        Ok(inside)
    }

    /// Whether this program runs inside. One that has ended, a zombie too, is in no namespace any more.
    #[must_use]
    pub fn holds(&self, pid: i32) -> bool {
        namespace_at(&format!("/proc/{pid}/ns/mnt")).is_ok_and(|id| id == self.id)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.births = None;
        if let Some(resident) = self.resident.take() {
            let _ = resident.join();
        }
    }
}

fn own_namespace() -> io::Result<u64> {
    namespace_at("/proc/thread-self/ns/mnt")
}

/// The number in `mnt:[4026531841]`.
fn namespace_at(link: &str) -> io::Result<u64> {
    let target = fs::read_link(link)?;
    let number = target.to_string_lossy();
    let digits = number.trim_start_matches("mnt:[").trim_end_matches(']');
    digits.parse().map_err(|_| io::Error::other(format!("{link} is {number}")))
}
