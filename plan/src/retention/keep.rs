//! How long to keep: the rules as a policy or a volume's tag states them. What they mean is decided in
//! `retention`.

use crate::retention::Rule;
use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// The rules of a policy's `keep`; a restore point that any of them wants is kept. At least one rule
/// says something: an empty set of rules would delete everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Keep {
    /// The newest so many.
    #[serde(skip_serializing_if = "is_zero")]
    pub last: u32,
    /// The newest of each of so many hours.
    #[serde(skip_serializing_if = "is_zero")]
    pub hourly: u32,
    /// The newest of each of so many days.
    #[serde(skip_serializing_if = "is_zero")]
    pub daily: u32,
    /// The newest of each of so many ISO weeks.
    #[serde(skip_serializing_if = "is_zero")]
    pub weekly: u32,
    /// The newest of each of so many months.
    #[serde(skip_serializing_if = "is_zero")]
    pub monthly: u32,
    /// The newest of each of so many years.
    #[serde(skip_serializing_if = "is_zero")]
    pub yearly: u32,
    /// Every one no older than this, counted from the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Rules {
    last: u32,
    hourly: u32,
    daily: u32,
    weekly: u32,
    monthly: u32,
    yearly: u32,
    within: Option<Within>,
    /// What this version does not know. That there is such a place also makes a list no set of rules.
    #[serde(flatten)]
    _unknown: BTreeMap<String, IgnoredAny>,
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Rules { last, hourly, daily, weekly, monthly, yearly, within, .. } =
            Rules::deserialize(deserializer)?;
        let keep = Self { last, hourly, daily, weekly, monthly, yearly, within };
        if keep.is_empty() {
            return Err(D::Error::custom(
                "an empty keep would delete everything; give at least one rule, as in {\"last\": 5}",
            ));
        }
        Ok(keep)
    }
}

impl Keep {
    const NOTHING: Self =
        Self { last: 0, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None };

    /// The rule `last` alone.
    #[must_use]
    pub fn last(last: u32) -> Self {
        Self { last, ..Self::NOTHING }
    }

    /// How many a rule keeps; 0 when it says nothing.
    #[must_use]
    pub fn count(&self, rule: Rule) -> u32 {
        match rule {
            Rule::Last => self.last,
            Rule::Hourly => self.hourly,
            Rule::Daily => self.daily,
            Rule::Weekly => self.weekly,
            Rule::Monthly => self.monthly,
            Rule::Yearly => self.yearly,
        }
    }

    fn count_mut(&mut self, rule: Rule) -> &mut u32 {
        match rule {
            Rule::Last => &mut self.last,
            Rule::Hourly => &mut self.hourly,
            Rule::Daily => &mut self.daily,
            Rule::Weekly => &mut self.weekly,
            Rule::Monthly => &mut self.monthly,
            Rule::Yearly => &mut self.yearly,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::NOTHING
    }
}

/// As a volume's tag has them: `last=5 daily=7`.
impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Rule::ALL.into_iter().map(|rule| (rule.as_str(), self.count(rule)));
        let mut parts: Vec<String> =
            counted.filter(|(_, count)| *count > 0).map(|(rule, count)| format!("{rule}={count}")).collect();
        parts.extend(self.within.map(|span| format!("within={span}")));
        f.write_str(&parts.join(" "))
    }
}

/// Why the value of a volume's tag `stillframe:keep` is no set of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "kebab-case")]
pub enum KeepTagError {
    /// It names no rule, or none that keeps anything.
    #[error("it keeps nothing; as in \"last=5 daily=7\"")]
    Empty,
    /// A part is not `rule=count`.
    #[error("{0:?} is not of the form rule=count")]
    NoPair(String),
    /// There is no such rule.
    #[error("{0:?} is none of last, hourly, daily, weekly, monthly, yearly, within")]
    NoRule(String),
    /// A rule is given twice.
    #[error("{0:?} is given twice")]
    Twice(String),
    /// A count is no number.
    #[error("{0:?}: the count is no whole number")]
    NoCount(String),
    /// `within` is no span.
    #[error("{0:?} is no span of years, months, days and hours as in within=1y6m2d12h")]
    NoSpan(String),
}

impl FromStr for Keep {
    type Err = KeepTagError;

    /// Reads the rules as a tag has them: `last=5 daily=7 within=2y5m`, blanks between them.
    fn from_str(text: &str) -> Result<Self, KeepTagError> {
        let mut keep = Self::NOTHING;
        let mut given = Vec::new();
        for part in text.split_whitespace() {
            let (name, value) = part.split_once('=').ok_or_else(|| KeepTagError::NoPair(part.to_owned()))?;
            if given.contains(&name) {
                return Err(KeepTagError::Twice(name.to_owned()));
            }
            given.push(name);
            if name == "within" {
                let span = Within::parse(value).ok_or_else(|| KeepTagError::NoSpan(part.to_owned()))?;
                keep.within = Some(span);
                continue;
            }
            let rule = Rule::ALL
                .into_iter()
                .find(|rule| rule.as_str() == name)
                .ok_or_else(|| KeepTagError::NoRule(name.to_owned()))?;
            let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
            let count = value.parse().ok().filter(|_| digits);
            *keep.count_mut(rule) = count.ok_or_else(|| KeepTagError::NoCount(part.to_owned()))?;
        }
        if keep.is_empty() { Err(KeepTagError::Empty) } else { Ok(keep) }
    }
}

/// A span of calendar time as restic writes it: `2y5m7d3h`, months being `m`. Longer than nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Within {
    /// Years.
    pub years: u32,
    /// Months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

impl Within {
    fn parse(text: &str) -> Option<Self> {
        let mut span = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let unit_at = rest.find(|letter: char| !letter.is_ascii_digit())?;
            let (number, tail) = rest.split_at(unit_at);
            let mut letters = tail.chars();
            let field = match letters.next()? {
                'y' => &mut span.years,
                'm' => &mut span.months,
                'd' => &mut span.days,
                'h' => &mut span.hours,
                _ => return None,
            };
            *field = field.checked_add(number.parse().ok()?)?;
            rest = letters.as_str();
        }
        (span != Self::default()).then_some(span)
    }
}

impl fmt::Display for Within {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, unit) in [(self.years, 'y'), (self.months, 'm'), (self.days, 'd'), (self.hours, 'h')] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Within {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "{text:?} is not a span of years, months, days and hours as in \"1y6m2d12h\""
            ))
        })
    }
}

impl Serialize for Within {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_reads_as_it_is_written() {
        for text in ["2d", "1y6m2d12h", "36h", "3m"] {
            assert_eq!(Within::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "2", "d", "2w", "-2d", "2 d", "0d", "99999999999d", "2dd", "4294967295d1d"] {
            assert_eq!(Within::parse(text), None, "{text:?}");
        }
    }
    #[test]
    fn a_tag_names_the_rules_with_blanks_between() {
        let keep: Keep = " last=5  daily=7 within=2y5m ".parse().unwrap();
        let within = Within { years: 2, months: 5, days: 0, hours: 0 };
        assert_eq!(keep, Keep { daily: 7, within: Some(within), ..Keep::last(5) });
        for (text, error) in [
            ("", KeepTagError::Empty),
            (" ", KeepTagError::Empty),
            ("last=0", KeepTagError::Empty),
            ("5", KeepTagError::NoPair("5".to_owned())),
            ("last 5", KeepTagError::NoPair("last".to_owned())),
            ("Last=5", KeepTagError::NoRule("Last".to_owned())),
            ("minutely=5", KeepTagError::NoRule("minutely".to_owned())),
            ("=5", KeepTagError::NoRule(String::new())),
            ("last=5 last=5", KeepTagError::Twice("last".to_owned())),
            ("within=1d within=2d", KeepTagError::Twice("within".to_owned())),
            ("last=", KeepTagError::NoCount("last=".to_owned())),
            ("last=-1", KeepTagError::NoCount("last=-1".to_owned())),
            ("last=+1", KeepTagError::NoCount("last=+1".to_owned())),
            ("last=all", KeepTagError::NoCount("last=all".to_owned())),
            ("last=4294967296", KeepTagError::NoCount("last=4294967296".to_owned())),
            ("last=5,daily=7", KeepTagError::NoCount("last=5,daily=7".to_owned())),
            ("within=7", KeepTagError::NoSpan("within=7".to_owned())),
            ("within=0d", KeepTagError::NoSpan("within=0d".to_owned())),
        ] {
            assert_eq!(text.parse::<Keep>(), Err(error), "{text:?}");
        }
    }
}
