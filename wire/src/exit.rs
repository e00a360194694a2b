//! The helper's exit codes.

/// How the helper ended. The SSM agent reports the number; 194 would make it reboot the machine and
/// run the document again, so that number is never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for `freeze`: every volume frozen, cut and thawed, with proof.
    Done = 0,
    /// The command line or the environment is wrong.
    Usage = 2,
    /// The order was refused, by the helper or by the signal function; nothing was frozen.
    Refused = 10,
    /// Something failed before the first freeze; nothing was frozen.
    NotFrozen = 11,
    /// There was a freeze and it is over, but it does not prove consistency.
    Unproved = 12,
    /// A file system could not be seen thawed. `stillframe-helper thaw` is the next thing to run.
    ThawUncertain = 13,
    /// Something that was to be mounted (or unmounted) is not; the report says what.
    NotMounted = 14,
    /// A volume could not be read to its end.
    NotRead = 15,
}

impl Exit {
    /// Every code there is.
    pub const ALL: [Self; 8] = [
        Self::Done,
        Self::Usage,
        Self::Refused,
        Self::NotFrozen,
        Self::Unproved,
        Self::ThawUncertain,
        Self::NotMounted,
        Self::NotRead,
    ];

    /// The number.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_makes_the_agent_reboot() {
        assert!(Exit::ALL.iter().all(|exit| exit.code() != 194));
    }

    #[test]
    fn no_code_looks_like_a_signal_or_a_shell_error() {
        assert!(Exit::ALL.iter().all(|exit| exit.code() < 125));
    }
}
