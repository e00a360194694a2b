//! `StopInstances`, `StartInstances`: the records. Stopping and starting take their time; the record says
//! `stopping` and `pending` meanwhile.

use super::ids;
use super::inventory::{InstanceState, Inventory, user_initiated};
use super::query::Query;
use crate::api_error::ApiError;
use crate::machine::Stop;
use chrono::{DateTime, Utc};

/// What `StopInstances` asks for.
#[derive(Debug, Clone)]
pub struct StopRequest {
    /// The instances.
    pub ids: Vec<String>,
    /// `Force`.
    pub force: bool,
    /// `SkipOsShutdown`.
    pub skip_os_shutdown: bool,
}

impl StopRequest {
    /// Reads the request.
    pub fn read(mut query: Query) -> Result<Self, ApiError> {
        let request = Self {
            ids: instance_ids(&mut query)?,
            force: query.flag("Force")?,
            skip_os_shutdown: query.flag("SkipOsShutdown")?,
        };
        super::finish(query)?;
        Ok(request)
    }

    /// What the machines make of it.
    pub fn how(&self) -> Stop {
        if self.force || self.skip_os_shutdown { Stop::Forced } else { Stop::Clean }
    }
}

/// Reads `StartInstances`.
pub fn start_request(mut query: Query) -> Result<Vec<String>, ApiError> {
    let ids = instance_ids(&mut query)?;
    super::finish(query)?;
    Ok(ids)
}

fn instance_ids(query: &mut Query) -> Result<Vec<String>, ApiError> {
    let ids = query.list("InstanceId");
    if ids.is_empty() {
        return Err(ApiError::new("MissingParameter", "The request must contain the parameter InstanceId"));
    }
    Ok(ids)
}

/// An instance that changes its state: its id and the state before.
pub type Change = (String, InstanceState);

impl Inventory {
    /// Running instances begin to stop; stopped ones stay so.
    pub fn begin_stop(&mut self, ids: &[String], now: DateTime<Utc>) -> Result<Vec<Change>, ApiError> {
        self.begin(ids, InstanceState::Stopped, |instance| {
            instance.state = InstanceState::Stopping;
            instance.transition_reason = user_initiated(now);
        })
    }

    /// Stopped instances begin to start, with a new launch time; running ones stay so.
    pub fn begin_start(&mut self, ids: &[String], now: DateTime<Utc>) -> Result<Vec<Change>, ApiError> {
        self.begin(ids, InstanceState::Running, |instance| {
            instance.state = InstanceState::Pending;
            instance.launched_at = now;
            instance.transition_reason.clear();
        })
    }

    fn begin(
        &mut self,
        ids: &[String],
        goal: InstanceState,
        mut change: impl FnMut(&mut super::inventory::Instance),
    ) -> Result<Vec<Change>, ApiError> {
        ids::known(ids, &ids::INSTANCE, |id| self.instances.contains_key(id))?;
        let on_the_way = |state| matches!(state, InstanceState::Stopping | InstanceState::Pending);
        for id in ids {
            if self.instances.get(id).is_some_and(|instance| on_the_way(instance.state)) {
                return Err(ApiError::new(
                    "IncorrectInstanceState",
                    format!("The instance '{id}' is on its way between two states."),
                ));
            }
        }
        let mut changes = Vec::new();
        for id in ids {
            let Some(instance) = self.instances.get_mut(id) else { continue };
            changes.push((id.clone(), instance.state));
            if instance.state != goal {
                change(instance);
            }
        }
        Ok(changes)
    }

    /// An instance has arrived in a state.
    pub fn arrived(&mut self, id: &str, state: InstanceState) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.state = state;
        }
    }
}
