//! The describing calls: everything that a plan is made from. They change nothing, are paged, and run
//! at the same time.

use super::{Account, CallError, observed_from_sdk as from_sdk};
use aws_sdk_ec2::types::Filter;
use std::collections::BTreeMap;
use stillframe_plan::{Agent, Instance, InstanceId, RunId, Snapshot, Volume, VolumeId, Words, tags};

/// Entries of one page. Larger ones have been seen to time out.
const PAGE: i32 = 500;
/// Entries of one page of agents: the most that SSM gives.
const AGENTS_PAGE: i32 = 50;
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
    /// that is pending: EC2's limits count those too.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn snapshots(&self) -> Result<Vec<Snapshot>, CallError> {
        let (mut ours, pending) = tokio::try_join!(
            self.snapshots_where(filter("tag-key", [tags::POLICY.to_owned()])),
            self.snapshots_where(filter("status", ["pending".to_owned()])),
        )?;
        ours.extend(pending);
        Ok(ours)
    }

    /// The snapshots of one run.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn snapshots_of_run(&self, run: &RunId) -> Result<Vec<Snapshot>, CallError> {
        self.snapshots_where(filter(&format!("tag:{}", tags::RUN), [run.to_string()])).await
    }

    async fn snapshots_where(&self, filter: Filter) -> Result<Vec<Snapshot>, CallError> {
        let mut pages = self
            .ec2
            .describe_snapshots()
            .owner_ids("self")
            .filters(filter)
            .into_paginator()
            .page_size(PAGE)
            .send();
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
        let mut pages =
            self.ssm.describe_instance_information().into_paginator().page_size(AGENTS_PAGE).send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeInstanceInformation", &error))?;
            found.extend(page.instance_information_list().iter().filter_map(from_sdk::agent));
        }
        Ok(found)
    }
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}
