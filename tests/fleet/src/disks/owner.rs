//! Who a work directory belongs to: a process that may be gone by now.
//!
//! A number alone is no identity, since the kernel gives it to others later; with the process's start
//! time and the boot it is one.

use std::fs;
use std::io;

/// A process of this or an earlier boot.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    /// Its number.
    pub pid: u32,
    /// When it started, in clock ticks since the boot.
    pub started: u64,
    /// The boot.
    pub boot: String,
}

impl Owner {
    /// This process.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn current() -> io::Result<Self> {
        let pid = std::process::id();
        let boot = boot()?;
        match life(pid) {
            Some(Life { started, .. }) => Ok(Self { pid, started, boot }),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "/proc/self/stat is missing or malformed")),
        }
    }

    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let same_boot = boot().is_ok_and(|boot| boot == self.boot);
        same_boot && life(self.pid).is_some_and(|life| life.started == self.started && !life.ended)
    }
}

fn boot() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

struct Life {
    started: u64,
    ended: bool,
}

fn life(pid: u32) -> Option<Life> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 3 and 22 of `/proc/<pid>/stat`. The name before them may hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<Life> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let ended = matches!(fields.next()?, "Z" | "X" | "x");
    let started = fields.nth(18)?.parse().ok()?;
    Some(Life { started, ended })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive() {
        assert!(Owner::current().unwrap().is_alive());
    }

    #[test]
    fn the_same_number_with_another_start_is_another_process() {
        let mut owner = Owner::current().unwrap();
        owner.started += 1;
        assert!(!owner.is_alive());
    }

    #[test]
    fn a_process_of_another_boot_is_gone() {
        let owner = Owner { boot: "another".to_owned(), ..Owner::current().unwrap() };
        assert!(!owner.is_alive());
    }

    #[test]
    fn a_zombie_with_a_bracket_in_its_name_has_ended() {
        let stat = "7 (a) S b) Z 1 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        let life = parse_stat(stat).unwrap();
        assert!(life.ended);
        assert_eq!(life.started, 4242);
    }
}
