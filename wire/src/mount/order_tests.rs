use super::*;
use proptest::prelude::*;

fn error(text: &str) -> String {
    MountOrder::read(text.as_bytes()).unwrap_err().to_string()
}

fn with(fields: &str) -> String {
    let text = format!(
        r#"{{"mounts": [{{"volumes": ["vol-0123456789abcdef0"], "mount_point": "/data"{fields}}}]}}"#
    );
    error(&text)
}

#[test]
fn a_short_order_has_every_default_and_survives_a_round_trip() {
    let text = r#"{"mounts": [{"volumes": ["vol-0123456789abcdef0"], "mount_point": "/data/", "new": 1}]}"#;
    let order = MountOrder::read(text.as_bytes()).unwrap();
    let spec =
        MountSpec::new(VolumeId::new("vol-0123456789abcdef0").unwrap(), MountPoint::new("/data").unwrap());
    assert_eq!(order, MountOrder { v: 1, run: None, hooks: true, mounts: vec![spec] });
    let again = serde_json::to_vec(&order).unwrap();
    assert_eq!(MountOrder::read(&again).unwrap(), order);
}

#[test]
fn what_is_not_the_default_survives_a_round_trip() {
    let text = r#"{"v": 1, "run": "r", "hooks": false, "mounts": [{"volumes": ["vol-0123456789abcdef0"],
        "devices": ["/dev/sdf"], "partition": 2, "mount_point": "/a", "file_system": "xfs",
        "mount_options": "noatime", "blank": true, "over_non_empty": true, "duplicate": "refuse",
        "check": false, "grow": false, "owner": "postgres", "group": "26", "mode": "0700", "record": false,
        "wait_s": 1, "timeout_s": 2}]}"#;
    let order = MountOrder::read(text.as_bytes()).unwrap();
    let spec = &order.mounts[0];
    assert_eq!(
        (spec.check, spec.grow, spec.record, spec.duplicate, spec.mode_bits()),
        (false, false, false, Duplicate::Refuse, Some(0o700))
    );
    assert_eq!(MountOrder::read(&serde_json::to_vec(&order).unwrap()).unwrap(), order);
}

#[test]
fn an_error_names_the_field_and_the_value() {
    let rows = [
        (with(r#", "file_system": "ntfs""#), ["mounts[0].file_system", "ntfs"]),
        (with(r#", "mode": "rwx""#), ["mounts[0].mode", "rwx"]),
        (with(r#", "mode": "08""#), ["mounts[0].mode", "08"]),
        (with(r#", "blank": true"#), ["mounts[0].file_system", "blank"]),
        (with(r#", "devices": ["sdf"]"#), ["mounts[0].devices", "sdf"]),
        (with(r#", "devices": ["/dev/../sd"]"#), ["mounts[0].devices", "/dev/../sd"]),
        (with(r#", "devices": ["/dev/sdf", "/dev/sdg"]"#), ["mounts[0].devices", "2 names for 1"]),
        (with(r#", "timeout_s": 0"#), ["mounts[0].timeout_s", "0"]),
        (with(r#", "wait_s": 301"#), ["mounts[0].wait_s", "301"]),
        (with(r#", "owner": """#), ["mounts[0].owner", "\"\""]),
        (with(r#", "partition": 0"#), ["mounts[0].partition", "0"]),
        (with(r#", "duplicate": "same""#), ["mounts[0].duplicate", "same"]),
        (error(r#"{"mounts": []}"#), ["mounts", "no mount"]),
        (error(r#"{"v": 2, "mounts": []}"#), ["field v", "2"]),
        (error(r#"{"mounts": [{"mount_point": "/a"}]}"#), ["mounts[0]", "volumes"]),
        (error(r#"{"mounts": [{"volumes": [], "mount_point": "/a"}]}"#), ["mounts[0].volumes", "no volume"]),
        (error(r#"{"mounts": [{"volumes": ["vol-1"], "mount_point": "/a"}]}"#), ["volumes[0]", "vol-1"]),
        (error("volumes: none"), ["mount order", "expected value"]),
        (
            error(
                r#"{"mounts": [{"volumes": ["vol-0123456789abcdef0"], "mount_point": "/a"},
                {"volumes": ["vol-0123456789abcdef1"], "mount_point": "/a/"}]}"#,
            ),
            ["mounts[1].mount_point", "/a"],
        ),
        (
            error(
                r#"{"mounts": [{"volumes": ["vol-0123456789abcdef0", "vol-0123456789abcdef0"], "mount_point": "/a"}]}"#,
            ),
            ["mounts[0].volumes", "twice"],
        ),
    ];
    for (error, parts) in rows {
        assert!(parts.iter().all(|part| error.contains(part)), "{error}: {parts:?}");
    }
}

#[test]
fn a_path_that_is_no_mount_point_is_refused() {
    for (path, why) in [
        ("data", "not absolute"),
        ("", "not absolute"),
        ("./data", "not absolute"),
        ("/", "root directory"),
        ("//", "empty part"),
        ("/a//b", "empty part"),
        ("/a/../b", ".."),
        ("/..", ".."),
        ("/a/./b", "has a ."),
        ("/a\nb", "control"),
    ] {
        let error = MountPoint::new(path).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(&format!("{path:?}")), "{path:?}: {error}");
    }
}

#[test]
fn a_mount_point_lies_below_another_by_whole_names() {
    let at = |path| MountPoint::new(path).unwrap();
    assert!(at("/a/b/c").is_below(&at("/a")) && !at("/ab").is_below(&at("/a")));
    assert!(!at("/a").is_below(&at("/a")) && !at("/a").is_below(&at("/a/b")));
}

proptest! {
    #[test]
    fn names_are_file_names_and_differ(a in "/[a-z./\\\\ -]{1,12}", b in "/[a-z./\\\\ -]{1,12}") {
        let (Ok(a), Ok(b)) = (MountPoint::new(a), MountPoint::new(b)) else { return Ok(()) };
        prop_assert!(!a.name().contains('/') && !a.name().starts_with('.') && !a.name().is_empty());
        prop_assert_eq!(a == b, a.name() == b.name());
        prop_assert_eq!(MountPoint::of_name(&a.name()), Some(a));
    }

    #[test]
    fn reading_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = MountOrder::read(&text);
    }
}
