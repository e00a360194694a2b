//! The control endpoints below `/_fleet/`: faults, counts, the clock, and looks behind the curtain. They
//! are not AWS's, take no time and are never counted.

use super::control_bodies::{
    Advance, Decided, Quiet, SetDeletions, SetInstance, SetSnapshot, SnapshotFile, SnapshotRecord,
    State as Mounts, Time,
};
use crate::caller::Caller;
use crate::clock::iso;
use crate::ec2::bin;
use crate::faults::FaultOrder;
use crate::lambda;
use crate::machine::{MachineError, Machines};
use crate::region::{Region, UnderWay};
use crate::rights::asked_of_lambda;
use crate::sync::lock;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequest, Json, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type Shared = State<Arc<Region>>;

/// The endpoints.
pub fn router() -> Router<Arc<Region>> {
    Router::new()
        .route("/faults", post(add_fault).delete(clear_faults))
        .route("/calls", get(calls))
        .route("/clock", get(time).post(advance))
        .route("/quiet", get(quiet))
        .route("/state", get(state))
        .route("/acknowledged", get(acknowledged))
        .route("/snapshots", get(snapshot_files))
        .route("/snapshots/{id}", post(set_snapshot))
        .route("/ec2/snapshots", get(snapshots))
        .route("/ec2/deletions", put(set_deletions))
        .route("/instances/{id}", post(set_instance))
        .route("/documents/{name}", put(put_document).delete(remove_document))
        .route("/commands", get(commands))
        .route("/logs/{function}", get(logs))
        .route("/rights", get(rights))
        .route("/schedules/{name}", post(fire))
}

/// What a control endpoint refuses.
struct Refusal(StatusCode, String);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(json!({"error": self.1}))).into_response()
    }
}

/// A body of JSON, whatever its content type says: `curl -d` calls everything a form.
struct Sent<T>(T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let body = Bytes::from_request(request, state).await.map_err(|error| refuse(&error))?;
        serde_json::from_slice(&body).map(Self).map_err(|error| refuse(&error))
    }
}

fn refuse(error: &dyn std::error::Error) -> Refusal {
    Refusal(StatusCode::BAD_REQUEST, error.to_string())
}

fn no_such(kind: &str, id: &str) -> Refusal {
    Refusal(StatusCode::NOT_FOUND, format!("the region has no {kind} {id}"))
}

async fn add_fault(State(region): Shared, Sent(order): Sent<FaultOrder>) -> Result<Json<Value>, Refusal> {
    region.faults.add(order).map_err(|error| refuse(&error))?;
    Ok(Json(json!({})))
}

async fn clear_faults(State(region): Shared) -> Json<Value> {
    region.faults.clear();
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsOf {
    caller: Option<String>,
}

async fn calls(State(region): Shared, Query(of): Query<CallsOf>) -> Json<BTreeMap<&'static str, u64>> {
    Json(region.calls.by_operation(of.caller.as_deref()))
}

async fn time(State(region): Shared) -> Json<Time> {
    let now = region.clock.now();
    Json(Time {
        now: iso(now),
        epoch_s: u64::try_from(now.timestamp()).unwrap_or(0),
        offset_s: region.clock.offset_s(),
    })
}

async fn advance(State(region): Shared, Sent(by): Sent<Advance>) -> Json<Time> {
    region.clock.advance(by.advance_s);
    time(State(region)).await
}

async fn quiet(State(region): Shared) -> Json<Quiet> {
    let under_way = region.under_way();
    Json(Quiet { quiet: under_way == UnderWay::default(), under_way })
}

async fn state(State(region): Shared) -> Result<Json<Mounts>, Refusal> {
    let instances = ask(&region, |machines| machines.state()).await?;
    Ok(Json(Mounts { instances }))
}

async fn acknowledged(State(region): Shared) -> Result<Json<BTreeMap<String, u64>>, Refusal> {
    Ok(Json(ask(&region, |machines| machines.acknowledged()).await?))
}

/// Asks the machines, off the threads that serve requests.
async fn ask<T: Send + 'static>(
    region: &Arc<Region>,
    question: impl FnOnce(&dyn Machines) -> Result<T, MachineError> + Send + 'static,
) -> Result<T, Refusal> {
    let machines = Arc::clone(&region.machines);
    let failed = |error: &dyn std::error::Error| {
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, crate::api_error::ApiError::internal(error).message)
    };
    match tokio::task::spawn_blocking(move || question(machines.as_ref())).await {
        Ok(answer) => answer.map_err(|error| failed(&error)),
        Err(error) => Err(failed(&error)),
    }
}

async fn snapshot_files(State(home): Shared) -> Json<BTreeMap<String, SnapshotFile>> {
    let mut files = BTreeMap::new();
    for region in home.all() {
        let inventory = lock(&region.inventory);
        files.extend(inventory.visible_snapshots().filter_map(|snapshot| {
            let path = region.machines.snapshot_path(&snapshot.id)?;
            Some((snapshot.id.clone(), SnapshotFile { volume: snapshot.volume.clone(), path }))
        }));
    }
    Json(files)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InRegion {
    region: Option<String>,
}

async fn snapshots(
    State(home): Shared,
    Query(of): Query<InRegion>,
) -> Result<Json<Vec<SnapshotRecord>>, Refusal> {
    let name = of.region.unwrap_or_else(|| home.name.clone());
    let region = home.named(&name).ok_or_else(|| no_such("neighbour", &name))?;
    let now = region.clock.now();
    let inventory = lock(&region.inventory);
    let records = inventory.visible_snapshots().map(|snapshot| SnapshotRecord {
        id: snapshot.id.clone(),
        volume: snapshot.volume.clone(),
        state: snapshot.state(now).name().to_owned(),
        start_time: iso(snapshot.started_at),
        tags: snapshot.tags.clone(),
    });
    Ok(Json(records.collect()))
}

async fn set_snapshot(
    State(home): Shared,
    Path(id): Path<String>,
    Sent(set): Sent<SetSnapshot>,
) -> Result<Json<Value>, Refusal> {
    for region in home.all() {
        if let Some(snapshot) = lock(&region.inventory).snapshots.get_mut(&id) {
            snapshot.forced = Some(set.state);
            return Ok(Json(json!({})));
        }
    }
    Err(no_such("snapshot", &id))
}

async fn set_deletions(State(region): Shared, Sent(set): Sent<SetDeletions>) -> Json<Value> {
    let mut inventory = lock(&region.inventory);
    inventory.bin.seen_for = TimeDelta::seconds(set.seen_for_s.into());
    inventory.bin.rule = set
        .recycle_bin
        .map(|rule| bin::Rule { retain: TimeDelta::days(rule.retain_days.into()), tag: rule.tag });
    Json(json!({}))
}

async fn set_instance(
    State(region): Shared,
    Path(id): Path<String>,
    Sent(set): Sent<SetInstance>,
) -> Result<Json<Value>, Refusal> {
    let mut inventory = lock(&region.inventory);
    let instance = inventory.instances.get_mut(&id).ok_or_else(|| no_such("instance", &id))?;
    instance.agent = set.agent;
    Ok(Json(json!({})))
}

async fn put_document(
    State(region): Shared,
    Path(name): Path<String>,
    text: String,
) -> Result<Json<Value>, Refusal> {
    region.documents.put(&name, &text).map_err(|error| refuse(&error))?;
    Ok(Json(json!({})))
}

async fn remove_document(State(region): Shared, Path(name): Path<String>) -> Json<Value> {
    region.documents.remove(&name);
    Json(json!({}))
}

async fn commands(State(region): Shared) -> Json<Value> {
    Json(region.commands.overview())
}

async fn rights(State(region): Shared) -> Json<Decided> {
    let rights = region.rights.as_ref();
    Json(Decided {
        asked: rights.map(|rights| rights.asked()).unwrap_or_default(),
        denied: rights.map(|rights| rights.denied()).unwrap_or_default(),
    })
}

/// Has a schedule fire: its role has to allow it, as at EventBridge Scheduler, and Lambda's queue takes it.
async fn fire(State(region): Shared, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let schedule = region.schedules.get(&name).ok_or_else(|| no_such("schedule", &name))?;
    if !schedule.is_enabled {
        return Err(Refusal(StatusCode::CONFLICT, format!("the schedule {name} is switched off")));
    }
    if let Some(rights) = &region.rights {
        let call = asked_of_lambda(&region, region.functions.name_of(schedule.function));
        rights
            .check_role(&schedule.role, &name, &call)
            .map_err(|denial| Refusal(StatusCode::FORBIDDEN, denial.sentence))?;
    }
    let (function, input) = (schedule.function, schedule.input.clone().into_bytes());
    lambda::invoke_later(&region, function, input, lambda::request_id());
    Ok(Json(json!({})))
}

async fn logs(State(region): Shared, Path(function): Path<String>) -> Result<String, Refusal> {
    match region.functions.named(&Caller::Operator, &function) {
        Some(name) => Ok(region.functions.logs(name)),
        None => Err(no_such("function", &function)),
    }
}
