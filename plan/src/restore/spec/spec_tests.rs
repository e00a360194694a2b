use super::*;
use serde_json::json;

fn read(document: Value) -> Spec {
    Spec::read(&document).unwrap()
}

#[test]
fn what_snaptastic_read_is_read() {
    let spec = read(json!({
        "role": "postgres", "cluster": "feed", "environment": "prod",
        "volumes": [
            {"device": "/dev/sdf1", "mount_point": "/var/lib/postgresql/9.1/main", "size": 200, "iops": 1600},
            {"device": "/dev/sdg", "mount_point": "/srv/log/", "file_system": "ext4", "mount_options": "noatime"},
        ],
    }));
    assert_eq!(spec.filter.len(), 3);
    assert_eq!(spec.filter["cluster"], "feed");
    let [main, log] = spec.volumes.as_slice() else { panic!("{spec:?}") };
    assert_eq!(
        (main.size_gib, main.shape.iops, main.device.as_ref().unwrap().is_binding()),
        (Some(200), Some(1600), false)
    );
    assert_eq!((log.mount_point.as_str(), log.size_gib, log.blank), ("/srv/log", None, None));
    assert_eq!(log.shape.mount_options.as_deref(), Some("noatime"));
    assert!(!spec.blank && !spec.mixed && spec.at.is_none() && spec.consistency == Consistency::Crash);
}

#[test]
fn what_has_come_to_it_is_read() {
    let spec = read(json!({
        "filter_tags": ["group"], "group": "a", "role": "not asked for", "policy": "daily",
        "from_instance": "i-1", "run": "daily/2026-11-22/a", "blank": true, "mixed": true,
        "at": "2026-11-22T02:00:00+01:00", "consistency": "filesystem", "tags": {"team": "search"},
        "type": "gp3", "throughput": 250, "kms_key": "alias/data", "initialization_rate": 200,
        "delete_on_termination": false, "unknown": [1],
        "volumes": [{"mount_point": "/srv/old", "from": "/srv/pg", "type": "io2", "iops": 5000, "blank": false}],
    }));
    assert_eq!(spec.filter, Tags::from([("group".to_owned(), "a".to_owned())]));
    assert_eq!(spec.at.unwrap().to_rfc3339(), "2026-11-22T01:00:00+00:00");
    let [volume] = spec.volumes.as_slice() else { panic!("{spec:?}") };
    let shape = volume.shape.or(&spec.shape);
    // Throughput is gp3's and does not come with another type.
    assert_eq!((shape.kind, shape.iops, shape.throughput), (Some(VolumeType::Io2), Some(5_000), None));
    assert_eq!((shape.kms_key.as_deref(), shape.delete_on_termination), (Some("alias/data"), Some(false)));
    assert_eq!((volume.mounted_in_set_at(), spec.may_be_blank(volume)), ("/srv/pg", false));
}

#[test]
fn an_error_names_the_field_and_its_value() {
    let volume = |fields: Value| {
        let mut volume = json!({"mount_point": "/srv/pg"});
        for (name, value) in fields.as_object().unwrap() {
            volume[name] = value.clone();
        }
        json!({"role": "db", "volumes": [volume]})
    };
    for (document, field, value) in [
        (json!({"role": 7}), "role", "7"),
        (json!({"blank": "yes"}), "blank", "\"yes\""),
        (json!({"at": "yesterday"}), "at", "\"yesterday\""),
        (json!({"consistency": "perfect"}), "consistency", "\"perfect\""),
        (json!({"filter_tags": ["volumes"]}), "filter_tags", "\"volumes\""),
        (json!({"filter_tags": ["a", "a"]}), "filter_tags", "\"a\""),
        (json!({"filter_tags": [""]}), "filter_tags", "\"\""),
        (json!({"type": "ssd"}), "type", "\"ssd\""),
        (json!({"initialization_rate": 50}), "initialization_rate", "50"),
        (json!({"tags": {"aws:x": "y"}}), "tags", "\"aws:x\""),
        (json!({"volumes": {}}), "volumes", "map"),
        (volume(json!({"mount_point": "srv/pg"})), "volumes[0].mount_point", "\"srv/pg\""),
        (volume(json!({"mount_point": "/srv/../etc"})), "volumes[0].mount_point", "\"/srv/../etc\""),
        (volume(json!({"mount_point": "/srv//pg"})), "volumes[0].mount_point", "\"/srv//pg\""),
        (volume(json!({"mount_point": "/"})), "volumes[0].mount_point", "\"/\""),
        (volume(json!({"mount_point": "/a\nb"})), "volumes[0].mount_point", "\\n"),
        (volume(json!({"from": "pg"})), "volumes[0].from", "\"pg\""),
        (volume(json!({"size": 0})), "volumes[0].size", "0"),
        (volume(json!({"size": "5"})), "volumes[0].size", "\"5\""),
        (volume(json!({"device": "/dev/sda1"})), "volumes[0].device", "\"/dev/sda1\""),
        (volume(json!({"file_system": "ntfs"})), "volumes[0].file_system", "\"ntfs\""),
        (volume(json!({"mount_options": "no atime"})), "volumes[0].mount_options", "\"no atime\""),
        (volume(json!({"type": "io1", "iops": 50})), "volumes[0].iops", "50"),
        (volume(json!({"type": "st1", "iops": 500})), "volumes[0].iops", "500"),
        (volume(json!({"throughput": 5000})), "volumes[0].throughput", "5000"),
    ] {
        let error = Spec::read(&document).expect_err(&document.to_string());
        let SpecError::Field { field: found, cause } = &error else { panic!("{document}: {error}") };
        assert!(found == field && cause.contains(value), "{document}: {error}");
    }
    let error = Spec::read(&json!({"volumes": [{"size": 5}]})).unwrap_err();
    assert!(error.to_string().contains("volumes[0]") && error.to_string().contains("mount_point"), "{error}");
    let error = Spec::read(&json!([1])).unwrap_err();
    assert_eq!(error.to_string(), "failed to read the restore spec: [1] is not a JSON object");
}

#[test]
fn one_place_and_one_name_for_one_volume() {
    for (a, b, field) in [
        (json!({"mount_point": "/a"}), json!({"mount_point": "/a/"}), "volumes[1].mount_point"),
        (
            json!({"mount_point": "/a", "device": "/dev/sdf"}),
            json!({"mount_point": "/b", "device": "/dev/xvdf"}),
            "volumes[1].device",
        ),
    ] {
        let error = Spec::read(&json!({"volumes": [a, b]})).unwrap_err();
        assert!(matches!(&error, SpecError::Field { field: found, .. } if found == field), "{error}");
    }
    // Numbered names of old are not kept, so they are in nobody's way.
    read(
        json!({"volumes": [{"mount_point": "/a", "device": "/dev/sdf1"}, {"mount_point": "/b", "device": "/dev/sdf2"}]}),
    );
}
