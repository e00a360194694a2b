//! `DescribeInstanceAttribute` of the user data, `ModifyInstanceAttribute` of what becomes of attached volumes.

use super::ids;
use super::inventory::Inventory;
use super::query::{Query, invalid};
use super::xml::{Element, done, node, text};
use crate::api_error::ApiError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The user data, in Base64; without any the element is empty.
pub fn describe(inventory: &Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("InstanceId")?;
    let attribute = query.required("Attribute")?;
    super::finish(query)?;
    ids::INSTANCE.check(&id, |id| inventory.instances.contains_key(id))?;
    let Some(instance) = inventory.instances.get(&id) else { return Err(ids::INSTANCE.not_found(&id)) };
    if attribute != "userData" {
        return Err(invalid("Attribute", &attribute));
    }
    let value = (!instance.user_data.is_empty())
        .then(|| text("value", STANDARD.encode(&instance.user_data)))
        .into_iter();
    Ok(vec![text("instanceId", &id), node("userData", value.collect())])
}

/// `BlockDeviceMapping.N.DeviceName` with its volume and `DeleteOnTermination`.
pub fn modify(inventory: &mut Inventory, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("InstanceId")?;
    let mut mappings = Vec::new();
    for n in 1.. {
        let field = |name: &str| format!("BlockDeviceMapping.{n}.{name}");
        let Some(device) = query.take(&field("DeviceName")) else { break };
        let volume = query.take(&field("Ebs.VolumeId"));
        let delete = match query.take(&field("Ebs.DeleteOnTermination")).as_deref() {
            // EC2's default, once a mapping is given.
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(invalid("DeleteOnTermination", other)),
        };
        mappings.push((device, volume, delete));
    }
    super::finish(query)?;
    ids::INSTANCE.check(&id, |id| inventory.instances.contains_key(id))?;
    for (device, volume, _) in &mappings {
        let there = inventory.attached(&id).any(|(record, attachment)| {
            attachment.device == *device && volume.as_ref().is_none_or(|volume| *volume == record.id)
        });
        if !there {
            let message = format!("Instance {id} has no block device mapping for {device}");
            return Err(ApiError::new("InvalidInstanceAttributeValue", message));
        }
    }
    for (device, _, delete) in mappings {
        let on = |attachment: &super::inventory::Attachment| {
            attachment.instance == id && attachment.device == device
        };
        for volume in inventory.volumes.values_mut() {
            if let Some(attachment) = volume.attachment.as_mut().filter(|attachment| on(attachment)) {
                attachment.delete_on_termination = delete;
            }
        }
    }
    Ok(done())
}
