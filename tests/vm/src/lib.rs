//! A Debian guest to try storage in: what loop devices and namespaces cannot show (LVM, md RAID, LUKS, the
//! root file system, systemd, a disk that is unplugged) happens here for real, in software emulation.
//!
//! [`image`] builds it once, [`guest`] boots and controls it. The scenarios are the program `vm`'s own.

pub mod agent;
pub mod disk;
pub mod guest;
pub mod image;
pub mod words;
