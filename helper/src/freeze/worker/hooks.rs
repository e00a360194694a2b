//! The worker's hooks: before the freeze in a thread of their own, so that a signal to end is heard
//! meanwhile; after it when nothing is frozen any more.

use super::super::state::Event;
use super::Worker;
use crate::{describe, say};
use stillframe_wire::Report;

impl Worker<'_> {
    pub(super) fn begin_hooks(&mut self) {
        match self.prepared.around.start() {
            Ok(running) => {
                self.hooks = Some(running);
                self.hooks_begun = true;
            }
            Err(error) => {
                self.record.fault(|| format!("failed to start the hooks: {error}"));
                self.events.push_back(Event::HookFailed);
            }
        }
    }

    /// They are over.
    pub(super) fn on_hooks(&mut self) -> Event {
        if self.end_hooks() { Event::HooksRan } else { Event::HookFailed }
    }

    /// Takes what came of them, and ends those that still run. Whether all went well.
    pub(super) fn end_hooks(&mut self) -> bool {
        let Some(running) = self.hooks.take() else { return true };
        let Some(before) = running.take() else {
            self.record.fault(|| "failed to run the hooks: their thread ended".to_owned());
            return false;
        };
        self.record.hooks.extend(before.ran);
        if let Some(error) = &before.failed {
            self.record.fault(|| describe(error));
        }
        before.failed.is_none()
    }

    /// Runs the hooks that come after, where those before were begun, and reports them.
    pub(super) fn hooks_after(&mut self, report: &mut Report) {
        if !self.hooks_begun {
            return;
        }
        if self.prepared.ledger.any_may_be_frozen() {
            say("no hook runs after this freeze: something may still be frozen");
            return;
        }
        let (ran, failed) = self.prepared.around.after(report);
        for error in failed {
            say(&error);
        }
        report.hooks.extend(ran);
    }
}
