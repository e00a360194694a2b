//! A power cut: the disks keep what was on them at one instant. Whatever an instance still writes while it
//! is being taken down goes to images that are thrown away.

use super::image::PendingClone;
use super::step::step;
use crate::machine::MachineError;
use std::fs;
use std::path::PathBuf;

/// Images as they were at the cut, waiting to take the place of those that are still written to.
#[derive(Debug)]
pub(super) struct PowerCut(Vec<(PathBuf, PathBuf)>);

/// Cuts the power of these images' instance.
pub(super) fn cut(images: &[PathBuf]) -> Result<PowerCut, MachineError> {
    let clones: Vec<PendingClone> = images
        .iter()
        .map(|image| PendingClone::prepare(image, &image.with_extension("cut")))
        .collect::<Result<_, _>>()?;
    for clone in &clones {
        clone.clone_now().map_err(step("keep an image as it is at the power cut"))?;
    }
    clones.into_iter().for_each(PendingClone::keep);
    Ok(PowerCut(images.iter().map(|image| (image.with_extension("cut"), image.clone())).collect()))
}

impl PowerCut {
    /// Puts the images of the cut in their places.
    pub(super) fn restore(self) -> Result<(), MachineError> {
        self.0.into_iter().try_for_each(|(kept, image)| {
            fs::rename(&kept, &image).map_err(step(format!("put {} in its place", image.display())))
        })
    }
}
