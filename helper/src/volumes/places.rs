//! Which mount a path lies on, as the process that wrote the path down saw it. Reads links below a root
//! directory.

use super::mountinfo::Mount;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one path.
const MOST_LINKS: usize = 40;
/// More overlays than this on one another are a loop in what we read.
const MOST_OVERLAYS: usize = 8;

/// The mount that a write to a path ends on: for a path on an overlay, the one that its upper directory
/// lies on. The overlay itself has no freeze; a freeze below it holds its writes.
pub(super) fn written_below<'a>(root: &Path, mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let mut mount = holding(root, mounts, path)?;
    for _ in 0..MOST_OVERLAYS {
        let Some(upper) = &mount.upper else { break };
        mount = holding(root, mounts, upper)?;
    }
    Some(mount)
}

/// The mount that a path lies on. The kernel gives the path of an image file or an upper directory as the
/// process that mounted it saw it: where our own namespace has no such path and another one has, it is
/// that one's.
fn holding<'a>(root: &Path, mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let exists = |through: &Path| below(root, &through.join(path.strip_prefix("/").unwrap_or(path))).exists();
    let mut namespace = None;
    if !exists(Path::new("/")) {
        let mut others: Vec<&Path> = mounts.iter().filter_map(|mount| mount.through.as_deref()).collect();
        others.dedup();
        namespace = others.into_iter().find(|through| exists(through));
    }
    deepest(mounts, namespace, path)
}

/// The deepest of a namespace's mounts that a path lies on, and the later of two at one place.
fn deepest<'a>(mounts: &'a [Mount], namespace: Option<&Path>, path: &Path) -> Option<&'a Mount> {
    mounts
        .iter()
        .filter(|mount| mount.through.as_deref() == namespace && path.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.components().count())
}

/// A path without links, as a process whose root directory is `root` would find it. What does not exist
/// is taken as it is written.
pub(super) fn resolved(root: &Path, path: &Path) -> PathBuf {
    let mut found = PathBuf::from("/");
    let mut rest: Vec<OsString> = reversed(path);
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            found.pop();
            continue;
        }
        found.push(&name);
        if links < MOST_LINKS
            && let Ok(target) = std::fs::read_link(below(root, &found))
        {
            links += 1;
            found.pop();
            if target.is_absolute() {
                found = PathBuf::from("/");
            }
            rest.extend(reversed(&target));
        }
    }
    found
}

/// The names in a path, the last first.
fn reversed(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    names.rev().collect()
}

/// A path of the machine, as this process reaches it.
pub(super) fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::super::mountinfo;
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside_the_root_directory() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("srv/ssm/deep")).unwrap();
        std::fs::create_dir_all(root.path().join("var/lib/amazon")).unwrap();
        symlink("/srv/ssm", root.path().join("var/lib/amazon/ssm")).unwrap();
        symlink("../../srv/../srv/ssm/deep", root.path().join("var/lib/relative")).unwrap();
        symlink("round", root.path().join("round")).unwrap();
        let resolved = |path: &str| resolved(root.path(), Path::new(path));
        assert_eq!(resolved("/var/lib/amazon/ssm/x"), Path::new("/srv/ssm/x"));
        assert_eq!(resolved("/var/lib/relative"), Path::new("/srv/ssm/deep"));
        assert_eq!(resolved("/../no/such"), Path::new("/no/such"));
        assert_eq!(resolved("/round"), Path::new("/round"), "a circle ends");
    }

    #[test]
    fn a_path_lies_on_the_deepest_mount_and_the_later_of_two() {
        let root = tempfile::tempdir().unwrap();
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - xfs /dev/sda2 rw\n\
                    3 1 8:3 / /srv rw - xfs /dev/sda3 rw\n4 1 0:9 / /ov rw - overlay o rw,upperdir=/srv/up\n\
                    5 1 0:9 / /own rw - overlay o rw,upperdir=/own/up";
        let mounts = mountinfo::parse(text.as_bytes());
        let at = |path: &str| deepest(&mounts, None, Path::new(path)).map(|mount| mount.id);
        assert_eq!((at("/srv/a"), at("/srvx"), at("/ov/a")), (Some(3), Some(1), Some(4)));
        let written = |path: &str| written_below(root.path(), &mounts, Path::new(path)).map(|mount| mount.id);
        assert_eq!((written("/ov/a"), written("/srv")), (Some(3), Some(3)));
        assert_eq!(written("/own/a"), Some(5), "an overlay on itself ends nowhere else");
    }

    #[test]
    fn a_path_that_only_a_container_has_lies_on_the_container_s_mount() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("proc/7/root/images/a")).unwrap();
        let mut mounts = mountinfo::parse(b"1 0 8:1 / / rw - ext4 /dev/sda1 rw");
        let there = mountinfo::parse(b"9 1 8:2 / /images rw - ext4 /dev/sda2 rw").pop().unwrap();
        mounts.push(Mount { through: Some("/proc/7/root".into()), ..there });
        let at = |path: &str| written_below(root.path(), &mounts, Path::new(path)).map(|mount| mount.id);
        assert_eq!((at("/images/a"), at("/images/b")), (Some(9), Some(1)));
    }
}
