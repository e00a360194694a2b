//! EventBridge, as far as EC2 and EBS use it: when snapshots have completed or failed, or an instance has
//! arrived in a state, the rules of the spec and of the template hand the event to a function. Like AWS's it
//! is told once, at some time after, and to nobody if there is no rule.

use crate::clock::iso;
use crate::ec2::copies::ANY_VOLUME;
use crate::ec2::inventory::{InstanceState, Inventory, Snapshot, SnapshotState};
use crate::lambda;
use crate::random;
use crate::region::Region;
use crate::spec::RuleSpec;
use crate::sync::lock;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use stack::rule;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What stands for the event in a rule's input.
const EVENT: &str = "<aws.events.event.json>";
/// The kind of event that tells of an instance's state.
const STATE_CHANGE: &str = "EC2 Instance State-change Notification";
/// How often snapshots are looked at.
const TICK: Duration = Duration::from_millis(20);

/// Tells of snapshots, for ever.
pub async fn tell(home: Arc<Region>) {
    loop {
        tokio::time::sleep(TICK).await;
        for region in home.all() {
            let now = region.clock.now();
            let events = lock(&region.inventory).settled(&region.name, now);
            for event in events {
                follow_spec(&home, &event);
                // A template's rules are of one region, and see its events only.
                if region.name == home.name {
                    follow_template(&home, &event);
                }
            }
        }
    }
}

/// Tells that an instance has arrived in a state. To be called where tasks can be started.
pub fn instance_arrived(home: &Arc<Region>, id: &str, state: InstanceState) {
    let (_, state) = state.code_and_name();
    let arn = format!("arn:aws:ec2:{}:{}:instance/{id}", home.name, home.account);
    let event = json!({
        "version": "0", "id": random::uuid(), "source": "aws.ec2", "account": home.account,
        "detail-type": STATE_CHANGE, "time": iso(home.clock.now()), "region": home.name, "resources": [arn],
        "detail": {"instance-id": id, "state": state},
    });
    follow_spec(home, &event);
    follow_template(home, &event);
}

/// Hands an event to the functions of the spec's rules.
fn follow_spec(home: &Arc<Region>, event: &Value) {
    for rule in home.rules.iter().filter(|rule| rule.wants(event)) {
        let Some(function) = lambda::program(&rule.function) else { continue };
        let payload = rule.input.replace(EVENT, &event.to_string());
        for _ in 0..rule.deliveries {
            lambda::invoke_later(home, function, payload.clone().into_bytes(), lambda::request_id());
        }
    }
}

/// Hands an event to the targets of the template's rules.
fn follow_template(home: &Arc<Region>, event: &Value) {
    for one in home.deployed_rules.iter().filter(|one| rule::matches(&one.pattern, event)) {
        if one.is_permitted {
            let payload = rule::delivered(&one.target, event).into_bytes();
            lambda::invoke_later(home, one.function, payload, lambda::request_id());
        } else {
            tracing::warn!(rule = one.name, "the function has no permission for the rule");
        }
    }
}

impl RuleSpec {
    fn wants(&self, event: &Value) -> bool {
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (kind, state) = (text("/detail-type"), text("/detail/state"));
        if self.detail_types.is_empty() {
            return kind != STATE_CHANGE;
        }
        self.detail_types.iter().any(|wanted| wanted == kind)
            && (self.states.is_empty() || self.states.iter().any(|wanted| wanted == state))
    }
}

impl Inventory {
    /// The events about what has come to its end since the last call: of sets when the last member has.
    fn settled(&mut self, region: &str, now: DateTime<Utc>) -> Vec<Value> {
        let mut calls: BTreeMap<&str, Vec<&Snapshot>> = BTreeMap::new();
        for snapshot in self.snapshots.values().filter(|one| !one.announced && !one.deleted) {
            calls.entry(&snapshot.made_by).or_default().push(snapshot);
        }
        calls.retain(|_, made| made.iter().all(|one| one.state(now) != SnapshotState::Pending));
        let events: Vec<Value> = calls.values().flat_map(|made| events(region, made, now)).collect();
        let told: Vec<String> = calls.into_values().flatten().map(|one| one.id.clone()).collect();
        for id in told {
            if let Some(snapshot) = self.snapshots.get_mut(&id) {
                snapshot.announced = true;
            }
        }
        events
    }
}

/// The events about what one call has made.
fn events(region: &str, made: &[&Snapshot], now: DateTime<Utc>) -> Vec<Value> {
    let event = |kind: &str, resources: Vec<String>, detail: Value| {
        json!({
            "version": "0", "id": random::uuid(), "source": "aws.ec2", "account": "123456789012",
            "detail-type": kind, "time": iso(now), "region": region, "resources": resources, "detail": detail,
        })
    };
    let arn = |kind: &str, region: &str, id: &str| format!("arn:aws:ec2::{region}:{kind}/{id}");
    let times = |one: &Snapshot| (iso(one.started_at), iso(one.completes_at));
    if made.iter().any(|one| one.made_by.starts_with("set:")) {
        let Some(first) = made.first() else { return Vec::new() };
        let members = made.iter().map(|one| {
            json!({
                "snapshot_id": arn("snapshot", region, &one.id),
                "source": arn("volume", region, &one.volume),
                "status": one.state(now).name(),
            })
        });
        let failed = made.iter().any(|one| one.state(now) == SnapshotState::Error);
        let (start, end) = times(first);
        let detail = json!({
            "event": "createSnapshots", "result": if failed { "failed" } else { "succeeded" }, "cause": "",
            "request-id": "", "startTime": start, "endTime": end, "snapshots": members.collect::<Vec<_>>(),
        });
        let resources = made.iter().map(|one| arn("snapshot", region, &one.id)).collect();
        return vec![event("EBS Multi-Volume Snapshots Completion Status", resources, detail)];
    }
    let one = |one: &&Snapshot| {
        let what = if one.volume == ANY_VOLUME { "copySnapshot" } else { "createSnapshot" };
        let source = match one.made_by.strip_prefix("copy:").and_then(|rest| rest.split_once(':')) {
            Some((from, source)) => arn("snapshot", from, source),
            None => arn("volume", region, &one.volume),
        };
        let (start, end) = times(one);
        let failed = one.state(now) == SnapshotState::Error;
        let own = arn("snapshot", region, &one.id);
        let detail = json!({
            "event": what, "result": if failed { "failed" } else { "succeeded" }, "cause": "",
            "request-id": "", "snapshot_id": own, "source": source, "startTime": start, "endTime": end,
        });
        event("EBS Snapshot Notification", vec![own], detail)
    };
    made.iter().map(one).collect()
}
