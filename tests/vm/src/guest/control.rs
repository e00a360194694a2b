//! The host's end of the control channel: any number of requests at the same time.

use super::GuestError;
use crate::words::{Done, HELLO, Request, Task};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

type Waiting = Mutex<BTreeMap<u64, Sender<Done>>>;

#[derive(Debug)]
pub(super) struct Control {
    stream: Mutex<UnixStream>,
    waiting: Arc<Waiting>,
    hello: Mutex<Receiver<Done>>,
    last: AtomicU64,
}

impl Control {
    pub(super) fn new(stream: UnixStream) -> Result<Self, GuestError> {
        let reader = BufReader::new(stream.try_clone().map_err(GuestError::Channel)?);
        let (sender, hello) = channel();
        let waiting = Arc::new(Waiting::new([(HELLO, sender)].into()));
        let answered = Arc::clone(&waiting);
        // Ends with the connection.
        std::thread::spawn(move || {
            for done in
                reader.lines().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok())
            {
                let done: Done = done;
                if let Some(waiter) = locked(&answered).remove(&done.number) {
                    let _ = waiter.send(done);
                }
            }
            locked(&answered).clear();
        });
        Ok(Self {
            stream: Mutex::new(stream),
            waiting,
            hello: Mutex::new(hello),
            last: AtomicU64::new(HELLO),
        })
    }

    /// Waits for the agent's first word.
    pub(super) fn greet(&self, limit: Duration) -> Result<Done, GuestError> {
        receive(&locked(&self.hello), "the guest's agent", limit)
    }

    pub(super) fn ask(&self, task: Task, limit: Duration) -> Result<Done, GuestError> {
        let number = self.last.fetch_add(1, Relaxed) + 1;
        let (sender, answer) = channel();
        locked(&self.waiting).insert(number, sender);
        let what = format!("{task:?}");
        let mut text = serde_json::to_string(&Request { number, task })
            .map_err(|error| GuestError::Channel(error.into()))?;
        text.push('\n');
        locked(&self.stream).write_all(text.as_bytes()).map_err(GuestError::Channel)?;
        receive(&answer, &what, limit)
    }
}

fn receive(answer: &Receiver<Done>, what: &str, limit: Duration) -> Result<Done, GuestError> {
    answer.recv_timeout(limit).map_err(|error| match error {
        RecvTimeoutError::Timeout => GuestError::Late(what.chars().take(200).collect()),
        RecvTimeoutError::Disconnected => GuestError::Ended,
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
