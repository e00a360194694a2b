//! What `infra/` deploys, seen with no account at hand: the SSM documents, and what the template and the Terraform
//! module carry of them and of each other. The template itself is read, and its roles are evaluated, by `stack`.
//!
//! None of it deploys anything, and none of it is a mock: these are readers of the files that ship.

pub mod documents;
pub mod inline;
