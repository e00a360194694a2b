//! The restore function: finds out what an instance wants, has the plan choose and decide, carries it out,
//! has the helper mount, reports. It may be killed anywhere and be started again, and it may run twice at the
//! same time: every volume has one token, and every step looks at what is there.

mod carry_out;
mod event;
mod look;
mod mount;
mod order;
mod patience;
mod report;

pub use event::{Event, EventError};
pub use report::{ReportedVolume, RestoreReport, Status};

use crate::{
    aws::{
        Account, AttachVolume, CallError, CreateTags, CreateVolume, DeleteVolume, DetachVolume, Invocations,
        ModifyInstanceAttribute, Observe, ObserveRestore, Parameters, SendCommand, UserDataOf,
    },
    config::Config,
};
use carry_out::{Carrying, Hands, Stopped};
use chrono::SecondsFormat;
use look::Eyes;
use mount::{Mount, Mounting};
use patience::Deadline;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::SystemTime;
use stillframe_plan::{InstanceId, RestoreStep, Scene, Spec, SpecError, UserData, restore};

/// On an instance: it wants a restore at its start. The value names a parameter below
/// `/stillframe/restore/`; `user-data`, or nothing, is for the spec in its user data.
pub const RESTORE_TAG: &str = "stillframe:restore";
/// The value for the user data.
const USER_DATA: &str = "user-data";

/// The function's environment.
#[derive(Debug)]
pub struct RestoreFunction {
    config: Config,
    eyes: Eyes,
    hands: Hands,
    mount: Mount,
    parameters: Parameters,
    user_data: UserDataOf,
}

/// What ends an invocation without a result. Lambda hands a queued event to the function again then.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The event is none of ours; nothing was changed.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A call failed before anything was changed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It was interrupted; the next try goes on.
    #[error("{0}; the next try goes on from there")]
    Interrupted(String),
}

impl RestoreFunction {
    /// Prepares the environment; makes no call.
    pub async fn start(config: Config) -> Self {
        let account = Account::from_environment().await;
        let observe = Observe::new(&account);
        Self {
            eyes: Eyes { observe: observe.clone(), restore: ObserveRestore::new(&account) },
            hands: Hands {
                observe: ObserveRestore::new(&account),
                create_volume: CreateVolume::new(&account),
                attach_volume: AttachVolume::new(&account),
                detach_volume: DetachVolume::new(&account),
                delete_volume: DeleteVolume::new(&account),
                modify: ModifyInstanceAttribute::new(&account),
                create_tags: CreateTags::new(&account),
            },
            mount: Mount {
                observe,
                send_command: SendCommand::new(&account, &config.document_prefix),
                invocations: Invocations::new(&account, &config.document_prefix),
                clock: config.clock,
            },
            parameters: Parameters::new(&account),
            user_data: UserDataOf::new(&account),
            config,
        }
    }

    /// Handles one event; `ends` is when Lambda ends the process.
    ///
    /// # Errors
    /// The event is none of ours, or the restore was interrupted and is worth another try.
    pub async fn handle(&self, event: &Value, ends: SystemTime) -> Result<RestoreReport, Unfit> {
        let deadline = Deadline::at(ends);
        let event = Event::read(event)?;
        let (Event::Asked { instance, .. } | Event::Running(instance)) = &event;
        let Some(scene) = self.eyes.scene(instance).await? else {
            let message = format!("there is no instance {instance}");
            return Ok(RestoreReport::without_a_plan(Status::Refused, instance.clone(), message));
        };
        let (spec, dry_run) = match &event {
            Event::Asked { parameter, fields, dry_run, .. } => {
                let spec = match parameter {
                    None => Ok(Spec::read(&Value::Object(fields.clone()))),
                    Some(name) => self.of_parameter(name, fields).await?,
                };
                (spec, *dry_run)
            }
            Event::Running(_) => match scene.host.instance.tags.get(RESTORE_TAG) {
                None => (Err((Status::NotAsked, format!("{instance} has no tag {RESTORE_TAG}"))), false),
                Some(name) if name.is_empty() || name == USER_DATA => {
                    (self.of_user_data(instance).await?, false)
                }
                Some(name) => (self.of_parameter(name, &serde_json::Map::new()).await?, false),
            },
        };
        let refused = |status, message| Ok(RestoreReport::without_a_plan(status, instance.clone(), message));
        match spec {
            Err((status, message)) => refused(status, message),
            Ok(Err(error)) => refused(Status::Refused, error.to_string()),
            Ok(Ok(spec)) => self.restore(&spec, &scene, dry_run, deadline).await,
        }
    }

    async fn restore(
        &self,
        spec: &Spec,
        scene: &Scene,
        dry_run: bool,
        deadline: Deadline,
    ) -> Result<RestoreReport, Unfit> {
        let plan = match restore(spec, scene) {
            Ok(plan) => plan,
            Err(refused) => {
                let id = scene.host.instance.id.clone();
                let mut report = RestoreReport::without_a_plan(Status::Refused, id, refused.to_string());
                report.passed_over = refused.passed_over;
                return Ok(report);
            }
        };
        let mut report = RestoreReport::of(&plan);
        if dry_run {
            report.plan = Some(plan.to_string());
            return Ok(report);
        }
        let now = self.config.clock.now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let carrying = Carrying { hands: &self.hands, plan: &plan, deadline, ids: BTreeMap::new(), now };
        let ids = match carrying.out(&mut report).await {
            Ok(ids) => ids,
            Err(Stopped::ForNow(message)) => return Err(Unfit::Interrupted(message)),
            Err(Stopped::ForGood(message)) => {
                report.status = Status::Failed;
                report.message = Some(message);
                return Ok(report);
            }
        };
        let steps = plan.steps();
        let nothing = steps.iter().all(|step| *step == RestoreStep::Mount);
        report.status = if nothing { Status::AlreadyThere } else { Status::Restored };
        if steps.contains(&RestoreStep::Mount) {
            match self.mount.all(&plan, &ids, deadline).await.map_err(Unfit::Interrupted)? {
                Mounting::Whole(mounts) => report.mounts = Some(mounts),
                Mounting::Partly(mounts, message) => {
                    report.status = Status::NotMounted;
                    report.mounts = Some(mounts);
                    report.message = Some(message);
                }
            }
        }
        Ok(report)
    }

    async fn of_user_data(&self, instance: &InstanceId) -> Result<Found, CallError> {
        let data = self.user_data.call(instance).await?;
        Ok(match UserData::read(&data) {
            Ok(UserData::Spec(spec)) => Ok(Ok(*spec)),
            Ok(UserData::None(what)) => Err((Status::NotAsked, format!("no restore spec: {what}"))),
            Err(error) => Ok(Err(error)),
        })
    }

    async fn of_parameter(
        &self,
        name: &str,
        fields: &serde_json::Map<String, Value>,
    ) -> Result<Found, CallError> {
        if !event::is_name(name) {
            return Ok(Err((
                Status::Refused,
                format!("the tag {RESTORE_TAG} is {name:?}, no name of a parameter"),
            )));
        }
        let path = self.config.restore_parameter(name);
        Ok(match self.parameters.get(&path).await? {
            Some(text) => Ok(event::overlaid(&text, fields)),
            None => Err((Status::Refused, format!("there is no parameter {path}"))),
        })
    }
}

/// A spec, one that is wrong, or why there is none.
type Found = Result<Result<Spec, SpecError>, (Status, String)>;
