//! What a fleet that has ended left on the machine, looked for from outside.

use fleet::processes;

/// What a fleet with this process id has left on the machine: processes, mounts, loop devices.
#[must_use]
pub fn left_behind(pid: i32) -> Vec<String> {
    let mark = format!("stillframe-fleet-{pid}");
    let mut left = Vec::new();
    if processes::Process::find(pid).is_some_and(|process| process.alive()) {
        left.push(format!("process {pid}"));
    }
    for table in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let mounts = std::fs::read_to_string(table.path().join("mountinfo")).unwrap_or_default();
        left.extend(mounts.lines().filter(|line| line.contains(&mark)).map(|line| format!("mount {line}")));
    }
    for device in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let backing = std::fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
        if backing.contains(&mark) {
            left.push(format!("loop device {:?} of {}", device.file_name(), backing.trim()));
        }
    }
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        if entry.path().to_string_lossy().contains(&mark) {
            left.push(format!("file {}", entry.path().display()));
        }
    }
    left.sort();
    left.dedup();
    left
}
