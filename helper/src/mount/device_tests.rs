use super::*;
use std::os::unix::fs::symlink;

/// A sysfs of devices: `name`, and where below `sys/devices` it lies.
fn machine(devices: &[(&str, &str)], files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    std::fs::create_dir_all(at("sys/class/block")).unwrap();
    std::fs::create_dir_all(at("sys/block")).unwrap();
    for (name, path) in devices {
        std::fs::create_dir_all(at(&format!("sys/devices/{path}"))).unwrap();
        symlink(format!("../../devices/{path}"), at(&format!("sys/class/block/{name}"))).unwrap();
        if name == path {
            symlink(format!("../devices/{path}"), at(&format!("sys/block/{name}"))).unwrap();
        }
    }
    for (path, text) in files {
        let path = at(&format!("sys/devices/{path}"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn ends(root: &Path, name: &str) -> Vec<String> {
    let mut ends = Vec::new();
    ends_of(&Sysfs::new(root), name, 0, &mut ends);
    ends
}

#[test]
fn the_way_up_goes_over_partitions_and_what_was_assembled_from_them() {
    let root = machine(
        &[("d", "d"), ("d1", "d/d1"), ("d2", "d/d2"), ("dm-0", "dm-0"), ("dm-1", "dm-1"), ("e", "e")],
        &[
            ("d/d1/partition", "1"),
            ("d/d2/partition", "2"),
            ("d/d2/holders/dm-1", ""),
            // A hidden part of the logical volume dm-0.
            ("dm-1/dm/uuid", "LVM-aaaabbbb-real"),
            ("dm-1/holders/dm-0", ""),
            ("dm-0/dm/uuid", "LVM-aaaacccc"),
        ],
    );
    assert_eq!(ends(root.path(), "d"), ["d1", "dm-0"]);
    assert_eq!(ends(root.path(), "d2"), ["dm-0"]);
    assert_eq!(ends(root.path(), "e"), ["e"]);
}

#[test]
fn what_holds_itself_ends() {
    let root = machine(&[("d", "d")], &[("d/holders/d", "")]);
    assert_eq!(ends(root.path(), "d"), ["d"]);
}

#[test]
fn a_xen_name_is_taken_only_for_a_disk_without_a_serial_number() {
    let root =
        machine(&[("xvdf", "xvdf"), ("xvdg", "xvdg")], &[("xvdg/device/serial", "vol0123456789abcdef0")]);
    let sysfs = Sysfs::new(root.path());
    assert_eq!(xen(&sysfs, "/dev/sdf").as_deref(), Some("xvdf"));
    assert_eq!(xen(&sysfs, "/dev/xvdf").as_deref(), Some("xvdf"));
    for name in ["/dev/sdg", "/dev/sdh", "sdf", "/dev/nvme1n1"] {
        assert_eq!(xen(&sysfs, name), None, "{name}");
    }
}
