//! The signing key, kept for the life of the environment.

use crate::{
    aws::Parameters,
    signing_key::{self, KeyError},
    timer,
};
use std::time::{Duration, Instant};
use stillframe_wire::SigningKey;

/// How long a key is believed to be the current one when a signature does not fit it.
const FRESH: Duration = Duration::from_secs(60);

/// Why no order can be verified.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    /// Nobody has made one.
    #[error("failed to load the signing key: there is no parameter {0}; the backup function makes it")]
    NotMade(String),
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] KeyError),
}

/// Holds the key once it is known.
#[derive(Debug)]
pub struct KeyKeeper {
    parameters: Parameters,
    name: String,
    kept: Option<(SigningKey, Instant)>,
}

impl KeyKeeper {
    /// Keeps the key of this parameter; loads nothing yet.
    pub fn new(parameters: Parameters, name: String) -> Self {
        Self { parameters, name, kept: None }
    }

    /// The key, loaded if need be.
    pub async fn get(&mut self) -> Result<&SigningKey, NoKey> {
        if self.kept.is_none() {
            self.load().await?;
        }
        self.kept.as_ref().map(|(key, _)| key).ok_or_else(|| NoKey::NotMade(self.name.clone()))
    }

    /// Loads the key, again if it is known.
    pub async fn load(&mut self) -> Result<(), NoKey> {
        let key = signing_key::load(&self.parameters, &self.name)
            .await?
            .ok_or_else(|| NoKey::NotMade(self.name.clone()))?;
        self.kept = Some((key, timer::now()));
        Ok(())
    }

    /// Whether the key was loaded so long ago that it may have been replaced.
    pub fn is_old(&self) -> bool {
        self.kept.as_ref().is_some_and(|(_, loaded)| timer::now().duration_since(*loaded) > FRESH)
    }
}
