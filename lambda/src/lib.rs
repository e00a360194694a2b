//! Stillframe's Lambda functions: they observe an account, act on it as the plan says, and report. What
//! is to be done is decided in `stillframe-plan`, what helper and functions say to each other is in
//! `stillframe-wire`; only [`aws`] names an SDK type.

pub mod ask;
pub mod aws;
pub mod backup;
pub mod clock;
pub mod config;
pub mod copy;
pub mod function;
pub mod metrics;
pub mod restore;
pub mod signal;
pub mod signing_key;
pub mod timer;
