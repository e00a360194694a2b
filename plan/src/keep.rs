//! How long to keep: the rules as a policy states them. What they mean is decided in `prune`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;

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
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Rules { last, hourly, daily, weekly, monthly, yearly, within } =
            Rules::deserialize(deserializer)?;
        let keep = Self { last, hourly, daily, weekly, monthly, yearly, within };
        if keep.last == 0 && keep.other_rules().is_empty() {
            return Err(D::Error::custom(
                "an empty keep would delete everything; give at least one rule, as in {\"last\": 5}",
            ));
        }
        Ok(keep)
    }
}

impl Keep {
    /// The rule `last` alone.
    #[must_use]
    pub fn last(last: u32) -> Self {
        Self { last, hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0, within: None }
    }

    /// Names of the rules besides `last` that say something.
    #[must_use]
    pub fn other_rules(&self) -> Vec<&'static str> {
        [
            ("hourly", self.hourly > 0),
            ("daily", self.daily > 0),
            ("weekly", self.weekly > 0),
            ("monthly", self.monthly > 0),
            ("yearly", self.yearly > 0),
            ("within", self.within.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, speaks)| speaks.then_some(name))
        .collect()
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
}
