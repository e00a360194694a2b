//! A machine to mount on: a mount namespace with its own `/run`, `/etc` and by-id links, to which volumes
//! (image files on loop devices) are attached one by one, blank or with something on them.
//!
//! Nothing of it outlives a test: a loop device detaches by itself when the namespace and the test's own
//! descriptor are gone.

use super::within;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use stillframe_wire::{MountOutcome, MountReport, Mounted, VolumeId};

pub struct Machine {
    holder: Child,
    pub folder: tempfile::TempDir,
    held: Vec<File>,
    count: usize,
}

/// An attached volume.
#[derive(Debug, Clone)]
pub struct Disk {
    pub id: VolumeId,
    pub device: String,
    pub image: PathBuf,
}

pub const MIB: u64 = 1 << 20;

impl Machine {
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("stillframe-test-").tempdir().unwrap();
        // /etc is the machine's, with a layer of the test's own on it; / and /etc are root's.
        let setup = format!(
            "set -e\nmkdir -p /dev/disk\nmount -t tmpfs -o mode=755 none /run\nmount -t tmpfs none /dev/disk\n\
             mkdir /dev/disk/by-id /run/up /run/work\n\
             mount -t overlay -o lowerdir=/etc,upperdir=/run/up,workdir=/run/work none /etc\n\
             mount -t tmpfs -o mode=755 none '{}'\necho ready\nsleep 600 </dev/null >/dev/null 2>&1",
            Self::srv(folder.path()).display()
        );
        std::fs::create_dir(Self::srv(folder.path())).unwrap();
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &setup])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the machine did not start");
        Self { holder, folder, held: Vec::new(), count: 0 }
    }

    fn srv(folder: &Path) -> PathBuf {
        folder.join("srv")
    }

    /// A path for a mount point, as the machine sees it.
    pub fn at(&self, name: &str) -> String {
        Self::srv(self.folder.path()).join(name).to_str().unwrap().to_owned()
    }

    /// A path of the machine, as this process reaches it.
    pub fn path(&self, inside: impl AsRef<str>) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), inside.as_ref()))
    }

    /// A volume of that size with what `mkfs` (a command without the device) puts on it; an empty one makes
    /// it blank.
    pub fn volume(&mut self, mib: u64, mkfs: &[&str]) -> Disk {
        let image = self.folder.path().join(format!("{}.img", self.count));
        File::create(&image).unwrap().set_len(mib * MIB).unwrap();
        if let [program, arguments @ ..] = mkfs {
            let made = Command::new(program).args(arguments).arg(&image).output().unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        self.attach(image)
    }

    /// A volume with what is on another at this instant.
    pub fn copy_of(&mut self, other: &Disk) -> Disk {
        let image = self.folder.path().join(format!("{}.img", self.count));
        let copied =
            Command::new("cp").arg("--sparse=always").arg(&other.image).arg(&image).status().unwrap();
        assert!(copied.success());
        self.attach(image)
    }

    fn attach(&mut self, image: PathBuf) -> Disk {
        let disk = self.attach_unseen(image);
        self.link(&disk);
        disk
    }

    /// Attaches an image without a link: the volume has yet to appear.
    pub fn attach_unseen(&mut self, image: PathBuf) -> Disk {
        let id = VolumeId::new(format!("vol-0bbbbbbbbbbbbbb{:02}", self.count)).unwrap();
        self.count += 1;
        let output =
            self.command("losetup").args(["--find", "--show", "--partscan"]).arg(&image).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        self.held.push(File::open(&device).unwrap());
        // From now on it detaches with its last user.
        assert!(Command::new("losetup").args(["-d", &device]).status().unwrap().success());
        Disk { id, device, image }
    }

    pub fn link(&self, disk: &Disk) {
        let link = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}", disk.id.serial());
        let target = format!("../../{}", disk.device.trim_start_matches("/dev/"));
        std::os::unix::fs::symlink(target, self.path(link)).unwrap();
    }

    pub fn unlink(&self, disk: &Disk) {
        let link = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}", disk.id.serial());
        std::fs::remove_file(self.path(link)).unwrap();
    }

    /// Makes a volume larger.
    pub fn enlarge(&self, disk: &Disk, mib: u64) {
        File::options().write(true).open(&disk.image).unwrap().set_len(mib * MIB).unwrap();
        assert!(Command::new("losetup").args(["-c", &disk.device]).status().unwrap().success());
    }

    /// A command in the machine.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--").arg(program);
        command
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    pub fn helper(&self) -> Command {
        self.command(env!("CARGO_BIN_EXE_stillframe-helper"))
    }

    /// Runs the helper to its end: exit code, and the report.
    pub fn report(&self, arguments: &[&str]) -> (i32, MountReport) {
        let output = self.helper().args(arguments).output().unwrap();
        let report = MountReport::read(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), report)
    }

    /// Has the helper carry out an order, given on stdin.
    pub fn mount(&self, order: &str) -> (i32, MountReport) {
        let mut child =
            self.helper().args(["mount", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(order.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let report = MountReport::read(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), report)
    }

    /// The same for one mount: further fields, each with a comma before it. Its outcome.
    pub fn mount_one(&self, disk: &Disk, at: &str, fields: &str) -> MountOutcome {
        let spec = format!(r#"{{"volumes": ["{}"], "mount_point": "{at}"{fields}}}"#, disk.id);
        let (code, mut report) = self.mount(&format!(r#"{{"run": "r1", "mounts": [{spec}]}}"#));
        assert!(report.error.is_none(), "{report:?}");
        let outcome = report.mounts.pop().unwrap();
        assert_eq!(code == 0, outcome.outcome.is_well(), "{outcome:?}");
        outcome
    }

    /// The same, which must work.
    pub fn mounted(&self, disk: &Disk, at: &str, fields: &str) -> MountOutcome {
        let outcome = self.mount_one(disk, at, fields);
        assert_eq!(outcome.outcome, Mounted::Mounted, "{outcome:?}");
        outcome
    }

    /// What is mounted in the test's own part, from mountinfo: mount point and type.
    pub fn mounts(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(format!("/proc/{}/mountinfo", self.holder.id())).unwrap();
        let below = self.at("");
        text.lines()
            .filter_map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                let dash = fields.iter().position(|field| *field == "-")?;
                fields[4].starts_with(&below).then(|| (fields[4].to_owned(), fields[dash + 1].to_owned()))
            })
            .collect()
    }

    pub fn is_mounted(&self, at: &str) -> bool {
        self.mounts().iter().any(|(point, _)| point == at)
    }

    /// As after a reboot: no volume is mounted any more, and `/run` has nothing of the helper.
    pub fn reboot(&self) {
        for (at, fs_type) in self.mounts().into_iter().rev() {
            if fs_type != "tmpfs" {
                let umount = || self.run("umount", &[&at]).status.success();
                assert!(within(Duration::from_secs(5), umount), "{at}");
            }
        }
        let _ = std::fs::remove_dir_all(self.path("/run/stillframe"));
    }

    /// The names of all records.
    pub fn records(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path("/etc/stillframe/mounts.d")) else { return vec![] };
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect()
    }

    /// Writes a hook, of that mode.
    pub fn hook(&self, event: &str, name: &str, mode: u32, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.path(format!("/etc/stillframe/hooks/{event}.d"));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    }

    pub fn write(&self, at: &str, text: &str) {
        std::fs::write(self.path(at), text).unwrap();
    }

    pub fn read(&self, at: &str) -> Option<String> {
        std::fs::read_to_string(self.path(at)).ok()
    }

    pub fn uuid(&self, disk: &Disk) -> String {
        let output = self.run("blkid", &["-p", "-o", "value", "-s", "UUID", &disk.device]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// What lies in an image, as a number.
pub fn bytes_of(disk: &Disk) -> String {
    let output = Command::new("sha256sum").arg(&disk.image).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// `mkfs` for a file.
pub fn mkfs(fs: &str) -> Vec<&'static str> {
    match fs {
        "ext4" => vec!["mkfs.ext4", "-q", "-F"],
        "xfs" => vec!["mkfs.xfs", "-q", "-f"],
        "btrfs" => vec!["mkfs.btrfs", "-q", "-f"],
        _ => vec![],
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for child in super::instance::children(self.holder.id()) {
            super::instance::kill(child, rustix::process::Signal::KILL);
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
