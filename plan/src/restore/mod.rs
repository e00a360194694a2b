//! How volumes come back: what is wanted ([`Spec`]), from which set, and what is to be done for it, decided
//! to the last value.

mod choice;
mod content;
mod device;
mod picks;
mod plan;
mod plan_text;
mod planner;
mod present;
mod reason;
mod scene;
mod spec;
mod token;

#[cfg(test)]
#[path = "carry_on_tests.rs"]
mod carry_on;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod stage;
#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;

pub use device::DeviceWish;
pub use plan::*;
pub use planner::restore;
pub use reason::{PassReason, PassedOver, Refusal, Refused};
pub use scene::{
    BLANK, Host, MadeVolume, RESTORED_FOR, RESTORED_FROM, RESTORED_MOUNT, RESTORED_USED, RESTORED_VOLUME,
    Scene,
};
pub use spec::{
    BLANK_FILE_SYSTEM, BLANK_GIB, FILTER_TAGS, NoSpec, Spec, SpecError, UserData, VolumeShape, VolumeSpec,
    VolumeType,
};
pub use token::token;
