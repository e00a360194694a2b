//! The describing calls: everything that a plan is made from. They change nothing, are paged, and run
//! at the same time.

use super::{Account, CallError, observed_from_sdk as from_sdk};
use aws_sdk_ec2::types::Filter;
use aws_sdk_ssm::types::InstanceInformationStringFilter;
use std::collections::BTreeMap;
use stillframe_plan::{
    Agent, Instance, InstanceId, RunId, Snapshot, SnapshotId, Volume, VolumeId, Words, tags,
};

/// Entries of one page of instances. Larger ones have been seen to time out.
const INSTANCES_PAGE: i32 = 500;
/// Entries of one page of snapshots or volumes, which are many and small: the most that EC2 gives.
const LARGEST_PAGE: i32 = 1_000;
/// Snapshots that are asked for at once without pages: as many as a page holds.
const AT_ONCE: usize = 1_000;
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

    /// Those that are asked for by a filter come without pages, which EC2 would cut from all the account's
    /// before it filters.
    async fn volumes_where(&self, filter: Option<Filter>) -> Result<Vec<Volume>, CallError> {
        let page = filter.is_none().then_some(LARGEST_PAGE);
        let filters = filter.map(|filter| vec![filter]);
        let asked = self.ec2.describe_volumes().set_filters(filters).set_max_results(page);
        let mut pages = asked.into_paginator().send();
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
        let page = filter.is_none().then_some(INSTANCES_PAGE);
        let filters = filter.map(|filter| vec![filter]);
        let asked = self.ec2.describe_instances().set_filters(filters).set_max_results(page);
        let mut pages = asked.into_paginator().send();
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
        let mut pages = pages.page_size(LARGEST_PAGE).send();
        let (mut found, mut words) = (Vec::new(), Words::default());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeSnapshots", &error))?;
            let wanted = page.snapshots().iter().filter(|sdk| matters(sdk));
            found.extend(wanted.filter_map(|sdk| from_sdk::snapshot(sdk, &mut words)));
        }
        Ok(found)
    }

    /// The snapshots that a run made of these.
    ///
    /// # Errors
    /// They could not be had.
    pub async fn snapshots_of_run(&self, run: &RunId, of: &Made<'_>) -> Result<Vec<Snapshot>, CallError> {
        self.made(of, || vec![tagged(tags::RUN, run.as_str())]).await
    }

    /// The snapshots that a policy has made of these in a slot.
    ///
    /// # Errors
    /// They could not be had.
    pub async fn snapshots_of_slot(
        &self,
        policy: &str,
        slot: &str,
        of: &Made<'_>,
    ) -> Result<Vec<Snapshot>, CallError> {
        self.made(of, || vec![tagged(tags::POLICY, policy), tagged(tags::SLOT, slot)]).await
    }

    async fn made(&self, of: &Made<'_>, which: impl Fn() -> Vec<Filter>) -> Result<Vec<Snapshot>, CallError> {
        let instance_tag = format!("tag:{}", tags::INSTANCE);
        let by_instance = batches(&of.instances, |(_, volumes)| *volumes)
            .map(|some| filter(&instance_tag, some.iter().map(|(instance, _)| instance.to_string())));
        let by_volume =
            batches(&of.volumes, |_| 1).map(|some| filter("volume-id", some.iter().map(ToString::to_string)));
        let mut found = Vec::new();
        for these in by_instance.chain(by_volume) {
            let mut filters = which();
            filters.push(these);
            found.extend(self.few_snapshots(filters).await?);
        }
        Ok(found)
    }

    /// The snapshots of these volumes, by whoever made them, that are pending or have failed: those that
    /// EC2's limits count.
    ///
    /// # Errors
    /// They could not be had.
    pub async fn unfinished_snapshots(&self, volumes: &[VolumeId]) -> Result<Vec<Snapshot>, CallError> {
        let mut found = Vec::new();
        for some in batches(volumes, |_| 1) {
            let unfinished = filter("status", ["pending", "error"].map(str::to_owned));
            let these = filter("volume-id", some.iter().map(ToString::to_string));
            found.extend(self.few_snapshots(vec![unfinished, these]).await?);
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

/// What snapshots are asked for of.
#[derive(Debug, Default)]
pub struct Made<'a> {
    /// Instances, with how many volumes there are of each.
    pub instances: Vec<(&'a InstanceId, usize)>,
    /// Volumes, wherever they are.
    pub volumes: Vec<&'a VolumeId>,
}

/// As many at once as a filter takes beside the run, or the status, and as a page would hold.
fn batches<T>(all: &[T], snapshots: impl Fn(&T) -> usize) -> impl Iterator<Item = &[T]> {
    let mut rest = all;
    std::iter::from_fn(move || {
        let mut sum = 0;
        let fits = |one: &&T| {
            sum += snapshots(one);
            sum <= AT_ONCE
        };
        let count = rest.iter().take(FILTER_VALUES - 2).take_while(fits).count();
        // One that is more than fits is asked for by itself.
        let (some, others) = rest.split_at_checked(count.max(1))?;
        rest = others;
        Some(some)
    })
}

/// Whether anything is decided from a snapshot.
fn matters(sdk: &aws_sdk_ec2::types::Snapshot) -> bool {
    let ours = sdk.tags().iter().any(|tag| tag.key() == Some(tags::POLICY));
    ours || sdk.state() == Some(&aws_sdk_ec2::types::SnapshotState::Pending)
}

fn tagged(key: &str, value: &str) -> Filter {
    filter(&format!("tag:{key}"), [value.to_owned()])
}

fn filter(name: &str, values: impl IntoIterator<Item = String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values.into_iter().collect())).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_at_once_fits_a_filter_and_a_page() {
        let sizes = |of: &[usize]| batches(of, |size| *size).map(<[usize]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[4; 400]), [198, 198, 4]);
        assert_eq!(sizes(&[20; 120]), [50, 50, 20]);
        assert_eq!(sizes(&[3_000, 1, 999, 1, 2_000]), [1, 2, 1, 1]);
    }
}
