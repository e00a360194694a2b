//! The request for a set: the order's tags and the layout of what was found on its volumes, checked
//! against the order. Pure.

use super::refusal;
use crate::aws::SetRequest;
use std::collections::BTreeSet;
use stillframe_plan::{
    InstanceId, VolumeId,
    layout::{self, Record},
};
use stillframe_wire::{FileSystem, OrderedVolume, Refusal, RefusalReason, WorkOrder};

/// Composes the request.
///
/// # Errors
/// A file system names a volume that the order does not, or the layout has no room among the tags.
pub fn compose(order: &WorkOrder, filesystems: &[FileSystem]) -> Result<SetRequest, Refusal> {
    let ordered: BTreeSet<_> = order.volumes.iter().map(|volume| &volume.id).collect();
    for filesystem in filesystems {
        if let Some(foreign) = filesystem.volumes.iter().find(|volume| !ordered.contains(volume)) {
            return Err(refusal(
                RefusalReason::UnknownVolume,
                format!(
                    "the file system at {} lies on {foreign}, which is not in the work order",
                    filesystem.mount_point
                ),
            ));
        }
    }
    let records: Vec<Record> =
        order.volumes.iter().flat_map(|volume| records_of(volume, filesystems)).collect();
    let needed = layout::tags_needed(&records);
    if needed > order.layout_tags {
        return Err(refusal(
            RefusalReason::TooManyTags,
            format!(
                "the layout of {} volumes needs {needed} tags, and the set has room for {}",
                order.volumes.len(),
                order.layout_tags
            ),
        ));
    }
    let mut tags = order.tags.clone();
    tags.extend(layout::encode(&records));
    Ok(SetRequest {
        instance: InstanceId::from(order.instance.as_str()),
        exclude_boot: order.exclude_boot,
        exclude_volumes: order.exclude_volumes.iter().map(|id| VolumeId::from(id.as_str())).collect(),
        tags,
        copy_volume_tags: order.copy_volume_tags,
        description: order.description.clone(),
    })
}

/// A record for each file system on the volume, or a bare one.
fn records_of(volume: &OrderedVolume, filesystems: &[FileSystem]) -> Vec<Record> {
    let id = VolumeId::from(volume.id.as_str());
    let records: Vec<Record> = filesystems
        .iter()
        .filter(|filesystem| filesystem.volumes.contains(&volume.id))
        .map(|filesystem| Record {
            volume: id.clone(),
            device: volume.device.clone(),
            fs_type: filesystem.fs_type.clone(),
            mount_point: filesystem.mount_point.clone(),
        })
        .collect();
    if records.is_empty() { vec![Record::bare(id, &volume.device)] } else { records }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use stillframe_wire::{AUDIENCE, RunId};

    fn order(layout_tags: usize) -> WorkOrder {
        let volume = |n: u8, device: &str| OrderedVolume {
            id: stillframe_wire::VolumeId::new(format!("vol-0aaaaaaaaaaaaaa{n:02}")).unwrap(),
            device: device.to_owned(),
        };
        WorkOrder {
            v: 1,
            aud: AUDIENCE.to_owned(),
            instance: stillframe_wire::InstanceId::new("i-0aaaaaaaaaaaaaaa1").unwrap(),
            expires: 0,
            run: RunId::new("daily/2026-11-22/k3v9x2").unwrap(),
            policy: "daily".to_owned(),
            slot: "2026-11-22".to_owned(),
            volumes: vec![volume(1, "/dev/sdf"), volume(2, "/dev/sdg")],
            exclude_volumes: vec![],
            exclude_boot: true,
            tags: BTreeMap::from([("stillframe:policy".to_owned(), "daily".to_owned())]),
            copy_volume_tags: true,
            description: "d".to_owned(),
            layout_tags,
            max_freeze_ms: 10_000,
            hooks: true,
            freeze_root: false,
            expedite_rcu: false,
            rehearse: false,
            signal_function: "signal".to_owned(),
        }
    }

    fn filesystem(mount_point: &str, volumes: &[u8]) -> FileSystem {
        FileSystem {
            mount_point: mount_point.to_owned(),
            fs_type: "ext4".to_owned(),
            uuid: None,
            volumes: volumes
                .iter()
                .map(|n| stillframe_wire::VolumeId::new(format!("vol-0aaaaaaaaaaaaaa{n:02}")).unwrap())
                .collect(),
            layout: String::new(),
        }
    }

    #[test]
    fn every_ordered_volume_has_a_record_and_the_orders_tags_stay() {
        let request = compose(&order(4), &[filesystem("/srv/pg data", &[1])]).unwrap();
        assert_eq!(request.tags.get("stillframe:policy").map(String::as_str), Some("daily"));
        let records = layout::decode(&request.tags).unwrap();
        let told: Vec<_> = records
            .iter()
            .map(|r| (r.volume.as_str(), r.device.as_str(), r.fs_type.as_str(), r.mount_point.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("vol-0aaaaaaaaaaaaaa01", "/dev/sdf", "ext4", "/srv/pg data"),
                ("vol-0aaaaaaaaaaaaaa02", "/dev/sdg", "", "")
            ]
        );
    }

    #[test]
    fn a_volume_that_was_not_ordered_is_refused_by_name() {
        let refusal = compose(&order(4), &[filesystem("/a", &[1]), filesystem("/b", &[2, 3])]).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::UnknownVolume);
        assert!(
            refusal.message.contains("vol-0aaaaaaaaaaaaaa03") && refusal.message.contains("/b"),
            "{refusal:?}"
        );
    }

    #[test]
    fn a_layout_without_room_is_refused_with_both_numbers() {
        let long = format!("/srv/{}", "x".repeat(250));
        let refusal = compose(&order(1), &[filesystem(&long, &[1])]).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::TooManyTags);
        assert!(
            refusal.message.contains("needs 2 tags") && refusal.message.contains("room for 1"),
            "{refusal:?}"
        );
        assert!(compose(&order(2), &[filesystem(&long, &[1])]).is_ok());
    }
}
