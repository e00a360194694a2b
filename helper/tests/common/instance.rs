//! An instance: a mount namespace in which volumes (image files on loop devices) are mounted, with its
//! own `/run` and its own links in `/dev/disk/by-id`.
//!
//! Nothing of it outlives a test: the loop devices detach by themselves with the namespace, and the
//! test keeps a handle on every file system, through which it thaws it first.

use super::function::SignalFunction;
use super::within;
use rustix::fd::AsFd;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use stillframe_helper::sys;
use stillframe_wire::{AUDIENCE, InstanceId, OrderedVolume, Report, RunId, SigningKey, VolumeId, WorkOrder};

pub const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";

/// One volume of an instance: its file system's type and where it is mounted, below the instance's
/// own folder.
#[derive(Debug, Clone)]
pub struct Volume {
    pub id: VolumeId,
    pub fs: &'static str,
    pub mount: String,
}

pub struct Instance {
    holder: Child,
    folder: tempfile::TempDir,
    pub volumes: Vec<Volume>,
    handles: Vec<File>,
    probes: std::sync::Mutex<Vec<Child>>,
}

/// The helper, running.
pub struct Helper {
    pub child: Child,
}

impl Instance {
    /// An instance with one volume for each `(type, folder name)`; type `none` is a blank volume.
    pub fn start(filesystems: &[(&'static str, &str)]) -> Self {
        Self::start_with(filesystems, "")
    }

    /// The same, with shell commands to run in the namespace, in the instance's folder, at the end.
    pub fn start_with(filesystems: &[(&'static str, &str)], more: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("stillframe-test-").tempdir().unwrap();
        let mut setup = String::from(
            "set -e\nmkdir -p /dev/disk\nmount -t tmpfs none /run\nmount -t tmpfs none /dev/disk\nmkdir /dev/disk/by-id\n\
             link() { ln -s \"../../${2#/dev/}\" \"/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_$1\"; }\n",
        );
        let mut volumes = Vec::new();
        // Each blank volume's loop device is held by a descriptor of the namespace's shell: 9, 8, ...
        let mut holder_fd = 9;
        for (n, (fs, name)) in filesystems.iter().enumerate() {
            let id = VolumeId::new(format!("vol-0aaaaaaaaaaaaaa{n:02}")).unwrap();
            let image = folder.path().join(format!("{n}.img"));
            let size = if matches!(*fs, "ext4" | "btrfs") { 200 } else { 320 };
            File::create(&image).unwrap().set_len(size << 20).unwrap();
            let mkfs: &[&str] = match *fs {
                "ext4" => &["mkfs.ext4", "-q", "-F"],
                "xfs" => &["mkfs.xfs", "-q", "-f"],
                "btrfs" => &["mkfs.btrfs", "-q", "-f"],
                _ => &["true"],
            };
            let made = Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image).output().unwrap();
            assert!(made.status.success(), "{made:?}");
            let mount = folder.path().join(name).to_str().unwrap().to_owned();
            let serial = id.serial();
            let image = image.to_str().unwrap();
            // The loop device detaches by itself when its last user is gone.
            if *fs == "none" {
                setup += &format!(
                    "d=$(losetup -f --show '{image}'); link {serial} $d; exec {holder_fd}<$d; losetup -d $d\n"
                );
                holder_fd -= 1;
            } else {
                setup += &format!(
                    "mkdir -p '{mount}'; mount -o loop '{image}' '{mount}'\n\
                     d=$(losetup -j '{image}' -O NAME -n); link {serial} $d\n"
                );
            }
            volumes.push(Volume { id, fs, mount });
        }
        setup += &format!("cd '{}'\n{more}\n", folder.path().display());
        // Should the test be killed: after two minutes all is thawed and gone.
        let thaw: String =
            volumes.iter().map(|v| format!("fsfreeze -u '{}' 2>/dev/null || true; ", v.mount)).collect();
        setup += &format!("cd /\necho ready\nsleep 120 </dev/null >/dev/null 2>&1\n{thaw}");
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &setup])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the instance did not start");
        let mut instance =
            Self { holder, folder, volumes, handles: Vec::new(), probes: std::sync::Mutex::default() };
        instance.handles =
            instance.mounts().map(|volume| File::open(instance.path(&volume.mount)).unwrap()).collect();
        instance
    }

    pub fn mounts(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.iter().filter(|volume| volume.fs != "none")
    }

    /// A path of the instance, as this process reaches it.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.holder.id()))
    }

    /// Has a file system that the test itself mounted in the instance's folder thawed at the end, too.
    pub fn keep(&mut self, name: &str) {
        self.handles.push(File::open(self.path(&self.inside(name))).unwrap());
    }

    /// A path in the instance's own folder, as the instance sees it.
    pub fn inside(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn order(&self) -> WorkOrder {
        WorkOrder {
            v: 1,
            aud: AUDIENCE.to_owned(),
            instance: InstanceId::new(INSTANCE).unwrap(),
            expires: 4_000_000_000,
            run: RunId::new("daily/2026-11-22/k3v9x2").unwrap(),
            policy: "daily".to_owned(),
            slot: "2026-11-22".to_owned(),
            description: Default::default(),
            volumes: self
                .volumes
                .iter()
                .map(|volume| OrderedVolume { id: volume.id.clone(), device: "/dev/sdf".to_owned() })
                .collect(),
            exclude_volumes: vec![],
            exclude_boot: true,
            tags: Default::default(),
            copy_volume_tags: true,
            layout_tags: 4,
            max_freeze_ms: 2_000,
            hooks: true,
            freeze_root: false,
            expedite_rcu: false,
            rehearse: false,
            signal_function: "signal".to_owned(),
        }
    }

    /// A command in the instance.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("--").arg(program);
        command
    }

    /// Starts `stillframe-helper freeze`.
    pub fn freeze(&self, order: &WorkOrder, function: &SignalFunction) -> Helper {
        self.freeze_token(&token(order), function)
    }

    pub fn freeze_token(&self, token: &str, function: &SignalFunction) -> Helper {
        self.start_freeze(self.command(env!("CARGO_BIN_EXE_stillframe-helper")), token, &function.url())
    }

    /// Starts the freeze with `command`, which is the helper or something that starts it.
    pub fn start_freeze(&self, command: Command, token: &str, url: &str) -> Helper {
        self.start_with_arguments(command, &[], token, url)
    }

    /// The same with further arguments to `freeze`.
    pub fn start_with_arguments(
        &self,
        mut command: Command,
        more: &[&str],
        token: &str,
        url: &str,
    ) -> Helper {
        command.stdout(Stdio::piped());
        Helper { child: self.freeze_command(&mut command, more, token, url).spawn().unwrap() }
    }

    /// What starts the freeze, but for where its report goes.
    pub fn freeze_command<'c>(
        &self,
        command: &'c mut Command,
        more: &[&str],
        token: &str,
        url: &str,
    ) -> &'c mut Command {
        command
            .arg("freeze")
            .args(more)
            .env("SSM_order", token)
            .env("AWS_SSM_INSTANCE_ID", INSTANCE)
            .env("AWS_REGION", "eu-north-1")
            .env("AWS_ACCESS_KEY_ID", "AKIDTEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_ENDPOINT_URL_LAMBDA", url)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
    }

    /// Runs `stillframe-helper` with these arguments to its end.
    pub fn helper(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_stillframe-helper")).args(arguments).output().unwrap()
    }

    /// How long a write to the volume takes: one byte by a process of its own, which hangs if the file
    /// system is frozen. Nothing when it takes longer than `limit`.
    pub fn write_takes(&self, volume: usize, limit: Duration) -> Option<Duration> {
        self.write_takes_at(&self.volumes[volume].mount, limit)
    }

    /// The same for a directory of the instance.
    pub fn write_takes_at(&self, inside: &str, limit: Duration) -> Option<Duration> {
        let file = self.path(inside).join("probe");
        let began = Instant::now();
        let mut child = Command::new("sh")
            .args(["-c", "echo x >> \"$0\"", file.to_str().unwrap()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let done = within(limit, || child.try_wait().unwrap().is_some());
        let took = began.elapsed();
        if !done {
            let _ = child.kill();
            self.probes.lock().unwrap().push(child);
        }
        done.then_some(took)
    }

    /// Whether a write hangs.
    pub fn is_frozen(&self, volume: usize) -> bool {
        self.write_takes(volume, Duration::from_millis(150)).is_none()
    }

    /// Whether a write gets through, with patience for a loaded machine.
    pub fn is_free(&self, volume: usize) -> bool {
        self.write_takes(volume, Duration::from_secs(2)).is_some()
    }

    pub fn anything_frozen(&self) -> bool {
        (0..self.volumes.len()).any(|n| self.volumes[n].fs != "none" && !self.is_free(n))
    }

    /// Freezes or thaws a volume as another program would.
    pub fn fsfreeze(&self, option: &str, volume: usize) -> bool {
        self.command("fsfreeze")
            .args([option, &self.volumes[volume].mount])
            .output()
            .unwrap()
            .status
            .success()
    }

    /// Whether a report's error names where the volume is mounted.
    pub fn error_names(&self, report: &Report, volume: usize) -> bool {
        report.error.as_ref().is_some_and(|error| error.contains(&self.volumes[volume].mount))
    }

    /// The pid of the running guardian.
    pub fn guardian(&self, helper: &Helper) -> Option<u32> {
        children(helper.child.id()).into_iter().find(|pid| name(*pid).as_deref() == Some("sf:guardian"))
    }

    /// Whether the instance has a lease file.
    pub fn has_lease(&self) -> bool {
        self.path("/run/stillframe/lease.json").exists()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        for handle in &self.handles {
            while sys::thaw(handle.as_fd()).is_ok() {}
        }
        for child in self.probes.lock().unwrap().iter_mut() {
            let _ = child.wait();
        }
        self.handles.clear();
        // The namespace's shell, and the sleep that it waits for.
        for child in children(self.holder.id()) {
            kill(child, rustix::process::Signal::KILL);
        }
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Helper {
    /// Waits for the end: the exit code and the report.
    pub fn finish(mut self) -> (i32, Report) {
        let mut text = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        let status = self.child.wait().unwrap();
        let report = Report::read(&text).unwrap_or_else(|error| panic!("{error}: {text:?}, {status}"));
        (status.code().unwrap(), report)
    }

    /// Waits until the helper shows that phase.
    pub fn reach(&self, phase: &str) -> bool {
        within(Duration::from_secs(10), || name(self.child.id()).as_deref() == Some(phase))
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        kill(self.child.id(), signal);
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The order, signed.
pub fn token(order: &WorkOrder) -> String {
    order.sign(&SigningKey::new(vec![7; 32]).unwrap()).unwrap()
}

pub fn kill(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

pub fn name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

pub fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return vec![] };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}
