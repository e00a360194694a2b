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
    within: bool,
    matches: [Option<Match>; Rule::ALL.len()],
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
        for (slot, candidate) in self.matches.iter_mut().zip(Rule::ALL) {
            if candidate == rule {
                *slot = Some(Match { rule, number, oldest });
            }
        }
    }

    pub(crate) fn set_within(&mut self) {
        self.within = true;
    }

    /// Whether any rule keeps it.
    #[must_use]
    pub fn any(&self) -> bool {
        self.within || self.matches.iter().any(Option::is_some)
    }

    /// Whether `within` keeps it.
    #[must_use]
    pub fn within(&self) -> bool {
        self.within
    }

    /// The counted rules that keep it.
    pub fn matches(&self) -> impl Iterator<Item = Match> {
        self.matches.iter().copied().flatten()
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
