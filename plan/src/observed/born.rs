//! When the volumes of a set were made, as its snapshots carry it in tags. Once a volume is gone and its
//! older snapshots are deleted nothing else tells that it lived beside another one, and what were replicas
//! would look like one following the other.
//!
//! ```text
//! 0aaaaaaaaaaaaaa01:tnsqo0+0aaaaaaaaaaaaaa02:tnsqo0
//! ```
//! Volume ids without their `vol-`, and seconds since 1970 in base 36, cut into tags `stillframe:born.0`,
//! `.1`, ... of at most 256 characters.

use crate::VolumeId;
use crate::observed::{SharedTags, Volume};
use crate::tags::{self, Tags};
use chrono::{DateTime, Utc};

/// Most tags for it: forty-one volumes. A larger set carries none, for the layout needs the room.
const MOST_TAGS: usize = 4;

/// The tags for a set of these volumes.
pub(crate) fn encode(volumes: &[&Volume]) -> Tags {
    let entry = |volume: &&Volume| format!("{}:{}", short(volume.id.as_str()), base_36(volume.created_at));
    let text = volumes.iter().map(entry).collect::<Vec<_>>().join("+");
    let parts = text.as_bytes().chunks(tags::LONGEST_VALUE);
    if parts.len() > MOST_TAGS || !text.is_ascii() {
        return Tags::new();
    }
    let tag = |(part, value): (usize, &[u8])| {
        (format!("{}{part}", tags::BORN), String::from_utf8_lossy(value).into_owned())
    };
    parts.enumerate().map(tag).collect()
}

/// When a volume was made, if the tags tell it.
pub(crate) fn of(tags: &SharedTags, volume: &VolumeId) -> Option<DateTime<Utc>> {
    // At most ten parts, so that their keys stand in the order of their numbers.
    let text: String = tags.beginning_with(tags::BORN).map(|(_, value)| value).collect();
    let mut entries = text.split('+').filter_map(|entry| entry.split_once(':'));
    let (_, seconds) = entries.find(|(id, _)| *id == short(volume.as_str()))?;
    DateTime::from_timestamp(i64::from_str_radix(seconds, 36).ok()?, 0)
}

fn short(id: &str) -> &str {
    id.strip_prefix("vol-").unwrap_or(id)
}

fn base_36(instant: DateTime<Utc>) -> String {
    let mut left = u64::try_from(instant.timestamp()).unwrap_or(0);
    let mut digits = Vec::new();
    while left > 0 || digits.is_empty() {
        digits.push(char::from_digit(u32::try_from(left % 36).unwrap_or(0), 36).unwrap_or('0'));
        left /= 36;
    }
    digits.into_iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{time, volume};
    use proptest::prelude::*;

    fn made(id: &str, seconds: i64) -> Volume {
        Volume { created_at: DateTime::from_timestamp(seconds, 0).unwrap(), ..volume(id, None) }
    }

    #[test]
    fn it_reads_as_the_module_says() {
        let at = time("2026-11-01T00:00:00Z");
        let volumes = ["vol-0aaaaaaaaaaaaaa01", "vol-0aaaaaaaaaaaaaa02"]
            .map(|id| Volume { created_at: at, ..volume(id, None) });
        let tags = encode(&volumes.each_ref());
        assert_eq!(tags["stillframe:born.0"], "0aaaaaaaaaaaaaa01:tnsqo0+0aaaaaaaaaaaaaa02:tnsqo0");
        let tags = SharedTags::from(tags);
        assert_eq!(of(&tags, &volumes[1].id), Some(at));
        assert_eq!(of(&tags, &"vol-0aaaaaaaaaaaaaa03".into()), None);
        assert_eq!(of(&SharedTags::default(), &volumes[1].id), None);
        for garbage in [
            "",
            ":",
            "0aaaaaaaaaaaaaa01",
            "0aaaaaaaaaaaaaa01:",
            "0aaaaaaaaaaaaaa01:zzzzzzzzzzzzzzzz",
            "0aaaaaaaaaaaaaa01:é",
        ] {
            let tags = SharedTags::from_iter([("stillframe:born.0", garbage)]);
            assert_eq!(of(&tags, &volumes[0].id), None, "{garbage:?}");
        }
    }

    #[test]
    fn forty_one_volumes_fit_and_more_carry_none() {
        let volumes: Vec<Volume> = (0..42).map(|at| made(&format!("vol-{at:017x}"), 1_795_000_000)).collect();
        let refs: Vec<&Volume> = volumes.iter().collect();
        assert_eq!(encode(&refs[..41]).len(), 4);
        assert_eq!(encode(&refs), Tags::new());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in proptest::collection::vec(0_i64..4_000_000_000, 0..40)) {
            let volumes: Vec<Volume> =
                seconds.iter().enumerate().map(|(at, seconds)| made(&format!("vol-{at:017x}"), *seconds)).collect();
            let tags = encode(&volumes.iter().collect::<Vec<_>>());
            prop_assert!(tags.values().all(|value| value.len() <= tags::LONGEST_VALUE));
            let tags = SharedTags::from(tags);
            for volume in &volumes {
                prop_assert_eq!(of(&tags, &volume.id), Some(volume.created_at));
            }
        }
    }
}
