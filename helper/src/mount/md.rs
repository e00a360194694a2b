//! md arrays: assembled when all members are there; given another UUID beside their originals; grown.

use super::MountError;
use super::sets::{Part, may_change, name_of_copy, twin};
use crate::clock::Boottime;
use crate::programs::{self, ProgramError};
use crate::volumes::sysfs::Sysfs;
use std::path::Path;
use stillframe_wire::MountSpec;

/// Less room than this is none.
const SLACK: u64 = 2 << 20;
/// Levels whose arrays cannot use what their members win.
const FIXED: [&str; 2] = ["raid0", "linear"];

/// What a member says of its array.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Member {
    uuid: String,
    name: String,
    members: usize,
}

/// Assembles the array that these members are.
///
/// # Errors
/// As [`super::sets::assemble`].
pub(super) fn assemble(
    root: &Path,
    spec: &MountSpec,
    parts: &[Part],
    until: Boottime,
) -> Result<Option<String>, MountError> {
    let Some(first) = parts.first() else { return Ok(None) };
    let failed = |why: String| MountError::Assemble { device: first.shown(), what: "array", why };
    let mut array = Member::default();
    for part in parts {
        let mut examine = programs::program("mdadm");
        examine.args(["--examine", "--export"]).arg(part.path(root));
        let member = member(&programs::run(&mut examine, until)?.ended_with(&[0])?.stdout);
        if !array.uuid.is_empty() && member.uuid != array.uuid {
            return Err(failed("the volumes belong to several".to_owned()));
        }
        array = member;
    }
    if parts.len() < array.members {
        return Err(MountError::Incomplete {
            device: first.shown(),
            set: format!("array {}", array.name),
            wanted: array.members,
            found: parts.len(),
        });
    }
    let original = twin(root, parts, until);
    if let Some(original) = &original {
        may_change(spec, first, original)?;
    }
    release(root, parts, until).map_err(|error| failed(error.to_string()))?;
    let is_free = !array.name.is_empty() && !root.join("dev/md").join(&array.name).exists();
    let name = match &original {
        None if is_free => array.name.clone(),
        _ => name_of_copy(&array.name, spec),
    };
    let mut assemble = programs::program("mdadm");
    assemble.args(["--quiet", "--assemble"]);
    if original.is_some() {
        assemble.arg("--update=uuid");
    }
    assemble.arg(format!("/dev/md/{name}")).args(parts.iter().map(|part| part.path(root)));
    match programs::run(&mut assemble, until).and_then(|ran| ran.ended_with(&[0])) {
        Ok(_) => Ok(original.map(|original| {
            format!("array {} has the UUID of {original}: assembled with another as {name}", array.name)
        })),
        Err(error) => match original {
            Some(original) => {
                let why = error.to_string();
                Err(MountError::NoNewUuid { device: first.shown(), original, why })
            }
            None => Err(failed(error.to_string())),
        },
    }
}

fn member(export: &str) -> Member {
    let value = |key: &str| {
        let mut lines = export.lines();
        lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    // `host:name`; what cannot be a file's name is left out.
    let name = value("MD_NAME").rsplit(':').next().unwrap_or_default();
    let name = name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')).collect();
    Member { uuid: value("MD_UUID").to_owned(), name, members: value("MD_DEVICES").parse().unwrap_or(0) }
}

/// Takes members out of an array that udev began, that never started, and that has no others.
fn release(root: &Path, parts: &[Part], until: Boottime) -> Result<(), ProgramError> {
    let sysfs = Sysfs::new(root);
    let mut begun: Vec<String> = parts.iter().flat_map(|part| sysfs.holders(&part.name)).collect();
    begun.sort();
    begun.dedup();
    for array in begun.iter().filter(|array| is_unstarted(&sysfs, array)) {
        let mut stop = programs::program("mdadm");
        stop.args(["--quiet", "--stop"]).arg(root.join("dev").join(array));
        programs::run(&mut stop, until)?.ended_with(&[0])?;
    }
    Ok(())
}

/// Whether that is an array whose members are not all there.
pub(super) fn is_unstarted(sysfs: &Sysfs, name: &str) -> bool {
    name.starts_with("md") && sysfs.size(name) == Some(0)
}

/// Grows an array into larger members. What to warn of, if anything.
pub(super) fn grow(root: &Path, array: &str, until: Boottime) -> Option<String> {
    let sysfs = Sysfs::new(root);
    let folder = root.join("sys/class/block").join(array).join("md");
    let read = |path: &str| Some(std::fs::read_to_string(folder.join(path)).ok()?.trim().to_owned());
    let number = |path: &str| read(path)?.parse::<u64>().ok();
    let level = read("level")?;
    let used = number("component_size").unwrap_or(0) << 10;
    let room = |member: &String| {
        let used = if used > 0 { used } else { number(&format!("dev-{member}/size"))? << 10 };
        let offset = number(&format!("dev-{member}/offset"))? * 512;
        Some(sysfs.size(member)?.saturating_sub(offset + used))
    };
    let members = sysfs.members(array);
    if members.iter().filter_map(room).min()? < SLACK {
        return None;
    }
    if FIXED.contains(&level.as_str()) {
        return Some(format!("/dev/{array} does not grow with its volumes: {level} cannot"));
    }
    let mut grow = programs::program("mdadm");
    grow.args(["--quiet", "--grow"]).arg(root.join("dev").join(array)).arg("--size=max");
    let grown = programs::run(&mut grow, until).and_then(|ran| ran.ended_with(&[0]));
    grown.err().map(|error| format!("failed to grow /dev/{array}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_tells_of_its_array() {
        let text = "MD_LEVEL=raid1\nMD_DEVICES=2\nMD_NAME=any:mirror\nMD_UUID=aa:bb:cc:dd\nMD_EVENTS=17\n";
        let found = Member { uuid: "aa:bb:cc:dd".to_owned(), name: "mirror".to_owned(), members: 2 };
        assert_eq!(member(text), found);
        assert_eq!(member("MD_NAME=h:../a b\nMD_DEVICES=x").name, "ab");
        assert_eq!(member(""), Member::default());
    }
}
