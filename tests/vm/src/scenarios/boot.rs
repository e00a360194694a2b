//! Real boots with systemd as process 1: an installed helper mounts what is recorded, in order of nesting,
//! before a database starts; a hot-plugged disk is waited for and mounted; a missing volume and a broken
//! file system hold up nothing but what lies in them or waits for all of them.

use crate::lab::{Workshop, volume};
use crate::shown::Shown;
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use stillframe_wire::{Exit, MountReport, Mounted};
use vm::disk::Disk;
use vm::guest::Guest;

/// How long the records have a volume waited for that is not there.
const WAIT_S: u64 = 25;
/// Jobs of a boot on emulated processors.
const PATIENCE: Duration = Duration::from_secs(300);

/// One file system of the guest.
struct Place {
    at: &'static str,
    fs: &'static str,
    mib: u64,
}

/// What is mounted, by number of the volume. The second lies in the first, the sixth in the fifth.
const PLACES: [Place; 7] = [
    Place { at: "/data", fs: "ext4", mib: 48 },
    Place { at: "/data/wal", fs: "xfs", mib: 320 },
    Place { at: "/srv/media", fs: "btrfs", mib: 128 },
    Place { at: "/srv/gone", fs: "ext4", mib: 32 },
    Place { at: "/srv/broken", fs: "ext4", mib: 32 },
    Place { at: "/srv/broken/inner", fs: "ext4", mib: 32 },
    Place { at: "/srv/late", fs: "ext4", mib: 32 },
];
const GONE: usize = 3;
const BROKEN: usize = 4;
const LATE: usize = 6;

/// A database as `docs/operating.md` has it: it needs everything that is recorded.
const DATABASE: &str = "[Unit]
Requires=stillframe-mounts.target
After=stillframe-mounts.target
RequiresMountsFor=/data/wal
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/cp /data/wal/marker /run/database-found
ExecStop=/bin/sh -c 'grep -q \" /data/wal \" /proc/mounts && echo stopped >/data/wal/stopped'
[Install]
WantedBy=multi-user.target
";
/// One that needs its own volume only.
const CAREFUL: &str = "[Unit]
Wants=stillframe-mounts.target
After=stillframe-mounts.target
AssertPathIsMountPoint=/data/wal
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
";
/// A service that knows nothing of all this.
const ORDINARY: &str = "[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
[Install]
WantedBy=multi-user.target
";

pub(crate) fn run(workshop: &Workshop, shown: &mut Shown) -> anyhow::Result<()> {
    let folder = workshop.folder("recorded")?;
    let disks: Vec<Disk> = PLACES
        .iter()
        .enumerate()
        .map(|(n, place)| Ok(Disk::blank(&folder, volume('d', n)?, place.mib)?))
        .collect::<anyhow::Result<_>>()?;
    let root = install(workshop, shown, &disks)?;
    let root = healthy(workshop, shown, &root, &disks)?;
    maimed(workshop, shown, &root, &disks)
}

/// The order for a place.
fn spec(disks: &[Disk], n: usize) -> anyhow::Result<Value> {
    let (place, disk) = (PLACES.get(n).context("no such place")?, disks.get(n).context("no such disk")?);
    Ok(json!({
        "volumes": [disk.volume],
        "mount_point": place.at,
        "file_system": place.fs,
        "blank": true,
        "wait_s": WAIT_S,
        "timeout_s": 240,
    }))
}

/// Carries out an order in the guest.
pub(crate) fn mount(guest: &Guest, mounts: &[Value]) -> anyhow::Result<MountReport> {
    let order = json!({"v": 1, "run": "vm", "mounts": mounts});
    let done = guest.run_any(&format!("stillframe-helper mount - <<'END'\n{order}\nEND"))?;
    let report = MountReport::read(done.stdout.as_bytes()).with_context(|| done.stderr.clone())?;
    let exit = if report.is_whole() { Exit::Done } else { Exit::NotMounted };
    ensure!(done.code == Some(i32::from(exit.code())), "exit code {:?} of {report:?}", done.code);
    Ok(report)
}

/// The report in one line.
pub(crate) fn said(report: &MountReport) -> String {
    let mounts = report.mounts.iter().map(|mount| {
        let error = mount.error.as_deref().map(|error| format!(" ({error})")).unwrap_or_default();
        format!("{} {:?} after {} ms{error}", mount.mount_point, mount.outcome, mount.ms)
    });
    mounts.chain(report.error.clone()).collect::<Vec<_>>().join("; ")
}

/// Puts the helper where a package would, and has it install itself.
pub(crate) fn put_in_place(guest: &Guest) -> anyhow::Result<String> {
    Ok(guest.run("cp /opt/stillframe-helper /usr/bin/ && stillframe-helper install")?)
}

fn install(workshop: &Workshop, shown: &mut Shown, disks: &[Disk]) -> anyhow::Result<Disk> {
    let there: Vec<Disk> = disks.iter().take(LATE).cloned().collect();
    let guest = workshop.boot("installed", &there)?;
    let release = guest.run(". /etc/os-release; echo \"$PRETTY_NAME, kernel $(uname -r)\"")?;
    let systemd = guest.run("systemctl --version | head -n 1; cat /proc/1/comm")?;
    let evidence = format!("{}; {}", release.trim(), systemd.trim().replace('\n', "; process 1: "));
    shown.claim("the guest", systemd.trim().ends_with("systemd"), evidence, Some(guest.boot));
    let installed = put_in_place(&guest)?;
    for (name, text) in [("database", DATABASE), ("careful", CAREFUL), ("ordinary", ORDINARY)] {
        guest.run(&format!("cat >/etc/systemd/system/{name}.service <<'END'\n{text}END"))?;
    }
    let enabled = guest.run(
        "systemctl daemon-reload; systemctl -q enable database careful ordinary\n\
         systemctl is-enabled stillframe-mount.service stillframe-mounts.target",
    )?;
    let holds = installed.contains("\"enabled\":true") && enabled.trim() == "enabled\nenabled";
    shown.claim("installed, and started at boot", holds, installed.trim(), None);

    // An inner one comes first in the order, and is mounted last.
    let specs: Vec<Value> = (0..LATE).rev().map(|n| spec(disks, n)).collect::<anyhow::Result<_>>()?;
    let report = mount(&guest, &specs)?;
    let made = report.mounts.iter().filter(|mount| mount.formatted && mount.recorded).count();
    shown.claim("blank volumes are formatted, mounted, recorded", made == LATE, said(&report), None);
    hot_plugged(&guest, shown, disks)?;
    for place in &PLACES {
        guest.run(&format!("echo {0} >{0}/marker", place.at))?;
    }
    Ok(guest.shut_down()?)
}

/// The order comes before the disk does.
fn hot_plugged(guest: &Guest, shown: &mut Shown, disks: &[Disk]) -> anyhow::Result<()> {
    let disk = disks.get(LATE).context("no such disk")?;
    let mut late = spec(disks, LATE)?;
    if let Some(wait) = late.get_mut("wait_s") {
        *wait = json!(120);
    }
    let (report, plugged) = std::thread::scope(|scope| {
        let mounting = scope.spawn(|| mount(guest, &[late]));
        let waits = "for try in $(seq 600); do grep -qs mount-[o]ne /proc/[0-9]*/cmdline && exit 0; \
                     sleep 0.1; done; exit 1";
        let plug = guest.run(waits).and_then(|_| {
            let plugged = Instant::now();
            guest.plug(disk).map(|()| plugged)
        });
        let report = mounting.join().map_err(|_| anyhow::anyhow!("the mount's thread panicked"))?;
        Ok::<_, anyhow::Error>((report?, plug?))
    })?;
    let took = plugged.elapsed();
    let holds = report.mounts.iter().all(|mount| mount.outcome == Mounted::Mounted);
    shown.claim("a hot-plugged disk is waited for and mounted", holds, said(&report), Some(took));
    let again = mount(guest, &[spec(disks, LATE)?])?;
    let holds = again.mounts.iter().all(|mount| mount.outcome == Mounted::Already && !mount.formatted);
    shown.claim("mounted already means done", holds, said(&again), None);
    Ok(())
}

/// When what happened in a boot, microseconds after its beginning; 0 for what did not.
struct Times<'a>(&'a Guest);

impl Times<'_> {
    fn of(&self, unit: &str, property: &str) -> anyhow::Result<u64> {
        let text = self.0.run(&format!("systemctl show --value -p {property} {unit}"))?;
        text.trim().parse().with_context(|| format!("{property} of {unit} is {text:?}"))
    }

    fn active(&self, unit: &str) -> anyhow::Result<u64> {
        self.of(unit, "ActiveEnterTimestampMonotonic")
    }

    fn mount_began(&self) -> anyhow::Result<u64> {
        self.of("stillframe-mount.service", "ExecMainStartTimestampMonotonic")
    }

    fn mount_ended(&self) -> anyhow::Result<u64> {
        self.of("stillframe-mount.service", "ExecMainExitTimestampMonotonic")
    }
}

fn seconds(us: u64) -> String {
    format!("{}.{} s", us / 1_000_000, us / 100_000 % 10)
}

fn is_active(guest: &Guest, unit: &str) -> anyhow::Result<bool> {
    Ok(guest.run_any(&format!("systemctl -q is-active {unit}"))?.code == Some(0))
}

/// Waits until no job of the boot is left, and reads what the unit printed.
pub(crate) fn booted(guest: &Guest) -> anyhow::Result<MountReport> {
    let end = Instant::now() + PATIENCE;
    while !guest.run("systemctl list-jobs --no-legend")?.trim().is_empty() {
        ensure!(Instant::now() < end, "the boot does not end");
        std::thread::sleep(Duration::from_millis(200));
    }
    let journal = guest.run("journalctl -b -o cat --no-pager -u stillframe-mount.service")?;
    let report = journal.lines().find(|line| line.starts_with('{'));
    Ok(MountReport::read(report.with_context(|| journal.clone())?.as_bytes())?)
}

fn marker(guest: &Guest, place: &Place) -> anyhow::Result<bool> {
    let found = guest.run_any(&format!("cat {}/marker", place.at))?.stdout;
    Ok(found.trim() == place.at)
}

/// A boot with everything there.
fn healthy(workshop: &Workshop, shown: &mut Shown, root: &Disk, disks: &[Disk]) -> anyhow::Result<Disk> {
    let guest = workshop.boot_from("rebooted", Some(root), disks)?;
    let report = booted(&guest)?;
    let times = Times(&guest);
    let mut there = 0;
    for place in &PLACES {
        there += usize::from(marker(&guest, place)?);
    }
    let (began, ended) = (times.mount_began()?, times.mount_ended()?);
    let evidence = format!("{there} of {} with their data; {}", PLACES.len(), said(&report));
    let took = Some(Duration::from_micros(ended.saturating_sub(began)));
    shown.claim(
        "booted: all that is recorded is mounted",
        there == PLACES.len() && report.is_whole(),
        evidence,
        took,
    );
    for (outer, inner) in [("data.mount", "data-wal.mount"), ("srv-broken.mount", "srv-broken-inner.mount")] {
        let (first, second) = (times.active(outer)?, times.active(inner)?);
        let evidence = format!("{} and {}", seconds(first), seconds(second));
        shown.claim(format!("{inner} after {outer}"), 0 < first && first < second, evidence, None);
    }
    let wal = times.active("data-wal.mount")?;
    let database = times.of("database.service", "ExecMainStartTimestampMonotonic")?;
    let found = guest.run_any("cat /run/database-found")?.stdout;
    let holds = wal < database && ended <= database && found.trim() == "/data/wal";
    let evidence =
        format!("mounts {}, database {}, found {:?}", seconds(ended), seconds(database), found.trim());
    shown.claim("a database that is ordered after the mounts finds its data", holds, evidence, None);
    let failed = guest.run("systemctl list-units --failed --no-legend --plain")?;
    shown.claim("no unit failed", failed.trim().is_empty(), failed.trim(), None);
    // The next boot is to show what waits for the mounts, and that the boot does not.
    guest.run(
        "systemctl -q disable database careful\n\
         systemctl -q add-wants stillframe-mounts.target database.service\n\
         systemctl -q add-wants stillframe-mount.service careful.service",
    )?;
    Ok(guest.shut_down()?)
}

/// A boot with one volume missing and another one's file system broken.
fn maimed(workshop: &Workshop, shown: &mut Shown, root: &Disk, disks: &[Disk]) -> anyhow::Result<()> {
    let broken = disks.get(BROKEN).context("no such disk")?;
    // The root directory's inode is a file, and the kernel has noted errors: nothing that a check repairs alone.
    for spoil in ["set_inode_field <2> mode 0100644", "set_super_value state 2"] {
        let done = Command::new("debugfs").args(["-w", "-R", spoil]).arg(&broken.image).output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let there: Vec<Disk> =
        disks.iter().enumerate().filter(|(n, _)| *n != GONE).map(|(_, disk)| disk.clone()).collect();
    let guest = workshop.boot_from("maimed", Some(root), &there)?;
    let report = booted(&guest)?;
    let times = Times(&guest);
    let stopped = guest.run_any("cat /data/wal/stopped")?.stdout;
    let claim = "at shutdown, a database is stopped before its volume is unmounted";
    shown.claim(claim, stopped.trim() == "stopped", format!("it wrote {:?}", stopped.trim()), None);

    let outcome = |n: usize| {
        let at = PLACES.get(n).map(|place| place.at);
        report.mounts.iter().find(|mount| Some(mount.mount_point.as_str()) == at)
    };
    let is = |n: usize, wanted: Mounted, word: &str| {
        outcome(n).is_some_and(|mount| {
            mount.outcome == wanted && mount.error.as_ref().is_some_and(|error| error.contains(word))
        })
    };
    let (began, ended) = (times.mount_began()?, times.mount_ended()?);
    let took = Some(Duration::from_micros(ended.saturating_sub(began)));
    let names_all = is(GONE, Mounted::Failed, "did not appear within")
        && is(BROKEN, Mounted::Failed, "asks for a person")
        && is(BROKEN + 1, Mounted::HeldBack, "/srv/broken");
    shown.claim("missing, broken, held back: each by its name", names_all, said(&report), took);
    let mut others = 0;
    let mut latest = 0;
    for (n, unit) in
        [(0, "data.mount"), (1, "data-wal.mount"), (2, "srv-media.mount"), (LATE, "srv-late.mount")]
    {
        let place = PLACES.get(n).context("no such place")?;
        others += usize::from(marker(&guest, place)?);
        latest = latest.max(times.active(unit)?);
    }
    let evidence = format!(
        "{others} of 4 with their data, the last {} after the start; the missing one was given up after {}",
        seconds(latest.saturating_sub(began)),
        seconds(ended.saturating_sub(began)),
    );
    let in_time = others == 4 && latest < ended && ended - began >= WAIT_S * 1_000_000;
    shown.claim("the others are mounted meanwhile", in_time, evidence, None);
    for unit in ["multi-user.target", "ordinary.service"] {
        let at = times.active(unit)?;
        let evidence = format!("{} after boot, mounts given up at {}", seconds(at), seconds(ended));
        shown.claim(
            format!("{unit} does not wait for a missing volume"),
            0 < at && at < ended,
            evidence,
            None,
        );
    }
    let evidence = |name: &str| guest.run(&format!("systemctl show -p ActiveState,Result {name}"));
    let holds = !is_active(&guest, "database.service")?;
    shown.claim(
        "a database that requires all mounts does not start",
        holds,
        evidence("database")?.trim().replace('\n', " "),
        None,
    );
    let careful = times.of("careful.service", "ExecMainStartTimestampMonotonic")?;
    let holds = is_active(&guest, "careful.service")? && careful >= ended;
    let claim = "one that wants them, and asserts its own, starts after the attempt";
    shown.claim(claim, holds, format!("at {}", seconds(careful)), None);
    Ok(())
}
