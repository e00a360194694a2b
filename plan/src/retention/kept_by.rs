//! Which rules keep a restore point: small enough to be had a million times.

use serde::{Serialize, Serializer};
use std::fmt;

/// A rule that keeps so many. (The rule `within` keeps whatever is young enough.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Each.
    Last,
    /// The newest of an hour.
    Hourly,
    /// The newest of a day.
    Daily,
    /// The newest of an ISO week.
    Weekly,
    /// The newest of a month.
    Monthly,
    /// The newest of a year.
    Yearly,
}

impl Rule {
    /// All of them, in the order in which reasons are told.
    pub const ALL: [Self; 6] =
        [Self::Last, Self::Hourly, Self::Daily, Self::Weekly, Self::Monthly, Self::Yearly];

    /// The word as it stands in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Hourly => "hourly",
            Self::Daily => "daily",
            Self::Weekly => "weekly",
            Self::Monthly => "monthly",
            Self::Yearly => "yearly",
        }
    }
}

/// The rules that keep one restore point; none of them by default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeptBy {
    /// For each of [`Rule::ALL`] how many it has kept with this one, 0 where it does not keep it.
    numbers: [u32; Rule::ALL.len()],
    /// For each of them, from the lowest bit, whether it keeps this one for being the oldest.
    oldest: u8,
    within: bool,
}

/// What one counted rule says of one restore point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Match {
    /// The rule.
    pub rule: Rule,
    /// How many it has kept with this one: 1 for the newest.
    pub number: u32,
    /// Whether it is kept only because it is the oldest of all and the rule has room.
    pub oldest: bool,
}

impl KeptBy {
    pub(crate) fn set(&mut self, rule: Rule, number: u32, oldest: bool) {
        if let Some(slot) = self.numbers.get_mut(rule as usize) {
            *slot = number;
            self.oldest |= u8::from(oldest) << rule as u8;
        }
    }

    pub(crate) fn set_within(&mut self) {
        self.within = true;
    }

    /// Whether any rule keeps it.
    #[must_use]
    pub fn any(&self) -> bool {
        self.within || self.numbers != [0; Rule::ALL.len()]
    }

    /// Whether `within` keeps it.
    #[must_use]
    pub fn within(&self) -> bool {
        self.within
    }

    /// The counted rules that keep it.
    pub fn matches(&self) -> impl Iterator<Item = Match> {
        Rule::ALL
            .into_iter()
            .zip(self.numbers)
            .filter(|(_, number)| *number > 0)
            .map(|(rule, number)| Match { rule, number, oldest: self.oldest & (1 << rule as u8) != 0 })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let oldest = if self.oldest { " (oldest)" } else { "" };
        write!(f, "{} {}{oldest}", self.rule.as_str(), self.number)
    }
}

impl fmt::Display for KeptBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut texts: Vec<String> = self.matches().map(|found| found.to_string()).collect();
        texts.extend(self.within.then(|| "within".to_owned()));
        f.write_str(&texts.join(", "))
    }
}

impl Serialize for KeptBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Entry {
            Counted(Match),
            Within { rule: &'static str },
        }
        let within = self.within.then_some(Entry::Within { rule: "within" });
        serializer.collect_seq(self.matches().map(Entry::Counted).chain(within))
    }
}
