//! Whether the kernel expedites its grace periods: a setting of the whole machine, which a freeze may switch
//! on for a moment and a thaw must be able to take back without it.

/// The setting: `0` or `1`.
pub const SETTING: &str = "/sys/kernel/rcu_expedited";

/// Switches it off for a run that is gone. Whether it could be.
pub fn take_back() -> bool {
    std::fs::write(SETTING, "0").is_ok()
}
