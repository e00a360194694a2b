//! What of the machine's own lies on which file system: what the freeze itself needs, and what must go
//! on while it lasts. Reads links and mounts below a root directory, and decides nothing.

use super::filesystem::{Essential, FileSystem, Held};
use super::mountinfo::Mount;
use super::places::{below, resolved, written_below};
use std::path::Path;

/// Where the SSM agent keeps its state: the package's folder, and the snap's on Ubuntu.
const SSM_AGENT: [&str; 2] = ["/var/lib/amazon/ssm", "/var/snap/amazon-ssm-agent"];

/// Writes down in each file system what it holds.
pub(super) fn find(root: &Path, mounts: &[Mount], filesystems: &mut [FileSystem]) {
    for held in all(root) {
        let Some(mount) = written_below(root, mounts, &held.path) else { continue };
        let mut holders = vec![mount.device];
        // What lies in an image file lies on the file system that holds the image, too.
        while let Some(device) = holders.pop() {
            let Some(fs) = filesystems.iter_mut().find(|fs| fs.device == device) else { continue };
            if !fs.holds.contains(&held) {
                fs.holds.push(held.clone());
                holders.extend(&fs.backing.outer);
            }
        }
    }
    for fs in filesystems {
        fs.holds.sort_by_key(|held| held.what);
    }
}

fn all(root: &Path) -> Vec<Held> {
    let held = |what, path: &str| Held { what, path: resolved(root, Path::new(path)) };
    // `/run` is made by the freeze where it is missing.
    let mut all = vec![held(Essential::Root, "/"), held(Essential::Run, "/run/stillframe")];
    let agents = SSM_AGENT.iter().map(|path| held(Essential::SsmAgent, path));
    all.extend(agents.filter(|held| below(root, &held.path).exists()));
    if let Ok(binary) = std::fs::read_link(root.join("proc/self/exe")) {
        all.push(Held { what: Essential::Helper, path: binary });
    }
    all
}
