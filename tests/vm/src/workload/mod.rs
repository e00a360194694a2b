//! What keeps a guest's file systems busy, and what looks at their copies: parts of `vm` that run in the
//! guest.

pub mod examine;
pub mod probe;
pub mod writer;
