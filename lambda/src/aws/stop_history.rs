//! `LookupEvents` of CloudTrail: whether a stopped instance was stopped gracefully. EC2 itself does not
//! tell: a forced stop and a polite one look the same in `DescribeInstances`.
//!
//! Events arrive up to 15 minutes late and are kept for 90 days. No event means that nothing is known.

use super::{Account, CallError, observed_from_sdk::time};
use aws_sdk_cloudtrail::types::{LookupAttribute, LookupAttributeKey};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use std::time::Duration;
use stillframe_plan::{Instance, LastStop};

const OPERATION: &str = "LookupEvents";
/// CloudTrail takes two of these calls a second.
const PACE: Duration = Duration::from_millis(500);
/// How much earlier than EC2's `LaunchTime` a start's own clock may run.
const SLACK: TimeDelta = TimeDelta::seconds(1);

/// The verb.
#[derive(Debug, Clone)]
pub struct StopHistory {
    client: aws_sdk_cloudtrail::Client,
}

/// A call of `StopInstances`, as CloudTrail wrote it down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stop {
    at: DateTime<Utc>,
    forced: bool,
}

impl StopHistory {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.cloudtrail.clone() }
    }

    /// How the stopped instance came to be stopped.
    ///
    /// # Errors
    /// CloudTrail could not be asked.
    pub async fn call(&self, instance: &Instance) -> Result<LastStop, CallError> {
        if instance.last_stop != LastStop::Unknown {
            return Ok(instance.last_stop);
        }
        let attribute = LookupAttribute::builder()
            .attribute_key(LookupAttributeKey::ResourceName)
            .attribute_value(instance.id.as_str())
            .build()
            .map_err(|error| CallError::Refused {
                operation: OPERATION,
                code: "NotSent".to_owned(),
                message: error.to_string(),
            })?;
        let since = instance.launched_at - SLACK;
        let mut pages = self
            .client
            .lookup_events()
            .lookup_attributes(attribute)
            .start_time(aws_sdk_cloudtrail::primitives::DateTime::from_secs(since.timestamp()))
            .into_paginator()
            .page_size(50)
            .send();
        let mut stops = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk(OPERATION, &error))?;
            stops.extend(
                page.events()
                    .iter()
                    .filter(|event| event.event_name() == Some("StopInstances"))
                    .filter_map(|event| stop(event.event_time().and_then(time)?, event.cloud_trail_event()?)),
            );
            crate::timer::sleep(PACE).await;
        }
        Ok(judge(&stops, since))
    }
}

/// Reads one event; `None` for a call that failed. One that cannot be read counts as forced: the least
/// that can be believed of it.
fn stop(at: DateTime<Utc>, event: &str) -> Option<Stop> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        error_code: Option<String>,
        #[serde(default)]
        request_parameters: Option<Parameters>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Parameters {
        force: bool,
        skip_os_shutdown: bool,
    }
    let Ok(event) = serde_json::from_str::<Event>(event) else {
        return Some(Stop { at, forced: true });
    };
    if event.error_code.is_some() {
        return None;
    }
    let parameters = event.request_parameters.unwrap_or_default();
    Some(Stop { at, forced: parameters.force || parameters.skip_os_shutdown })
}

/// One forced call since the last start is enough: whoever lost patience with a polite stop pulled the
/// plug on it.
fn judge(stops: &[Stop], started: DateTime<Utc>) -> LastStop {
    let mut since_start = stops.iter().filter(|stop| stop.at >= started).peekable();
    if since_start.peek().is_none() {
        LastStop::Unknown
    } else if since_start.any(|stop| stop.forced) {
        LastStop::Forced
    } else {
        LastStop::ByUser
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(minute) * 60, 0).unwrap()
    }

    fn event(parameters: &str) -> String {
        format!(r#"{{"eventName": "StopInstances", "requestParameters": {parameters}}}"#)
    }

    #[test]
    fn force_and_a_skipped_shutdown_are_read() {
        for (parameters, forced) in [
            (r#"{"instancesSet": {"items": [{"instanceId": "i-1"}]}, "force": false}"#, false),
            (r#"{"force": true}"#, true),
            (r#"{"skipOsShutdown": true}"#, true),
            ("{}", false),
            ("null", false),
        ] {
            assert_eq!(stop(at(1), &event(parameters)), Some(Stop { at: at(1), forced }), "{parameters}");
        }
    }

    #[test]
    fn what_cannot_be_read_counts_as_forced_and_what_failed_is_no_stop() {
        for unreadable in ["{".to_owned(), event(r#"{"force": "perhaps"}"#)] {
            assert_eq!(stop(at(1), &unreadable), Some(Stop { at: at(1), forced: true }), "{unreadable}");
        }
        assert_eq!(stop(at(1), r#"{"errorCode": "Client.UnauthorizedOperation"}"#), None);
    }

    #[test]
    fn only_stops_since_the_last_start_count_and_one_forced_is_enough() {
        let polite = |minute| Stop { at: at(minute), forced: false };
        let forced = |minute| Stop { at: at(minute), forced: true };
        assert_eq!(judge(&[], at(10)), LastStop::Unknown);
        assert_eq!(judge(&[polite(5)], at(10)), LastStop::Unknown, "an earlier stop says nothing");
        assert_eq!(judge(&[forced(5), polite(12)], at(10)), LastStop::ByUser);
        assert_eq!(judge(&[polite(12), forced(13)], at(10)), LastStop::Forced);
        assert_eq!(judge(&[forced(13), polite(14)], at(10)), LastStop::Forced);
    }
}
