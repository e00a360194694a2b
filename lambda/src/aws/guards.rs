//! What EC2 would not delete, looked up before anything is: snapshots that images use, and locked ones.

use super::{Account, CallError};
use aws_sdk_ec2::types::LockState;
use std::collections::BTreeSet;
use stillframe_plan::SnapshotId;

/// Entries of one page.
const PAGE: i32 = 500;

/// The verbs.
#[derive(Debug, Clone)]
pub struct Guards {
    ec2: aws_sdk_ec2::Client,
}

impl Guards {
    /// The verbs in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { ec2: account.ec2.clone() }
    }

    /// Every snapshot that an image of the account uses. Deprecated and disabled images hold theirs too.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn used_by_images(&self) -> Result<BTreeSet<SnapshotId>, CallError> {
        let mut pages = self
            .ec2
            .describe_images()
            .owners("self")
            .include_deprecated(true)
            .include_disabled(true)
            .into_paginator()
            .page_size(PAGE)
            .send();
        let mut used = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| CallError::from_sdk("DescribeImages", &error))?;
            let mappings = page.images().iter().flat_map(|image| image.block_device_mappings());
            let snapshots = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
            used.extend(snapshots.map(SnapshotId::from));
        }
        Ok(used)
    }

    /// Every snapshot of the account under a lock that has not expired.
    ///
    /// # Errors
    /// A page could not be had.
    pub async fn locked(&self) -> Result<BTreeSet<SnapshotId>, CallError> {
        let (mut locked, mut token) = (BTreeSet::new(), None);
        loop {
            let call = self.ec2.describe_locked_snapshots().max_results(PAGE).set_next_token(token);
            let page =
                call.send().await.map_err(|error| CallError::from_sdk("DescribeLockedSnapshots", &error))?;
            // A state that EC2 may invent later holds.
            let held = page.snapshots().iter().filter(|lock| lock.lock_state() != Some(&LockState::Expired));
            locked.extend(held.filter_map(|lock| lock.snapshot_id()).map(SnapshotId::from));
            token = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            if token.is_none() {
                return Ok(locked);
            }
        }
    }
}
