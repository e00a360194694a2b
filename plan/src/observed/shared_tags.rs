//! Tags and descriptions of snapshots: few different words, a million times. Each word is in memory once.

use crate::tags::Tags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The tags of one snapshot, in order of their keys. Made through [`Words`] it shares its words with
/// others.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SharedTags(Box<[(Arc<str>, Arc<str>)]>);

impl SharedTags {
    /// The value of a tag.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        let at = self.0.binary_search_by(|(candidate, _)| candidate.as_ref().cmp(key)).ok()?;
        self.0.get(at).map(|(_, value)| value.as_ref())
    }

    /// Whether there is such a tag.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// All of them, in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value.as_ref()))
    }

    /// Those whose key begins so, without that beginning.
    pub(crate) fn beginning_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> + Clone {
        let first = self.0.partition_point(|(key, _)| key.as_ref() < prefix);
        let rest = self.0.get(first..).unwrap_or_default();
        rest.iter().map_while(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_ref())))
    }

    /// The value of a tag that the reader looks for.
    pub(crate) fn read<'a>(&'a self, reader: &mut TagReader<'a>) -> Option<&'a str> {
        if let (Some(known), Some((key, value))) = (reader.known, self.0.get(reader.at))
            && std::ptr::eq(known, key.as_ref())
        {
            return Some(value);
        }
        let at = self.0.binary_search_by(|(candidate, _)| candidate.as_ref().cmp(reader.key)).ok()?;
        let (key, value) = self.0.get(at)?;
        (reader.at, reader.known) = (at, Some(key.as_ref()));
        Some(value)
    }

    /// Takes a tag away.
    pub fn remove(&mut self, key: &str) {
        self.0 = self.0.iter().filter(|(other, _)| other.as_ref() != key).cloned().collect();
    }

    /// Sets a tag.
    pub fn insert(&mut self, key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) {
        self.extend([(key, value)]);
    }

    fn of(mut tags: Vec<(Arc<str>, Arc<str>)>) -> Self {
        // The sort is stable: of two with the same key the later one counts.
        tags.sort_by(|(a, _), (b, _)| a.cmp(b));
        tags.reverse();
        tags.dedup_by(|(a, _), (b, _)| a == b);
        tags.reverse();
        Self(tags.into_boxed_slice())
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> Extend<(K, V)> for SharedTags {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, more: I) {
        let mut tags = std::mem::take(&mut self.0).into_vec();
        tags.extend(more.into_iter().map(|(key, value)| (key.into(), value.into())));
        *self = Self::of(tags);
    }
}

impl<K: Into<Arc<str>>, V: Into<Arc<str>>> FromIterator<(K, V)> for SharedTags {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(tags: I) -> Self {
        let mut made = Self::default();
        made.extend(tags);
        made
    }
}

impl From<Tags> for SharedTags {
    fn from(tags: Tags) -> Self {
        tags.into_iter().collect()
    }
}

impl fmt::Debug for SharedTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl Serialize for SharedTags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for SharedTags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tags::deserialize(deserializer).map(Self::from)
    }
}

/// Looks for one key among the tags of one snapshot after the other. Where they share their words, most
/// have the key where the one before had it, and the same word for it.
pub(crate) struct TagReader<'a> {
    key: &'static str,
    at: usize,
    known: Option<&'a str>,
}

impl TagReader<'_> {
    pub(crate) fn new(key: &'static str) -> Self {
        Self { key, at: 0, known: None }
    }
}

/// One text that many snapshots share, as a description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(Arc<str>);

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl Serialize for Word {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// The words of everything seen so far.
#[derive(Debug, Default)]
pub struct Words(BTreeSet<Arc<str>>);

impl Words {
    fn word(&mut self, word: &str) -> Arc<str> {
        if let Some(known) = self.0.get(word) {
            return Arc::clone(known);
        }
        let new = Arc::<str>::from(word);
        self.0.insert(Arc::clone(&new));
        new
    }

    /// A text that is shared with all others that are the same.
    pub fn text(&mut self, text: &str) -> Word {
        Word(self.word(text))
    }

    /// Tags whose words are shared with all others that are the same.
    pub fn tags<'a>(&mut self, tags: impl Iterator<Item = (&'a str, &'a str)>) -> SharedTags {
        let mut shared = Vec::with_capacity(tags.size_hint().0);
        shared.extend(tags.map(|(key, value)| (self.word(key), self.word(value))));
        SharedTags::of(shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_tags(pairs in proptest::collection::vec(("[ab.]{0,3}", "[xy]{0,2}"), 0..12), key in "[ab.]{0,3}") {
            let map: Tags = pairs.iter().cloned().collect();
            let mut words = Words::default();
            let shared = words.tags(pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            prop_assert!(shared.iter().eq(map.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
            prop_assert_eq!(shared.get(&key), map.get(&key).map(String::as_str));
            prop_assert_eq!(&shared, &pairs.into_iter().collect());
            let mut reader = TagReader::new("a");
            for tags in [&shared, &SharedTags::default(), &shared.clone(), &words.tags([("a", "new")].into_iter())] {
                prop_assert_eq!(tags.read(&mut reader), tags.get("a"));
            }
            let beginning = shared.beginning_with(&key).map(|(rest, value)| (format!("{key}{rest}"), value.to_owned()));
            let expected: Tags = map.into_iter().filter(|(other, _)| other.starts_with(&key)).collect();
            prop_assert_eq!(beginning.collect::<Tags>(), expected);
            let text = serde_json::to_string(&shared).unwrap();
            prop_assert_eq!(serde_json::from_str::<SharedTags>(&text).unwrap(), shared);
        }
    }

    #[test]
    fn the_same_word_is_in_memory_once() {
        let mut words = Words::default();
        let tags = [("role", "db")];
        let (a, b) = (words.tags(tags.into_iter()), words.tags(tags.into_iter()));
        assert!(Arc::ptr_eq(&a.0[0].0, &b.0[0].0) && Arc::ptr_eq(&a.0[0].1, &b.0[0].1));
    }
}
