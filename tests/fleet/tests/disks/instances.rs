use crate::support::{DB, Region, VOLUMES, possible, spec, wait_until};
use fleet::machine::{MachineError, Machines, ScriptEnd, Stop};
use fleet::verify::Journal;
use std::path::Path;

#[test]
fn volumes_are_mounted_inside_and_nowhere_else() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let state = region.disks.state().unwrap();
    assert_eq!(state.len(), 1);
    let mounted: Vec<_> = state[0]
        .mounts
        .iter()
        .map(|mount| (mount.fs.as_str(), mount.volume.as_str(), mount.mount_point.as_str()))
        .collect();
    let mut expected = VOLUMES.to_vec();
    expected.sort_by_key(|(_, _, at)| at.matches('/').count());
    assert_eq!(mounted, expected);
    assert!(!Path::new("/srv/pg data").exists(), "the mount point shows on the host");
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!host.contains("/srv/pg"), "{host}");
    region.end();
}

#[test]
fn an_instance_has_a_tree_of_its_own() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec(""));
    let result = region.run(
        "set -e\n\
         touch /etc/touched /run/touched /srv/touched /tmp/touched /var/touched\n\
         if touch /usr/touched 2>/dev/null; then exit 9; fi\n\
         readlink /dev/disk/by-id/*vol0aaaaaaaaaaaaaa01\n\
         stat -L -c %F /dev/sdf\n\
         [ \"$(stat -L -c %t:%T /dev/sdf)\" = \"$(stat -L -c %t:%T /dev/disk/by-id/*vol0aaaaaaaaaaaaaa01)\" ]\n\
         grep -c 'images' /proc/self/mountinfo || true\n",
    );
    assert_eq!(result.end, ScriptEnd::Exited(0), "{}", result.stderr);
    let lines: Vec<_> = result.stdout.lines().collect();
    assert!(lines[0].starts_with("../../loop"), "{lines:?}");
    assert_eq!(lines[1..], ["block special file", "0"], "the vault shows inside");
    for dir in ["etc", "run", "srv", "tmp", "var"] {
        assert!(!Path::new("/").join(dir).join("touched").exists(), "/{dir} is the host's");
    }
    region.end();
}

#[test]
fn a_boot_volume_is_the_root() {
    if !possible() {
        return;
    }
    let mut spec = spec("");
    spec.instances[0].volumes[0].mount = Some("/".to_owned());
    spec.instances[0].volumes[0].root = true;
    let region = Region::new(&spec);
    let result = region.run("findmnt -no FSTYPE / && touch /marker && sync");
    assert_eq!((result.end, result.stdout.trim()), (ScriptEnd::Exited(0), "ext4"));
    region.disks.stop(DB, Stop::Clean).unwrap();
    region.disks.start(DB).unwrap();
    assert_eq!(region.run("[ -e /marker ]").end, ScriptEnd::Exited(0), "the root is another one now");
    region.end();
}

#[test]
fn a_clean_stop_leaves_clean_journals_and_a_start_brings_everything_back() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    let volumes = VOLUMES.map(|(_, id, _)| id);
    region.wait_for_records(&volumes, 20);
    region.disks.stop(DB, Stop::Clean).unwrap();
    assert_eq!(region.disks.state().unwrap()[0].mounts, []);
    assert!(matches!(region.disks.run(DB, &script("true")), Err(MachineError::Stopped(id)) if id == DB));
    for found in region.cut_and_verify(&volumes, 1) {
        assert!(found.is_consistent(), "{found:?}");
        assert!(found.records.unwrap().acknowledged >= 20);
    }
    region.disks.start(DB).unwrap();
    assert_eq!(region.disks.state().unwrap()[0].mounts.len(), 3);
    region.wait_for_records(&volumes, 20);
    region.end();
}

#[test]
fn after_a_power_cut_journals_are_dirty_and_what_was_synced_is_there() {
    if !possible() {
        return;
    }
    let region = Region::new(&spec("writer = true"));
    let volumes = VOLUMES.map(|(_, id, _)| id);
    region.wait_for_records(&volumes, 20);
    region.disks.stop(DB, Stop::Forced).unwrap();
    let found = region.cut_and_verify(&volumes[..2], 1);
    for one in &found {
        assert_eq!(one.journal, Journal::Dirty, "{one:?}");
        assert!(one.records.as_ref().unwrap().present >= 20, "{one:?}");
    }
    region.disks.start(DB).unwrap();
    wait_until("the mounts", || region.disks.state().unwrap()[0].mounts.len() == 3);
    region.end();
}

fn script(line: &str) -> fleet::machine::ShellScript {
    fleet::machine::ShellScript {
        commands: vec![line.to_owned()],
        env: vec![],
        timeout: std::time::Duration::from_secs(10),
    }
}
