//! Taking and giving back the lease: what [`super::lease`] decides, carried out on Parameter Store.

use super::lease::{Claim, Generation, HandedOver, Lease, decide, generation, outlived};
use crate::aws::{CallError, Created, Parameters};

/// How often a claimant looks again after somebody else was faster.
const LOOKS: usize = 3;

/// A lease that this invocation holds.
#[derive(Debug)]
pub struct Held {
    parameters: Parameters,
    path: String,
    lease: Lease,
    /// Its generation.
    pub generation: u64,
}

/// What came of a claim.
#[derive(Debug)]
pub enum Taken {
    /// This invocation runs the policy.
    Held(Held),
    /// Another one does.
    Elsewhere {
        /// Its run; empty when it could not be read.
        run: String,
        /// Until when it holds the lease, seconds since 1970.
        until: i64,
    },
}

/// Claims the lease below `path` for `wanted`, whose `expires` lies `now` plus what the invocation may
/// take.
///
/// # Errors
/// Parameter Store could not be asked; nobody knows who holds the lease.
pub async fn take(
    parameters: &Parameters,
    path: &str,
    wanted: Lease,
    now: i64,
    handed_over: Option<&HandedOver>,
) -> Result<Taken, CallError> {
    let mut elsewhere = (String::new(), 0);
    for _ in 0..LOOKS {
        let seen = look(parameters, path).await?;
        let number = match decide(&seen, now, handed_over) {
            Claim::Leave { run, until } => return Ok(Taken::Elsewhere { run, until }),
            Claim::Create(number) => number,
        };
        let held = Held {
            parameters: parameters.clone(),
            path: path.to_owned(),
            lease: wanted.clone(),
            generation: number,
        };
        if parameters.create(&held.name(), &held.value()).await? == Created::Made {
            held.delete_outlived(&seen).await;
            return Ok(Taken::Held(held));
        }
        match parameters.get(&held.name()).await?.and_then(|value| serde_json::from_str::<Lease>(&value).ok())
        {
            // A repeat by the SDK of our own call, whose first answer was lost.
            Some(lease) if lease.holder == wanted.holder => return Ok(Taken::Held(held)),
            // Ended in the meantime: the list will show it.
            Some(lease) if lease.finished => {}
            Some(lease) => return Ok(Taken::Elsewhere { run: lease.run, until: lease.expires }),
            // Made a moment ago by somebody, and not to be seen yet.
            None => elsewhere = (String::new(), wanted.expires),
        }
    }
    Ok(Taken::Elsewhere { run: elsewhere.0, until: elsewhere.1 })
}

async fn look(parameters: &Parameters, path: &str) -> Result<Vec<Generation>, CallError> {
    let found = parameters.list(path).await?;
    Ok(found.iter().filter_map(|(name, value)| generation(path, name, value)).collect())
}

impl Held {
    fn name(&self) -> String {
        format!("{}/{}", self.path, self.generation)
    }

    fn value(&self) -> String {
        // A struct of strings and numbers always serialises.
        serde_json::to_string(&self.lease).unwrap_or_default()
    }

    /// Marks the run as ended, so that the next event proceeds at once. Writes to one's own generation
    /// only: if somebody has taken over meanwhile, theirs is a later one and counts.
    pub async fn finish(mut self) {
        self.lease.finished = true;
        if let Err(error) = self.parameters.overwrite(&self.name(), &self.value()).await {
            tracing::warn!(%error, lease = self.name(), "lease not given back; it expires by itself");
        }
    }

    async fn delete_outlived(&self, seen: &[Generation]) {
        for number in outlived(seen, self.generation) {
            let name = format!("{}/{number}", self.path);
            if let Err(error) = self.parameters.delete(&name).await {
                tracing::warn!(%error, lease = name, "old lease not deleted; the next holder tries again");
            }
        }
    }
}
