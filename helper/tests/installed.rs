//! What `install` writes: units that systemd understands, and directories that only root can write to.
// A test ends at the first surprise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::have;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn install(root: &Path) -> serde_json::Value {
    let output = Command::new(env!("CARGO_BIN_EXE_stillframe-helper"))
        .args(["install", "--root"])
        .arg(root)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn what_is_installed_is_whole_and_installing_again_changes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let first = install(root.path());
    assert_eq!((first["written"].as_array().unwrap().len(), &first["enabled"]), (4, &false.into()));
    assert_eq!(install(root.path())["written"].as_array().unwrap().len(), 0);
    let hooks = root.path().join("etc/stillframe/hooks");
    assert_eq!(std::fs::read_dir(&hooks).unwrap().count(), 12);
    for folder in [hooks.join("pre-mount.d"), root.path().join("etc/stillframe/mounts.d")] {
        assert_eq!(std::fs::metadata(folder).unwrap().permissions().mode() & 0o022, 0);
    }
    let unit = root.path().join("etc/systemd/system/stillframe-mount.service");
    std::fs::write(&unit, "old").unwrap();
    assert_eq!(install(root.path())["written"][0], unit.to_str().unwrap(), "an older version's is replaced");
}

#[test]
fn systemd_understands_the_units() {
    if !have("systemd-analyze") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    install(root.path());
    let units = root.path().join("etc/systemd/system");
    for unit in ["stillframe-mount.service", "stillframe-mounts.target", "stillframe-thaw.service"] {
        // The units that ours name are looked for beside it.
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no"])
            .arg(units.join(unit))
            .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<&str> = said.lines().filter(|line| line.contains("stillframe")).collect();
        assert!(output.status.success() && ours.is_empty(), "{unit}: {said}");
    }
}
