//! Which file system an image or a device carries, told from its first bytes.

use crate::spec::FsType;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Offset and bytes of each type's magic number.
const MAGICS: [(FsType, u64, &[u8]); 3] =
    [(FsType::Xfs, 0, b"XFSB"), (FsType::Ext4, 1080, &[0x53, 0xEF]), (FsType::Btrfs, 65_600, b"_BHRfS_M")];

/// Reads it; [`FsType::None`] if there is none that a fleet makes.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> io::Result<FsType> {
    let file = File::open(path)?;
    for (fs, offset, magic) in MAGICS {
        let mut bytes = vec![0; magic.len()];
        match file.read_exact_at(&mut bytes, offset) {
            Ok(()) if bytes == magic => return Ok(fs),
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
    }
    Ok(FsType::None)
}
