//! Volume groups: activated; imported under another name and with other UUIDs beside their originals; grown.
//! LVM's own programs do it. While a group is judged they are shown its parts alone, so that a copy and its
//! original cannot be mistaken for each other.

use super::MountError;
use super::sets::{Part, may_change, name_of_copy, twin};
use crate::clock::Boottime;
use crate::programs::{self, ProgramError};
use std::path::Path;
use stillframe_wire::MountSpec;

/// A physical volume keeps its metadata before its extents, and may keep a copy behind them: less room than
/// this beside an extent is none.
const SLACK: u64 = 2 << 20;

/// A volume group as its metadata has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    name: String,
    uuid: String,
    parts: usize,
    missing: usize,
}

/// Activates the group that these parts are.
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
    let failed = |why: String| MountError::Assemble { device: first.shown(), what: "volume group", why };
    let alone = only(root, parts);
    let group = match groups(&["--config", &alone], until)?.as_slice() {
        [] => return Err(failed("its physical volume belongs to none".to_owned())),
        [only] => only.clone(),
        several => {
            let names: Vec<&str> = several.iter().map(|group| group.name.as_str()).collect();
            return Err(failed(format!("the volumes belong to several: {}", names.join(", "))));
        }
    };
    if group.missing > 0 || group.parts > parts.len() {
        return Err(MountError::Incomplete {
            device: first.shown(),
            set: format!("volume group {}", group.name),
            wanted: group.parts,
            found: group.parts.saturating_sub(group.missing).min(parts.len()),
        });
    }
    let namesake = || {
        let all = groups(&[], until).ok()?;
        let other = all.into_iter().find(|other| other.name == group.name && other.uuid != group.uuid)?;
        Some(format!("another volume group named {}", other.name))
    };
    let Some(original) = twin(root, parts, until).or_else(namesake) else {
        activate(&group.name, until).map_err(|error| failed(error.to_string()))?;
        return Ok(None);
    };
    may_change(spec, first, &original)?;
    let mut import = programs::program("vgimportclone");
    import.args(["--basevgname", &name_of_copy(&group.name, spec)]);
    import.args(parts.iter().map(|part| part.path(root)));
    let imported = programs::run(&mut import, until).and_then(|ran| ran.ended_with(&[0]));
    imported.map_err(|error| MountError::NoNewUuid {
        device: first.shown(),
        original: original.clone(),
        why: error.to_string(),
    })?;
    let named = groups(&["--config", &alone], until)?.into_iter().next();
    let name =
        named.map(|group| group.name).ok_or_else(|| failed("it is gone after its import".to_owned()))?;
    activate(&name, until).map_err(|error| failed(error.to_string()))?;
    Ok(Some(format!("volume group {} has the UUIDs of {original}: imported as {name}", group.name)))
}

fn activate(name: &str, until: Boottime) -> Result<(), ProgramError> {
    let mut change = programs::program("vgchange");
    change.args(["-q", "--activate", "y", name]);
    programs::run(&mut change, until).and_then(|ran| ran.ended_with(&[0])).map(drop)
}

/// A configuration in which there are these devices and no others, whatever list of devices the machine has.
fn only(root: &Path, parts: &[Part]) -> String {
    let taken: Vec<String> =
        parts.iter().map(|part| format!("\"a|^{}$|\"", part.path(root).display())).collect();
    format!("devices {{ use_devicesfile=0 filter=[{}, \"r|.*|\"] }}", taken.join(", "))
}

fn groups(more: &[&str], until: Boottime) -> Result<Vec<Group>, ProgramError> {
    let fields = "vg_name,vg_uuid,pv_count,vg_missing_pv_count";
    let rows = rows("vgs", &[&["-o", fields], more].concat(), until)?;
    Ok(rows.iter().filter_map(|row| group(row)).collect())
}

fn group(row: &[String]) -> Option<Group> {
    let [name, uuid, parts, missing] = row else { return None };
    let (parts, missing) = (parts.parse().ok()?, missing.parse().ok()?);
    Some(Group { name: name.clone(), uuid: uuid.clone(), parts, missing })
}

/// The rows of one of LVM's tables.
fn rows(program: &str, arguments: &[&str], until: Boottime) -> Result<Vec<Vec<String>>, ProgramError> {
    let mut command = programs::program(program);
    command.args(["--noheadings", "--nosuffix", "--units", "b", "--separator", "|"]).args(arguments);
    // LVM complains of descriptors that it did not open itself.
    command.env("LVM_SUPPRESS_FD_WARNINGS", "1");
    let ran = programs::run(&mut command, until)?.ended_with(&[0])?;
    Ok(read(&ran.stdout))
}

fn read(table: &str) -> Vec<Vec<String>> {
    let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

/// Grows the physical volumes under a logical one (`group/volume`), and that one by what they won, when it is
/// the only one: room that a group had free before was left free by somebody. What to warn of, if anything.
pub(super) fn grow(volume: &str, until: Boottime) -> Option<String> {
    try_grow(volume, until).unwrap_or_else(|error| Some(format!("failed to grow {volume}: {error}")))
}

fn try_grow(volume: &str, until: Boottime) -> Result<Option<String>, ProgramError> {
    let Some((name, _)) = volume.split_once('/') else { return Ok(None) };
    let number = |cell: Option<&String>| cell.and_then(|cell| cell.parse::<u64>().ok()).unwrap_or(0);
    let of_it = format!("vg_name={name}");
    let of_it = of_it.as_str();
    let parts = rows("pvs", &["-o", "pv_name,pv_size,dev_size,vg_extent_size", "-S", of_it], until)?;
    let larger = |row: &&Vec<String>| number(row.get(2)) >= number(row.get(1)) + number(row.get(3)) + SLACK;
    let larger: Vec<&String> = parts.iter().filter(larger).filter_map(|row| row.first()).collect();
    if larger.is_empty() {
        return Ok(None);
    }
    let free = || {
        let rows = rows("vgs", &["-o", "vg_free_count", "-S", of_it], until)?;
        Ok::<_, ProgramError>(number(rows.first().and_then(|row| row.first())))
    };
    let before = free()?;
    for part in larger {
        let mut resize = programs::program("pvresize");
        resize.args(["-q", part]);
        programs::run(&mut resize, until)?.ended_with(&[0])?;
    }
    let won = free()?.saturating_sub(before);
    if won == 0 {
        return Ok(None);
    }
    let volumes = rows("lvs", &["-o", "lv_name,segtype", "-S", of_it], until)?;
    let plain = |row: &Vec<String>| matches!(row.get(1).map(String::as_str), Some("linear" | "striped"));
    let first = volumes.first().and_then(|row| row.first());
    let is_only_one = volumes.iter().all(|row| row.first() == first);
    if !is_only_one || !volumes.iter().all(plain) {
        return Ok(Some(format!(
            "volume group {name} has {won} extents more, and not one plain logical volume: none was grown"
        )));
    }
    let mut extend = programs::program("lvextend");
    extend.args(["-q", "--extents", &format!("+{won}"), volume]);
    programs::run(&mut extend, until)?.ended_with(&[0])?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::signature::Signature;

    #[test]
    fn a_table_is_read_by_its_rows() {
        let table = "  pool|aaaa-bb|2|0\n\n  other|cc|1|1\n";
        let found: Vec<Group> = read(table).iter().filter_map(|row| group(row)).collect();
        assert_eq!(found.len(), 2);
        let pool = Group { name: "pool".to_owned(), uuid: "aaaa-bb".to_owned(), parts: 2, missing: 0 };
        assert_eq!((&found[0], found[1].missing), (&pool, 1));
        assert_eq!(group(&["pool".to_owned(), "aaaa-bb".to_owned()]), None);
    }

    #[test]
    fn lvm_is_shown_the_parts_alone() {
        let part = |name: &str| Part { name: name.to_owned(), signature: Signature::default() };
        let config = only(Path::new("/"), &[part("nvme1n1"), part("nvme2n1p3")]);
        assert_eq!(
            config,
            r#"devices { use_devicesfile=0 filter=["a|^/dev/nvme1n1$|", "a|^/dev/nvme2n1p3$|", "r|.*|"] }"#
        );
    }
}
