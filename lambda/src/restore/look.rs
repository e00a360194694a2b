//! What a restore looks at before it decides.

use crate::aws::{CallError, Observe, ObserveRestore};
use std::collections::BTreeSet;
use stillframe_plan::{InstanceId, InstanceState, Scene};

/// The verbs that look.
#[derive(Debug, Clone)]
pub struct Eyes {
    pub(super) observe: Observe,
    pub(super) restore: ObserveRestore,
}

impl Eyes {
    /// Everything that a restore onto this instance may depend on; `None` when there is no such instance.
    /// Only snapshots that the account owns are asked for, so that none here is another's.
    ///
    /// # Errors
    /// Something could not be seen.
    pub async fn scene(&self, instance: &InstanceId) -> Result<Option<Scene>, CallError> {
        let (host, snapshots, made) =
            tokio::try_join!(self.restore.host(instance), self.observe.snapshots(), self.restore.made())?;
        let Some(host) = host else { return Ok(None) };
        let others: BTreeSet<InstanceId> = made
            .iter()
            .filter_map(|made| made.made_for())
            .map(InstanceId::from)
            .filter(|id| id != instance)
            .collect();
        let ids: Vec<InstanceId> = others.iter().cloned().collect();
        let living: BTreeSet<InstanceId> = if ids.is_empty() {
            BTreeSet::new()
        } else {
            let there = self.observe.these_instances(&ids).await?;
            let living = there.into_iter().filter(|instance| instance.state != InstanceState::Terminated);
            living.map(|instance| instance.id).collect()
        };
        let gone = others.into_iter().filter(|id| !living.contains(id)).collect();
        Ok(Some(Scene { host, snapshots, foreign: BTreeSet::new(), made, gone }))
    }
}
