//! What a call of EC2 is about, by the resource types that the Service Authorization Reference names for it.

use crate::ec2::inventory::{Inventory, Tags};
use crate::ec2::query::Query;
use crate::region::Region;
use crate::sync::lock;
use stack::iam::{Call, Resource};
use std::sync::Arc;

/// The question that IAM is asked about a call in a region; `home` knows all of them.
#[must_use]
pub fn asked(home: &Arc<Region>, region: &Region, query: &Query) -> Call {
    let operation = query.action().to_owned();
    let mut query = query.clone();
    let source = (operation == "CopySnapshot").then(|| source(home, &mut query));
    let inventory = lock(&region.inventory);
    let mut asked = Asking { region, inventory: &inventory, query, source };
    let resources = asked.resources(&operation);
    let mut call = Call::new(format!("ec2:{operation}"), resources)
        .tagging(if operation == "CreateTags" { asked.tags("Tag") } else { Tags::new() })
        .with("aws:RequestedRegion", region.name.as_str());
    if let Some(attribute) = asked.attribute(&operation) {
        call = call.with("ec2:Attribute", attribute);
    }
    call
}

struct Asking<'a> {
    region: &'a Region,
    inventory: &'a Inventory,
    query: Query,
    /// Of a copy.
    source: Option<Resource>,
}

/// The snapshot that is to be copied, in whichever region it lies.
fn source(home: &Arc<Region>, query: &mut Query) -> Resource {
    let from = query.take("SourceRegion").unwrap_or_default();
    let id = query.take("SourceSnapshotId").unwrap_or_default();
    let tags = home.named(&from).and_then(|region| lock(&region.inventory).tags_of(&id).cloned());
    Resource::existing(format!("arn:aws:ec2:{from}::snapshot/{id}"), tags.unwrap_or_default())
}

impl Asking<'_> {
    fn resources(&mut self, operation: &str) -> Vec<Resource> {
        match operation {
            "CreateSnapshots" => self.set(),
            "CreateSnapshot" => {
                let mut all = self.named(&["VolumeId"]);
                all.push(self.made("snapshot"));
                all
            }
            "CopySnapshot" => {
                let made = self.made("snapshot");
                self.source.take().into_iter().chain([made]).collect()
            }
            "CreateVolume" => {
                let mut all = self.named(&["SnapshotId"]);
                all.push(self.made("volume"));
                all
            }
            "CreateTags" | "DeleteTags" => {
                let ids = self.query.list("ResourceId");
                ids.iter().map(|id| self.existing(id)).collect()
            }
            "AttachVolume" | "DetachVolume" => {
                // The instance is asked about too where the request leaves it out.
                let volume = self.query.take("VolumeId").unwrap_or_default();
                let on = self.inventory.volumes.get(&volume).and_then(|volume| volume.attachment.as_ref());
                let instance = self.query.take("InstanceId").or_else(|| on.map(|on| on.instance.clone()));
                instance.iter().chain([&volume]).map(|id| self.existing(id)).collect()
            }
            "ModifyInstanceAttribute" => {
                let mut all = self.named(&["InstanceId"]);
                for n in self.query.numbers("BlockDeviceMapping") {
                    all.extend(self.named(&[&format!("BlockDeviceMapping.{n}.Ebs.VolumeId")]));
                }
                all
            }
            "StartInstances" | "StopInstances" => {
                let ids = self.query.list("InstanceId");
                ids.iter().map(|id| self.existing(id)).collect()
            }
            // EC2 knows no resource for what only looks.
            operation if operation.starts_with("Describe") && operation != "DescribeInstanceAttribute" => {
                Vec::new()
            }
            _ => self.named(&["InstanceId", "SnapshotId", "VolumeId"]),
        }
    }

    /// The instance, every volume that is not excluded, and what is to be.
    fn set(&mut self) -> Vec<Resource> {
        let id = self.query.take("InstanceSpecification.InstanceId").unwrap_or_default();
        let excluded = self.query.list("InstanceSpecification.ExcludeDataVolumeId");
        let no_boot =
            self.query.take("InstanceSpecification.ExcludeBootVolume").is_some_and(|is| is == "true");
        let mut all = vec![self.existing(&id)];
        let members = self
            .inventory
            .attached(&id)
            .filter(|(volume, attachment)| !(excluded.contains(&volume.id) || no_boot && attachment.root));
        all.extend(members.map(|(volume, _)| self.existing(&volume.id)));
        all.push(self.made("snapshot"));
        all
    }

    fn named(&mut self, fields: &[&str]) -> Vec<Resource> {
        let ids: Vec<String> = fields.iter().filter_map(|field| self.query.take(field)).collect();
        ids.iter().map(|id| self.existing(id)).collect()
    }

    fn existing(&self, id: &str) -> Resource {
        let Region { name, account, .. } = self.region;
        let tags = self.inventory.tags_of(id).cloned().unwrap_or_default();
        let arn = match id.split_once('-').map_or("", |(kind, _)| kind) {
            "i" => format!("arn:aws:ec2:{name}:{account}:instance/{id}"),
            "vol" => format!("arn:aws:ec2:{name}:{account}:volume/{id}"),
            // Snapshots and images have no account in their ARN.
            "ami" => format!("arn:aws:ec2:{name}::image/{id}"),
            _ => format!("arn:aws:ec2:{name}::snapshot/{id}"),
        };
        Resource::existing(arn, tags)
    }

    fn made(&mut self, kind: &str) -> Resource {
        let tags = self.query.tag_specification(kind).unwrap_or_default().into_iter().collect();
        let account = if kind == "snapshot" { "" } else { &self.region.account };
        Resource::made(format!("arn:aws:ec2:{}:{account}:{kind}/*", self.region.name), tags)
    }

    fn tags(&mut self, prefix: &str) -> Tags {
        self.query.tags(prefix).unwrap_or_default().into_iter().collect()
    }

    /// `ec2:Attribute`, of the call that changes or reads one.
    fn attribute(&mut self, operation: &str) -> Option<String> {
        if !matches!(operation, "ModifyInstanceAttribute" | "DescribeInstanceAttribute") {
            return None;
        }
        let mut name = match self.query.take("Attribute") {
            Some(name) => name,
            None if !self.query.numbers("BlockDeviceMapping").is_empty() => "BlockDeviceMapping".to_owned(),
            None => self.query.names().find_map(|name| name.strip_suffix(".Value"))?.to_owned(),
        };
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Some(name)
    }
}
