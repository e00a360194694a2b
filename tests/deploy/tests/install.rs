//! The installer, run. Helpers are scripts here, since no real one can be made to fail its doctor at will; archives
//! are packed by the script that packs the real ones.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use stack::infra;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A machine: its `/usr/bin`, its `/run/stillframe`, its units, and a folder of archives.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        for folder in ["bin", "units", "archives"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        Self { root }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// A helper whose doctor ends with this code, and that notes its thaws. The doctor insists on the lock being
    /// held by somebody, where `locked` says so.
    fn helper(&self, at: &Path, version: &str, doctor: i32) {
        let run = self.at("run");
        let script = format!(
            "#!/bin/sh\ncase $1 in\n--version) echo stillframe-helper {version} ;;\n\
             doctor) {{ [ ! -e {lock} ] || ! flock -n {lock} true || echo free >>{seen}; }}; exit {doctor} ;;\n\
             thaw) flock -n {lock} rm {lease} && echo {version} >>{thawed} ;;\nesac\n",
            lock = run.join("lock").display(),
            lease = run.join("lease.json").display(),
            seen = self.at("doctor-saw-no-lock").display(),
            thawed = self.at("thawed").display(),
        );
        fs::write(at, script).unwrap();
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Packs a helper; returns the digest of its archive.
    fn pack(&self, version: &str, doctor: i32) -> String {
        let helper = self.at("packed");
        self.helper(&helper, version, doctor);
        let packed = Command::new(infra().join("install/package.sh"))
            .args([version, &self.at("archives").display().to_string()])
            .arg(format!("{}={}", architecture(), helper.display()))
            .output()
            .unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let parameters = fs::read_to_string(self.at("archives/parameters")).unwrap();
        let digest = parameters.lines().find_map(|line| line.strip_prefix("HelperSha256")).unwrap();
        digest.split_once('=').unwrap().1.to_owned()
    }

    fn command(&self, version: &str, digest: &str) -> Command {
        let mut command = Command::new("sh");
        command
            .arg(infra().join("install/install.sh"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SSM_source", self.at("archives"))
            .env("SSM_version", version)
            .env("SSM_sha256Arm64", digest)
            .env("SSM_sha256X8664", digest)
            .env("STILLFRAME_BIN", self.at("bin"))
            .env("STILLFRAME_UNITS", self.at("units"))
            .env("STILLFRAME_RUN", self.at("run"))
            .env("STILLFRAME_PATIENCE", "0");
        command
    }

    fn install(&self, version: &str, digest: &str) -> (Option<i32>, String) {
        told(&self.command(version, digest).output().unwrap())
    }

    /// The installed helper's version; `None` where there is none.
    fn installed(&self) -> Option<String> {
        let out = Command::new(self.at("bin/stillframe-helper")).arg("--version").output().ok()?;
        Some(String::from_utf8(out.stdout).unwrap().trim().replace("stillframe-helper ", ""))
    }

    /// Nothing may be left beside the helper.
    fn assert_tidy(&self) {
        let names: Vec<_> =
            fs::read_dir(self.at("bin")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.iter().all(|name| name == "stillframe-helper"), "{names:?}");
        assert!(!self.at("doctor-saw-no-lock").exists(), "a doctor judged while a freeze could begin");
    }
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}

#[test]
fn a_first_helper_is_installed_with_its_units_and_again_changes_nothing() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    let (code, said) = machine.install("1.0.0", &digest);
    assert_eq!((code, machine.installed().as_deref()), (Some(0), Some("1.0.0")), "{said}");
    assert!(machine.at("units/stillframe-thaw.service").exists());
    let mode = fs::metadata(machine.at("bin/stillframe-helper")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    assert_eq!(fs::metadata(machine.at("run")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(machine.at("run/lock")).unwrap().permissions().mode() & 0o777, 0o600);
    // The source is not even looked at.
    fs::remove_dir_all(machine.at("archives")).unwrap();
    assert_eq!(machine.install("1.0.0", &digest).0, Some(0));
    machine.assert_tidy();
}

#[test]
fn what_does_not_have_the_digest_is_not_unpacked() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    assert_eq!(machine.install("1.0.0", &digest).0, Some(0));
    let digest = machine.pack("1.1.0", 0);
    let wrong = digest.replace(['a', '1'], "b");
    for (digest, says) in [(wrong.as_str(), "nothing was changed"), ("none", "no digest")] {
        let (code, said) = machine.install("1.1.0", digest);
        assert_eq!(code, Some(1));
        assert!(said.contains(says), "{said}");
    }
    let (code, said) = machine.install("1.2.0", &digest);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(machine.installed().as_deref(), Some("1.0.0"));
    machine.assert_tidy();
}

#[test]
fn an_archive_that_holds_another_version_or_a_link_is_refused() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    let name = |version: &str| {
        machine.at(&format!("archives/stillframe-helper-{version}-{}.tar.gz", architecture()))
    };
    fs::rename(name("1.0.0"), name("2.0.0")).unwrap();
    let (code, said) = machine.install("2.0.0", &digest);
    assert_eq!((code, machine.installed()), (Some(1), None), "{said}");
    assert!(said.contains("1.0.0 and not 2.0.0"), "{said}");

    std::os::unix::fs::symlink("/bin/true", machine.at("archives/stillframe-helper")).unwrap();
    let tar = Command::new("tar")
        .args(["-czf", &name("3.0.0").display().to_string(), "-C"])
        .arg(machine.at("archives"))
        .arg("stillframe-helper")
        .status()
        .unwrap();
    assert!(tar.success());
    let sum = Command::new("sha256sum").arg(name("3.0.0")).output().unwrap();
    let digest = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let (code, said) = machine.install("3.0.0", &digest);
    assert_eq!((code, machine.installed()), (Some(1), None), "{said}");
    assert!(said.contains("holds no stillframe-helper"), "{said}");
    machine.assert_tidy();
}

/// Former doctor, new doctor, exit code, version afterwards.
#[test]
fn the_doctor_decides_what_stays() {
    for (former, new, exit, stays) in [
        (None, 0, 0, Some("2.0.0")),
        (None, 11, 11, Some("2.0.0")),
        (None, 101, 1, None),
        (Some(0), 0, 0, Some("2.0.0")),
        (Some(0), 11, 2, Some("1.0.0")),
        (Some(0), 101, 2, Some("1.0.0")),
        (Some(11), 11, 11, Some("2.0.0")),
        (Some(11), 0, 0, Some("2.0.0")),
        (Some(11), 101, 2, Some("1.0.0")),
    ] {
        let machine = Machine::new();
        if let Some(former) = former {
            let digest = machine.pack("1.0.0", former);
            assert_eq!(machine.install("1.0.0", &digest).0, Some(former));
        }
        let digest = machine.pack("2.0.0", new);
        let (code, said) = machine.install("2.0.0", &digest);
        assert_eq!((code, machine.installed().as_deref()), (Some(exit), stays), "{former:?} {new}: {said}");
        machine.assert_tidy();
    }
}

#[test]
fn a_freeze_under_way_is_not_disturbed_and_an_upgrade_waits_for_its_end() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    assert_eq!(machine.install("1.0.0", &digest).0, Some(0));
    let digest = machine.pack("2.0.0", 0);
    let lock = fs::File::open(machine.at("run/lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();

    let (code, said) = machine.install("2.0.0", &digest);
    assert_eq!((code, machine.installed().as_deref()), (Some(1), Some("1.0.0")), "{said}");
    assert!(said.contains("under way"), "{said}");

    // With patience it goes on when the freeze has ended, and not before.
    let mut patient = machine.command("2.0.0", &digest).env("STILLFRAME_PATIENCE", "60").spawn().unwrap();
    assert!(patient.try_wait().unwrap().is_none());
    assert_eq!(machine.installed().as_deref(), Some("1.0.0"));
    drop(lock);
    assert!(patient.wait().unwrap().success());
    assert_eq!(machine.installed().as_deref(), Some("2.0.0"));
    machine.assert_tidy();
}

#[test]
fn what_a_dead_freeze_left_is_thawed_by_the_helper_that_froze() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    assert_eq!(machine.install("1.0.0", &digest).0, Some(0));
    fs::write(machine.at("run/lease.json"), "{}").unwrap();
    let digest = machine.pack("2.0.0", 0);
    let (code, said) = machine.install("2.0.0", &digest);
    assert_eq!((code, machine.installed().as_deref()), (Some(0), Some("2.0.0")), "{said}");
    assert_eq!(fs::read_to_string(machine.at("thawed")).unwrap(), "1.0.0\n");
    machine.assert_tidy();
}

#[test]
fn without_what_an_old_agent_does_not_pass_nothing_happens() {
    let machine = Machine::new();
    let digest = machine.pack("1.0.0", 0);
    for variable in ["SSM_source", "SSM_version"] {
        let (code, said) = told(&machine.command("1.0.0", &digest).env_remove(variable).output().unwrap());
        assert_ne!(code, Some(0));
        assert!(said.contains(variable), "{said}");
    }
    for source in ["http://example.org/x", "ftp://x", "relative"] {
        let (code, said) =
            told(&machine.command("1.0.0", &digest).env("SSM_source", source).output().unwrap());
        assert_eq!((code, machine.installed()), (Some(1), None), "{said}");
    }
    machine.assert_tidy();
}

#[test]
fn a_package_says_the_digests_of_what_it_holds_and_is_the_same_every_time() {
    let machine = Machine::new();
    let first = machine.pack("1.0.0", 0);
    let sums = fs::read_to_string(machine.at("archives/SHA256SUMS")).unwrap();
    assert_eq!(machine.pack("1.0.0", 0), first);
    assert_eq!(fs::read_to_string(machine.at("archives/SHA256SUMS")).unwrap(), sums);
    let check = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(machine.at("archives"))
        .status()
        .unwrap();
    assert!(check.success());

    let manifest = fs::read_to_string(machine.at("archives/distributor/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let file = manifest["packages"]["_any"]["_any"][architecture()]["file"].as_str().unwrap();
    let digest = manifest["files"][file]["checksums"]["sha256"].as_str().unwrap();
    assert!(sums.contains(&format!("{digest}  distributor/{file}")));

    // As Distributor runs it: unpacked somewhere, by its install.sh.
    let unpacked = machine.at("unpacked");
    let unzip = Command::new("unzip")
        .arg("-q")
        .arg(machine.at("archives/distributor").join(file))
        .arg("-d")
        .arg(&unpacked)
        .status()
        .unwrap();
    assert!(unzip.success());
    let install = machine.command("", "");
    let install = told(
        &Command::new("sh")
            .arg("install.sh")
            .current_dir(&unpacked)
            .env_clear()
            .envs(install.get_envs().filter_map(|(key, value)| {
                key.to_str().filter(|key| !key.starts_with("SSM_")).and(value).map(|value| (key, value))
            }))
            .output()
            .unwrap(),
    );
    assert_eq!((install.0, machine.installed().as_deref()), (Some(0), Some("1.0.0")), "{}", install.1);
}
