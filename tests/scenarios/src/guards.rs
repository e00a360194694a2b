//! What keeps snapshots from being deleted, as an operator sets it: images, locks, the archive, the Recycle
//! Bin.

use crate::region::Region;
use fleet::client::{BinRule, SetDeletions};

impl Region {
    /// Registers an image whose boot volume is that snapshot; its id.
    pub fn register_image(&self, snapshot: &str) -> String {
        let answer = self.ec2(
            "RegisterImage",
            &[
                ("Name", &format!("of {snapshot}")),
                ("RootDeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
                ("BlockDeviceMapping.1.Ebs.SnapshotId", snapshot),
            ],
        );
        texts(&answer, "imageId").pop().expect("an id")
    }

    /// Disables an image: it is listed no more unless asked for.
    pub fn disable_image(&self, image: &str) {
        self.ec2("DisableImage", &[("ImageId", image)]);
    }

    /// Gives the snapshots of an image free.
    pub fn deregister_image(&self, image: &str) {
        self.ec2("DeregisterImage", &[("ImageId", image)]);
    }

    /// Locks a snapshot for so many days.
    pub fn lock_snapshot(&self, snapshot: &str, days: u32) {
        let days = days.to_string();
        let fields = [("SnapshotId", snapshot), ("LockMode", "governance"), ("LockDuration", days.as_str())];
        self.ec2("LockSnapshot", &fields);
    }

    /// Moves a snapshot to the archive.
    pub fn archive_snapshot(&self, snapshot: &str) {
        self.ec2("ModifySnapshotTier", &[("SnapshotId", snapshot), ("StorageTier", "archive")]);
    }

    /// Has the Recycle Bin hold what is deleted from now on.
    pub fn hold_deleted(&self, days: u32) {
        let recycle_bin = Some(BinRule { retain_days: days, tag: None });
        let set = SetDeletions { recycle_bin, ..SetDeletions::default() };
        self.client().set_deletions(&set).expect("the region answers");
    }

    /// Has what is deleted from now on be shown for so many seconds more.
    pub fn show_deleted(&self, seconds: u32) {
        let set = SetDeletions { seen_for_s: seconds, ..SetDeletions::default() };
        self.client().set_deletions(&set).expect("the region answers");
    }

    /// What is in the Recycle Bin.
    #[must_use]
    pub fn in_recycle_bin(&self) -> Vec<String> {
        texts(&self.ec2("ListSnapshotsInRecycleBin", &[]), "snapshotId")
    }

    /// Has an instance's agent be `online` or `offline` from now on.
    pub fn set_agent(&self, instance: &str, agent: &str) {
        self.client().set_agent(instance, agent).expect("the region answers");
    }
}

/// The texts of every element of that name.
fn texts(answer: &str, element: &str) -> Vec<String> {
    let open = format!("<{element}>");
    let texts = answer.split(open.as_str()).skip(1).filter_map(|rest| rest.split('<').next());
    texts.map(str::to_owned).collect()
}
