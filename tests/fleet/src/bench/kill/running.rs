//! While a run runs: its helpers are found, watched to their deaths, and disturbed.

use super::disturb::{Hit, disturb};
use super::helpers::{Found, Helper, Scan};
use super::inside::Inside;
use super::plan::Plan;
use crate::bench::BenchError;
use crate::client::Client;
use crate::sync::lock;
use crate::sys;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::Scope;
use std::time::Duration;

/// Pause between two looks for helpers while some are awaited, and else.
const LOOK: Duration = Duration::from_millis(4);
const LOOK_LAZILY: Duration = Duration::from_millis(25);

/// What is going on while a run runs.
pub(super) struct Running<'a> {
    pub(super) plans: &'a [Plan],
    pub(super) insides: &'a [Inside],
    pub(super) client: &'a Client,
    pub(super) helpers: Mutex<Vec<Arc<Helper>>>,
    pub(super) hits: Mutex<BTreeMap<usize, Hit>>,
    pub(super) over: AtomicBool,
}

impl Running<'_> {
    /// What has not ended, and what was done to it.
    pub(super) fn what_runs(&self, error: &BenchError) -> String {
        let under_way = self.client.under_way().ok();
        let hits = lock(&self.hits).clone();
        let alive = |helper: &&Arc<Helper>| {
            let guardian = helper.guardian.get();
            helper.worker.died_ns().is_none() || guardian.is_some_and(|part| part.died_ns().is_none())
        };
        let helpers = lock(&self.helpers);
        let helpers: Vec<_> = helpers
            .iter()
            .filter(alive)
            .map(|helper| (&helper.instance, helper.worker.process.pid, helper.phase(), helper.calls()))
            .collect();
        format!("{error}: {under_way:?}; alive {helpers:?}; plans {:?}; hits {hits:?}", self.plans)
    }
}

/// Finds helpers until the run is over; watches each, and disturbs the first of each instance.
pub(super) fn look_for_helpers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    running: &'scope Running<'scope>,
    scan: &mut Scan,
) {
    while !running.over.load(SeqCst) {
        for found in scan.look().unwrap_or_default() {
            match found {
                Found::Guardian(of, part) => {
                    let helpers = lock(&running.helpers);
                    let Some(helper) = helpers.iter().find(|one| one.worker.process.pid == of) else {
                        continue;
                    };
                    let helper = Arc::clone(helper);
                    if helper.guardian.set(part).is_ok() {
                        let watched = Arc::clone(&helper);
                        scope.spawn(move || {
                            if let Some(guardian) = watched.guardian.get() {
                                guardian.observe_calls(&watched);
                            }
                        });
                        scope.spawn(move || {
                            if let Some(guardian) = helper.guardian.get() {
                                guardian.wait_for_death();
                            }
                        });
                    }
                }
                Found::Helper(helper) => begin(scope, running, Arc::new(helper)),
            }
        }
        let helpers = lock(&running.helpers);
        let complete = helpers.len() >= running.plans.len()
            && helpers
                .iter()
                .all(|helper| helper.guardian.get().is_some() || helper.worker.died_ns().is_some());
        drop(helpers);
        std::thread::sleep(if complete { LOOK_LAZILY } else { LOOK });
    }
}

fn begin<'scope>(scope: &'scope Scope<'scope, '_>, running: &'scope Running<'scope>, helper: Arc<Helper>) {
    let at = running.insides.iter().position(|inside| inside.machine.id == helper.instance);
    let first = lock(&running.helpers).iter().all(|other| other.instance != helper.instance);
    lock(&running.helpers).push(Arc::clone(&helper));
    let watched = Arc::clone(&helper);
    scope.spawn(move || watched.worker.wait_for_death());
    let watched = Arc::clone(&helper);
    scope.spawn(move || watched.worker.observe_calls(&watched));
    let planned = at.and_then(|at| Some((at, running.plans.get(at)?, running.insides.get(at)?)));
    if let Some((at, plan, inside)) = planned.filter(|(_, plan, _)| first && plan.is_by_hand()) {
        scope.spawn(move || {
            sys::run_first();
            if let Some(hit) = disturb(plan, &helper, inside, running.client) {
                lock(&running.hits).insert(at, hit);
            }
        });
    }
}
