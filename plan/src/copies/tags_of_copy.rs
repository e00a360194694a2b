//! What a copy is born with: EC2 copies no tags, so all are given in the call.

use crate::VolumeId;
use crate::copies::CopyMember;
use crate::observed::Snapshot;
use crate::policy::Policy;
use crate::tags::{self, Tags};
use crate::warning::Warning;
use chrono::SecondsFormat;

/// The copy of one snapshot. Where not all tags fit, those go first that nothing of ours reads.
pub(super) fn member(policy: &Policy, home: &str, snapshot: &Snapshot) -> (CopyMember, Option<Warning>) {
    let volume = VolumeId::from(snapshot.origin());
    let started = snapshot.started_at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let source = [
        (tags::SOURCE_VOLUME, volume.as_str()),
        (tags::SOURCE_SNAPSHOT, snapshot.id.as_str()),
        (tags::SOURCE_REGION, home),
        (tags::SOURCE_STARTED, started.as_str()),
    ];
    let room = tags::MOST - source.len();
    let carried = snapshot
        .tags
        .iter()
        .filter(|(key, _)| !tags::is_reserved(key) && source.iter().all(|(ours, _)| ours != key));
    let mut carried: Vec<(&str, &str)> = carried.collect();
    carried.sort_by_key(|(key, _)| (worth(policy, key), *key));
    let dropped = carried.len().saturating_sub(room);
    carried.truncate(room);
    let tags: Tags =
        carried.into_iter().chain(source).map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let warning = (dropped > 0).then(|| Warning::TagsDropped { volume: volume.clone(), dropped });
    let slot = snapshot.slot().unwrap_or_default();
    let description = format!("Stillframe {} {slot}: copy of {} in {home}", policy.name, snapshot.id);
    (CopyMember { snapshot: snapshot.id.clone(), volume, tags, description }, warning)
}

/// What is dropped last comes first: ours, what tells the lineage, the policy's own, the rest.
fn worth(policy: &Policy, key: &str) -> u8 {
    if key.starts_with(tags::BORN) {
        3
    } else if tags::is_ours_on_snapshots(key) {
        0
    } else if policy.lineage.iter().any(|lineage| lineage == key) {
        1
    } else if policy.tags.contains_key(key) {
        2
    } else {
        4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{policy, snapshot, time};
    use serde_json::json;

    #[test]
    fn a_copy_carries_its_sources_tags_and_where_it_came_from() {
        let policy = policy(json!({"lineage": ["zone"]}));
        let mut one = snapshot("snap-1", "vol-1", "daily/2026-11-22/a", time("2026-11-22T01:02:03.004Z"));
        one = one.tagged("Name", "pg").tagged("aws:x", "y").tagged(tags::SOURCE_REGION, "stray");
        let (copy, warning) = member(&policy, "eu-central-1", &one);
        assert_eq!(warning, None);
        assert_eq!(copy.description, "Stillframe daily 2026-11-22: copy of snap-1 in eu-central-1");
        let expected: Tags = [
            ("Name", "pg"),
            ("stillframe:policy", "daily"),
            ("stillframe:run", "daily/2026-11-22/a"),
            ("stillframe:slot", "2026-11-22"),
            ("stillframe:instance", "i-1"),
            ("stillframe:consistency", "crash"),
            ("stillframe:source-volume", "vol-1"),
            ("stillframe:source-snapshot", "snap-1"),
            ("stillframe:source-region", "eu-central-1"),
            ("stillframe:source-started", "2026-11-22T01:02:03.004Z"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        assert_eq!(copy.tags, expected);
    }

    #[test]
    fn what_does_not_fit_is_what_nobody_needs_and_it_is_told() {
        let policy = policy(json!({"lineage": ["zone"], "tags": {"team": "search"}}));
        let mut one = snapshot("snap-1", "vol-1", "daily/2026-11-22/a", time("2026-11-22"));
        one = one.tagged("zone", "a").tagged("team", "search").tagged("stillframe:born.0", "1:2");
        for number in 0..42 {
            one = one.tagged(&format!("a{number:02}"), "");
        }
        assert_eq!(one.tags.iter().count(), tags::MOST);
        let (copy, warning) = member(&policy, "eu-central-1", &one);
        assert_eq!(copy.tags.len(), tags::MOST);
        assert_eq!(warning, Some(Warning::TagsDropped { volume: "vol-1".into(), dropped: 4 }));
        for key in ["zone", "team", "stillframe:run", "stillframe:born.0", "a37"] {
            assert!(copy.tags.contains_key(key), "{key}");
        }
        assert!(!copy.tags.contains_key("a38"));
    }
}
