//! Who may run a policy now. Parameter Store has no compare-and-swap, but it creates once: every claim
//! is a new generation `<path>/<n>`, and of several claimants of one `n` exactly one creates it.
//!
//! - The newest generation counts; older ones are history.
//! - It is held until its holder marks it finished or it expires. It expires shortly after Lambda has
//!   certainly ended its holder, so a stale lease has no holder that still runs.
//! - Taking over, and every continuation of a run, creates the next generation.
//! - Only the holder writes to its own generation, and only the holder of `n` deletes, and only what
//!   is older than the last few: the newest is never deleted, and a claimant whose list is out of date
//!   meets an existing name, never a free one.

use serde::{Deserialize, Serialize};

/// How many generations before one's own are left standing for claimants whose list lags behind.
const HISTORY: u64 = 3;

/// The value of one generation's parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The run that it is held for.
    pub run: String,
    /// The invocation that holds it: random, so that a repeated creation can tell its own.
    pub holder: String,
    /// When it goes stale, seconds since 1970.
    pub expires: i64,
    /// Whether its holder has ended the run.
    #[serde(default)]
    pub finished: bool,
}

/// One generation as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number, the last part of the parameter's name.
    pub number: u64,
    /// Its value; `None` for one that cannot be read, which holds nobody off.
    pub lease: Option<Lease>,
}

/// The generation that handed a run over to its continuation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// The run.
    pub run: String,
    /// The generation under which it ran so far.
    pub generation: u64,
}

/// What a claimant does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// Create this generation; who creates it holds the lease.
    Create(u64),
    /// Leave: somebody else runs, or has taken this run over.
    Leave {
        /// The holder's run.
        run: String,
        /// Until when it is held, seconds since 1970.
        until: i64,
    },
}

/// Reads one parameter; `None` when its name is not a generation of the path.
#[must_use]
pub fn generation(path: &str, name: &str, value: &str) -> Option<Generation> {
    let number = name.strip_prefix(path)?.strip_prefix('/')?.parse().ok()?;
    Some(Generation { number, lease: serde_json::from_str(value).ok() })
}

/// Decides from every generation seen, at `now` (seconds since 1970).
#[must_use]
pub fn decide(seen: &[Generation], now: i64, handed_over: Option<&HandedOver>) -> Claim {
    let newest = seen.iter().max_by_key(|generation| generation.number);
    if let Some(from) = handed_over {
        return match newest {
            Some(newest) if newest.number > from.generation => leave(newest),
            Some(Generation { number, lease: Some(lease) })
                if *number == from.generation && (lease.run != from.run || lease.finished) =>
            {
                Claim::Leave { run: lease.run.clone(), until: lease.expires }
            }
            // Not seen yet, or as it was handed over.
            _ => Claim::Create(from.generation + 1),
        };
    }
    match newest {
        None => Claim::Create(1),
        Some(Generation { lease: Some(lease), .. }) if !lease.finished && lease.expires > now => {
            Claim::Leave { run: lease.run.clone(), until: lease.expires }
        }
        Some(Generation { number, .. }) => Claim::Create(number + 1),
    }
}

fn leave(newest: &Generation) -> Claim {
    newest.lease.as_ref().map_or(Claim::Leave { run: String::new(), until: 0 }, |lease| Claim::Leave {
        run: lease.run.clone(),
        until: lease.expires,
    })
}

/// Which generations the holder of `own` deletes.
#[must_use]
pub fn outlived(seen: &[Generation], own: u64) -> Vec<u64> {
    seen.iter().map(|generation| generation.number).filter(|number| number + HISTORY < own).collect()
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
