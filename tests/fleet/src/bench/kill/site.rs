//! The region that a part of a campaign runs in: instances with one to four file systems each, of mixed
//! types, all under load, and one file system beside them that nobody ever freezes.

use fastrand::Rng;
use std::fmt::Write as _;

/// Instances that are frozen by one run of the policy.
pub const INSTANCES: usize = 6;

/// Smallest images on which each type can be made, with some room for the load: MiB.
const TYPES: [(&str, u64); 3] = [("ext4", 128), ("xfs", 320), ("btrfs", 176)];
/// One of these counts of file systems, each as likely.
const COUNTS: [usize; 8] = [1, 1, 1, 2, 2, 2, 3, 4];

/// What the services take, milliseconds: a window of about 150 ms, and a campaign that ends today.
const LATENCIES: &str =
    "[latency_ms]\nInvoke = 10\nCreateSnapshots = 140\nSendCommand = 10\nDescribe = 3\nothers = 3\n\n";
/// The load on each of some 40 file systems at a time: buffered writes, and records with `fdatasync`.
const LOAD: &str = "writer = true\nwriter_bulk_mb_s = 1\nwriter_pause_us = 25000\n";

/// A region, described.
#[derive(Debug)]
pub struct Site {
    /// As the fleet reads it.
    pub spec: String,
    /// The instances that are frozen.
    pub instances: Vec<Machine>,
    /// Where the file system is mounted that is never frozen.
    pub control: String,
}

/// One instance.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its id.
    pub id: String,
    /// Its file systems.
    pub volumes: Vec<Volume>,
}

/// One volume.
#[derive(Debug, Clone)]
pub struct Volume {
    /// Its id.
    pub id: String,
    /// Its file system's type.
    pub fs: &'static str,
    /// Where that is mounted; no two of a region have the same place.
    pub mount: String,
}

impl Site {
    /// The region that follows from the random numbers.
    #[must_use]
    pub fn random(random: &mut Rng) -> Self {
        let mut spec = LATENCIES.to_owned();
        let mut instances = Vec::new();
        for number in 0..INSTANCES {
            let id = format!("i-0aaaaaaaaaaaaa{number:02x}");
            let _ = write!(spec, "[[instance]]\nid = \"{id}\"\n");
            let count = random.choice(COUNTS).unwrap_or(1);
            let volumes = (0..count).map(|nth| volume(&mut spec, number, nth, random)).collect();
            instances.push(Machine { id, volumes });
        }
        let control = "/srv/control".to_owned();
        let _ = write!(
            spec,
            "[[instance]]\nid = \"i-0cccccccccccccc01\"\n[[instance.volume]]\nid = \"vol-0cccccccccccccc01\"\n\
             size_mib = 128\nfs = \"ext4\"\nmount = \"{control}\"\n{LOAD}"
        );
        Self { spec, instances, control }
    }
}

fn volume(spec: &mut String, instance: usize, nth: usize, random: &mut Rng) -> Volume {
    let (fs, size) = random.choice(TYPES).unwrap_or(("ext4", 128));
    let id = format!("vol-0aaaaaaaaaaa{instance:02x}{nth:02x}");
    let mount = format!("/srv/{instance:02x}-{nth}");
    let _ = write!(
        spec,
        "[[instance.volume]]\nid = \"{id}\"\nsize_mib = {size}\nfs = \"{fs}\"\nmount = \"{mount}\"\n\
         tags = {{ stillframe = \"daily\" }}\n{LOAD}"
    );
    Volume { id, fs, mount }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    #[test]
    fn the_fleet_understands_the_region_and_a_seed_gives_it_again() {
        let site = Site::random(&mut Rng::with_seed(7));
        let spec = Spec::read(&site.spec).unwrap();
        assert_eq!(spec.instances.len(), INSTANCES + 1);
        assert_eq!(site.spec, Site::random(&mut Rng::with_seed(7)).spec);
        assert_ne!(site.spec, Site::random(&mut Rng::with_seed(8)).spec);
    }
}
