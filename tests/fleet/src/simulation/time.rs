//! The clock of a simulation: it stands still while anything works, and jumps to the next wait when nothing
//! does.

use crate::sync::lock;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use stillframe_lambda::timer::{Timekeeper, Wait};

/// The clock; clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct VirtualTime(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    passed: Duration,
    /// Who waits until when; the number tells apart those who wait until the same instant, in the order in
    /// which they began to.
    waits: BTreeMap<(Duration, u64), Waker>,
    begun: u64,
}

impl VirtualTime {
    /// Nothing has work left: time passes until the next wait ends.
    pub fn idle(&self) {
        let mut state = lock(&self.0);
        let Some((next, _)) = state.waits.keys().next().copied() else { return };
        state.passed = state.passed.max(next);
        let later = state.waits.split_off(&(next, u64::MAX));
        let ended = std::mem::replace(&mut state.waits, later);
        drop(state);
        ended.into_values().for_each(Waker::wake);
    }
}

impl Timekeeper for VirtualTime {
    fn passed(&self) -> Duration {
        lock(&self.0).passed
    }

    fn wait(&self, duration: Duration) -> Wait {
        let mut state = lock(&self.0);
        state.begun += 1;
        let key = (state.passed.saturating_add(duration), state.begun);
        drop(state);
        Box::pin(Waiting { time: self.clone(), key })
    }
}

#[derive(Debug)]
struct Waiting {
    time: VirtualTime,
    key: (Duration, u64),
}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.time.0);
        if state.passed >= self.key.0 {
            return Poll::Ready(());
        }
        state.waits.insert(self.key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        lock(&self.time.0).waits.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_of_waiting_takes_no_time_and_ends_in_order() {
        let time = VirtualTime::default();
        let idle = time.clone();
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.on_thread_park(move || idle.idle()).build().unwrap();
        let began = std::time::Instant::now();
        let order = Arc::new(Mutex::new(Vec::new()));
        runtime.block_on(async {
            let tasks = [3_600_u64, 1_800, 1].map(|seconds| {
                let (time, order) = (time.clone(), Arc::clone(&order));
                tokio::spawn(async move {
                    time.wait(Duration::from_secs(seconds)).await;
                    lock(&order).push((seconds, time.passed().as_secs()));
                })
            });
            // A wait that is given up does not count.
            drop(time.wait(Duration::from_secs(1_000_000)));
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(*lock(&order), [(1, 1), (1_800, 1_800), (3_600, 3_600)]);
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}
