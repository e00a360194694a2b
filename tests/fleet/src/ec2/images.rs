//! `RegisterImage`, `DeregisterImage`, `DisableImage`, `DescribeImages`: as much of images as it takes for
//! them to hold snapshots. No instance starts from one here.

use super::describe;
use super::filter::Describable;
use super::ids;
use super::inventory::{Inventory, SnapshotState, Tags};
use super::paging::Selection;
use super::query::{Query, invalid};
use super::seen::Seen;
use super::tags;
use super::xml::{Element, done, node, set, tag_set, text};
use crate::api_error::ApiError;
use crate::clock::iso;
use crate::random;
use chrono::{DateTime, Utc};

/// An image.
#[derive(Debug, Clone)]
pub struct Image {
    /// `ami-...`
    pub id: String,
    /// Its name, which no other has.
    pub name: String,
    /// Its tags.
    pub tags: Tags,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
    /// The boot volume's device name.
    pub root_device: String,
    /// Device names and the snapshots behind them.
    pub mappings: Vec<(String, String)>,
    /// Whether it may not be used any more. It holds its snapshots all the same.
    pub disabled: bool,
}

/// Filters of `DescribeImages`.
const FILTERS: &[&str] = &[
    "block-device-mapping.device-name",
    "block-device-mapping.snapshot-id",
    "image-id",
    "is-public",
    "name",
    "owner-id",
    "root-device-name",
    "root-device-type",
    "state",
];

/// `RegisterImage`, from snapshots.
pub fn register(
    inventory: &mut Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let name = query.required("Name")?;
    let root_device = query.take("RootDeviceName").unwrap_or_else(|| "/dev/sda1".to_owned());
    let mappings = mappings(&mut query)?;
    let tags = query.tag_specification("image")?;
    // What only matters to an instance.
    for detail in ["Architecture", "Description", "EnaSupport", "SriovNetSupport", "VirtualizationType"] {
        query.take(detail);
    }
    super::finish(query)?;
    tags::check(&tags)?;
    if inventory.images.values().any(|image| image.name == name) {
        return Err(ApiError::new(
            "InvalidAMIName.Duplicate",
            format!("AMI name {name} is already in use by another AMI"),
        ));
    }
    if !mappings.iter().any(|(device, _)| *device == root_device) {
        return Err(ApiError::new(
            "InvalidBlockDeviceMapping",
            format!("There is no mapping for the root device {root_device}"),
        ));
    }
    for (_, snapshot) in &mappings {
        ids::SNAPSHOT.check(snapshot, |id| inventory.has_snapshot(id))?;
        if inventory.snapshots.get(snapshot).is_some_and(|one| one.state(now) != SnapshotState::Completed) {
            return Err(ApiError::new("IncorrectState", format!("Snapshot {snapshot} is not completed.")));
        }
    }
    let image = Image {
        id: random::id("ami"),
        name,
        tags: tags.into_iter().collect(),
        created_at: now,
        root_device,
        mappings,
        disabled: false,
    };
    let id = image.id.clone();
    inventory.images.insert(id.clone(), image);
    Ok(vec![text("imageId", id)])
}

fn mappings(query: &mut Query) -> Result<Vec<(String, String)>, ApiError> {
    let numbers = query.numbers("BlockDeviceMapping");
    let mapping = |n: u32| {
        let field = |name: &str| format!("BlockDeviceMapping.{n}.{name}");
        let device = query.required(&field("DeviceName"))?;
        let snapshot = query.required(&field("Ebs.SnapshotId"))?;
        for detail in ["Ebs.VolumeSize", "Ebs.VolumeType", "Ebs.DeleteOnTermination"] {
            query.take(&field(detail));
        }
        Ok((device, snapshot))
    };
    numbers.into_iter().map(mapping).collect()
}

/// `DeregisterImage`: its snapshots stay, and are free again.
pub fn deregister(inventory: &mut Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("ImageId")?;
    super::finish(query)?;
    ids::IMAGE.check(&id, |id| inventory.images.contains_key(id))?;
    inventory.images.remove(&id);
    Ok(done())
}

/// `DisableImage`: `DescribeImages` shows it to who asks for disabled ones only.
pub fn disable(inventory: &mut Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("ImageId")?;
    super::finish(query)?;
    let image = inventory.images.get_mut(&id).ok_or_else(|| ids::IMAGE.not_found(&id))?;
    image.disabled = true;
    Ok(done())
}

/// `DescribeImages`. The region holds nobody else's images. None is deprecated: EC2 shows those to their
/// owner whatever is asked for.
pub fn describe(
    inventory: &Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "ImageId", FILTERS)?;
    let owners = query.list("Owner");
    let ours = owners.is_empty() || owners.iter().any(|id| id == "self" || *id == inventory.account);
    query.flag("IncludeDeprecated")?;
    let disabled_too = query.flag("IncludeDisabled")?;
    if let Some(whom) = query.list("ExecutableBy").first() {
        return Err(invalid("ExecutableBy", whom));
    }
    super::finish(query)?;
    ids::known(&selection.ids, &ids::IMAGE, |id| inventory.images.contains_key(id))?;
    let shown = inventory.images.values().filter(|image| ours && (disabled_too || !image.disabled));
    let all = describe::seen(shown, inventory, now);
    let page = selection.page("ImageId", all.iter());
    Ok(describe::answer("imagesSet", page, |image| render(inventory, image.record)))
}

fn render(inventory: &Inventory, image: &Image) -> Vec<Element> {
    let mappings = image.mappings.iter().map(|(device, snapshot)| {
        let ebs = vec![text("snapshotId", snapshot), text("deleteOnTermination", true)];
        vec![text("deviceName", device), node("ebs", ebs)]
    });
    vec![
        text("imageId", &image.id),
        text("imageLocation", format!("{}/{}", inventory.account, image.name)),
        text("imageState", image.state()),
        text("imageOwnerId", &inventory.account),
        text("isPublic", false),
        text("architecture", "x86_64"),
        text("imageType", "machine"),
        text("name", &image.name),
        text("creationDate", iso(image.created_at)),
        text("rootDeviceType", "ebs"),
        text("rootDeviceName", &image.root_device),
        set("blockDeviceMapping", mappings),
        text("virtualizationType", "hvm"),
        tag_set(&image.tags),
    ]
}

impl Image {
    fn state(&self) -> &'static str {
        if self.disabled { "disabled" } else { "available" }
    }
}

impl Inventory {
    /// An image that uses a snapshot.
    pub fn image_of(&self, snapshot: &str) -> Option<&Image> {
        self.images.values().find(|image| image.mappings.iter().any(|(_, used)| used == snapshot))
    }
}

impl Describable for Seen<'_, Image> {
    fn id(&self) -> &str {
        &self.record.id
    }

    fn tags(&self) -> &Tags {
        &self.record.tags
    }

    fn values(&self, filter: &str) -> Option<Vec<String>> {
        let image = self.record;
        Some(match filter {
            "block-device-mapping.device-name" => image.mappings.iter().map(|(d, _)| d.clone()).collect(),
            "block-device-mapping.snapshot-id" => image.mappings.iter().map(|(_, s)| s.clone()).collect(),
            "image-id" => vec![image.id.clone()],
            "is-public" => vec!["false".to_owned()],
            "name" => vec![image.name.clone()],
            "owner-id" => vec![self.inventory.account.clone()],
            "root-device-name" => vec![image.root_device.clone()],
            "root-device-type" => vec!["ebs".to_owned()],
            "state" => vec![image.state().to_owned()],
            _ => return None,
        })
    }
}

#[cfg(test)]
#[path = "images_tests.rs"]
mod tests;
