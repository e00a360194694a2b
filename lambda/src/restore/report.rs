//! What a restore tells: one JSON document, the function's result.

use serde::Serialize;
use stillframe_plan::{ChosenSet, InstanceId, PassedOver, RestoreNote, RestorePlan, RestoreWay, VolumeId};
use stillframe_wire::MountReport;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Everything is attached, and mounted where it was to be.
    Restored,
    /// Everything was there already.
    AlreadyThere,
    /// A dry run: nothing was changed.
    Planned,
    /// The instance does not ask for a restore.
    NotAsked,
    /// It cannot be restored as asked; nothing was changed.
    Refused,
    /// The volumes are attached, and not everything is mounted.
    NotMounted,
    /// A step failed for good; what could not be used is deleted.
    Failed,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedVolume {
    /// Its id; none where it was not made.
    pub volume: Option<VolumeId>,
    /// Under which name it is attached.
    pub device: String,
    /// Where it is to be mounted.
    pub mount_points: Vec<String>,
    /// What it is a copy of.
    pub source: Option<VolumeId>,
    /// `made`, `carried-on` or `there`.
    pub how: &'static str,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RestoreReport {
    /// How it ended.
    pub status: Status,
    /// The instance.
    pub instance: InstanceId,
    /// The sets that volumes come from.
    pub sets: Vec<ChosenSet>,
    /// Sets that were not taken, and why.
    pub passed_over: Vec<PassedOver>,
    /// The volumes.
    pub volumes: Vec<ReportedVolume>,
    /// Volumes that earlier tries had left over, or that could not be used, and were deleted.
    pub deleted: Vec<VolumeId>,
    /// Volumes that were to be deleted and stay, with the reason.
    pub kept: Vec<(VolumeId, String)>,
    /// The helper's report of the mounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mounts: Option<MountReport>,
    /// What the operator should know.
    pub notes: Vec<RestoreNote>,
    /// What went wrong, or why nothing was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The plan as a table, in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
}

impl RestoreReport {
    /// A report that tells only why nothing was done.
    #[must_use]
    pub fn without_a_plan(status: Status, instance: InstanceId, message: String) -> Self {
        Self {
            status,
            instance,
            sets: Vec::new(),
            passed_over: Vec::new(),
            volumes: Vec::new(),
            deleted: Vec::new(),
            kept: Vec::new(),
            mounts: None,
            notes: Vec::new(),
            message: Some(message),
            plan: None,
        }
    }

    /// The report of a plan of which nothing is done yet.
    #[must_use]
    pub fn of(plan: &RestorePlan) -> Self {
        let volume = |planned: &stillframe_plan::RestoredVolume| ReportedVolume {
            volume: planned.way.volume().cloned(),
            device: planned.device.clone(),
            mount_points: planned.mount_points.clone(),
            source: planned.source.clone(),
            how: match planned.way {
                RestoreWay::Create(_) => "made",
                RestoreWay::Attach { .. } | RestoreWay::Mark { .. } => "carried-on",
                RestoreWay::Keep { .. } => "there",
            },
        };
        Self {
            status: Status::Planned,
            instance: plan.instance.clone(),
            sets: plan.sets.clone(),
            passed_over: plan.passed_over.clone(),
            volumes: plan.volumes.iter().map(volume).collect(),
            deleted: Vec::new(),
            kept: Vec::new(),
            mounts: None,
            notes: plan.notes.clone(),
            message: None,
            plan: None,
        }
    }
}
