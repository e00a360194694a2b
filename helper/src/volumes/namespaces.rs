//! File systems that are mounted only in another mount namespace: a container's volume is a volume of
//! the instance all the same, and a volume is called frozen only when all of it was.

use super::mountinfo::{self, Mount};
use super::sysfs::entries;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every mount of every other mount namespace that a process lives in; one process stands for each.
#[must_use]
pub(super) fn other_mounts(root: &Path) -> Vec<Mount> {
    let processes = root.join("proc");
    let namespace = |process: &str| fs::read_link(processes.join(process).join("ns/mnt")).ok();
    let mut seen: BTreeSet<PathBuf> = namespace("self").into_iter().collect();
    let mut mounts = Vec::new();
    for process in entries(&processes) {
        let is_process = process.bytes().all(|byte| byte.is_ascii_digit());
        // A process may end while it is looked at; another of its namespace may stand for it then.
        if is_process
            && let Some(name) = namespace(&process)
            && !seen.contains(&name)
            && let Ok(text) = fs::read(processes.join(&process).join("mountinfo"))
        {
            seen.insert(name);
            let through = Path::new("/proc").join(&process).join("root");
            let there = mountinfo::parse(&text).into_iter();
            mounts.extend(there.map(|mount| Mount { through: Some(through.clone()), ..mount }));
        }
    }
    mounts
}
