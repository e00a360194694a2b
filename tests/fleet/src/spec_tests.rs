use super::*;

fn refusal(text: &str) -> String {
    Spec::read(text).unwrap_err().to_string()
}

#[test]
fn an_empty_spec_is_a_region_without_instances() {
    let spec = Spec::read("").unwrap();
    assert!(spec.disks);
    assert!(spec.instances.is_empty());
    assert_eq!(spec.function.timeout_s, 900);
}

#[test]
fn everything_but_the_ids_has_a_default() {
    let text = r#"
        [[instance]]
        id = "i-0aaaaaaaaaaaaaaa1"
        [[instance.volume]]
        id = "vol-0aaaaaaaaaaaaaa00"
        root = true
        [[instance.volume]]
        id = "vol-0aaaaaaaaaaaaaa01"
        [[instance.volume]]
        id = "vol-0aaaaaaaaaaaaaa02"
        fs = "none"
    "#;
    let spec = Spec::read(text).unwrap();
    let [instance] = spec.instances.as_slice() else { panic!("one instance") };
    assert_eq!((instance.agent, instance.state), (Agent::Online, PowerState::Running));
    let seen: Vec<_> = instance
        .volumes
        .iter()
        .map(|v| (v.device.as_str(), v.fs_type(), v.mount.as_deref(), v.size_mib))
        .collect();
    assert_eq!(
        seen,
        [
            ("/dev/xvda", FsType::None, None, 400),
            ("/dev/sdf", FsType::Ext4, Some("/mnt/vol-0aaaaaaaaaaaaaa01"), 400),
            ("/dev/sdg", FsType::None, None, 400),
        ]
    );
}

#[test]
fn a_device_that_a_later_volume_names_is_not_given_away() {
    let text = r#"
        [[instance]]
        id = "i-0aaaaaaaaaaaaaaa1"
        [[instance.volume]]
        id = "vol-0aaaaaaaaaaaaaa01"
        [[instance.volume]]
        id = "vol-0aaaaaaaaaaaaaa02"
        device = "/dev/sdf"
    "#;
    let spec = Spec::read(text).unwrap();
    assert_eq!(spec.instances[0].volumes[0].device, "/dev/sdg");
}

#[test]
fn what_is_wrong_is_named() {
    let volume = |rest: &str| {
        format!(
            "[[instance]]\nid = \"i-0aaaaaaaaaaaaaaa1\"\n[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa01\"\n{rest}"
        )
    };
    for (text, named) in [
        ("disk = true".to_owned(), "disk"),
        ("[[instance]]\ntags = {}".to_owned(), "id"),
        ("[[instance]]\nid = \"i-1\"".to_owned(), "i-1"),
        (volume("size_mib = \"big\""), "size_mib"),
        (volume("size_mib = 0"), "size_mib"),
        (volume("fs = \"zfs\""), "zfs"),
        (volume("mount = \"srv\""), "mount"),
        (volume("fs = \"none\"\nwriter = true"), "writer"),
        (volume("fs = \"none\"\nmount = \"/srv\""), "mount"),
        (volume("[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa01\""), "vol-0aaaaaaaaaaaaaa01"),
        (
            volume(
                "device = \"/dev/sdf\"\n[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa02\"\ndevice = \"/dev/sdf\"",
            ),
            "device",
        ),
        ("[latency_ms]\nCreateSnapshotz = 4".to_owned(), "CreateSnapshotz"),
        ("[function]\ntimeout_s = 0".to_owned(), "timeout_s"),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.contains(named), "{text}\ngave {refusal:?}, which does not name {named:?}");
    }
}

#[test]
fn the_shipped_specs_are_good() {
    let specs = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    for entry in std::fs::read_dir(specs).unwrap() {
        let path = entry.unwrap().path();
        Spec::load(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

#[test]
fn disks_are_as_fast_as_they_are_and_snapshots_have_bytes_unless_the_spec_says_otherwise() {
    let volume = |extra: &str| {
        let text = format!("[[volume]]\nid = \"vol-0aaaaaaaaaaaaaa01\"\n{extra}");
        let volume = Spec::read(&text).unwrap().detached.remove(0);
        (volume.limit_mb_s, volume.limit_iops, volume.writer_pause_us)
    };
    assert_eq!(volume(""), (0, 0, 2_000));
    assert_eq!(volume("limit_mb_s = 125\nlimit_iops = 3000\nwriter_pause_us = 9"), (125, 3_000, 9));
    assert!(Spec::read("").unwrap().copies);
    assert!(!Spec::read("copies = false").unwrap().copies);
}
