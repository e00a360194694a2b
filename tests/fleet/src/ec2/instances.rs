//! `StopInstances`, `StartInstances`, `TerminateInstances`: the records. All three take their time; the record
//! says `stopping`, `pending` or `shutting-down` meanwhile.

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

/// Reads `StartInstances`, `RebootInstances` or `TerminateInstances`.
pub fn ids_request(mut query: Query) -> Result<Vec<String>, ApiError> {
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

    /// Instances begin to end for good; those that have ended stay so.
    pub fn begin_terminate(&mut self, ids: &[String], now: DateTime<Utc>) -> Result<Vec<Change>, ApiError> {
        self.begin(ids, InstanceState::Terminated, |instance| {
            instance.state = InstanceState::ShuttingDown;
            instance.transition_reason = user_initiated(now);
        })
    }

    /// Checks that all of them run.
    pub fn all_run(&self, ids: &[String]) -> Result<(), ApiError> {
        ids::known(ids, &ids::INSTANCE, |id| self.instances.contains_key(id))?;
        let runs = |id: &&String| {
            self.instances.get(*id).is_some_and(|instance| instance.state == InstanceState::Running)
        };
        ids.iter().find(|id| !runs(id)).map_or(Ok(()), |id| Err(wrong_state(id, "does not run")))
    }

    /// An instance has ended for good: nothing is attached to it any more. The volumes that go with it, which
    /// have no record any more either.
    pub fn terminated(&mut self, id: &str) -> Vec<String> {
        let volumes: Vec<(String, bool)> = self
            .attached(id)
            .map(|(volume, attachment)| (volume.id.clone(), attachment.delete_on_termination))
            .collect();
        for (volume, _) in &volumes {
            self.detached(volume);
        }
        let gone: Vec<String> = volumes.into_iter().filter(|(_, goes)| *goes).map(|(id, _)| id).collect();
        for volume in &gone {
            self.volumes.remove(volume);
        }
        self.arrived(id, InstanceState::Terminated);
        gone
    }

    fn begin(
        &mut self,
        ids: &[String],
        goal: InstanceState,
        mut change: impl FnMut(&mut super::inventory::Instance),
    ) -> Result<Vec<Change>, ApiError> {
        ids::known(ids, &ids::INSTANCE, |id| self.instances.contains_key(id))?;
        for id in ids {
            match self.instances.get(id).map(|instance| instance.state) {
                Some(InstanceState::Stopping | InstanceState::Pending | InstanceState::ShuttingDown) => {
                    return Err(wrong_state(id, "is on its way between two states"));
                }
                Some(InstanceState::Terminated) if goal != InstanceState::Terminated => {
                    return Err(wrong_state(id, "has been terminated"));
                }
                _ => {}
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

fn wrong_state(id: &str, how: &str) -> ApiError {
    ApiError::new("IncorrectInstanceState", format!("The instance '{id}' {how}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Spec;

    const DB: &str = "i-0aaaaaaaaaaaaaaa1";

    fn database() -> Inventory {
        let spec = format!(
            "[[instance]]\nid = \"{DB}\"\n[[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa01\"\nroot = true\n\
             [[instance.volume]]\nid = \"vol-0aaaaaaaaaaaaaa02\"\n"
        );
        Inventory::new(&Spec::read(&spec).unwrap(), DateTime::UNIX_EPOCH)
    }

    #[test]
    fn what_goes_with_an_instance_goes_and_the_rest_is_available() {
        let (mut inventory, ids) = (database(), [DB.to_owned()]);
        let changes = inventory.begin_terminate(&ids, DateTime::UNIX_EPOCH).unwrap();
        assert_eq!(changes, [(DB.to_owned(), InstanceState::Running)]);
        assert!(inventory.begin_start(&ids, DateTime::UNIX_EPOCH).is_err(), "it is on its way");
        assert_eq!(inventory.terminated(DB), ["vol-0aaaaaaaaaaaaaa01"]);
        let left: Vec<_> = inventory.volumes.values().map(|one| (one.id.as_str(), one.status())).collect();
        assert_eq!(left, [("vol-0aaaaaaaaaaaaaa02", "available")]);
        assert_eq!(inventory.instances[DB].state, InstanceState::Terminated);
        for refused in [
            inventory.begin_start(&ids, DateTime::UNIX_EPOCH),
            inventory.begin_stop(&ids, DateTime::UNIX_EPOCH),
        ] {
            assert!(refused.unwrap_err().message.contains("terminated"));
        }
        assert!(inventory.all_run(&ids).is_err());
        assert_eq!(inventory.begin_terminate(&ids, DateTime::UNIX_EPOCH).unwrap().len(), 1, "once more");
    }
}
