//! CloudWatch metrics in Embedded Metric Format: one JSON line on stdout per run, from which CloudWatch
//! makes metrics without a call.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

/// Most values of one metric in one document, a limit of the format.
const MOST_VALUES: usize = 100;

/// What one run of a policy counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunMetrics {
    /// Instances and detached volumes of which this run made a restore point.
    pub restore_points_made: usize,
    /// Restore points that are less consistent than the policy asks.
    pub crash_consistent_fallbacks: usize,
    /// Volumes that the policy selects; unknown to a run that failed before it could look.
    pub volumes_selected: Option<usize>,
    /// How long each file system was frozen.
    pub frozen_ms: Vec<f64>,
    /// Reasons for which prune held back.
    pub prune_blocked: usize,
    /// Age of the oldest of the newest good restore points of all living lineages, seconds; unknown when there
    /// is none, or the run has not looked.
    pub restore_point_age_s: Option<i64>,
    /// Volumes that should have a newer good restore point, or one at all.
    pub volumes_overdue: Option<usize>,
    /// Instances and volumes that got no restore point, and steps that failed.
    pub failures: usize,
    /// How long this invocation ran.
    pub duration_ms: f64,
}

impl RunMetrics {
    /// The document. Of more than a hundred freezes the longest are told.
    #[must_use]
    pub fn document(&self, namespace: &str, policy: &str, at: DateTime<Utc>) -> Value {
        let mut frozen_ms = self.frozen_ms.clone();
        frozen_ms.sort_by(|a, b| b.total_cmp(a));
        frozen_ms.truncate(MOST_VALUES);
        let mut metrics = vec![
            ("RestorePointsMade", "Count", json!(self.restore_points_made)),
            ("CrashConsistentFallbacks", "Count", json!(self.crash_consistent_fallbacks)),
            ("PruneBlocked", "Count", json!(self.prune_blocked)),
            ("Failures", "Count", json!(self.failures)),
            ("RunDuration", "Milliseconds", json!(self.duration_ms)),
        ];
        if let Some(selected) = self.volumes_selected {
            metrics.push(("VolumesSelected", "Count", json!(selected)));
            metrics.push(("SelectsNothing", "Count", json!(u8::from(selected == 0))));
        }
        if let Some(age) = self.restore_point_age_s {
            metrics.push(("RestorePointAge", "Seconds", json!(age)));
        }
        if let Some(overdue) = self.volumes_overdue {
            metrics.push(("VolumesOverdue", "Count", json!(overdue)));
        }
        // The format has no empty list of values.
        if !frozen_ms.is_empty() {
            metrics.push(("FrozenMilliseconds", "Milliseconds", json!(frozen_ms)));
        }
        let definitions: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({"Name": name, "Unit": unit})).collect();
        let mut document = Map::new();
        document.insert(
            "_aws".to_owned(),
            json!({
                "Timestamp": at.timestamp_millis(),
                "CloudWatchMetrics": [{
                    "Namespace": namespace,
                    "Dimensions": [["Policy"]],
                    "Metrics": definitions,
                }],
            }),
        );
        document.insert("Policy".to_owned(), json!(policy));
        document.extend(metrics.into_iter().map(|(name, _, value)| (name.to_owned(), value)));
        Value::Object(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(document: &Value) -> Vec<String> {
        document["_aws"]["CloudWatchMetrics"][0]["Metrics"]
            .as_array()
            .unwrap()
            .iter()
            .map(|metric| metric["Name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_metric_that_is_defined_has_a_value_beside_it() {
        let run =
            RunMetrics { frozen_ms: vec![410.0, 402.5], volumes_selected: Some(4), ..RunMetrics::default() };
        let document =
            run.document("Stillframe", "daily", DateTime::from_timestamp_millis(1_795_000_000_123).unwrap());
        assert_eq!(document["_aws"]["Timestamp"], 1_795_000_000_123_i64);
        assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Stillframe");
        assert_eq!(document["_aws"]["CloudWatchMetrics"][0]["Dimensions"], json!([["Policy"]]));
        assert_eq!(document["Policy"], "daily");
        for name in defined(&document) {
            assert!(document[&name].is_number() || document[&name].is_array(), "{name}");
        }
        assert_eq!(document["FrozenMilliseconds"], json!([410.0, 402.5]));
        assert_eq!(document["SelectsNothing"], 0);
    }

    #[test]
    fn a_run_without_a_freeze_has_no_such_metric_and_selecting_nothing_counts() {
        let nothing = RunMetrics { volumes_selected: Some(0), ..RunMetrics::default() };
        let document = nothing.document("Stillframe", "daily", DateTime::UNIX_EPOCH);
        assert!(!defined(&document).contains(&"FrozenMilliseconds".to_owned()));
        assert_eq!(document.get("FrozenMilliseconds"), None);
        assert_eq!(document["SelectsNothing"], 1);
    }

    #[test]
    fn a_run_that_never_looked_does_not_say_that_nothing_is_selected() {
        let document = RunMetrics { failures: 1, ..RunMetrics::default() }.document(
            "Stillframe",
            "daily",
            DateTime::UNIX_EPOCH,
        );
        assert_eq!(document.get("SelectsNothing"), None);
        assert_eq!(document["Failures"], 1);
    }

    #[test]
    fn the_longest_hundred_freezes_are_told() {
        let run = RunMetrics { frozen_ms: (0..250).map(f64::from).collect(), ..RunMetrics::default() };
        let document = run.document("Stillframe", "daily", DateTime::UNIX_EPOCH);
        let told = document["FrozenMilliseconds"].as_array().unwrap();
        assert_eq!((told.len(), told[0].as_f64()), (100, Some(249.0)));
    }
}
