//! What a stack of the template would be: its parameters, conditions and references resolved as CloudFormation
//! resolves them, and its roles' policies decided as IAM decides them, by the rules that AWS publishes.
//!
//! `tests/deploy` reads the template with it, and the fleet is driven by it: what no role allows here fails there.
//! Nothing here deploys anything or knows of a fleet.

pub mod iam;
pub mod intrinsic;
pub mod parameters;
pub mod place;
pub mod rule;
pub mod template;
pub mod yaml;

pub use place::Place;

/// The account that tests deploy into.
pub const ACCOUNT: &str = "123456789012";
/// Its region.
pub const REGION: &str = "us-east-1";

/// The folder `infra/`.
#[must_use]
pub fn infra() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra")
}
