use super::*;
use crate::layout;
use crate::observed::SnapshotState;
use crate::tags::Tags;
use crate::world::*;
use insta::assert_snapshot;
use serde_json::json;

/// A snapshot of a volume so many days ago, in a set of its own that knows where it was mounted.
fn of(volume: &str, ago: i64, mount_point: &str, own: &[(&str, &str)]) -> Snapshot {
    let at = days_ago(ago);
    let mut made = snapshot(&format!("snap-{volume}-{ago}"), volume, &format!("daily/{volume}/{ago}"), at);
    let record = layout::Record {
        mount_point: mount_point.to_owned(),
        ..layout::Record::bare(volume.into(), "/dev/sdf")
    };
    made.tags.extend(layout::encode(&[record]));
    made.tags.extend(own.iter().copied());
    made
}

fn living(id: &str, made_days_ago: i64) -> Volume {
    Volume { created_at: days_ago(made_days_ago), ..volume(id, None) }
}

/// One line for each lineage.
fn told(lineages: &[Lineage]) -> String {
    let line = |lineage: &Lineage| {
        let volumes: Vec<&str> = lineage.volumes.iter().map(VolumeId::as_str).collect();
        format!("{lineage}: {}{}", volumes.join(" -> "), if lineage.live.is_some() { " (lives)" } else { "" })
    };
    lineages.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn found(changes: serde_json::Value, observed: &Observed) -> String {
    told(&lineages(&policy(changes), observed))
}

const DB: &[(&str, &str)] = &[("role", "db"), ("cluster", "a")];

#[test]
fn replacements_follow_each_other_and_replicas_stand_beside() {
    // Two replicas from day 30 on; vol-a fails on day 20 and vol-c takes its place, vol-b on day 10: vol-d.
    let mut observed = empty().with_volume(living("vol-c", 19)).with_volume(living("vol-d", 9));
    for (volume, days) in [("vol-a", 20..31), ("vol-b", 10..31), ("vol-c", 0..19), ("vol-d", 0..9)] {
        observed = observed.with_snapshots(days.map(|ago| of(volume, ago, "/srv/pg", DB)));
    }
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-a -> vol-c (lives)
    cluster=a role=db /srv/pg (2): vol-b -> vol-d (lives)
    ");
    // By another mount point another lineage, by another cluster too.
    observed = observed.with_snapshots([
        of("vol-e", 0, "/srv/wal", DB),
        of("vol-f", 0, "/srv/pg", &[("role", "db"), ("cluster", "b")]),
    ]);
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-a -> vol-c (lives)
    cluster=a role=db /srv/pg (2): vol-b -> vol-d (lives)
    cluster=a role=db /srv/wal: vol-e
    cluster=b role=db /srv/pg: vol-f
    ");
    // Other keys group the same snapshots otherwise, none leaves each volume to itself.
    assert_snapshot!(found(json!({"lineage": ["cluster"]}), &observed), @r"
    cluster=a /srv/pg: vol-a -> vol-c (lives)
    cluster=a /srv/pg (2): vol-b -> vol-d (lives)
    cluster=a /srv/wal: vol-e
    cluster=b /srv/pg: vol-f
    ");
    assert_snapshot!(found(json!({"lineage": []}), &observed), @r"
    vol-a: vol-a
    vol-b: vol-b
    vol-c: vol-c (lives)
    vol-d: vol-d (lives)
    vol-e: vol-e
    vol-f: vol-f
    ");
}

#[test]
fn a_volume_continues_what_ended_last_before_it_began() {
    let mut observed = empty();
    for (volume, days) in [("vol-a", 25..30), ("vol-b", 10..30), ("vol-c", 0..5)] {
        observed = observed.with_snapshots(days.map(|ago| of(volume, ago, "/srv/pg", DB)));
    }
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-a
    cluster=a role=db /srv/pg (2): vol-b -> vol-c
    ");
    // It lives since before the other ended: they are replicas, however young its snapshots.
    observed = observed.with_volume(living("vol-c", 12));
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-a -> vol-c (lives)
    cluster=a role=db /srv/pg (2): vol-b
    ");
}

#[test]
fn what_lived_beside_another_is_told_apart_when_both_are_gone_and_the_proof_is_deleted() {
    // vol-b was made long before vol-a ended; of its snapshots only those after that are left.
    let made = living("vol-b", 40);
    let mut observed = empty();
    observed = observed.with_snapshots((25..30).map(|ago| of("vol-a", ago, "/srv/pg", DB)));
    observed = observed.with_snapshots((0..5).map(|ago| of("vol-b", ago, "/srv/pg", DB)));
    assert_snapshot!(found(json!({}), &observed), @"cluster=a role=db /srv/pg: vol-a -> vol-b");
    for snapshot in observed.snapshots.iter_mut().filter(|snapshot| snapshot.volume == made.id) {
        snapshot.tags.extend(born::encode(&[&made]));
    }
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-b
    cluster=a role=db /srv/pg (2): vol-a
    ");
}

#[test]
fn lives_that_touch_overlap() {
    let observed = empty().with_snapshots([of("vol-a", 5, "/srv/pg", DB), of("vol-b", 5, "/srv/pg", DB)]);
    assert_snapshot!(found(json!({}), &observed), @r"
    cluster=a role=db /srv/pg: vol-a
    cluster=a role=db /srv/pg (2): vol-b
    ");
}

#[test]
fn the_volumes_own_tag_counts_before_its_instances() {
    let mut observed =
        empty().with_snapshots([of("vol-a", 9, "/srv", &[]), of("vol-b", 5, "/srv", &[("role", "web")])]);
    for snapshot in &mut observed.snapshots {
        snapshot.tags.insert(tags::instance_key("role"), "db");
    }
    assert_snapshot!(found(json!({}), &observed), @r"
    role=db /srv: vol-a
    role=web /srv: vol-b
    ");
}

#[test]
fn the_mount_point_is_inherited_from_the_newest_record_that_knows_one() {
    let days = [(3, ""), (4, "/srv/new"), (5, "/srv/old"), (6, "")];
    let observed = empty().with_snapshots(days.map(|(ago, mount)| of("vol-a", ago, mount, DB)));
    assert_snapshot!(found(json!({}), &observed), @"cluster=a role=db /srv/new: vol-a");
    // Where none is known, or no tag, the volume stands for itself.
    let observed = empty().with_snapshots([of("vol-a", 3, "", DB), of("vol-b", 3, "/srv", &[])]);
    assert_snapshot!(found(json!({}), &observed), @r"
    vol-a: vol-a
    vol-b: vol-b
    ");
}

#[test]
fn a_copy_is_of_the_volume_that_its_source_is_of() {
    let copies = (0..4).map(|ago| Snapshot {
        volume: "vol-ffffffff".into(),
        ..of(if ago < 2 { "vol-b" } else { "vol-a" }, ago, "/srv/pg", DB)
            .tagged(tags::SOURCE_VOLUME, if ago < 2 { "vol-b" } else { "vol-a" })
    });
    let observed = empty().with_snapshots(copies);
    assert_snapshot!(found(json!({}), &observed), @"cluster=a role=db /srv/pg: vol-a -> vol-b");
    // And its set is as complete as its manifest says, which names the sources' volumes.
    assert!(crate::restore_points("daily", &observed.snapshots).iter().all(RestorePoint::is_complete));
}

#[test]
fn what_was_copied_from_another_region_is_none_of_this_ones_policy() {
    let copy = of("vol-a", 3, "/srv", DB).tagged(tags::SOURCE_REGION, "eu-central-1");
    assert_eq!(lineages(&policy(json!({})), &empty().with_snapshots([copy])), []);
}

#[test]
fn a_copy_is_as_old_as_its_source() {
    let copy = of("vol-a", 0, "/srv", DB)
        .tagged(tags::SOURCE_VOLUME, "vol-a")
        .tagged(tags::SOURCE_STARTED, "2026-11-02T03:04:05.678Z");
    let instant = |copy: &Snapshot| crate::restore_points("daily", std::slice::from_ref(copy))[0].started_at;
    assert_eq!(instant(&copy), time("2026-11-02T03:04:05.678Z"));
    // What cannot be read tells nothing, and a tag of that name on no copy neither.
    let garbled = copy.clone().tagged(tags::SOURCE_STARTED, "yesterday");
    assert_eq!(instant(&garbled), copy.started_at);
    let mut no_copy = copy;
    no_copy.tags.remove(tags::SOURCE_VOLUME);
    assert_eq!(instant(&no_copy), no_copy.started_at);
}

#[test]
fn other_policies_and_foreign_snapshots_have_no_lineage_here() {
    let mut observed = empty().with_snapshots([of("vol-a", 3, "/srv", DB), of("vol-b", 3, "/srv", DB)]);
    observed.snapshots[0].tags.insert(tags::POLICY, "hourly");
    observed.snapshots[1].tags = Tags::new().into();
    assert_eq!(lineages(&policy(json!({})), &observed), []);
}

#[test]
fn a_volume_being_deleted_does_not_live() {
    let observed = empty()
        .with_volume(Volume { state: VolumeState::Deleting, ..living("vol-a", 9) })
        .with_snapshots([of("vol-a", 3, "/srv", DB).in_state(SnapshotState::Error)]);
    assert_eq!(lineages(&policy(json!({})), &observed)[0].live, None);
}
