//! The work order: what a helper may ask the signal function for. A JSON Web Token signed with
//! HMAC-SHA-256 by the backup function and verified by the signal function. The helper holds no key;
//! it reads the order to learn what to freeze, and the signal function is the judge of it.

use crate::{InstanceId, JsonError, RunId, VolumeId, json};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The audience that every order is made out to.
pub const AUDIENCE: &str = "stillframe-signal";

/// The longest freeze that any order may ask for, in milliseconds (promise 1).
pub const MAX_FREEZE_MS: u64 = 30_000;

/// One volume of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderedVolume {
    /// The volume to be frozen and cut.
    pub id: VolumeId,
    /// The name under which it is attached (`/dev/sdf`): recorded in the layout, not used to find it.
    pub device: String,
}

/// What one instance's helper may have done, until when. The claims of the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOrder {
    /// Version of the claims.
    pub v: u32,
    /// Always [`AUDIENCE`].
    pub aud: String,
    /// The instance.
    #[serde(rename = "sub")]
    pub instance: InstanceId,
    /// When the order stops being good, seconds since 1970.
    #[serde(rename = "exp")]
    pub expires: u64,
    /// The run for which it was written.
    #[serde(rename = "jti")]
    pub run: RunId,
    /// The policy's name.
    pub policy: String,
    /// The slot, as `2026-11-22`.
    pub slot: String,
    /// The volumes that the cut must hold; never empty.
    pub volumes: Vec<OrderedVolume>,
    /// Attached data volumes that the cut must leave out, at most 40.
    #[serde(default)]
    pub exclude_volumes: Vec<VolumeId>,
    /// Whether the cut leaves the boot volume out.
    #[serde(default)]
    pub exclude_boot: bool,
    /// Tags of every snapshot of the set, complete but for the layout records.
    pub tags: BTreeMap<String, String>,
    /// Whether the volumes' own tags are copied to their snapshots.
    #[serde(default = "yes")]
    pub copy_volume_tags: bool,
    /// Description of every snapshot of the set.
    #[serde(default)]
    pub description: String,
    /// How many `stillframe:layout.N` tags the set has room for.
    pub layout_tags: usize,
    /// Longest time a file system may stay frozen, milliseconds, 1 to [`MAX_FREEZE_MS`].
    pub max_freeze_ms: u64,
    /// Whether hooks run on the instance.
    #[serde(default = "yes")]
    pub hooks: bool,
    /// Whether `/` is frozen too, and what holds the SSM agent's state or the helper.
    #[serde(default)]
    pub freeze_root: bool,
    /// Whether the kernel's grace periods are expedited during the freeze, instead of a prime before it. A
    /// setting of the whole machine, restored afterwards.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expedite_rcu: bool,
    /// Whether the helper goes up to the first freeze and no further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rehearse: bool,
    /// Name or ARN of the signal function.
    pub signal_function: String,
}

fn yes() -> bool {
    true
}

/// Why an order is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Not a token of three parts, or its claims are not ours.
    #[error("the work order is malformed: {0}")]
    Malformed(String),
    /// The claims could not be read; names the claim.
    #[error(transparent)]
    Claims(#[from] JsonError),
    /// Not signed by our key with HS256.
    #[error("the work order is not signed by this account's Stillframe (algorithm HS256)")]
    BadSignature,
    /// Made out to somebody else.
    #[error("the work order is made out to {0:?}, not to {AUDIENCE:?}")]
    WrongAudience(String),
    /// For another instance than the one that reads it.
    #[error("the work order is for {ordered}, this is {here}")]
    WrongInstance {
        /// The instance named in the order.
        ordered: InstanceId,
        /// The instance that read it.
        here: InstanceId,
    },
    /// Too old.
    #[error("the work order expired {late_s} s ago")]
    Expired {
        /// How long ago, seconds.
        late_s: u64,
    },
    /// It could not be signed.
    #[error("the work order could not be signed: {0}")]
    Signing(String),
}

/// The secret that the backup function signs with and the signal function verifies with.
#[derive(Clone)]
pub struct SigningKey(Vec<u8>);

impl SigningKey {
    /// Fewest bytes of a key: what RFC 7518 asks of an HS256 key.
    pub const MIN_BYTES: usize = 32;

    /// Takes the key's bytes.
    ///
    /// # Errors
    /// Fewer than [`Self::MIN_BYTES`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, OrderError> {
        if bytes.len() < Self::MIN_BYTES {
            return Err(OrderError::Malformed(format!(
                "the signing key has {} bytes, at least {} are needed",
                bytes.len(),
                Self::MIN_BYTES
            )));
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl WorkOrder {
    /// Signs the order: the token that travels to the instance.
    ///
    /// # Errors
    /// An order that [`WorkOrder::verify`] would not take is not signed either.
    pub fn sign(&self, key: &SigningKey) -> Result<String, OrderError> {
        self.check()?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), self, &EncodingKey::from_secret(&key.0))
            .map_err(|error| OrderError::Signing(error.to_string()))
    }

    /// Reads a token that our key signed and that is still good at `now` (seconds since 1970).
    ///
    /// # Errors
    /// Any other token, with the reason.
    pub fn verify(token: &str, key: &SigningKey, now: u64) -> Result<Self, OrderError> {
        let mut validation = Validation::new(Algorithm::HS256);
        // Signature and algorithm are the library's; the claims are read by `read_unverified`, so
        // that an error names the claim, and time is an argument.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        jsonwebtoken::decode::<serde_json::Value>(token, &DecodingKey::from_secret(&key.0), &validation)
            .map_err(|error| {
                use jsonwebtoken::errors::ErrorKind;
                match error.kind() {
                    ErrorKind::InvalidSignature
                    | ErrorKind::InvalidAlgorithm
                    | ErrorKind::InvalidAlgorithmName => OrderError::BadSignature,
                    // `alg: none` is no algorithm that the library knows.
                    _ if names_an_algorithm_not_ours(token) => OrderError::BadSignature,
                    _ => OrderError::Malformed(error.to_string()),
                }
            })?;
        let order = Self::read_unverified(token)?;
        if order.expires < now {
            return Err(OrderError::Expired { late_s: now - order.expires });
        }
        Ok(order)
    }

    /// Reads a token without its signature: what the helper does, which has no key. Nothing may be
    /// believed of it that the signal function does not confirm.
    ///
    /// # Errors
    /// Not a token, or its claims are malformed.
    pub fn read_unverified(token: &str) -> Result<Self, OrderError> {
        let mut parts = token.split('.');
        let (Some(_), Some(claims), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(OrderError::Malformed("not three parts with dots between".to_owned()));
        };
        let claims = BASE64_URL_SAFE_NO_PAD
            .decode(claims)
            .map_err(|error| OrderError::Malformed(format!("its claims are no base64url: {error}")))?;
        json::expect_version("work order", &claims)?;
        let order: Self = json::read("work order", &claims)?;
        order.check()?;
        Ok(order)
    }

    /// Whether the order is for the instance that reads it.
    ///
    /// # Errors
    /// It is for another.
    pub fn for_instance(&self, here: &InstanceId) -> Result<(), OrderError> {
        if &self.instance == here {
            Ok(())
        } else {
            Err(OrderError::WrongInstance { ordered: self.instance.clone(), here: here.clone() })
        }
    }

    fn check(&self) -> Result<(), OrderError> {
        let field = |field: &str, cause: String| {
            Err(JsonError::Field { what: "work order", field: field.to_owned(), cause }.into())
        };
        json::check_version("work order", self.v)?;
        if self.aud != AUDIENCE {
            return Err(OrderError::WrongAudience(self.aud.clone()));
        }
        if self.volumes.is_empty() {
            return field("volumes", "names no volume".to_owned());
        }
        let mut seen = BTreeSet::new();
        for volume in &self.volumes {
            if !seen.insert(&volume.id) {
                return field("volumes", format!("names {} twice", volume.id));
            }
        }
        if let Some(both) = self.exclude_volumes.iter().find(|id| seen.contains(id)) {
            return field("exclude_volumes", format!("leaves out {both}, which `volumes` asks for"));
        }
        if !(1..=MAX_FREEZE_MS).contains(&self.max_freeze_ms) {
            return field(
                "max_freeze_ms",
                format!("{} is not between 1 and {MAX_FREEZE_MS}", self.max_freeze_ms),
            );
        }
        if self.signal_function.is_empty() {
            return field("signal_function", "is empty".to_owned());
        }
        Ok(())
    }
}

fn names_an_algorithm_not_ours(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        alg: String,
    }
    token
        .split('.')
        .next()
        .and_then(|head| BASE64_URL_SAFE_NO_PAD.decode(head).ok())
        .and_then(|head| serde_json::from_slice::<Head>(&head).ok())
        .is_some_and(|head| head.alg != "HS256")
}

#[cfg(test)]
#[path = "order_tests.rs"]
mod tests;
