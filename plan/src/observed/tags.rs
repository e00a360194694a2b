//! The tags that Stillframe writes and reads, and EC2's limits of tags.

use std::collections::BTreeMap;

/// Tags of one resource.
pub type Tags = BTreeMap<String, String>;

/// What every key of ours begins with.
pub const OURS: &str = "stillframe:";
/// The policy's name.
pub const POLICY: &str = "stillframe:policy";
/// The run.
pub const RUN: &str = "stillframe:run";
/// The slot.
pub const SLOT: &str = "stillframe:slot";
/// The instance that the volumes were attached to; none for a detached volume.
pub const INSTANCE: &str = "stillframe:instance";
/// The label: see [`crate::Consistency`].
pub const CONSISTENCY: &str = "stillframe:consistency";
/// Followed by a tag key of the instance: its value there.
pub const INSTANCE_TAG: &str = "stillframe:instance.";
/// Followed by a number from 0: a part of the set's layout (see [`crate::layout`]).
pub const LAYOUT: &str = "stillframe:layout.";
/// Followed by a number from 0: a part of what tells when the set's volumes were made.
pub const BORN: &str = "stillframe:born.";
/// On a copy: the volume that the snapshot it was copied from is of.
pub const SOURCE_VOLUME: &str = "stillframe:source-volume";
/// On a copy: the snapshot that it was copied from.
pub const SOURCE_SNAPSHOT: &str = "stillframe:source-snapshot";
/// On a copy: the region that it was copied from.
pub const SOURCE_REGION: &str = "stillframe:source-region";
/// On the snapshots of a set that was brought back to try it: when that went well, as RFC 3339 writes it.
pub const REHEARSED: &str = "stillframe:rehearsed";
/// On a copy: when the snapshot that it was copied from was begun, RFC 3339. A copy's own start is that of
/// the copying.
pub const SOURCE_STARTED: &str = "stillframe:source-started";
/// On a volume: rules of its own for how long to keep.
pub const KEEP: &str = "stillframe:keep";
/// On a volume: leave it alone, whatever the value.
pub const SKIP: &str = "stillframe:skip";
/// On a volume: `off` for no hooks around its freeze.
pub const HOOKS: &str = "stillframe:hooks";

/// EC2's own keys: nobody else may write them, and they do not count.
pub const RESERVED: &str = "aws:";
/// Most tags of one resource.
pub const MOST: usize = 50;
/// Longest key, characters.
pub const LONGEST_KEY: usize = 128;
/// Longest value, characters.
pub const LONGEST_VALUE: usize = 256;
/// Most lineage keys and tags of a policy together: with our five that leaves 15 for the layout.
pub const MOST_POLICY_TAGS: usize = 30;

/// The key under which a snapshot carries its instance's tag `key`.
#[must_use]
pub fn instance_key(key: &str) -> String {
    format!("{INSTANCE_TAG}{key}")
}

/// Why EC2 would not take a tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// No key is empty.
    #[error("\"\" is no tag key")]
    EmptyKey,
    /// The key is too long.
    #[error("the tag key {key:?} has {length} characters, at most {LONGEST_KEY} fit")]
    LongKey {
        /// The key.
        key: String,
        /// Its length, characters.
        length: usize,
    },
    /// The key belongs to EC2.
    #[error("the tag key {0:?} begins with {RESERVED:?}, which is reserved")]
    Reserved(String),
    /// The value is too long.
    #[error("the value of tag {key:?} has {length} characters, at most {LONGEST_VALUE} fit")]
    LongValue {
        /// Its key.
        key: String,
        /// Its length, characters.
        length: usize,
    },
}

/// Whether EC2 takes a key from us.
///
/// # Errors
/// It does not.
pub fn check_key(key: &str) -> Result<(), TagError> {
    let length = key.chars().count();
    if key.is_empty() {
        Err(TagError::EmptyKey)
    } else if length > LONGEST_KEY {
        Err(TagError::LongKey { key: key.to_owned(), length })
    } else if is_reserved(key) {
        Err(TagError::Reserved(key.to_owned()))
    } else {
        Ok(())
    }
}

/// Whether EC2 takes a value.
///
/// # Errors
/// It is too long.
pub fn check_value(key: &str, value: &str) -> Result<(), TagError> {
    let length = value.chars().count();
    if length > LONGEST_VALUE {
        return Err(TagError::LongValue { key: key.to_owned(), length });
    }
    Ok(())
}

/// Whether a key belongs to EC2, in whatever case.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.get(..RESERVED.len()).is_some_and(|head| head.eq_ignore_ascii_case(RESERVED))
}

/// Whether a key is one that we write on snapshots. A volume restored from a snapshot of ours may
/// carry such tags itself; copied along they would collide, or tell an old story.
#[must_use]
pub fn is_ours_on_snapshots(key: &str) -> bool {
    [POLICY, RUN, SLOT, INSTANCE, CONSISTENCY].contains(&key)
        || [SOURCE_VOLUME, SOURCE_SNAPSHOT, SOURCE_REGION, SOURCE_STARTED].contains(&key)
        || key.starts_with(INSTANCE_TAG)
        || key.starts_with(LAYOUT)
        || key.starts_with(BORN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counted_in_characters() {
        assert_eq!(check_key(&"é".repeat(128)), Ok(()));
        assert!(matches!(check_key(&"e".repeat(129)), Err(TagError::LongKey { length: 129, .. })));
        assert_eq!(check_value("k", &"é".repeat(256)), Ok(()));
        assert!(matches!(check_value("k", &"e".repeat(257)), Err(TagError::LongValue { length: 257, .. })));
        assert_eq!(check_key(""), Err(TagError::EmptyKey));
        for key in ["aws:", "aws:x", "AWS:x", "Aws:x"] {
            assert!(matches!(check_key(key), Err(TagError::Reserved(_))), "{key}");
        }
        for key in ["aws", "awsome", "é", "xaws:"] {
            assert_eq!(check_key(key), Ok(()), "{key}");
        }
    }

    #[test]
    fn only_keys_that_we_write_on_snapshots_are_ours_there() {
        for key in [
            POLICY,
            RUN,
            SLOT,
            INSTANCE,
            CONSISTENCY,
            SOURCE_VOLUME,
            "stillframe:layout.7",
            "stillframe:instance.role",
        ] {
            assert!(is_ours_on_snapshots(key), "{key}");
        }
        for key in ["stillframe", KEEP, SKIP, HOOKS, "stillframe:restore", "role", "stillframe:layouts"] {
            assert!(!is_ours_on_snapshots(key), "{key}");
        }
    }
}
