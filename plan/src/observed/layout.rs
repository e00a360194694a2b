//! The layout of a set, as its snapshots carry it in tags: which volumes belong to it, and what was on
//! them. Every member carries the whole, so any one of them tells whether the set is complete.
//!
//! ```text
//! vol-0aaaaaaaaaaaaaa01:/dev/sdf:ext4:/srv/pg=20data+vol-0aaaaaaaaaaaaaa02:/dev/sdg:xfs:/srv/log
//! ```
//! Records are joined by `+`, their fields by `:`; every other character outside `A-Z a-z 0-9 . _ / @ -`
//! is written as `=` and the two hexadecimal digits of each of its bytes. The text is cut into tags
//! `stillframe:layout.0`, `.1`, ... of at most 256 characters. A volume with several file systems has
//! several records, a file system over several volumes a record for each.

use crate::tags::Tags;
use crate::{VolumeId, tags};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What is known of one volume of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The volume.
    pub volume: VolumeId,
    /// The name under which it was attached; empty when it was not.
    pub device: String,
    /// Type of a file system on it; empty when not known.
    pub fs_type: String,
    /// Where that is mounted; empty when not known.
    pub mount_point: String,
}

/// Layout tags that are not a layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A tag between others is not there.
    #[error("the layout lacks its part {0}")]
    MissingPart(usize),
    /// A record has not exactly four fields.
    #[error("the layout's record {0:?} does not have four fields")]
    Fields(String),
    /// `=` is not followed by two hexadecimal digits, or the bytes are no UTF-8.
    #[error("the layout's field {0:?} cannot be decoded")]
    Escape(String),
    /// A record names no volume.
    #[error("the layout's record {0:?} names no volume")]
    NoVolume(String),
}

impl Record {
    /// The record of a volume whose file systems are not known.
    #[must_use]
    pub fn bare(volume: VolumeId, device: impl Into<String>) -> Self {
        Self { volume, device: device.into(), fs_type: String::new(), mount_point: String::new() }
    }
}

/// The tags that carry the records; none for none.
#[must_use]
pub fn encode(records: &[Record]) -> Tags {
    let text = text(records);
    // The text is ASCII: bytes are characters, and any cut is a good one.
    text.as_bytes()
        .chunks(tags::LONGEST_VALUE)
        .enumerate()
        .map(|(part, value)| (key(part), String::from_utf8_lossy(value).into_owned()))
        .collect()
}

/// How many tags [`encode`] needs for the records.
#[must_use]
pub fn tags_needed(records: &[Record]) -> usize {
    text(records).len().div_ceil(tags::LONGEST_VALUE)
}

/// Reads the records that a snapshot carries among its tags; none when it carries no layout.
///
/// # Errors
/// There is a layout, and it cannot be understood.
pub fn decode(tags: &Tags) -> Result<Vec<Record>, LayoutError> {
    let parts =
        tags.iter().filter_map(|(key, value)| Some((key.strip_prefix(tags::LAYOUT)?, value.as_str())));
    decode_parts(&parts.collect())
}

/// Reads the records from the layout's parts by what follows [`tags::LAYOUT`] in their keys.
pub(crate) fn decode_parts(parts: &BTreeMap<&str, &str>) -> Result<Vec<Record>, LayoutError> {
    let mut text = String::new();
    for part in 0..parts.len() {
        text.push_str(parts.get(part.to_string().as_str()).ok_or(LayoutError::MissingPart(part))?);
    }
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    text.split('+').map(record).collect()
}

fn key(part: usize) -> String {
    format!("{}{part}", tags::LAYOUT)
}

fn text(records: &[Record]) -> String {
    let mut text = String::new();
    for (at, record) in records.iter().enumerate() {
        if at > 0 {
            text.push('+');
        }
        write_field(&mut text, record.volume.as_str());
        for field in [&record.device, &record.fs_type, &record.mount_point] {
            text.push(':');
            write_field(&mut text, field);
        }
    }
    text
}

fn write_field(text: &mut String, field: &str) {
    for byte in field.bytes() {
        if byte.is_ascii_alphanumeric() || b"._/@-".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "={byte:02X}"); // Writing to a String does not fail.
        }
    }
}

fn record(text: &str) -> Result<Record, LayoutError> {
    let mut fields = text.split(':').map(read_field);
    let (Some(volume), Some(device), Some(fs_type), Some(mount_point), None) =
        (fields.next(), fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(LayoutError::Fields(text.to_owned()));
    };
    let volume = volume?;
    if volume.is_empty() {
        return Err(LayoutError::NoVolume(text.to_owned()));
    }
    Ok(Record { volume: volume.into(), device: device?, fs_type: fs_type?, mount_point: mount_point? })
}

fn read_field(field: &str) -> Result<String, LayoutError> {
    let garbled = || LayoutError::Escape(field.to_owned());
    let mut decoded = Vec::with_capacity(field.len());
    let mut bytes = field.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'=' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || {
            let value = char::from(bytes.next()?).to_digit(16)?;
            u8::try_from(value).ok()
        };
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(garbled()) };
        decoded.push(high * 16 + low);
    }
    String::from_utf8(decoded).map_err(|_| garbled())
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
