//! Which volumes a policy means: patterns over tags, as EC2's own filters read them.

use crate::tags::Tags;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::collections::BTreeMap;

/// The patterns of a policy's `select`; a volume is selected when each of them matches a tag of the
/// volume or of the instance that it is attached to. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(BTreeMap<String, String>);

const PREFIX: &str = "tag:";

impl Selection {
    /// Takes patterns by tag key.
    ///
    /// # Errors
    /// There is none: nothing would mean everything.
    pub fn new(patterns: BTreeMap<String, String>) -> Result<Self, String> {
        if patterns.is_empty() {
            return Err("{} selects nothing; name a tag, as in {\"tag:stillframe\": \"daily\"}".to_owned());
        }
        Ok(Self(patterns))
    }

    /// Whether a volume with these tags is selected. Each pattern may find its tag on the volume or on
    /// its instance; a volume's own value does not hide its instance's.
    #[must_use]
    pub fn matches(&self, volume: &Tags, instance: Option<&Tags>) -> bool {
        self.0.iter().all(|(key, pattern)| {
            [Some(volume), instance]
                .into_iter()
                .flatten()
                .filter_map(|tags| tags.get(key))
                .any(|value| matches_pattern(pattern, value))
        })
    }
}

/// EC2's wildcards: `*` stands for any run of characters, `?` for exactly one, a backslash takes the
/// next character as it is. The whole value has to match, case and all.
fn matches_pattern(pattern: &str, value: &str) -> bool {
    enum Part {
        Any,
        One,
        Just(char),
    }
    let mut parts = Vec::new();
    let mut letters = pattern.chars();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            '*' => Part::Any,
            '?' => Part::One,
            '\\' => Part::Just(letters.next().unwrap_or('\\')),
            other => Part::Just(other),
        });
    }
    // One row of the usual table: `reached[n]` says whether the parts so far match the first n letters.
    let value: Vec<char> = value.chars().collect();
    let mut reached = vec![false; value.len() + 1];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for part in parts {
        let mut before = false;
        let mut any = false;
        for (at, here) in reached.iter_mut().enumerate() {
            any |= *here;
            let letter = at.checked_sub(1).and_then(|at| value.get(at));
            let now = match &part {
                Part::Any => any,
                Part::One => before && letter.is_some(),
                Part::Just(wanted) => before && letter == Some(wanted),
            };
            before = std::mem::replace(here, now);
        }
    }
    reached.last().copied().unwrap_or(false)
}

impl<'de> Deserialize<'de> for Selection {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut patterns = BTreeMap::new();
        for (field, pattern) in BTreeMap::<String, String>::deserialize(deserializer)? {
            let key = field.strip_prefix(PREFIX).filter(|key| !key.is_empty()).ok_or_else(|| {
                D::Error::custom(format!("{field:?} is not of the form \"tag:<key>\", the only one known"))
            })?;
            patterns.insert(key.to_owned(), pattern);
        }
        Self::new(patterns).map_err(D::Error::custom)
    }
}

impl Serialize for Selection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, pattern)| (format!("{PREFIX}{key}"), pattern)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tags(pairs: &[(&str, &str)]) -> Tags {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn wildcards_are_those_of_ec2() {
        for (pattern, value, expected) in [
            ("daily", "daily", true),
            ("daily", "Daily", false),
            ("daily", "daily2", false),
            ("", "", true),
            ("", "x", false),
            ("*", "", true),
            ("*", "anything at all", true),
            ("d*y", "dy", true),
            ("d*y", "daily", true),
            ("d*y", "dailyx", false),
            ("*il*", "daily", true),
            ("?aily", "daily", true),
            ("?aily", "aily", false),
            ("??", "é9", true),
            (r"\*amazon\?\\", r"*amazon?\", true),
            (r"\*", "x", false),
            ("a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(matches_pattern(pattern, value), expected, "{pattern:?} on {value:?}");
        }
    }

    #[test]
    fn each_pattern_may_be_met_by_the_volume_or_by_its_instance() {
        let select = Selection::new(tags(&[("stillframe", "daily"), ("environment", "pro*")])).unwrap();
        let volume = tags(&[("stillframe", "daily")]);
        let instance = tags(&[("environment", "prod"), ("stillframe", "weekly")]);
        assert!(select.matches(&volume, Some(&instance)));
        assert!(!select.matches(&volume, None));
        assert!(!select.matches(&tags(&[("stillframe", "hourly")]), Some(&instance)));
        let both = tags(&[("stillframe", "daily"), ("environment", "production")]);
        assert!(select.matches(&both, None));
        // A volume's own word does not hide its instance's.
        let select = Selection::new(tags(&[("stillframe", "weekly")])).unwrap();
        assert!(select.matches(&volume, Some(&instance)));
    }

    proptest! {
        #[test]
        fn a_text_without_wildcards_matches_itself_alone(a in "[a-c]{0,4}", b in "[a-c]{0,4}") {
            prop_assert_eq!(matches_pattern(&a, &b), a == b);
        }

        #[test]
        fn an_escaped_text_matches_itself(text in ".{0,20}") {
            let escaped: String = text.chars().flat_map(|letter| ['\\', letter]).collect();
            prop_assert!(matches_pattern(&escaped, &text));
        }

        #[test]
        fn a_star_takes_any_middle(head in "[a-z]{0,5}", middle in ".{0,9}", tail in "[a-z]{0,5}") {
            let pattern = format!("{head}*{tail}");
            let value = format!("{head}{middle}{tail}");
            prop_assert!(matches_pattern(&pattern, &value));
        }
    }
}
