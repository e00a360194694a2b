//! `/proc/self/mountinfo`: what is mounted where. Reads text, nothing else; a line that is not of the
//! documented shape (proc_pid_mountinfo(5)) is left out rather than guessed at.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A device number as the kernel writes it, `259:2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// The driver's number; 0 for a file system without a device of its own (btrfs, tmpfs).
    pub major: u32,
    /// The device's number.
    pub minor: u32,
}

impl DeviceNumber {
    /// Reads `259:2`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once(':')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The mount's own number.
    pub id: u64,
    /// The super block: equal for all mounts of one file system, btrfs subvolumes included.
    pub device: DeviceNumber,
    /// Which directory of the file system is mounted; `/` for all of it.
    pub root: PathBuf,
    /// Where.
    pub mount_point: PathBuf,
    /// The type, `ext4`.
    pub fs_type: String,
    /// What was mounted, as `mount` was told it.
    pub source: PathBuf,
    /// Devices that it writes to beside the source: the log and the real-time device of an XFS.
    pub beside: Vec<PathBuf>,
    /// The directory that takes an overlay's writes; nothing when it was given relative to a directory that
    /// nobody knows any more.
    pub upper: Option<PathBuf>,
    /// The root directory from which `mount_point` counts, for a mount of another mount namespace:
    /// `/proc/<pid>/root`.
    pub through: Option<PathBuf>,
}

impl Mount {
    /// Where this process reaches the mount.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match (&self.through, self.mount_point.strip_prefix("/")) {
            (Some(through), Ok(relative)) => through.join(relative),
            _ => self.mount_point.clone(),
        }
    }
}

/// Every mount of a mountinfo file, in its order: a later one covers an earlier one.
#[must_use]
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Mount> {
    // id parent major:minor root mount-point options [optional...] - type source super-options
    let mut fields = line.split(|&byte| byte == b' ');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let id = text()?.parse().ok()?;
    text()?;
    let device = DeviceNumber::parse(text()?)?;
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    fields.next()?;
    fields.find(|field| *field == b"-")?;
    let fs_type = std::str::from_utf8(fields.next()?).ok().filter(|name| !name.is_empty())?.to_owned();
    let source = unescape(fields.next()?);
    let options = fields.next().unwrap_or_default();
    let (beside, upper) = match fs_type.as_str() {
        "xfs" => (paths(options, &[b"logdev", b"rtdev"]).collect(), None),
        "overlay" => (Vec::new(), paths(options, &[b"upperdir"]).find(|path| path.is_absolute())),
        _ => (Vec::new(), None),
    };
    mount_point.is_absolute().then_some(Mount {
        id,
        device,
        root,
        mount_point,
        fs_type,
        source,
        beside,
        upper,
        through: None,
    })
}

/// The values of those options. A comma inside a value is escaped.
fn paths<'a>(options: &'a [u8], names: &'a [&[u8]]) -> impl Iterator<Item = PathBuf> + 'a {
    options.split(|&byte| byte == b',').filter_map(move |option| {
        let at = option.iter().position(|&byte| byte == b'=')?;
        let (name, value) = option.split_at(at);
        names.contains(&name).then(|| unescape(value.get(1..).unwrap_or_default()))
    })
}

/// A path as the kernel writes it in its tables: blank, tab, newline and backslash are a backslash and
/// three octal digits.
pub(super) fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_with_blanks_and_optional_fields_is_read() {
        let text = "84 21 259:2 /sub\\134dir /srv/pg\\040data rw,relatime shared:34 master:2 - ext4 /dev/nvme1n1 rw\n";
        assert_eq!(
            parse(text.as_bytes()),
            [Mount {
                id: 84,
                device: DeviceNumber { major: 259, minor: 2 },
                root: "/sub\\dir".into(),
                mount_point: "/srv/pg data".into(),
                fs_type: "ext4".to_owned(),
                source: "/dev/nvme1n1".into(),
                beside: vec![],
                upper: None,
                through: None,
            }]
        );
    }

    #[test]
    fn what_a_file_system_writes_to_beside_its_source_is_read() {
        let text = "9 1 8:1 / /a rw - xfs /dev/sda1 rw,noquota,logdev=/dev/sd\\040b,rtdev=/dev/sdc\n\
                    9 1 0:33 / /b rw - overlay overlay rw,lowerdir=/l,upperdir=/up\\054per,workdir=/w\n\
                    9 1 8:2 / /c rw - ext4 /dev/sda2 rw,upperdir=/x,logdev=/y";
        let mounts = parse(text.as_bytes());
        assert_eq!(mounts[0].beside, [PathBuf::from("/dev/sd b"), "/dev/sdc".into()]);
        assert_eq!(mounts[1].upper.as_deref(), Some(std::path::Path::new("/up,per")));
        assert_eq!((mounts[2].beside.len(), &mounts[2].upper), (0, &None));
    }

    #[test]
    fn a_line_without_optional_fields_is_read() {
        assert_eq!(parse(b"1 0 7:0 / / rw - xfs /dev/loop0 rw").len(), 1);
    }

    #[test]
    fn what_is_no_line_of_mountinfo_is_left_out() {
        for text in
            ["", " - ", "1 2 3", "x 21 259:2 / /a rw - ext4 /dev/a rw", "1 21 259 / /a rw - ext4 d rw"]
        {
            assert_eq!(parse(text.as_bytes()), [], "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&text);
        }

        #[test]
        fn reading_near_the_grammar_never_panics(text in "[0-9: /\\\\ab\\-]{0,120}") {
            let _ = parse(text.as_bytes());
        }

        #[test]
        fn any_mount_point_survives_the_kernel_s_escaping(name in "[a-z \\\\\t\n\u{e4}]{1,40}") {
            let escaped: String = name
                .chars()
                .map(|c| match c {
                    ' ' => "\\040".to_owned(),
                    '\t' => "\\011".to_owned(),
                    '\n' => "\\012".to_owned(),
                    '\\' => "\\134".to_owned(),
                    other => other.to_string(),
                })
                .collect();
            let mounts = parse(format!("9 1 8:1 / /{escaped} rw - ext4 /dev/sda1 rw").as_bytes());
            prop_assert_eq!(&mounts[0].mount_point, &PathBuf::from(format!("/{name}")));
        }
    }
}
