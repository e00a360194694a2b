//! The describing calls of a restore: the host, what restores have made, how attachments fare. They change
//! nothing.

use super::{Account, CallError, observed_from_sdk as from_sdk};
use aws_sdk_ec2::types::{Filter, Instance as SdkInstance, Volume as SdkVolume};
use std::collections::BTreeMap;
use stillframe_plan::{Host, InstanceId, MadeVolume, RESTORED_FOR, SnapshotId, VolumeId};

/// Entries of one page.
const PAGE: i32 = 500;
/// Values of one filter: EC2 takes 200.
const FILTER_VALUES: usize = 200;

/// The verbs.
#[derive(Debug, Clone)]
pub struct ObserveRestore {
    ec2: aws_sdk_ec2::Client,
}

impl ObserveRestore {
    /// The verbs in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { ec2: account.ec2.clone() }
    }

    /// The instance to restore onto; `None` when there is none of this id (yet).
    ///
    /// # Errors
    /// It could not be asked for.
    pub async fn host(&self, id: &InstanceId) -> Result<Option<Host>, CallError> {
        let found = self
            .ec2
            .describe_instances()
            .filters(filter("instance-id", vec![id.to_string()]))
            .send()
            .await
            .map_err(|error| CallError::from_sdk("DescribeInstances", &error))?;
        let mut instances = found.reservations().iter().flat_map(|reservation| reservation.instances());
        Ok(instances.find_map(host))
    }

    /// Volumes that a restore made, for whichever instance.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn made(&self) -> Result<Vec<MadeVolume>, CallError> {
        self.volumes(filter("tag-key", vec![RESTORED_FOR.to_owned()])).await
    }

    /// Those of these volumes that exist.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn these(&self, ids: &[VolumeId]) -> Result<Vec<MadeVolume>, CallError> {
        let mut found = Vec::new();
        for ids in ids.chunks(FILTER_VALUES) {
            let ids = ids.iter().map(ToString::to_string).collect();
            found.extend(self.volumes(filter("volume-id", ids)).await?);
        }
        Ok(found)
    }

    async fn volumes(&self, filter: Filter) -> Result<Vec<MadeVolume>, CallError> {
        let mut pages = self.ec2.describe_volumes().filters(filter).into_paginator().page_size(PAGE).send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeVolumes", &error))?;
            found.extend(page.volumes().iter().filter_map(made));
        }
        Ok(found)
    }
}

fn host(sdk: &SdkInstance) -> Option<Host> {
    let attached: BTreeMap<String, VolumeId> = sdk
        .block_device_mappings()
        .iter()
        .filter_map(|mapping| {
            let volume = mapping.ebs().and_then(|ebs| ebs.volume_id())?;
            Some((mapping.device_name()?.to_owned(), VolumeId::from(volume)))
        })
        .collect();
    Some(Host {
        instance: from_sdk::instance(sdk)?,
        zone: sdk.placement()?.availability_zone()?.to_owned(),
        attached,
        most_volumes: None,
    })
}

fn made(sdk: &SdkVolume) -> Option<MadeVolume> {
    Some(MadeVolume {
        volume: from_sdk::volume(sdk)?,
        zone: sdk.availability_zone().unwrap_or_default().to_owned(),
        snapshot: sdk.snapshot_id().filter(|id| !id.is_empty()).map(SnapshotId::from),
    })
}

fn filter(name: &str, values: Vec<String>) -> Filter {
    Filter::builder().name(name).set_values(Some(values)).build()
}
