//! The token buckets of AWS's APIs, one for each operation of the account and region. Off unless the spec
//! names them.

use crate::spec::BucketSpec;
use crate::sync::lock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;
use stillframe_lambda::timer;

/// EC2's buckets as published (in the throttling chapter of its developer guide), and for SSM, which
/// publishes none, what is assumed here: 40 at once and 20 a second.
#[must_use]
pub fn published() -> BTreeMap<String, BucketSpec> {
    let of = |names: &[&str], burst, per_second| {
        let named = names.iter().map(|name| ((*name).to_owned(), BucketSpec { burst, per_second }));
        named.collect::<Vec<_>>()
    };
    let describing = ["DescribeInstances", "DescribeSnapshots", "DescribeVolumes"];
    let tagging = ["CreateTags", "DeleteTags"];
    let snapshots = ["CreateSnapshot", "CreateSnapshots", "DeleteSnapshot", "CreateVolume", "DeleteVolume"];
    let attaching = ["AttachVolume", "DetachVolume", "StartInstances", "StopInstances"];
    let ssm = [
        "SendCommand",
        "ListCommandInvocations",
        "GetCommandInvocation",
        "DescribeInstanceInformation",
        "GetParameter",
        "PutParameter",
    ];
    [
        of(&describing, 100.0, 20.0),
        of(&tagging, 100.0, 10.0),
        of(&snapshots, 100.0, 5.0),
        of(&attaching, 50.0, 5.0),
        of(&ssm, 40.0, 20.0),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Buckets(BTreeMap<String, Mutex<Bucket>>);

#[derive(Debug)]
struct Bucket {
    spec: BucketSpec,
    tokens: f64,
    counted_at: Instant,
}

impl Buckets {
    /// Full ones.
    #[must_use]
    pub fn new(specs: &BTreeMap<String, BucketSpec>) -> Self {
        let now = timer::now();
        let full = |spec: &BucketSpec| Bucket { spec: *spec, tokens: spec.burst, counted_at: now };
        Self(specs.iter().map(|(name, spec)| (name.clone(), Mutex::new(full(spec)))).collect())
    }

    /// Takes a token of the operation; whether there was one. A call that is refused costs none.
    #[must_use]
    pub fn take(&self, operation: &str) -> bool {
        self.0.get(operation).is_none_or(|bucket| lock(bucket).take(timer::now()))
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.counted_at = now;
        self.tokens = (self.tokens + passed * self.spec.per_second).min(self.spec.burst);
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let spec = BucketSpec { burst: 3.0, per_second: 2.0 };
        let mut bucket = Bucket { spec, tokens: 3.0, counted_at: start };
        let mut taken_at = |ms| (0..5).filter(|_| bucket.take(start + Duration::from_millis(ms))).count();
        assert_eq!([taken_at(0), taken_at(400), taken_at(500), taken_at(60_000)], [3, 0, 1, 3]);
    }

    #[test]
    fn what_has_no_bucket_is_never_throttled_and_every_published_one_names_an_operation() {
        assert!((0..1_000).all(|_| Buckets::default().take("CreateSnapshots")));
        assert!(published().keys().all(|name| crate::operation::named(name).is_some()));
    }
}
