//! One region: its records, its services' state, the machines underneath. What the services share is here;
//! what each does is in its own module.

use crate::buckets::Buckets;
use crate::caller::Callers;
use crate::clock::Clock;
use crate::deployment::{Deployment, Rule, Schedule};
use crate::ec2::inventory::{InstanceState, Inventory};
use crate::faults::{Calls, Faults};
use crate::imds::Metadata;
use crate::lambda::{self, Functions};
use crate::latency::Latencies;
use crate::machine::Machines;
use crate::rights::Rights;
use crate::spec::{RuleSpec, Spec};
use crate::ssm::commands::Commands;
use crate::ssm::delivery::Agents;
use crate::ssm::documents::Documents;
use crate::ssm::parameters::Store;
use crate::sync::lock;
use crate::trail::Trail;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// How much is under way in a region.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct UnderWay {
    /// Calls whose effect is not complete.
    pub calls: usize,
    /// Invocations that run or are queued.
    pub invocations: usize,
    /// Commands that have not ended.
    pub commands: usize,
    /// Instances between two states.
    pub instances: usize,
}

/// A region.
pub struct Region {
    /// `eu-central-1`.
    pub name: String,
    /// The account's number.
    pub account: String,
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub endpoint: String,
    /// Further regions of the same account. They have records and bytes, and no instances or functions.
    pub elsewhere: Vec<Arc<Region>>,
    /// Rules by which events reach functions.
    pub rules: Vec<RuleSpec>,
    /// A template's rules, where they are to be followed.
    pub deployed_rules: Vec<Rule>,
    /// A template's schedules; they fire when they are told to.
    pub schedules: BTreeMap<String, Schedule>,
    /// Who may do what, by a template's roles.
    pub rights: Option<Rights>,
    /// What time it is, in all of them.
    pub clock: Arc<Clock>,
    /// How slow it is.
    pub latencies: Latencies,
    /// What is to go wrong.
    pub faults: Faults,
    /// What was called.
    pub calls: Calls,
    /// The token buckets of the operations that have one.
    pub buckets: Buckets,
    /// How often a bucket was empty.
    pub throttled: Calls,
    /// Calls whose effect is under way, whether or not somebody waits for it.
    pub in_flight: AtomicUsize,
    /// Who has which keys.
    pub callers: Callers,
    /// EC2's records.
    pub inventory: Mutex<Inventory>,
    /// CloudTrail's.
    pub trail: Trail,
    /// Parameter Store's.
    pub parameters: Mutex<Store>,
    /// Systems Manager's documents.
    pub documents: Documents,
    /// Run Command's.
    pub commands: Commands,
    /// The instances' agents.
    pub agents: Agents,
    /// The instances' metadata services.
    pub metadata: Metadata,
    /// Lambda's functions.
    pub functions: Functions,
    /// The machines.
    pub machines: Arc<dyn Machines>,
}

impl Region {
    /// A region as the spec has it, over machines that were built from the same spec. `launcher` is the
    /// fleet's own program, where functions are to die with it.
    ///
    /// # Errors
    /// A latency names no operation.
    pub fn new(
        spec: &Spec,
        endpoint: &str,
        machines: Arc<dyn Machines>,
        launcher: Option<PathBuf>,
    ) -> Result<Self, crate::latency::UnknownOperation> {
        let clock = Arc::new(Clock::default());
        let elsewhere = spec.other_regions.iter().map(|name| {
            let spec = Spec {
                region: name.clone(),
                other_regions: Vec::new(),
                rules: Vec::new(),
                instances: Vec::new(),
                detached: Vec::new(),
                ..spec.clone()
            };
            Self::with_clock(&spec, endpoint, Arc::clone(&machines), None, Arc::clone(&clock)).map(Arc::new)
        });
        let elsewhere = elsewhere.collect::<Result<Vec<_>, _>>()?;
        let home = Self::with_clock(spec, endpoint, machines, launcher, clock)?;
        Ok(Self { elsewhere, ..home })
    }

    /// The same region, driven by a template. Its rules are followed only where `follows_rules` says so:
    /// a test that counts calls wants none that nobody asked for.
    #[must_use]
    pub fn deployed(mut self, deployment: Deployment, follows_rules: bool) -> Self {
        let Deployment { functions, documents, schedules, rules, rights } = deployment;
        self.functions.deployed = functions;
        self.documents = Documents::deployed(documents);
        self.schedules = schedules;
        self.rights = Some(rights);
        if follows_rules {
            self.deployed_rules = rules;
        }
        self
    }

    fn with_clock(
        spec: &Spec,
        endpoint: &str,
        machines: Arc<dyn Machines>,
        launcher: Option<PathBuf>,
        clock: Arc<Clock>,
    ) -> Result<Self, crate::latency::UnknownOperation> {
        let now = clock.now();
        let inventory = Inventory::new(spec, now);
        let trail = Trail::new(&spec.region, spec.trail_delay_s);
        // What the spec has stopped was stopped politely, a moment ago.
        for instance in inventory.instances.values().filter(|one| one.state == InstanceState::Stopped) {
            let items = json!([{"instanceId": instance.id}]);
            let parameters = json!({"instancesSet": {"items": items}, "force": false});
            trail.record("StopInstances", std::iter::once(instance.id.as_str()), parameters, now);
        }
        let arn_prefix = format!("arn:aws:ssm:{}:{}:parameter", spec.region, spec.account);
        Ok(Self {
            name: spec.region.clone(),
            account: spec.account.clone(),
            endpoint: endpoint.to_owned(),
            elsewhere: Vec::new(),
            rules: spec.rules.clone(),
            deployed_rules: Vec::new(),
            schedules: BTreeMap::new(),
            rights: None,
            clock,
            latencies: Latencies::new(&spec.latency_ms)?,
            faults: Faults::default(),
            calls: Calls::default(),
            buckets: Buckets::new(&spec.throttle),
            throttled: Calls::default(),
            in_flight: AtomicUsize::new(0),
            callers: Callers::default(),
            inventory: Mutex::new(inventory),
            trail,
            parameters: Mutex::new(Store::new(arn_prefix)),
            documents: Documents::default(),
            commands: Commands::default(),
            agents: Agents::default(),
            metadata: Metadata::default(),
            functions: Functions::new(spec.function.clone(), lambda::programs(&spec.function), launcher),
            machines,
        })
    }

    /// This region and all others.
    pub fn all(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::once(self).chain(&self.elsewhere)
    }

    /// The region of that name, if there is one.
    #[must_use]
    pub fn named<'a>(self: &'a Arc<Self>, name: &str) -> Option<&'a Arc<Self>> {
        self.all().find(|region| region.name == name)
    }

    /// What a program on an instance needs in its environment to find the region.
    #[must_use]
    pub fn instance_environment(&self, instance: &str) -> [(String, String); 3] {
        [
            ("AWS_ENDPOINT_URL".to_owned(), self.endpoint.clone()),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT".to_owned(), format!("{}/imds/{instance}", self.endpoint)),
            ("AWS_REGION".to_owned(), self.name.clone()),
        ]
    }

    /// A function's ARN.
    #[must_use]
    pub fn function_arn(&self, name: &str) -> String {
        format!("arn:aws:lambda:{}:{}:function:{name}", self.name, self.account)
    }

    /// What is under way: calls, invocations, commands, instances between two states.
    #[must_use]
    pub fn under_way(&self) -> UnderWay {
        let settled = |state| {
            matches!(state, InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated)
        };
        let moving = lock(&self.inventory).instances.values().filter(|one| !settled(one.state)).count();
        UnderWay {
            calls: self.in_flight.load(Ordering::SeqCst),
            invocations: self.functions.under_way(),
            commands: self.commands.under_way(),
            instances: moving,
        }
    }

    /// Ends what the region has started: functions, commands, machines.
    pub async fn shutdown(self: &Arc<Self>) {
        self.functions.shutdown().await;
        self.commands.scripts(None).iter().for_each(|script| script.kill());
        let machines = Arc::clone(&self.machines);
        if let Err(error) = tokio::task::spawn_blocking(move || machines.shutdown()).await {
            tracing::error!(%error, "failed to shut the machines down");
        }
    }
}
