//! Retention: which of a history's instants the rules of `keep` keep. The decisions are those of
//! `restic forget` for the same times and options; a test drives both.
//!
//! Every counted rule looks at the instants from the newest to the oldest and cuts time into buckets of
//! the zone's calendar: hours, days, ISO weeks, months, years; for `last` each instant is a bucket. It
//! keeps an instant that does not lie in the same bucket as the one that it kept before, until its count
//! is used up. The oldest of all is kept as long as a rule has room, so that a young history begins where
//! it began. `within` keeps what is younger than its span before the newest.
//!
//! Of an hour that passes twice when a clock goes back, both passages are one bucket, as the calendar on
//! the wall has it.

mod keep;
mod kept_by;

pub use keep::{Keep, KeepTagError, Within};
pub use kept_by::{KeptBy, Match, Rule};

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono_tz::Tz;

/// The rules that keep each of the instants, which are given newest first.
#[must_use]
pub fn retain(keep: &Keep, zone: Tz, newest_first: &[DateTime<Utc>]) -> Vec<KeptBy> {
    let mut rules: Vec<Counted> =
        Rule::ALL.into_iter().map(|rule| Counted::new(rule, keep)).filter(Counted::has_room).collect();
    let horizon = match (keep.within, newest_first.first()) {
        (Some(span), Some(newest)) => Horizon::before(*newest, span, zone),
        _ => Horizon::None,
    };
    let mut left = newest_first.len();
    newest_first
        .iter()
        .map(|instant| {
            left -= 1;
            let mut kept = KeptBy::default();
            if horizon.is_before(*instant) {
                kept.set_within();
            }
            rules.retain(Counted::has_room);
            if !rules.is_empty() {
                let clock = instant.with_timezone(&zone).naive_local();
                for rule in &mut rules {
                    rule.look(clock, left == 0, &mut kept);
                }
            }
            kept
        })
        .collect()
}

/// One rule on its way into the past.
struct Counted {
    rule: Rule,
    count: u32,
    used: u32,
    bucket: Option<Bucket>,
}

/// A stretch of the calendar: its year and what of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bucket(i32, u32, u32);

impl Counted {
    fn new(rule: Rule, keep: &Keep) -> Self {
        Self { rule, count: keep.count(rule), used: 0, bucket: None }
    }

    fn has_room(&self) -> bool {
        self.used < self.count
    }

    fn look(&mut self, clock: NaiveDateTime, oldest: bool, kept: &mut KeptBy) {
        let bucket = bucket(self.rule, clock);
        let is_new = bucket.is_none() || bucket != self.bucket;
        if is_new || oldest {
            self.bucket = bucket;
            self.used += 1;
            kept.set(self.rule, self.used, !is_new);
        }
    }
}

/// The bucket that a clock's reading lies in; none for the rule that has no calendar.
pub(crate) fn bucket(rule: Rule, clock: NaiveDateTime) -> Option<Bucket> {
    let date = clock.date();
    Some(match rule {
        Rule::Last => return None,
        Rule::Hourly => Bucket(date.year(), date.ordinal(), clock.hour()),
        Rule::Daily => Bucket(date.year(), date.ordinal(), 0),
        // The ISO week has a year of its own: 2027-01-01 lies in week 53 of 2026.
        Rule::Weekly => Bucket(date.iso_week().year(), date.iso_week().week(), 0),
        Rule::Monthly => Bucket(date.year(), date.month(), 0),
        Rule::Yearly => Bucket(date.year(), 0, 0),
    })
}

/// How far back `within` reaches.
enum Horizon {
    /// There is no such rule.
    None,
    /// Everything after this instant.
    After(DateTime<Utc>),
    /// Beyond the calendar's beginning.
    Everything,
}

impl Horizon {
    fn before(newest: DateTime<Utc>, span: Within, zone: Tz) -> Self {
        back(newest, span, zone).map_or(Self::Everything, Self::After)
    }

    fn is_before(&self, instant: DateTime<Utc>) -> bool {
        match self {
            Self::None => false,
            Self::After(horizon) => instant > *horizon,
            Self::Everything => true,
        }
    }
}

/// The instant a span before another: years, months and days on the zone's calendar, at the same time of
/// the clock, then hours of real time. A day that a month does not have is counted on from its end: a
/// month before 31 March is 3 March, or 2 March in a leap year. None where that is before all calendars.
pub(crate) fn back(instant: DateTime<Utc>, span: Within, zone: Tz) -> Option<DateTime<Utc>> {
    let clock = instant.with_timezone(&zone).naive_local();
    let months = i64::from(clock.year()) * 12 + i64::from(clock.month0())
        - i64::from(span.years) * 12
        - i64::from(span.months);
    let year = i32::try_from(months.div_euclid(12)).ok()?;
    let month = u32::try_from(months.rem_euclid(12)).ok()? + 1;
    let date = NaiveDate::from_ymd_opt(year, month, 1)?
        .checked_add_days(Days::new(u64::from(clock.day0())))?
        .checked_sub_days(Days::new(u64::from(span.days)))?;
    instant_of(date.and_time(clock.time()), zone)?.checked_sub_signed(TimeDelta::hours(i64::from(span.hours)))
}

/// When a zone's clock shows this. Of a reading that comes twice or never one instant is chosen: that of
/// the offset in force at the first guess.
fn instant_of(clock: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let offset_at = |utc: NaiveDateTime| {
        TimeDelta::seconds(i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()))
    };
    let guess = clock.checked_sub_signed(offset_at(clock))?;
    Some(clock.checked_sub_signed(offset_at(guess))?.and_utc())
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
