//! What operators ask of the backup function: why a snapshot is kept, how the backups stand. Each answer is
//! a look at the account and what the plan says to it. Nothing but describing calls is made: no lease, no
//! tag, no parameter.

use crate::{
    aws::{CallError, Guards, Observe},
    backup::guarded::Guarded,
    clock::Clock,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use stillframe_plan::{Explanation, Keep, Observed, Policy, PolicyStatus, explain, fitting_lines, status};

/// Most bytes of an answer's data. Lambda carries 6 MB; a snapshot takes some hundred bytes, so of more than
/// about 8,000 those that matter least are left out.
const DATA: usize = 3_000_000;
/// Most bytes of an answer's text.
const TEXT: usize = 2_000_000;

/// An answer: data for programs, and the same as text.
#[derive(Debug, Serialize)]
pub struct Answer {
    /// The data.
    #[serde(flatten)]
    told: Told,
    /// The text.
    text: String,
}

/// What is told.
#[derive(Debug, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Told {
    Explain(Explanation),
    Status(PolicyStatus),
}

/// Asks the account.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The describing calls.
    pub observe: &'a Observe,
    /// What EC2 would not delete.
    pub guards: &'a Guards,
    /// What time it is.
    pub clock: Clock,
}

impl Ask<'_> {
    /// Why each snapshot of a policy is kept or deleted, and what other rules would change.
    ///
    /// # Errors
    /// One of the calls failed.
    pub async fn explain(&self, policy: &Policy, keep_instead: Option<&Keep>) -> Result<Answer, CallError> {
        let (observed, guarded) = tokio::join!(self.look(), Guarded::look(self.guards));
        let mut observed = observed?;
        guarded.write_into(&mut observed);
        let told = explain(policy, keep_instead, &observed).fitting(DATA);
        Ok(Answer { text: fitting_lines(&told.to_string(), TEXT), told: Told::Explain(told) })
    }

    /// How the backups of a policy stand.
    ///
    /// # Errors
    /// One of the calls failed.
    pub async fn status(&self, policy: &Policy) -> Result<Answer, CallError> {
        let told = status(policy, &self.look().await?).fitting(DATA);
        Ok(Answer { text: fitting_lines(&told.to_string(), TEXT), told: Told::Status(told) })
    }

    /// Everything that an answer may depend on, but for what EC2 would not delete.
    async fn look(&self) -> Result<Observed, CallError> {
        let (volumes, instances, snapshots, agents) = tokio::try_join!(
            self.observe.volumes(),
            self.observe.instances(),
            self.observe.snapshots(),
            self.observe.agents(),
        )?;
        Ok(Observed {
            now: self.clock.now(),
            instances,
            volumes,
            snapshots,
            agents,
            orders_under_way: BTreeMap::new(),
            used_by_images: BTreeSet::new(),
            locked: BTreeSet::new(),
            guards_unseen: None,
        })
    }
}
