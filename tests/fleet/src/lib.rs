//! An AWS region on one machine, for demos and tests: the EC2 query API, SSM, Lambda's Invoke and Runtime
//! APIs, IMDSv2 and CloudTrail's look-up on loopback, over volumes that are image files with real file
//! systems, instances that are mount namespaces, and functions that are the real programs.
//!
//! It has two sides that meet in [`machine::Machines`]. The *region* keeps the records and speaks AWS; the
//! *machines* keep bytes and processes. Nothing here talks to AWS or leaves the machine.

// The region.
pub mod api_error;
pub mod buckets;
pub mod caller;
pub mod clock;
pub mod deployment;
pub mod ec2;
pub mod events;
pub mod faults;
pub mod fleet;
pub mod imds;
pub mod lambda;
pub mod latency;
pub mod operation;
pub mod random;
pub mod region;
pub mod rights;
pub mod server;
pub mod simulation;
pub mod spec;
pub mod ssm;
pub mod trail;

// Where the two sides meet.
pub mod machine;

// The machines.
pub mod agent;
pub mod boottime;
pub mod diskless;
pub mod disks;
mod sys;
pub mod verify;
pub mod writer;

// For those who use a fleet.
pub mod bench;
pub mod client;
pub mod demo;
pub mod outside;
pub mod process;
pub mod processes;
pub mod stall;

mod sync;
