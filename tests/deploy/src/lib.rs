//! Reads what `infra/` deploys as AWS would, with no account at hand: the template with its parameters,
//! conditions and references; the roles' policies, evaluated by IAM's published rules; the SSM documents.
//!
//! None of it deploys anything, and none of it is a mock: these are readers of the files that ship.

pub mod documents;
pub mod iam;
pub mod inline;
pub mod intrinsic;
pub mod parameters;
pub mod template;
pub mod yaml;

/// The account that the tests deploy into.
pub const ACCOUNT: &str = "123456789012";
/// Its region.
pub const REGION: &str = "us-east-1";

/// The folder `infra/`.
#[must_use]
pub fn infra() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra")
}
