//! The kernel's table of mounts, `mountinfo`, read.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountLine {
    /// Device number, major and minor; btrfs shows one that belongs to no device.
    pub device: (u32, u32),
    /// Where, as the reader of the table sees it.
    pub mount_point: PathBuf,
    /// Type of the file system.
    pub fs: String,
    /// What was mounted.
    pub source: String,
}

/// Reads the table; lines that it does not understand are left out.
#[must_use]
pub fn parse(table: &str) -> Vec<MountLine> {
    table.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<MountLine> {
    let (mount, origin) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(2);
    let (major, minor) = mount.next()?.split_once(':')?;
    let mount_point = mount.nth(1)?;
    let mut origin = origin.split(' ');
    Some(MountLine {
        device: (major.parse().ok()?, minor.parse().ok()?),
        mount_point: std::ffi::OsString::from_vec(unescape(mount_point)).into(),
        fs: origin.next()?.to_owned(),
        source: String::from_utf8_lossy(&unescape(origin.next()?)).into_owned(),
    })
}

/// `\040` is a blank: the kernel writes blank, tab, newline and backslash in octal.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'\\'
            && let Some((digits, after)) = tail.split_at_checked(3)
            && let Some(value) = octal(digits)
        {
            bytes.push(value);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    bytes
}

fn octal(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits).ok()?;
    u8::from_str_radix(text, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_a_blank_is_read() {
        let table = "36 35 98:0 /mnt1 /srv/pg\\040data rw,noatime shared:1 master:2 - ext4 /dev/loop5 rw\n";
        assert_eq!(
            parse(table),
            [MountLine {
                device: (98, 0),
                mount_point: "/srv/pg data".into(),
                fs: "ext4".to_owned(),
                source: "/dev/loop5".to_owned(),
            }]
        );
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        assert_eq!(parse("\ngarbage\n1 2 x:0 / / rw - a b c\n1 2 0:1 / / rw\n"), []);
    }

    #[test]
    fn a_backslash_that_escapes_nothing_stays() {
        assert_eq!(unescape("a\\9x\\134\\"), b"a\\9x\\\\");
    }
}
