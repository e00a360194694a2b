//! Copying to other regions, carried out: what the plan's [`copies`] decides, region by region. After every
//! backup, and when EBS says that a snapshot or a copy is complete; the one is what makes sure, the other
//! what makes it quick.
//!
//! EC2 has no token against making a copy twice. So copying has a lease of its own for each policy, each
//! call is made once, and what was asked for counts as on its way though EC2 may not show it yet; the lease
//! is given back when it does.

mod attempts;
mod report;

pub use report::{CopiedTo, StartedCopy};

use crate::{
    aws::{Account, CallError, CopySnapshot, DeleteSnapshot, Deleted, Guards, Observe, Parameters},
    backup::{
        Note, RunReport,
        deadline::Deadline,
        guarded::Guarded,
        hold::{self, Taken},
        lease::Lease,
        pace::Pace,
        prune,
        stop::Stop,
    },
    config::Config,
    timer,
};
use attempts::{Attempts, call};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use stillframe_plan::{
    Copies, CopyMember, CopyTo, Destination, Observed, Policy, Snapshot, SnapshotId, SnapshotState, copies,
};

/// Pauses between looks for copies that should be there.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];
/// Copies.
#[derive(Debug)]
pub struct Copier {
    account: Account,
    observe: Observe,
    parameters: Parameters,
    config: Config,
}

/// One destination's hands.
struct There {
    observe: Observe,
    copy_snapshot: CopySnapshot,
    delete_snapshot: DeleteSnapshot,
    guards: Guards,
}

impl Copier {
    /// For the account and region that the function runs in.
    #[must_use]
    pub fn new(account: &Account, config: &Config) -> Self {
        Self {
            account: account.clone(),
            observe: Observe::new(account),
            parameters: Parameters::new(account),
            config: config.clone(),
        }
    }

    /// Brings all of a policy's destinations up to date. `run` is who asks, `holder` a random word.
    ///
    /// # Errors
    /// Time is nearly up, or the lease could not be asked for. What fails in one destination is told in the
    /// report and keeps no other one from its copies.
    pub async fn sweep(
        &self,
        policy: &Policy,
        run: &str,
        holder: String,
        deadline: &Deadline,
        report: &mut RunReport,
    ) -> Result<(), Stop> {
        let Some(home) = self.config.region.as_deref().filter(|_| !policy.copy_to.is_empty()) else {
            return Ok(());
        };
        let held = match self.take_lease(policy, run, holder, deadline).await? {
            Taken::Held(held) => held,
            Taken::Elsewhere { run, .. } => {
                let message = format!("copies are made by {run} at the moment");
                report.warnings.push(Note::new("copies-lease-held", message));
                return Ok(());
            }
        };
        // In a box: with all that a call of the SDK is made of, the type would be too deep for the compiler.
        let ended = Box::pin(self.all(policy, home, deadline, report)).await;
        held.finish().await;
        ended
    }

    /// What would be copied and pruned in each destination, as text.
    ///
    /// # Errors
    /// A region could not be looked at.
    pub async fn outlook(&self, policy: &Policy) -> Result<String, CallError> {
        let Some(home) = self.config.region.as_deref() else { return Ok(String::new()) };
        let mut text = String::new();
        for to in &policy.copy_to {
            let account = self.account.in_region(&to.region);
            let (source, seen) = self.look(policy, &Observe::new(&account), &BTreeSet::new()).await?;
            let mut there = seen.as_observed(&policy.name, home, &source);
            Guarded::look(&Guards::new(&account)).await.write_into(&mut there);
            text.push_str(&format!("\n{}", copies(policy, to, home, &source, &seen, &there)));
        }
        Ok(text)
    }

    /// Whether one of these snapshots is a complete one of the policy, in whichever region of its own it
    /// lies. EBS tells of every snapshot of the account.
    ///
    /// # Errors
    /// They could not be looked at.
    pub async fn concerns(
        &self,
        policy: &Policy,
        region: &str,
        snapshots: &[SnapshotId],
    ) -> Result<bool, CallError> {
        let at_home = self.config.region.as_deref() == Some(region);
        if !at_home && !policy.copy_to.iter().any(|to| to.region == region) {
            return Ok(false);
        }
        let elsewhere = (!at_home).then(|| Observe::new(&self.account.in_region(region)));
        let observe = elsewhere.as_ref().unwrap_or(&self.observe);
        let found = observe.these_snapshots(snapshots).await?;
        Ok(found.iter().any(|snapshot| snapshot.policy() == Some(&policy.name)))
    }

    async fn take_lease(
        &self,
        policy: &Policy,
        run: &str,
        holder: String,
        deadline: &Deadline,
    ) -> Result<Taken, Stop> {
        let now = self.config.clock.now().timestamp();
        let holds = deadline.remaining() + crate::backup::STALE_AFTER;
        let expires = now.saturating_add(i64::try_from(holds.as_secs()).unwrap_or(i64::MAX));
        let wanted = Lease { run: run.to_owned(), holder, expires, finished: false };
        let path = self.config.copy_lease_path(&policy.name);
        hold::take(&self.parameters, &path, wanted, now, None)
            .await
            .map_err(Stop::at("take the lease of the copies"))
    }

    async fn all(
        &self,
        policy: &Policy,
        home: &str,
        deadline: &Deadline,
        report: &mut RunReport,
    ) -> Result<(), Stop> {
        for to in &policy.copy_to {
            let account = self.account.in_region(&to.region);
            let there = There {
                observe: Observe::new(&account),
                copy_snapshot: CopySnapshot::new(&account, home, &to.region),
                delete_snapshot: DeleteSnapshot::new(&account),
                guards: Guards::new(&account),
            };
            let mut told = CopiedTo::of(&to.region);
            let ended = self.one(policy, to, home, &there, deadline, &mut told, report).await;
            report.copies.push(told);
            match ended {
                Ok(()) => {}
                Err(Stop::OutOfTime) => return Err(Stop::OutOfTime),
                Err(stop) => {
                    let message = format!("copies to {}: {stop}", to.region);
                    report.failures.push(Note::new("copies-failed", message));
                }
            }
        }
        Ok(())
    }

    /// Looks, decides and copies until there is nothing to begin and everything begun is to be seen. Then
    /// prunes by that last look.
    #[expect(clippy::too_many_arguments, reason = "one step of a loop, cut out for its length")]
    async fn one(
        &self,
        policy: &Policy,
        to: &CopyTo,
        home: &str,
        there: &There,
        deadline: &Deadline,
        told: &mut CopiedTo,
        report: &mut RunReport,
    ) -> Result<(), Stop> {
        let mut pauses = PAUSES.iter();
        let mut pace = Pace::of_copies();
        let mut attempts = Attempts::default();
        loop {
            deadline.check()?;
            let (source, seen) = self
                .look(policy, &there.observe, &attempts.begun)
                .await
                .map_err(Stop::at("look at the snapshots to copy"))?;
            let mut observed = seen.as_observed(&policy.name, home, &source);
            Guarded::look(&there.guards).await.write_into(&mut observed);
            let decided = copies(policy, to, home, &source, &seen, &observed);
            let wanted = decided.start.iter().flat_map(|set| &set.members);
            let start: Vec<&CopyMember> = wanted.filter(|member| attempts.may_begin(member)).collect();
            if start.is_empty() {
                if seen.not_seen().next().is_some()
                    && let Some(pause) = pauses.next()
                {
                    timer::sleep(*pause).await;
                    continue;
                }
                told.decided(&decided, &attempts.refused, report);
                attempts.tell_unseen(&seen, &to.region, report);
                return prune_there(there, &decided, deadline, told, report).await;
            }
            for member in start {
                deadline.check()?;
                if attempts.full {
                    break;
                }
                let called = call(&there.copy_snapshot, member, to.kms_key.as_deref(), &mut pace).await;
                attempts.note(member, called, to, told, report);
            }
        }
    }

    async fn look(
        &self,
        policy: &Policy,
        there: &Observe,
        begun: &BTreeSet<SnapshotId>,
    ) -> Result<(Observed, Destination), CallError> {
        let (volumes, mut snapshots, mut copied) =
            tokio::try_join!(self.observe.volumes(), self.observe.snapshots(), there.snapshots())?;
        let is_ours = |snapshot: &Snapshot| snapshot.policy() == Some(policy.name.as_str());
        snapshots.retain(is_ours);
        // EC2's limit counts everybody's copies.
        copied.retain(|copy| is_ours(copy) || copy.state == SnapshotState::Pending);
        let source = Observed {
            now: self.config.clock.now(),
            instances: Vec::new(),
            volumes,
            snapshots,
            agents: BTreeMap::new(),
            orders_under_way: BTreeMap::new(),
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        };
        let seen = Destination { snapshots: copied, begun: begun.clone() };
        Ok((source, seen))
    }
}

/// Deletes what the destination's rules no longer keep, and copies that failed.
async fn prune_there(
    there: &There,
    decided: &Copies<'_>,
    deadline: &Deadline,
    told: &mut CopiedTo,
    report: &mut RunReport,
) -> Result<(), Stop> {
    let hands = prune::Hands { delete: &there.delete_snapshot, observe: &there.observe };
    let mut pace = Pace::of_deletions();
    for copy in &decided.clean_up {
        deadline.check()?;
        match hands.one(copy, &mut pace).await {
            Ok(Deleted::Accepted | Deleted::WasGone) => {
                told.deletions_agreed += 1;
                told.pruned.push(copy.to_string());
            }
            Ok(Deleted::Kept { code, message }) => told.prune.push(Note::new(code, message)),
            Err(error) => told.prune.push(Note::new("delete-failed", error.to_string())),
        }
    }
    let mut own = RunReport::default();
    let ended = hands.carry_out(&decided.prune, deadline, &mut own).await;
    told.pruned.append(&mut own.pruned);
    told.deletions_agreed += own.deletions_agreed;
    told.prune.extend(prune::notes(&decided.prune));
    told.prune.append(&mut own.prune);
    report.failures.append(&mut own.failures);
    ended
}
