//! EC2: volumes, snapshots, instances and their tags, through the query API.
//!
//! The rules are pure functions on the [`Inventory`]; this file reads the action, runs the rules under
//! the lock, has the machines do what is theirs outside of it, and writes the records.

mod attributes;
pub mod bin;
pub mod copies;
mod describe;
mod filter;
mod ids;
mod images;
mod instances;
pub mod inventory;
mod locks;
mod paging;
pub mod query;
mod render;
#[cfg(test)]
mod rig;
mod seen;
mod snapshots;
mod tags;
mod tiers;
mod volumes;
pub mod xml;

use crate::api_error::ApiError;
use crate::events;
use crate::machine::{MachineError, Machines, Stop};
use crate::region::Region;
use crate::sync::lock;
use bin::Bytes;
use inventory::{InstanceState, Inventory};
use query::Query;
use serde_json::json;
use std::sync::Arc;
use volumes::Created;
use xml::{Element, done, set, text};

/// Serves one request in a region; the children of its answer. `home` knows all regions.
///
/// # Errors
/// As EC2 answers them.
pub async fn serve(home: &Arc<Region>, region: &Arc<Region>, query: Query) -> Result<Vec<Element>, ApiError> {
    let now = region.clock.now();
    let action = query.action().to_owned();
    match action.as_str() {
        "DescribeVolumes" => describe::volumes(&lock(&region.inventory), query, now),
        "DescribeInstances" => describe::instances(&lock(&region.inventory), query, now),
        "DescribeSnapshots" => describe::snapshots(&lock(&region.inventory), query, now),
        "DescribeImages" => images::describe(&lock(&region.inventory), query, now),
        "RegisterImage" => images::register(&mut lock(&region.inventory), query, now),
        "DeregisterImage" => images::deregister(&mut lock(&region.inventory), query),
        "DisableImage" => images::disable(&mut lock(&region.inventory), query),
        "LockSnapshot" => locks::lock(&mut lock(&region.inventory), query, now),
        "UnlockSnapshot" => locks::unlock(&mut lock(&region.inventory), query, now),
        "DescribeLockedSnapshots" => locks::describe(&lock(&region.inventory), query, now),
        "ModifySnapshotTier" => tiers::modify(&mut lock(&region.inventory), query, now),
        "ListSnapshotsInRecycleBin" => bin::list(&lock(&region.inventory), query, now),
        "RestoreSnapshotFromRecycleBin" => bin::restore(&mut lock(&region.inventory), query, now),
        "DescribeInstanceAttribute" => attributes::describe(&lock(&region.inventory), query),
        "ModifyInstanceAttribute" => attributes::modify(&mut lock(&region.inventory), query),
        "CreateTags" => tags::create(&mut lock(&region.inventory), query),
        "DeleteTags" => tags::delete(&mut lock(&region.inventory), query),
        "CreateSnapshots" => create_snapshots(region, snapshots::Request::of_instance(query)?).await,
        "CreateSnapshot" => create_snapshot(region, snapshots::Request::of_volume(query)?).await,
        "CopySnapshot" => copy_snapshot(home, region, copies::Request::read(query)?).await,
        "DeleteSnapshot" => delete_snapshot(region, query).await,
        "CreateVolume" => create_volume(region, volumes::Creation::read(query)?).await,
        "AttachVolume" => attach_volume(region, query).await,
        "DetachVolume" => detach_volume(region, query).await,
        "DeleteVolume" => delete_volume(region, query).await,
        "StopInstances" => stop_instances(region, query),
        "StartInstances" => start_instances(region, query),
        "RebootInstances" => reboot_instances(region, query).await,
        "TerminateInstances" => terminate_instances(region, query),
        _ => Err(ApiError::new(
            "InvalidAction",
            format!("The action {action} is not valid for this web service."),
        )),
    }
}

/// A dry run ends here, and EC2 calls that an error.
fn allow_unless_dry_run(dry_run: bool) -> Result<(), ApiError> {
    if dry_run {
        let message = "Request would have succeeded, but DryRun flag is set.";
        return Err(ApiError::new("DryRunOperation", message).status(412));
    }
    Ok(())
}

/// Ends the reading of a request that may be a dry run.
fn finish(mut query: Query) -> Result<(), ApiError> {
    let dry_run = query.flag("DryRun")?;
    query.finish()?;
    allow_unless_dry_run(dry_run)
}

/// Has the machines do something, off the threads that serve requests.
async fn on_machines<T: Send + 'static>(
    region: &Arc<Region>,
    work: impl FnOnce(&dyn Machines) -> Result<T, MachineError> + Send + 'static,
) -> Result<T, ApiError> {
    if region.functions.host.get().is_some() {
        // Nothing blocks in a simulation, and time would go on without it.
        return work(region.machines.as_ref()).map_err(|error| ApiError::internal(&error));
    }
    let machines = Arc::clone(&region.machines);
    let done = tokio::task::spawn_blocking(move || work(machines.as_ref())).await;
    done.map_err(|error| ApiError::internal(&error))?.map_err(|error| ApiError::internal(&error))
}

async fn cut(
    region: &Arc<Region>,
    request: &snapshots::Request,
) -> Result<Vec<inventory::Snapshot>, ApiError> {
    let reservation = lock(&region.inventory).reserve(request, region.clock.now())?;
    let cuts = reservation.cuts();
    on_machines(region, move |machines| machines.snapshot(&cuts)).await?;
    Ok(lock(&region.inventory).record(reservation, region.clock.now()))
}

async fn create_snapshots(
    region: &Arc<Region>,
    request: snapshots::Request,
) -> Result<Vec<Element>, ApiError> {
    let made = cut(region, &request).await?;
    let now = region.clock.now();
    region.trail.record("CreateSnapshots", request.instance().into_iter(), json!({}), now);
    let inventory = lock(&region.inventory);
    let items = made.iter().map(|snapshot| render::snapshot(&inventory, snapshot, "state", now));
    Ok(vec![set("snapshotSet", items)])
}

async fn create_snapshot(
    region: &Arc<Region>,
    request: snapshots::Request,
) -> Result<Vec<Element>, ApiError> {
    let made = cut(region, &request).await?;
    let now = region.clock.now();
    let inventory = lock(&region.inventory);
    let Some(snapshot) = made.first() else { return Ok(Vec::new()) };
    Ok(render::snapshot(&inventory, snapshot, "status", now))
}

async fn copy_snapshot(
    home: &Arc<Region>,
    region: &Arc<Region>,
    request: copies::Request,
) -> Result<Vec<Element>, ApiError> {
    let from = home.named(&request.source_region).ok_or_else(|| {
        let name = &request.source_region;
        ApiError::new(
            "InvalidParameterValue",
            format!("Value ({name}) for parameter SourceRegion is invalid."),
        )
    })?;
    let now = region.clock.now();
    let reservation = if Arc::ptr_eq(from, region) {
        copies::reserve(&request, &lock(&from.inventory), None, &region.name, now)
    } else {
        let there = lock(&region.inventory);
        copies::reserve(&request, &lock(&from.inventory), Some(&there), &region.name, now)
    }?;
    let (id, source) = (reservation.id.clone(), request.source.clone());
    let to = id.clone();
    on_machines(region, move |machines| machines.copy_snapshot(&source, &to)).await?;
    lock(&region.inventory).record_copy(request, reservation, region.clock.now());
    Ok(vec![text("snapshotId", id)])
}

async fn delete_snapshot(region: &Arc<Region>, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("SnapshotId")?;
    finish(query)?;
    let bytes = lock(&region.inventory).delete_snapshot(&id, region.clock.now())?;
    if bytes == Bytes::Gone {
        on_machines(region, move |machines| machines.delete_snapshot(&id)).await?;
    }
    Ok(done())
}

async fn create_volume(region: &Arc<Region>, creation: volumes::Creation) -> Result<Vec<Element>, ApiError> {
    let created = lock(&region.inventory).create_volume(creation, region.clock.now())?;
    let id = match created {
        Created::Before(id) => id,
        Created::New(new) => {
            let id = new.id.clone();
            let made = on_machines(region, move |machines| machines.create_volume(&new)).await;
            made.inspect_err(|_| lock(&region.inventory).forget_volume(&id))?;
            id
        }
    };
    let inventory = lock(&region.inventory);
    let volume = inventory.volumes.get(&id).ok_or_else(|| ids::VOLUME.not_found(&id))?;
    Ok(render::volume(&inventory, volume))
}

async fn attach_volume(region: &Arc<Region>, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let volume = query.required("VolumeId")?;
    let instance = query.required("InstanceId")?;
    let device = query.required("Device")?;
    finish(query)?;
    let now = region.clock.now();
    let attachment = lock(&region.inventory).attach(&volume, &instance, &device, now)?;
    let (plugged, into) = (volume.clone(), instance.clone());
    let done = on_machines(region, move |machines| machines.attach(&into, &plugged, &device)).await;
    done.inspect_err(|_| lock(&region.inventory).detached(&volume))?;
    let resources = [volume.as_str(), instance.as_str()];
    region.trail.record("AttachVolume", resources.into_iter(), json!({"volumeId": volume}), now);
    Ok(render::attachment(&volume, &attachment, "attaching"))
}

async fn detach_volume(region: &Arc<Region>, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let volume = query.required("VolumeId")?;
    let instance = query.take("InstanceId");
    query.take("Device");
    let force = query.flag("Force")?;
    finish(query)?;
    let attachment = lock(&region.inventory).detachable(&volume, instance.as_deref())?;
    let (unplugged, from) = (volume.clone(), attachment.instance.clone());
    on_machines(region, move |machines| machines.detach(&from, &unplugged)).await?;
    lock(&region.inventory).detached(&volume);
    let resources = [volume.as_str(), attachment.instance.as_str()];
    let parameters = json!({"volumeId": volume, "force": force});
    region.trail.record("DetachVolume", resources.into_iter(), parameters, region.clock.now());
    Ok(render::attachment(&volume, &attachment, "detaching"))
}

async fn delete_volume(region: &Arc<Region>, mut query: Query) -> Result<Vec<Element>, ApiError> {
    let id = query.required("VolumeId")?;
    finish(query)?;
    lock(&region.inventory).delete_volume(&id)?;
    on_machines(region, move |machines| machines.delete_volume(&id)).await?;
    Ok(done())
}

fn stop_instances(region: &Arc<Region>, query: Query) -> Result<Vec<Element>, ApiError> {
    let request = instances::StopRequest::read(query)?;
    let now = region.clock.now();
    let changes = lock(&region.inventory).begin_stop(&request.ids, now)?;
    let items: Vec<_> = request.ids.iter().map(|id| json!({"instanceId": id})).collect();
    let parameters = json!({
        "instancesSet": {"items": items},
        "force": request.force,
        "skipOsShutdown": request.skip_os_shutdown,
    });
    region.trail.record("StopInstances", request.ids.iter().map(String::as_str), parameters, now);
    let how = request.how();
    move_all(region, &changes, InstanceState::Stopped, move |machines, id| machines.stop(id, how));
    Ok(vec![state_changes(&changes, InstanceState::Stopping, InstanceState::Stopped)])
}

fn start_instances(region: &Arc<Region>, query: Query) -> Result<Vec<Element>, ApiError> {
    let ids = instances::ids_request(query)?;
    let now = region.clock.now();
    let changes = lock(&region.inventory).begin_start(&ids, now)?;
    let items: Vec<_> = ids.iter().map(|id| json!({"instanceId": id})).collect();
    let parameters = json!({"instancesSet": {"items": items}});
    region.trail.record("StartInstances", ids.iter().map(String::as_str), parameters, now);
    move_all(region, &changes, InstanceState::Running, |machines, id| machines.start(id));
    Ok(vec![state_changes(&changes, InstanceState::Pending, InstanceState::Running)])
}

/// EC2 answers at once; here the answer comes when they run again. No event tells of it, as in EC2.
async fn reboot_instances(region: &Arc<Region>, query: Query) -> Result<Vec<Element>, ApiError> {
    let ids = instances::ids_request(query)?;
    lock(&region.inventory).all_run(&ids)?;
    let items: Vec<_> = ids.iter().map(|id| json!({"instanceId": id})).collect();
    let parameters = json!({"instancesSet": {"items": items}});
    region.trail.record("RebootInstances", ids.iter().map(String::as_str), parameters, region.clock.now());
    on_machines(region, move |machines| {
        ids.iter().try_for_each(|id| machines.stop(id, Stop::Clean).and_then(|()| machines.start(id)))
    })
    .await?;
    Ok(done())
}

fn terminate_instances(region: &Arc<Region>, query: Query) -> Result<Vec<Element>, ApiError> {
    let ids = instances::ids_request(query)?;
    let now = region.clock.now();
    let changes = lock(&region.inventory).begin_terminate(&ids, now)?;
    let items: Vec<_> = ids.iter().map(|id| json!({"instanceId": id})).collect();
    let parameters = json!({"instancesSet": {"items": items}});
    region.trail.record("TerminateInstances", ids.iter().map(String::as_str), parameters, now);
    for (id, _) in changes.iter().filter(|(_, before)| *before != InstanceState::Terminated) {
        let (region, id) = (Arc::clone(region), id.clone());
        tokio::task::spawn_blocking(move || match terminate(&region, &id) {
            Ok(()) => events::instance_arrived(&region, &id, InstanceState::Terminated),
            Err(error) => tracing::error!(instance = id, "failed to terminate the instance: {error}"),
        });
    }
    Ok(vec![state_changes(&changes, InstanceState::ShuttingDown, InstanceState::Terminated)])
}

/// Ends it; its volumes are unplugged, and those that go with it deleted.
fn terminate(region: &Region, id: &str) -> Result<(), MachineError> {
    region.machines.stop(id, Stop::Clean)?;
    let attached: Vec<String> =
        lock(&region.inventory).attached(id).map(|(volume, _)| volume.id.clone()).collect();
    attached.iter().try_for_each(|volume| region.machines.detach(id, volume))?;
    let gone = lock(&region.inventory).terminated(id);
    gone.iter().try_for_each(|volume| region.machines.delete_volume(volume))
}

/// Moves instances to a state in the background. One that the machines cannot move stays on its way, as
/// a stuck instance does.
fn move_all(
    region: &Arc<Region>,
    changes: &[instances::Change],
    goal: InstanceState,
    work: impl Fn(&dyn Machines, &str) -> Result<(), MachineError> + Clone + Send + 'static,
) {
    for (id, before) in changes {
        if *before == goal {
            continue;
        }
        let (region, id, work) = (Arc::clone(region), id.clone(), work.clone());
        tokio::task::spawn_blocking(move || match work(region.machines.as_ref(), &id) {
            Ok(()) => {
                lock(&region.inventory).arrived(&id, goal);
                events::instance_arrived(&region, &id, goal);
            }
            Err(error) => tracing::error!(instance = id, ?goal, "failed to move the instance: {error}"),
        });
    }
}

fn state_changes(changes: &[instances::Change], on_the_way: InstanceState, goal: InstanceState) -> Element {
    let items = changes.iter().map(|(id, before)| {
        let current = if *before == goal { goal } else { on_the_way };
        vec![
            text("instanceId", id),
            render::state("currentState", current.code_and_name()),
            render::state("previousState", before.code_and_name()),
        ]
    });
    set("instancesSet", items)
}

/// The pieces of the inventory that control endpoints change.
impl Inventory {
    /// Whether commands reach an instance: it runs and its agent is online.
    #[must_use]
    pub fn takes_commands(&self, id: &str) -> bool {
        self.instances.get(id).is_some_and(|instance| {
            instance.state == InstanceState::Running && instance.agent == crate::spec::Agent::Online
        })
    }
}
