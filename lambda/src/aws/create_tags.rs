//! `CreateTags`: the promotion of labels, the mark on volumes that are in use. Sets what is set already, so the SDK may repeat it.

use super::{Account, CallError};
use aws_sdk_ec2::types::Tag;
use std::collections::BTreeMap;
use stillframe_plan::{SnapshotId, VolumeId};

/// Most resources of one call.
pub const MOST_IDS: usize = 1_000;

/// The verb.
#[derive(Debug, Clone)]
pub struct CreateTags {
    client: aws_sdk_ec2::Client,
}

impl CreateTags {
    /// The verb in this account.
    #[must_use]
    pub fn new(account: &Account) -> Self {
        Self { client: account.ec2.clone() }
    }

    /// Writes the same tags on all the snapshots, [`MOST_IDS`] at a time.
    ///
    /// # Errors
    /// The first batch that failed; earlier ones are written.
    pub async fn call(
        &self,
        snapshots: &[SnapshotId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        self.on(snapshots, tags).await
    }

    /// The same on volumes.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub async fn on_volumes(
        &self,
        volumes: &[VolumeId],
        tags: &BTreeMap<String, String>,
    ) -> Result<(), CallError> {
        self.on(volumes, tags).await
    }

    async fn on<T: ToString>(&self, ids: &[T], tags: &BTreeMap<String, String>) -> Result<(), CallError> {
        let tags: Vec<Tag> =
            tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
        for batch in ids.chunks(MOST_IDS) {
            self.client
                .create_tags()
                .set_resources(Some(batch.iter().map(ToString::to_string).collect()))
                .set_tags(Some(tags.clone()))
                .send()
                .await
                .map_err(|error| CallError::from_sdk("CreateTags", &error))?;
        }
        Ok(())
    }
}
