//! A disk of a guest: an image file on this machine, an EBS volume to the guest.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use stillframe_wire::VolumeId;

/// One disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Its volume id, which the guest reads as the NVMe serial number.
    pub volume: VolumeId,
    /// Its bytes.
    pub image: PathBuf,
}

impl Disk {
    /// A blank disk of `mib` mebibytes in `folder`.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn blank(folder: &Path, volume: VolumeId, mib: u64) -> io::Result<Self> {
        let image = folder.join(format!("{volume}.img"));
        File::create(&image)?.set_len(mib << 20)?;
        Ok(Self { volume, image })
    }

    /// The same bytes under another id: what a volume made from a snapshot is.
    #[must_use]
    pub fn as_volume(&self, volume: VolumeId) -> Self {
        Self { volume, image: self.image.clone() }
    }
}

/// Copies the images of all the disks into `folder`, sharing blocks where the file system can.
pub(crate) fn copy_all(disks: &[&Disk], folder: &Path) -> io::Result<Vec<Disk>> {
    std::fs::create_dir_all(folder)?;
    let output = Command::new("cp")
        .args(["--reflink=auto", "--sparse=always"])
        .args(disks.iter().map(|disk| &disk.image))
        .arg(folder)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let name = |disk: &Disk| disk.image.file_name().map(|name| folder.join(name)).unwrap_or_default();
    Ok(disks.iter().map(|disk| Disk { volume: disk.volume.clone(), image: name(disk) }).collect())
}
