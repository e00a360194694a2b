//! What a device carries, and whether it carries nothing at all. `blkid` knows the signatures; that it finds
//! none is not enough for `mkfs`, since it says the same of a device that it cannot read, and since a
//! database or a cipher may lie there without any. So a device counts as blank only when what was read of it
//! is zeros, as EBS gives a volume that is made blank.

use super::MountError;
use crate::clock::Boottime;
use crate::programs;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much of the beginning and of the end is read: every known signature lies there.
const EDGE: u64 = 1 << 20;
/// How many places in between are looked at.
const PLACES: u64 = 256;
const PLACE: usize = 4096;

/// What `blkid` says of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Signature {
    /// The type: `ext4`, `LVM2_member`, `swap`.
    pub kind: Option<String>,
    /// The UUID.
    pub uuid: Option<String>,
    /// The type of a partition table.
    pub table: Option<String>,
}

impl Signature {
    /// Reads a device's.
    ///
    /// # Errors
    /// `blkid` fails, or finds several that contradict each other.
    pub fn of(device: &Path, until: Boottime) -> Result<Self, MountError> {
        let ran = programs::run(programs::program("blkid").args(["-p", "-o", "export"]).arg(device), until)?;
        match ran.code() {
            Some(0) => Ok(Self::read(&ran.stdout)),
            Some(2) => Ok(Self::default()),
            Some(8) => Err(MountError::Ambiguous { device: device.display().to_string() }),
            _ => Err(ran.failure().into()),
        }
    }

    fn read(export: &str) -> Self {
        let value = |key: &str| {
            let mut lines = export.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        Self { kind: value("TYPE"), uuid: value("UUID"), table: value("PTTYPE") }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// What was found, for people.
    #[must_use]
    pub fn words(&self) -> String {
        match (&self.kind, &self.table) {
            (Some(kind), _) => kind.clone(),
            (None, Some(table)) => format!("a partition table ({table})"),
            (None, None) => "nothing".to_owned(),
        }
    }
}

/// Whether a device is blank; what was found when it is not.
///
/// # Errors
/// It cannot be read: then nobody knows.
pub fn not_blank(device: &Path, size: u64, until: Boottime) -> Result<Option<String>, MountError> {
    let signature = Signature::of(device, until)?;
    if !signature.is_none() {
        return Ok(Some(signature.words()));
    }
    let written = first_written(device, size);
    let at = written.map_err(|source| MountError::Read { device: device.display().to_string(), source })?;
    Ok(at.map(|at| format!("data without a known signature (at byte {at})")))
}

/// Where the first byte is that is not zero, among those that are looked at.
fn first_written(device: &Path, size: u64) -> std::io::Result<Option<u64>> {
    let file = File::open(device)?;
    let mut buffer = vec![0; PLACE];
    let page = PLACE as u64;
    let edges = (0..EDGE.min(size)).chain(size.saturating_sub(EDGE)..size).step_by(PLACE);
    let between = (0..PLACES).map(|n| size / PLACES * n / page * page);
    for at in edges.chain(between) {
        let length = usize::try_from((size.saturating_sub(at)).min(page)).unwrap_or(PLACE);
        let part = buffer.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        if let Some(n) = part.iter().position(|byte| *byte != 0) {
            return Ok(Some(at + n as u64));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blkid_s_words_are_read() {
        let text = "DEVNAME=/dev/loop0\nUUID=a-b\nBLOCK_SIZE=4096\nTYPE=ext4\nUSAGE=filesystem\n";
        let read = Signature::read(text);
        assert_eq!(
            (read.kind.as_deref(), read.uuid.as_deref(), read.words()),
            (Some("ext4"), Some("a-b"), "ext4".to_owned())
        );
        assert_eq!(Signature::read("PTUUID=1\nPTTYPE=gpt\n").words(), "a partition table (gpt)");
        assert!(Signature::read("").is_none());
    }

    #[test]
    fn a_byte_at_either_end_or_at_a_place_between_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let size = (8 << 20) + 512;
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        assert_eq!(first_written(&path, size).unwrap(), None);
        for at in [0, 511, (1 << 20) - 1, size / 256 * 100 / 4096 * 4096 + 5, size - (1 << 20), size - 1] {
            file.write_all_at(&[1], at).unwrap();
            assert_eq!(first_written(&path, size).unwrap(), Some(at), "{at}");
            file.write_all_at(&[0], at).unwrap();
        }
        assert!(first_written(&path, size + 1).is_err(), "what cannot be read is not blank");
    }
}
