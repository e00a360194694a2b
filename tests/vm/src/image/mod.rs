//! The guest's kernel and root disk: Debian packages and a few files, built once and kept under a name
//! that follows from all that goes in.

mod overlay;

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BUILD: &str = include_str!("../../image/build.sh");
/// Where the root partition begins, bytes; `build.sh` knows it too.
pub const PARTITION_OFFSET: u64 = 1 << 20;
const SECTOR: u64 = 512;
/// The disk's signature in its partition table.
const SIGNATURE: u32 = 0x5f11_4a3e;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// `/etc/os-release` names no Debian release.
    #[error("failed to learn which Debian this is from /etc/os-release")]
    Suite,
    /// A file.
    #[error("failed to {step}")]
    Io {
        /// What was tried.
        step: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The build script failed; it said why on stderr.
    #[error("the guest's image could not be built ({0})")]
    Build(std::process::ExitStatus),
}

fn io_error(step: impl Into<String>) -> impl FnOnce(io::Error) -> ImageError {
    let step = step.into();
    move |source| ImageError::Io { step, source }
}

/// A bootable guest.
#[derive(Debug, Clone)]
pub struct Image {
    /// An uncompressed kernel that QEMU enters by PVH.
    pub kernel: PathBuf,
    /// The root disk: a partition table and one ext4. Every guest gets a copy.
    pub disk: PathBuf,
    /// Whether it was built just now.
    pub is_new: bool,
}

impl Image {
    /// What the kernel calls the root partition.
    #[must_use]
    pub fn root() -> String {
        format!("PARTUUID={SIGNATURE:08x}-01")
    }

    /// The image in the folder `cache`, built if it is not there yet. The guest is of this machine's own
    /// release, so that programs built here run there.
    ///
    /// # Errors
    /// It cannot be built: no root, no package mirror, no room.
    pub fn ready(cache: &Path) -> Result<Self, ImageError> {
        let release = fs::read_to_string("/etc/os-release").map_err(|_| ImageError::Suite)?;
        let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let suite = suite.ok_or(ImageError::Suite)?;
        let folder = cache.join(format!("{suite}-{:08x}", key(suite)));
        let mut image = Self { kernel: folder.join("vmlinux"), disk: folder.join("root.img"), is_new: false };
        if !image.disk.exists() {
            build(suite, cache, &folder)?;
            image.is_new = true;
        }
        Ok(image)
    }
}

fn key(suite: &str) -> u32 {
    crc32fast::hash(format!("{suite}\0{BUILD}\0{}", overlay::ingredients()).as_bytes())
}

/// Builds beside the place and moves it there, so that half an image is never taken for one.
fn build(suite: &str, cache: &Path, folder: &Path) -> Result<(), ImageError> {
    fs::create_dir_all(cache).map_err(io_error(format!("make {}", cache.display())))?;
    let draft = tempfile::Builder::new()
        .prefix("draft-")
        .tempdir_in(cache)
        .map_err(io_error(format!("make a folder in {}", cache.display())))?;
    let layer = draft.path().join("overlay");
    overlay::write(&layer).map_err(io_error("write the guest's own files"))?;
    let script = draft.path().join("build.sh");
    fs::write(&script, BUILD).map_err(io_error("write build.sh"))?;
    let status = Command::new("sh")
        .arg(&script)
        .args([suite.as_ref(), draft.path().as_os_str(), layer.as_os_str()])
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status()
        .map_err(io_error("start build.sh"))?;
    if !status.success() {
        return Err(ImageError::Build(status));
    }
    write_partition_table(&draft.path().join("root.img")).map_err(io_error("write the partition table"))?;
    for leftover in [script, layer] {
        let _ = fs::remove_file(&leftover).or_else(|_| fs::remove_dir_all(&leftover));
    }
    let draft = draft.keep();
    fs::rename(&draft, folder).map_err(io_error(format!("move the image to {}", folder.display())))
}

/// A table of one partition, from [`PARTITION_OFFSET`] to the end.
fn write_partition_table(disk: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(disk)?;
    let sectors = |bytes: u64| u32::try_from(bytes / SECTOR).map_err(io::Error::other);
    let size = file.metadata()?.len().saturating_sub(PARTITION_OFFSET);
    let mut entry = [0u8; 16];
    // Type 0x83 at byte 4; first sector and count, little endian, at 8 and 12. No cylinders.
    let fields = [[0, 0, 0, 0], [0x83, 0, 0, 0]];
    let numbers = [sectors(PARTITION_OFFSET)?.to_le_bytes(), sectors(size)?.to_le_bytes()];
    for (place, bytes) in entry.chunks_exact_mut(4).zip(fields.into_iter().chain(numbers)) {
        place.copy_from_slice(&bytes);
    }
    file.write_all_at(&SIGNATURE.to_le_bytes(), 440)?;
    file.write_all_at(&entry, 446)?;
    file.write_all_at(&[0x55, 0xAA], 510)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_table_names_one_partition_up_to_the_end() {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(PARTITION_OFFSET + (64 << 20)).unwrap();
        write_partition_table(disk.path()).unwrap();
        let bytes = fs::read(disk.path()).unwrap();
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(440), Image::root()), (SIGNATURE, "PARTUUID=5f114a3e-01".to_owned()));
        assert_eq!((bytes[450], number(454), number(458)), (0x83, 2_048, 131_072));
        assert_eq!((bytes[462..510].iter().max(), &bytes[510..512]), (Some(&0), &[0x55, 0xAA][..]));
    }

    #[test]
    fn another_release_is_another_image() {
        assert_ne!(key("bookworm"), key("trixie"));
    }
}
