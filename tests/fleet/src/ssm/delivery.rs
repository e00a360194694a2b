//! How a command gets to an instance and runs there: on its way for a while, taken by an agent that has
//! five hands, carried out by the machines, heard of again or not.

use super::commands::Handle;
use super::documents::Prepared;
use crate::machine::{ScriptEnd, ScriptResult, ShellScript};
use crate::region::Region;
use crate::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stillframe_lambda::timer;
use tokio::sync::Semaphore;

/// How many commands an agent carries out at once (its `CommandWorkersLimit`).
const WORKERS: usize = 5;
/// How often an agent that is not there is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The agents' hands, by instance.
#[derive(Debug, Default)]
pub struct Agents(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Agents {
    fn of(&self, instance: &str) -> Arc<Semaphore> {
        let mut agents = lock(&self.0);
        Arc::clone(agents.entry(instance.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(WORKERS))))
    }
}

/// One delivery.
#[derive(Debug)]
pub struct Delivery {
    /// The record.
    pub handle: Handle,
    /// The command.
    pub command: String,
    /// The instance.
    pub instance: String,
    /// What is to be run.
    pub prepared: Prepared,
    /// How long it may be on its way.
    pub within: Duration,
}

impl Delivery {
    /// Carries the command out, to its last status.
    pub async fn run(self, region: Arc<Region>) {
        let sent = timer::now();
        timer::sleep(region.latencies.delivery()).await;
        let agent = region.agents.of(&self.instance);
        let Ok(_hand) = agent.acquire_owned().await else { return };
        while !lock(&region.inventory).takes_commands(&self.instance) {
            if timer::now().duration_since(sent) > self.within {
                region.commands.lost(self.handle, region.clock.now());
                return;
            }
            timer::sleep(LOOK_AGAIN).await;
        }
        if !region.commands.wanted(self.handle) {
            return;
        }
        region.commands.begin(self.handle, region.clock.now());
        let launched = self.launched(&region);
        let deadline = sent + self.within + self.prepared.timeout;
        let result = self.carry_out(&region).await;
        // An instance that was stopped meanwhile has nobody left to report the end.
        if self.launched(&region) != launched {
            timer::sleep(deadline.saturating_duration_since(timer::now())).await;
            region.commands.lost(self.handle, region.clock.now());
        } else {
            region.commands.end(self.handle, result, region.clock.now());
        }
    }

    /// Which start of the instance this is; `None` while it does not run.
    fn launched(&self, region: &Region) -> Option<chrono::DateTime<chrono::Utc>> {
        let inventory = lock(&region.inventory);
        let instance = inventory.instances.get(&self.instance)?;
        (instance.state == crate::ec2::inventory::InstanceState::Running).then_some(instance.launched_at)
    }

    async fn carry_out(&self, region: &Arc<Region>) -> ScriptResult {
        let script = ShellScript {
            commands: self.prepared.commands.clone(),
            env: self.environment(region),
            timeout: self.prepared.timeout,
        };
        if let Some(host) = region.functions.host.get() {
            return host.carry_out(region, &self.instance, &script).await;
        }
        let (machines, instance) = (Arc::clone(&region.machines), self.instance.clone());
        let started = tokio::task::spawn_blocking(move || machines.run(&instance, &script)).await;
        let script = match started {
            Ok(Ok(script)) => Arc::from(script),
            Ok(Err(error)) => return failed(&error.to_string()),
            Err(error) => return failed(&error.to_string()),
        };
        region.commands.running(self.handle, Arc::clone(&script));
        let waited = tokio::task::spawn_blocking(move || script.wait()).await;
        waited.unwrap_or_else(|error| failed(&error.to_string()))
    }

    /// What the agent adds to a script's environment, and where the region is.
    fn environment(&self, region: &Region) -> Vec<(String, String)> {
        let own = |name: &str, value: String| (name.to_owned(), value);
        let mut env = self.prepared.env.clone();
        env.extend([
            own("SSM_COMMAND_ID", self.command.clone()),
            own("AWS_SSM_INSTANCE_ID", self.instance.clone()),
            own("AWS_SSM_REGION_NAME", region.name.clone()),
        ]);
        env.extend(region.instance_environment(&self.instance));
        env
    }
}

fn failed(cause: &str) -> ScriptResult {
    ScriptResult { end: ScriptEnd::Exited(1), stdout: String::new(), stderr: cause.to_owned() }
}
