//! Mount options as fstab(5) has them, as the flags and the text that mount(2) takes: pure.

use rustix::mount::MountFlags;

/// An option that makes no sense here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mount option {0:?} is none that can be given here")]
pub struct OptionsError(String);

/// What mount(2) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Those that are the same for every file system.
    pub flags: MountFlags,
    /// Those that the file system itself reads.
    pub data: String,
}

/// Reads options; the later of two that contradict each other holds.
///
/// # Errors
/// One that asks for something else than a mount of this device: a bind mount, another device.
pub fn options(text: &str) -> Result<Options, OptionsError> {
    let mut flags = MountFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        match option {
            "defaults" => {}
            "ro" => flags |= MountFlags::RDONLY,
            "rw" => flags -= MountFlags::RDONLY,
            "noatime" => flags |= MountFlags::NOATIME,
            "atime" => flags -= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "diratime" => flags -= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "norelatime" => flags -= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "lazytime" => flags |= MountFlags::LAZYTIME,
            "nolazytime" => flags -= MountFlags::LAZYTIME,
            "nodev" => flags |= MountFlags::NODEV,
            "dev" => flags -= MountFlags::NODEV,
            "nosuid" => flags |= MountFlags::NOSUID,
            "suid" => flags -= MountFlags::NOSUID,
            "noexec" => flags |= MountFlags::NOEXEC,
            "exec" => flags -= MountFlags::NOEXEC,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "async" => flags -= MountFlags::SYNCHRONOUS,
            "dirsync" => flags |= MountFlags::DIRSYNC,
            "silent" => flags |= MountFlags::SILENT,
            // For those who read fstab: systemd, mount(8).
            "auto" | "noauto" | "nofail" | "_netdev" | "nouser" | "user" | "users" | "owner" | "group" => {}
            _ if option.starts_with("x-") || option.starts_with("comment=") => {}
            "bind" | "rbind" | "move" | "remount" | "loop" => return Err(OptionsError(option.to_owned())),
            _ if option.starts_with("loop=") || option.starts_with("offset=") => {
                return Err(OptionsError(option.to_owned()));
            }
            _ if option.bytes().any(|byte| byte == 0) => return Err(OptionsError(option.to_owned())),
            _ => data.push(option),
        }
    }
    Ok(Options { flags, data: data.join(",") })
}

impl Options {
    /// The same with one more option of the file system.
    #[must_use]
    pub fn and(mut self, option: &str) -> Self {
        if !self.data.split(',').any(|other| other == option) {
            if !self.data.is_empty() {
                self.data.push(',');
            }
            self.data.push_str(option);
        }
        self
    }

    /// Whether nothing may be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.flags.contains(MountFlags::RDONLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_from_the_file_system_s_own() {
        let read =
            options("defaults,noatime,ro, rw,nofail,x-systemd.device-timeout=9,logbufs=8,nodev").unwrap();
        assert_eq!(read.flags, MountFlags::NOATIME | MountFlags::NODEV);
        assert_eq!(read.data, "logbufs=8");
        assert!(!read.is_read_only() && options("ro").unwrap().is_read_only());
        assert_eq!(read.and("nouuid").and("nouuid").data, "logbufs=8,nouuid");
        assert_eq!(options("").unwrap().and("nouuid").data, "nouuid");
    }

    #[test]
    fn what_is_no_mount_of_the_device_is_refused() {
        for text in ["bind", "noatime,remount", "loop=/dev/loop0", "move"] {
            assert!(options(text).is_err(), "{text}");
        }
    }
}
