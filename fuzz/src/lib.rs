//! The rooms of the helper that read the machine, compiled here without the rest of it.

#[path = "../../helper/tests/resolve/described.rs"]
pub mod described;
#[allow(dead_code)]
#[path = "../../helper/src/sys.rs"]
pub mod sys;
#[path = "../../helper/src/volumes/mod.rs"]
pub mod volumes;
