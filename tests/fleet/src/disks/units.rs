//! What systemd does at the boot of an instance, as far as Stillframe installs something there: the unit that
//! mounts what is recorded. There is no systemd inside; its command is read from the installed unit and
//! started in the background, with nothing in its environment that leads to the region.

use super::namespace::Namespace;
use super::tree::PROGRAMS;
use crate::machine::MachineError;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

const UNIT: &str = "/etc/systemd/system/stillframe-mount.service";
/// What it prints, which systemd would write to the journal.
const LOG: &str = "/var/log/stillframe-mount.service.log";

/// Starts it, if it is installed and its condition holds, and goes on.
///
/// # Errors
/// No thread can be had.
pub(super) fn start_at_boot(instance: &str, namespace: &Namespace) -> Result<(), MachineError> {
    let id = instance.to_owned();
    // The thread stays to the end of the program, as its parent.
    let run = move || {
        let Some(command) = fs::read_to_string(UNIT).ok().as_deref().and_then(command) else { return };
        let ended = start(&command).and_then(|mut child| child.wait());
        tracing::debug!(instance = id, ?ended, "{UNIT} has ended");
    };
    namespace.spawn(&format!("{instance}/boot"), run).map(drop)?;
    Ok(())
}

/// The command of a unit whose condition holds.
fn command(unit: &str) -> Option<Vec<String>> {
    let values = |key: &'static str| {
        unit.lines().filter_map(move |line| line.strip_prefix(key)?.strip_prefix('=')).map(str::trim)
    };
    let not_empty = |folder: &str| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if !values("ConditionDirectoryNotEmpty").all(not_empty) {
        return None;
    }
    let words: Vec<String> = values("ExecStart").next()?.split_whitespace().map(str::to_owned).collect();
    (!words.is_empty()).then_some(words)
}

fn start(command: &[String]) -> io::Result<std::process::Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let log = File::create(Path::new(LOG))?;
    Command::new(program)
        .args(arguments)
        .current_dir("/")
        .env_clear()
        .env("PATH", format!("{PROGRAMS}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_and_its_condition_kept() {
        let folder = tempfile::tempdir().unwrap();
        let unit = format!(
            "[Unit]\n# ExecStart=no\nConditionDirectoryNotEmpty={}\n[Service]\nExecStart=/usr/bin/x mount --boot\n",
            folder.path().display()
        );
        assert_eq!(command(&unit), None, "the folder is empty");
        fs::write(folder.path().join("a.json"), "").unwrap();
        assert_eq!(command(&unit).unwrap(), ["/usr/bin/x", "mount", "--boot"]);
        assert_eq!(command("[Service]\nExecStart=\n"), None);
    }
}
