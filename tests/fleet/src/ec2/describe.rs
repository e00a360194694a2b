//! `DescribeVolumes`, `DescribeInstances`, `DescribeSnapshots`.

use super::filter::Describable;
use super::inventory::Inventory;
use super::paging::{Page, Selection};
use super::query::Query;
use super::seen::{INSTANCE_FILTERS, SNAPSHOT_FILTERS, Seen, VOLUME_FILTERS};
use super::xml::{Element, set, text};
use super::{ids, render};
use crate::api_error::ApiError;
use chrono::{DateTime, Utc};

/// `DescribeVolumes`.
pub fn volumes(
    inventory: &Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "VolumeId", VOLUME_FILTERS)?;
    finish(query)?;
    ids::known(&selection.ids, &ids::VOLUME, |id| inventory.volumes.contains_key(id))?;
    let all = seen(selection.reach(&inventory.volumes, |_| true), inventory, now);
    let page = selection.page("VolumeId", all.iter());
    Ok(answer("volumeSet", page, |volume| render::volume(inventory, volume.record)))
}

/// `DescribeInstances`.
pub fn instances(
    inventory: &Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "InstanceId", INSTANCE_FILTERS)?;
    finish(query)?;
    ids::known(&selection.ids, &ids::INSTANCE, |id| inventory.instances.contains_key(id))?;
    let all = seen(selection.reach(&inventory.instances, |_| true), inventory, now);
    let page = selection.page("InstanceId", all.iter());
    Ok(answer("reservationSet", page, |instance| render::reservation(inventory, instance.record)))
}

/// `DescribeSnapshots`. The region holds nobody else's snapshots, public ones neither.
pub fn snapshots(
    inventory: &Inventory,
    mut query: Query,
    now: DateTime<Utc>,
) -> Result<Vec<Element>, ApiError> {
    let selection = Selection::take(&mut query, "SnapshotId", SNAPSHOT_FILTERS)?;
    let owners = query.list("Owner");
    let restorable_by = query.list("RestorableBy");
    finish(query)?;
    let own =
        |ids: &[String]| ids.is_empty() || ids.iter().any(|id| id == "self" || *id == inventory.account);
    ids::known(&selection.ids, &ids::SNAPSHOT, |id| inventory.has_snapshot(id))?;
    let ours = own(&owners) && own(&restorable_by);
    let mut shown: Vec<_> = selection.reach(&inventory.snapshots, move |one| ours && !one.deleted).collect();
    // Those that are deleted and not gone yet.
    shown.extend(inventory.bin.lingering(now).filter(|_| ours));
    shown.sort_by(|a, b| a.id.cmp(&b.id));
    let all = seen(shown.into_iter(), inventory, now);
    let page = selection.page("SnapshotId", all.iter());
    Ok(answer("snapshotSet", page, |snapshot| render::snapshot(inventory, snapshot.record, "status", now)))
}

/// Records as filters see them.
pub fn seen<'a, T>(
    records: impl Iterator<Item = &'a T>,
    inventory: &'a Inventory,
    now: DateTime<Utc>,
) -> Vec<Seen<'a, T>> {
    records.map(|record| Seen { record, inventory, now }).collect()
}

/// A page as EC2 writes it.
pub fn answer<T: Describable>(
    name: &'static str,
    page: Page<'_, T>,
    item: impl Fn(&T) -> Vec<Element>,
) -> Vec<Element> {
    let mut fields = vec![set(name, page.items.into_iter().map(item))];
    fields.extend(page.next_token.map(|token| text("nextToken", token)));
    fields
}

fn finish(mut query: Query) -> Result<(), ApiError> {
    let dry_run = query.flag("DryRun")?;
    query.finish()?;
    super::allow_unless_dry_run(dry_run)
}

#[cfg(test)]
#[path = "describe_tests.rs"]
mod tests;
