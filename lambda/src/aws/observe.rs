//! The describing calls: everything that a plan is made from. They change nothing, are paged, and run
//! at the same time.

use super::{Account, CallError, observed_from_sdk as from_sdk};
use aws_sdk_ec2::types::Filter;
use aws_sdk_ssm::types::InstanceInformationStringFilter;
use std::collections::BTreeMap;
use stillframe_plan::{
    Agent, Instance, InstanceId, RunId, Snapshot, SnapshotId, Volume, VolumeId, Words, tags,
};

/// Entries of one page. Larger ones have been seen to time out.
const PAGE: i32 = 500;
/// Entries of one page of snapshots, which are many and small: the most that EC2 gives.
const SNAPSHOTS_PAGE: i32 = 1_000;
/// Instances whose snapshots of one run are asked for at once: some hundred snapshots.
const INSTANCES_AT_ONCE: usize = 100;
/// Entries of one page of agents: the most that SSM gives.
const AGENTS_PAGE: i32 = 50;
/// Agents that are asked for by id at once: a page of them.
const AGENTS_AT_ONCE: usize = 50;
/// Values of one filter: EC2 takes 200.
const FILTER_VALUES: usize = 200;

/// The verbs.
#[derive(Debug, Clone)]
pub struct Observe {
    ec2: aws_sdk_ec2::Client,
    ssm: aws_sdk_ssm::Client,
}

impl Observe {
    /// The verbs in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { ec2: account.ec2.clone(), ssm: account.ssm.clone() }
    }

    /// Every volume of the account.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn volumes(&self) -> Result<Vec<Volume>, CallError> {
        self.volumes_where(None).await
    }

    /// Those of the given volumes that exist.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn these_volumes(&self, ids: &[VolumeId]) -> Result<Vec<Volume>, CallError> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            let filter = filter("volume-id", ids.iter().map(ToString::to_string));
            found.extend(self.volumes_where(Some(filter)).await?);
        }
        Ok(found)
    }

    async fn volumes_where(&self, filter: Option<Filter>) -> Result<Vec<Volume>, CallError> {
        let filters = filter.map(|filter| vec![filter]);
        let mut pages =
            self.ec2.describe_volumes().set_filters(filters).into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeVolumes", &error))?;
            found.extend(page.volumes().iter().filter_map(from_sdk::volume));
        }
        Ok(found)
    }

    /// Every instance of the account.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn instances(&self) -> Result<Vec<Instance>, CallError> {
        self.instances_where(None).await
    }

    /// Those of the given instances that exist.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn these_instances(&self, ids: &[InstanceId]) -> Result<Vec<Instance>, CallError> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            let filter = filter("instance-id", ids.iter().map(ToString::to_string));
            found.extend(self.instances_where(Some(filter)).await?);
        }
        Ok(found)
    }

    async fn instances_where(&self, filter: Option<Filter>) -> Result<Vec<Instance>, CallError> {
        let filters = filter.map(|filter| vec![filter]);
        let mut pages =
            self.ec2.describe_instances().set_filters(filters).into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeInstances", &error))?;
            let instances = page.reservations().iter().flat_map(|reservation| reservation.instances());
            found.extend(instances.filter_map(from_sdk::instance));
        }
        Ok(found)
    }

    /// Every snapshot of the account that carries our tags, of whatever policy, and every other one
    /// that is pending: EC2's limits count those too. All are listed once and the others dropped page by
    /// page: EC2 cuts pages before it filters, so that two filtered listings would take twice the calls.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, CallError> {
        let pages = self.ec2.describe_snapshots().owner_ids("self").into_paginator();
        let mut pages = pages.page_size(SNAPSHOTS_PAGE).send();
        let (mut found, mut words) = (Vec::new(), Words::default());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeSnapshots", &error))?;
            let wanted = page.snapshots().iter().filter(|sdk| matters(sdk));
            found.extend(wanted.filter_map(|sdk| from_sdk::snapshot(sdk, &mut words)));
        }
        Ok(found)
    }

    /// The snapshots that a run made of these instances, and of these volumes that are on none.
    ///
    /// # Errors
    /// They could not be had.
    pub async fn snapshots_of_run(
        &self,
        run: &RunId,
        instances: &[&InstanceId],
        volumes: &[&VolumeId],
    ) -> Result<Vec<Snapshot>, CallError> {
        let of_run = || filter(&format!("tag:{}", tags::RUN), [run.to_string()]);
        let instance_tag = format!("tag:{}", tags::INSTANCE);
        let mut found = Vec::new();
        for some in instances.chunks(INSTANCES_AT_ONCE) {
            let these = filter(&instance_tag, some.iter().map(ToString::to_string));
            found.extend(self.few_snapshots(vec![of_run(), these]).await?);
        }
        for some in volumes.chunks(FILTER_VALUES - 1) {
            let these = filter("volume-id", some.iter().map(ToString::to_string));
            found.extend(self.few_snapshots(vec![of_run(), these]).await?);
        }
        Ok(found)
    }

    /// Those of the given snapshots that exist.
    ///
    /// # Errors
    /// They could not be had.
    pub async fn these_snapshots(&self, ids: &[SnapshotId]) -> Result<Vec<Snapshot>, CallError> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            let filter = filter("snapshot-id", ids.iter().map(ToString::to_string));
            found.extend(self.few_snapshots(vec![filter]).await?);
        }
        Ok(found)
    }

    /// Snapshots of which there are not many: asked for without pages, which EC2 would cut from all the
    /// account's snapshots before it filters.
    async fn few_snapshots(&self, filters: Vec<Filter>) -> Result<Vec<Snapshot>, CallError> {
        let asked = self.ec2.describe_snapshots().owner_ids("self").set_filters(Some(filters));
        let mut pages = asked.into_paginator().send();
        let (mut found, mut words) = (Vec::new(), Words::default());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeSnapshots", &error))?;
            found.extend(page.snapshots().iter().filter_map(|sdk| from_sdk::snapshot(sdk, &mut words)));
        }
        Ok(found)
    }

    /// What SSM says of every agent that has registered.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn agents(&self) -> Result<BTreeMap<InstanceId, Agent>, CallError> {
        self.agents_where(None).await
    }

    /// The same of these instances only.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn these_agents(&self, ids: &[InstanceId]) -> Result<BTreeMap<InstanceId, Agent>, CallError> {
        let mut found = BTreeMap::new();
        for some in ids.chunks(AGENTS_AT_ONCE) {
            let values = some.iter().map(ToString::to_string).collect();
            let filter =
                InstanceInformationStringFilter::builder().key("InstanceIds").set_values(Some(values));
            let filter = filter.build().map_err(|error| CallError::Refused {
                operation: "DescribeInstanceInformation",
                code: "NotSent".to_owned(),
                message: error.to_string(),
            })?;
            found.extend(self.agents_where(Some(vec![filter])).await?);
        }
        Ok(found)
    }

    async fn agents_where(
        &self,
        filters: Option<Vec<InstanceInformationStringFilter>>,
    ) -> Result<BTreeMap<InstanceId, Agent>, CallError> {
        let asked = self.ssm.describe_instance_information().set_filters(filters);
        let mut pages = asked.into_paginator().page_size(AGENTS_PAGE).send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeInstanceInformation", &error))?;
            found.extend(page.instance_information_list().iter().filter_map(from_sdk::agent));
        }
        Ok(found)
    }
}

/// Whether anything is decided from a snapshot.
fn matters(sdk: &aws_sdk_ec2::types::Snapshot) -> bool {
    let ours = sdk.tags().iter().any(|tag| tag.key() == Some(tags::POLICY));
    ours || sdk.state() == Some(&aws_sdk_ec2::types::SnapshotState::Pending)
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}
