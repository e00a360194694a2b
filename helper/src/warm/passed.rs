//! Which blocks are handed out, and up to where all are done: blocks end in another order than they began.

use std::collections::BTreeSet;
use std::sync::Mutex;

#[derive(Debug)]
pub(super) struct Passed {
    block: u64,
    size: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The next block to be handed out.
    next: u64,
    /// All before it is done.
    below: u64,
    /// Blocks that are done behind it.
    ahead: BTreeSet<u64>,
}

impl Passed {
    pub(super) fn new(start: u64, size: u64, block: u64) -> Self {
        Self { block, size, state: Mutex::new(State { next: start, below: start, ahead: BTreeSet::new() }) }
    }

    /// The next block, until there is none.
    pub(super) fn next(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let at = state.next;
        state.next = at.saturating_add(self.block);
        (at < self.size).then_some(at)
    }

    /// That block is done.
    pub(super) fn done(&self, at: u64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.ahead.insert(at);
        loop {
            let below = state.below;
            if !state.ahead.remove(&below) {
                break;
            }
            state.below = below.saturating_add(self.block).min(self.size);
        }
    }

    /// Up to where every block is done.
    pub(super) fn below(&self) -> u64 {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_counts_as_done_that_is_not(order in Just((0..20_u64).collect::<Vec<_>>()).prop_shuffle()) {
            let passed = Passed::new(0, 20 * 8 - 3, 8);
            while passed.next().is_some() {}
            let mut done = BTreeSet::new();
            for n in order {
                passed.done(n * 8);
                done.insert(n);
                let whole = (0..20).take_while(|n| done.contains(n)).count() as u64;
                prop_assert_eq!(passed.below(), (whole * 8).min(20 * 8 - 3));
            }
        }
    }
}
