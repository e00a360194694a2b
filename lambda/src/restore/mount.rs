//! Has the helper mount what is attached: the mount order, its way to the instance, and what came of it.

use super::patience::Deadline;
use crate::{
    aws::{CallError, Document, Invocations, Observe, SendCommand, Stage},
    clock::Clock,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::time::Duration;
use stillframe_plan::{Agent, InstanceId, RestorePlan, VolumeId};

/// How long a command may wait for its agent, which is online when it is sent.
const DELIVERY: Duration = Duration::from_secs(120);
/// How far SSM's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::seconds(60);

/// What came of the mounts.
#[derive(Debug, Clone, PartialEq)]
pub enum Mounting {
    /// Everything is mounted.
    Whole(Value),
    /// The helper, or SSM, says what is not.
    Partly(Value, String),
}

/// Sends the order.
#[derive(Debug, Clone)]
pub struct Mount {
    pub(super) observe: Observe,
    pub(super) send_command: SendCommand,
    pub(super) invocations: Invocations,
    pub(super) clock: Clock,
}

impl Mount {
    /// Waits for the agent, sends the order, waits for its end. `ids`: the volumes of the plan, in order.
    ///
    /// # Errors
    /// Time is up, or a call failed: doing it again does no harm.
    pub async fn all(
        &self,
        plan: &RestorePlan,
        ids: &[VolumeId],
        deadline: Deadline,
    ) -> Result<Mounting, String> {
        self.agent(&plan.instance, deadline).await?;
        let order = STANDARD.encode(order(plan, ids).to_string());
        let since = self.clock.now() - SKEW;
        let comment = format!("stillframe restore {}", plan.instance);
        let mut patience = deadline.patience();
        let command = loop {
            let parameters = [("order", order.clone())];
            match self
                .send_command
                .call(&plan.instance, Document::Mount, &parameters, &comment, DELIVERY)
                .await
            {
                Ok(sent) => break sent.command,
                // Mounting twice is mounting once, so an unknown outcome is no reason to look first.
                Err(error @ CallError::Refused { .. }) => {
                    let nothing = json!({"mounts": []});
                    return Ok(Mounting::Partly(nothing, format!("failed to send the mount order: {error}")));
                }
                Err(error) if !patience.look_again().await => return Err(error.to_string()),
                Err(_) => {}
            }
        };
        let mut patience = deadline.patience();
        while patience.look_again().await {
            let Ok(listed) = self.invocations.of_document(Document::Mount, since).await else { continue };
            let ended = listed.iter().find(|one| one.command == command && one.stage != Stage::UnderWay);
            let Some(ended) = ended else { continue };
            let whole = self.invocations.whole_output(&command, &plan.instance).await;
            let output = whole.ok().flatten().unwrap_or_else(|| ended.output.clone());
            let report = serde_json::from_str(&output).unwrap_or_else(|_| json!({"output": output}));
            return Ok(match &ended.stage {
                Stage::Ended { exit: 0 } => Mounting::Whole(report),
                Stage::Ended { exit } => {
                    Mounting::Partly(report, format!("the helper ended with code {exit}: see `mounts`"))
                }
                Stage::Lost { details } => Mounting::Partly(report, format!("the mount command: {details}")),
                Stage::UnderWay => continue,
            });
        }
        Err("not every mount was done in time".to_owned())
    }

    /// Waits until the instance's agent answers: after a start it takes a while.
    async fn agent(&self, instance: &InstanceId, deadline: Deadline) -> Result<(), String> {
        let mut patience = deadline.patience();
        loop {
            match self.observe.agents().await {
                Ok(agents) if agents.get(instance) == Some(&Agent::Online) => return Ok(()),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "agents not seen; looking again"),
            }
            if !patience.look_again().await {
                return Err(format!("the agent on {instance} did not come online in time"));
            }
        }
    }
}

/// The order as `stillframe-helper mount` reads it.
fn order(plan: &RestorePlan, ids: &[VolumeId]) -> Value {
    let mounts: Vec<Value> = plan
        .mounts
        .iter()
        .map(|mount| {
            let volumes: Vec<&VolumeId> = mount.volumes.iter().filter_map(|at| ids.get(*at)).collect();
            let devices: Vec<&str> = mount
                .volumes
                .iter()
                .filter_map(|at| plan.volumes.get(*at))
                .map(|volume| volume.device.as_str())
                .collect();
            // What is null, or empty, is left to the helper.
            let known = devices.iter().all(|device| !device.is_empty());
            json!({
                "volumes": volumes,
                "devices": if known { devices } else { Vec::new() },
                "mount_point": mount.mount_point,
                "file_system": Some(&mount.file_system).filter(|name| !name.is_empty()),
                "mount_options": mount.options,
                "blank": mount.blank,
            })
        })
        .collect();
    let run = plan.sets.first().map(|set| set.run.as_str());
    json!({"v": 1, "run": run, "mounts": mounts})
}
