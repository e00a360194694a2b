//! A volume's device as an instance sees it: the node, the name that the operator gave it, and the link
//! by which EBS volumes are known on Nitro instances.

use super::namespace::Namespace;
use super::step::step;
use crate::machine::MachineError;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

const LOOP_MAJOR: u32 = 7;

/// Makes node and links.
///
/// # Errors
/// One of them cannot be made.
pub fn insert(namespace: &Namespace, volume: &str, device: &str, number: u32) -> Result<(), MachineError> {
    let (node, links) = names(volume, device, number);
    let work = move || -> io::Result<()> {
        mknodat(CWD, &node, FileType::BlockDevice, Mode::from(0o660), makedev(LOOP_MAJOR, number))?;
        links.into_iter().try_for_each(|(link, target)| symlink(target, link))
    };
    namespace.enter("plug in", work)?.map_err(step(format!("show {volume} inside the instance")))
}

/// Removes them.
///
/// # Errors
/// One of them cannot be removed.
pub fn pull(namespace: &Namespace, volume: &str, device: &str, number: u32) -> Result<(), MachineError> {
    let (node, links) = names(volume, device, number);
    let work = move || -> io::Result<()> {
        let links = links.into_iter().map(|(link, _)| link);
        links.chain([node]).try_for_each(|path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    };
    namespace.enter("unplug", work)?.map_err(step(format!("take {volume} out of the instance")))
}

/// The node, and every link with its target.
fn names(volume: &str, device: &str, number: u32) -> (PathBuf, Vec<(PathBuf, String)>) {
    let node = format!("loop{number}");
    // The controller's serial number is the volume's id without its dash.
    let serial = volume.replacen('-', "", 1);
    let by_id = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{serial}");
    let mut links = vec![(PathBuf::from(by_id), format!("../../{node}"))];
    let name = device.strip_prefix("/dev/").unwrap_or_default();
    if !name.is_empty() && !name.contains('/') {
        links.push((PathBuf::from(device), node.clone()));
    }
    (PathBuf::from("/dev").join(node), links)
}
