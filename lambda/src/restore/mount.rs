//! Has the helper mount what is attached: the mount order, its way to the instance, and what came of it.

use super::order::{Ordered, mount_order};
use super::patience::Deadline;
use crate::{
    aws::{CallError, Document, Invocations, Observe, SendCommand, Stage},
    clock::Clock,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::TimeDelta;
use std::time::Duration;
use stillframe_plan::{Agent, InstanceId, RestorePlan, VolumeId};
use stillframe_wire::MountReport;

/// How long a command may wait for its agent, which is online when it is sent.
const DELIVERY: Duration = Duration::from_secs(120);
/// How far SSM's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// How much is shown of what is no report, characters.
const SHOWN: usize = 300;

/// What came of the mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounting {
    /// Everything is mounted.
    Whole(MountReport),
    /// The helper, or SSM, says what is not.
    Partly(MountReport, String),
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
        let Ordered { order, refused } = mount_order(plan, ids);
        let Some(order) = order else {
            let mut report = MountReport::new(None);
            report.mounts = refused;
            return Ok(Mounting::Partly(report, "no mount can be ordered: see `mounts`".to_owned()));
        };
        let text = serde_json::to_vec(&order).map_err(|error| error.to_string())?;
        let mounting = self.send(&plan.instance, &STANDARD.encode(text), deadline).await?;
        if refused.is_empty() {
            return Ok(mounting);
        }
        let (mut report, message) = match mounting {
            Mounting::Whole(report) => (report, "not every mount can be ordered: see `mounts`".to_owned()),
            Mounting::Partly(report, message) => (report, message),
        };
        report.mounts.extend(refused);
        Ok(Mounting::Partly(report, message))
    }

    async fn send(&self, instance: &InstanceId, order: &str, deadline: Deadline) -> Result<Mounting, String> {
        self.agent(instance, deadline).await?;
        let since = self.clock.now() - SKEW;
        let comment = format!("stillframe restore {instance}");
        let mut patience = deadline.patience();
        let command = loop {
            let parameters = [("order", order.to_owned())];
            match self.send_command.call(instance, Document::Mount, &parameters, &comment, DELIVERY).await {
                Ok(sent) => break sent.command,
                // Mounting twice is mounting once, so an unknown outcome is no reason to look first.
                Err(error @ CallError::Refused { .. }) => {
                    let message = format!("failed to send the mount order: {error}");
                    return Ok(Mounting::Partly(MountReport::new(None), message));
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
            let whole = self.invocations.whole_output(&command, instance).await;
            let output = whole.ok().flatten().unwrap_or_else(|| ended.output.clone());
            return Ok(match &ended.stage {
                // The exit code alone says that all is mounted; a report that was cut off takes nothing back.
                Stage::Ended { exit: 0 } => Mounting::Whole(read(&output)),
                Stage::Ended { exit } => Mounting::Partly(
                    read(&output),
                    format!("the helper ended with code {exit}: see `mounts`"),
                ),
                Stage::Lost { details } => {
                    Mounting::Partly(read(&output), format!("the mount command: {details}"))
                }
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

/// What the helper printed. Where that is no report a warning says so, with the beginning of it.
fn read(output: &str) -> MountReport {
    MountReport::read(output.as_bytes()).unwrap_or_else(|error| {
        let mut report = MountReport::new(None);
        let printed: String = output.chars().take(SHOWN).collect();
        report.warnings.push(format!("the helper's report cannot be read: {error}; it printed {printed:?}"));
        report
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_shown_as_it_is() {
        let report = read("stillframe-helper: command not found");
        assert!(report.mounts.is_empty() && report.warnings[0].contains("command not found"), "{report:?}");
        let whole = r#"{"v": 1, "mounts": [{"mount_point": "/a", "outcome": "held-back"}]}"#;
        assert!(!read(whole).is_whole() && read(whole).warnings.is_empty());
    }
}
