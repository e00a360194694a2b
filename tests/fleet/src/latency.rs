//! How long operations take. EBS and SSM are slow in ways that matter (a freeze lasts as long as
//! `CreateSnapshots`), so the fleet is slow in the same ways, and the spec says how slow.

use crate::operation;
use std::collections::BTreeMap;
use std::time::Duration;

/// How long each operation takes.
///
/// A key of the spec's `latency_ms` is an operation's name, or `Describe` for all that begin so, or
/// `others` for those that nothing else names. `SendCommand` is the way of a command to the agent; the
/// call itself is one of the others.
#[derive(Debug, Clone)]
pub struct Latencies(BTreeMap<String, u64>);

/// A key that names no operation.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no operation of the fleet (nor `Describe` or `others`)")]
pub struct UnknownOperation(String);

const DESCRIBE: &str = "Describe";
const OTHERS: &str = "others";
const DELIVERY: &str = "SendCommand";

impl Latencies {
    /// The defaults, with what the spec says instead.
    ///
    /// # Errors
    /// A key names no operation.
    pub fn new(given: &BTreeMap<String, u64>) -> Result<Self, UnknownOperation> {
        let defaults =
            [("CreateSnapshots", 400), ("Invoke", 15), (DELIVERY, 300), (DESCRIBE, 60), (OTHERS, 80)];
        let mut all: BTreeMap<String, u64> =
            defaults.into_iter().map(|(name, ms)| (name.to_owned(), ms)).collect();
        for (name, ms) in given {
            if operation::named(name).is_none() && name != DESCRIBE && name != OTHERS {
                return Err(UnknownOperation(name.clone()));
            }
            all.insert(name.clone(), *ms);
        }
        Ok(Self(all))
    }

    /// From a request's arrival to its answer.
    #[must_use]
    pub fn of(&self, operation: &str) -> Duration {
        let class = if operation.starts_with(DESCRIBE) { DESCRIBE } else { OTHERS };
        let named = if operation == DELIVERY { None } else { self.0.get(operation) };
        Duration::from_millis(named.or_else(|| self.0.get(class)).copied().unwrap_or_default())
    }

    /// From `SendCommand`'s answer to the command's arrival at the agent.
    #[must_use]
    pub fn delivery(&self) -> Duration {
        Duration::from_millis(self.0.get(DELIVERY).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(given: &[(&str, u64)]) -> Latencies {
        let given = given.iter().map(|(name, ms)| ((*name).to_owned(), *ms)).collect();
        Latencies::new(&given).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_issue() {
        let latencies = latencies(&[]);
        let ms = |operation: &str| latencies.of(operation).as_millis();
        assert_eq!(ms("CreateSnapshots"), 400);
        assert_eq!(ms("Invoke"), 15);
        assert_eq!(ms("DescribeVolumes"), 60);
        assert_eq!(ms("PutParameter"), 80);
        assert_eq!(ms("SendCommand"), 80, "the call is not the delivery");
        assert_eq!(latencies.delivery().as_millis(), 300);
    }

    #[test]
    fn the_more_exact_name_wins() {
        let latencies = latencies(&[("Describe", 7), ("DescribeVolumes", 9), ("others", 1)]);
        assert_eq!(latencies.of("DescribeVolumes").as_millis(), 9);
        assert_eq!(latencies.of("DescribeSnapshots").as_millis(), 7);
        assert_eq!(latencies.of("CreateTags").as_millis(), 1);
    }

    #[test]
    fn a_misspelt_operation_is_refused_by_name() {
        let given = BTreeMap::from([("CreateSnapshotz".to_owned(), 1)]);
        assert!(Latencies::new(&given).unwrap_err().to_string().contains("CreateSnapshotz"));
    }
}
