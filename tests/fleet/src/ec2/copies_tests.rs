use super::*;
use crate::ec2::snapshots;
use crate::spec::Spec;
use chrono::TimeDelta;

const SPEC: &str = r#"
disks = false
snapshot_completes_after_ms = 0
copy_completes_after_ms = 60000
[[volume]]
id = "vol-0aaaaaaaaaaaaaa01"
"#;

fn query(fields: &[(&str, &str)]) -> Query {
    Query::new(fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
}

/// Two regions, and a complete snapshot in the first.
fn regions(now: DateTime<Utc>) -> (Inventory, Inventory, String) {
    let spec = Spec::read(SPEC).unwrap();
    let mut home = Inventory::new(&spec, now);
    let request = snapshots::Request::of_volume(query(&[("VolumeId", "vol-0aaaaaaaaaaaaaa01")])).unwrap();
    let reservation = home.reserve(&request, now).unwrap();
    let made = home.record(reservation, now).remove(0).id;
    let other = Spec { detached: vec![], ..spec };
    (home, Inventory::new(&other, now), made)
}

fn asked(source: &str, more: &[(&str, &str)]) -> Result<Request, ApiError> {
    let mut fields = vec![("SourceRegion", "eu-central-1"), ("SourceSnapshotId", source)];
    fields.extend(more);
    Request::read(query(&fields))
}

#[test]
fn a_copy_has_the_tags_of_the_call_and_an_arbitrary_volume() {
    let now = crate::clock::system_now();
    let (home, mut other, source) = regions(now);
    let tags = [
        ("TagSpecification.1.ResourceType", "snapshot"),
        ("TagSpecification.1.Tag.1.Key", "a"),
        ("TagSpecification.1.Tag.1.Value", "b"),
    ];
    let request = asked(&source, &tags).unwrap();
    let reservation = reserve(&request, &home, Some(&other), "eu-west-1", now).unwrap();
    let id = reservation.id.clone();
    other.record_copy(request, reservation, now);
    let copy = &other.snapshots[&id];
    assert_eq!((copy.volume.as_str(), copy.tags["a"].as_str()), ("vol-ffffffff", "b"));
    assert_eq!(copy.state(now), SnapshotState::Pending);
    assert_eq!(copy.state(now + TimeDelta::minutes(1)), SnapshotState::Completed);
    assert_eq!(home.snapshots.len(), 1);
}

#[test]
fn what_ec2_refuses_is_refused() {
    let now = crate::clock::system_now();
    let (mut home, mut other, source) = regions(now);
    let code = |home: &Inventory, other: &Inventory, source: &str| {
        let request = asked(source, &[]).unwrap();
        reserve(&request, home, Some(other), "eu-west-1", now).map(drop).map_err(|error| error.code)
    };
    assert_eq!(code(&home, &other, "snap-00000000000000000"), Err("InvalidSnapshot.NotFound"));
    assert_eq!(code(&home, &other, "snapshot"), Err("InvalidSnapshotID.Malformed"));
    for n in 0..MOST_IN_FLIGHT {
        assert_eq!(code(&home, &other, &source), Ok(()), "{n}");
        let request = asked(&source, &[]).unwrap();
        let reservation = reserve(&request, &home, Some(&other), "eu-west-1", now).unwrap();
        other.record_copy(request, reservation, now);
    }
    assert_eq!(code(&home, &other, &source), Err("ResourceLimitExceeded"));
    home.snapshots.get_mut(&source).unwrap().forced = Some(SnapshotState::Pending);
    assert_eq!(code(&home, &other, &source), Err("IncorrectState"));
    let without = asked(&source, &[("KmsKeyId", "alias/x")]).unwrap_err();
    assert_eq!(without.code, "InvalidParameterDependency");
}

#[test]
fn a_url_that_is_not_the_sources_fails_the_copy_later() {
    let now = crate::clock::system_now();
    let (home, mut other, source) = regions(now);
    let good = format!(
        "http://x/?Action=CopySnapshot&SourceRegion=eu-central-1&SourceSnapshotId={source}&\
         DestinationRegion=eu-west-1&X-Amz-Credential=A%2F2%2Feu-central-1%2Fec2%2Faws4_request&X-Amz-Signature=0"
    );
    for (url, state) in [
        (good.clone(), SnapshotState::Pending),
        (good.replace("eu-west-1", "us-east-1"), SnapshotState::Error),
        (good.replace("eu-central-1%2F", "eu-west-1%2F"), SnapshotState::Error),
    ] {
        let request = asked(&source, &[("PresignedUrl", &url)]).unwrap();
        let reservation = reserve(&request, &home, Some(&other), "eu-west-1", now).unwrap();
        let id = reservation.id.clone();
        other.record_copy(request, reservation, now);
        assert_eq!(other.snapshots[&id].state(now), state, "{url}");
    }
}
