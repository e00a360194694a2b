//! Client tokens: EC2 makes one volume for one token, however often it is asked. A token is made of the
//! instance, of what the volume is a copy of, of where it is mounted, and of every argument of the call, since
//! EC2 refuses the same token with other arguments.

use crate::InstanceId;
use crate::restore::VolumeCall;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The token: 64 hexadecimal digits, the most that EC2 takes. Its tags tell set, source and mount points.
/// `generation`: how many volumes were made so before and can be used no more.
#[must_use]
pub fn token(instance: &InstanceId, call: &VolumeCall, generation: usize) -> String {
    let call = VolumeCall { token: String::new(), ..call.clone() };
    // A struct of strings and numbers is always JSON; its fields have an order, and tags are sorted.
    let arguments = serde_json::to_string(&(instance, call, generation)).unwrap_or_default();
    let digest = Sha256::digest(arguments.as_bytes());
    digest.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // Writing to a String does not fail.
        text
    })
}
