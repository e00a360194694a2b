//! Slots: the hours, days, weeks and months of a time zone's calendar, each an unbroken stretch of time.
//!
//! Every instant lies in exactly one slot and no two slots share a name, clock changes included: of an
//! hour that passes twice (or under two offsets) each passage is a slot of its own and carries its
//! offset, `2026-10-25T02+02:00`. A day that a zone skips has no slot. Where a clock goes back over
//! midnight, the new day has begun and does not end again.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Timelike, Utc,
};
use chrono::{FixedOffset, Offset};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// How long a slot is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Every {
    /// An hour of the clock.
    Hour,
    /// A calendar day.
    #[default]
    Day,
    /// An ISO 8601 week, Monday to Sunday.
    Week,
    /// A calendar month.
    Month,
}

impl Every {
    /// The usual length: an hour, 24 hours, 7 days, 31 days.
    #[must_use]
    pub fn length(self) -> TimeDelta {
        match self {
            Self::Hour => TimeDelta::hours(1),
            Self::Day => TimeDelta::days(1),
            Self::Week => TimeDelta::days(7),
            Self::Month => TimeDelta::days(31),
        }
    }
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name, as it stands in tags and run ids: `2026-11-22T14`, `2026-11-22`, `2026-W47`, `2026-11`.
    pub name: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant after it.
    pub end: DateTime<Utc>,
}

impl Slot {
    /// The slot that an instant lies in.
    #[must_use]
    pub fn of(every: Every, zone: Tz, instant: DateTime<Utc>) -> Self {
        match every {
            Every::Hour => hour(zone, instant),
            Every::Day | Every::Week | Every::Month => dates(every, zone, instant),
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name)
    }
}

/// First day of the day, week or month that a date lies in.
fn first_day(every: Every, date: NaiveDate) -> NaiveDate {
    match every {
        Every::Hour | Every::Day => date,
        Every::Week => {
            let past_monday = u64::from(date.weekday().num_days_from_monday());
            date.checked_sub_days(Days::new(past_monday)).unwrap_or(date)
        }
        Every::Month => date.with_day(1).unwrap_or(date),
    }
}

/// First day of the next one.
fn next_first_day(every: Every, first: NaiveDate) -> NaiveDate {
    match every {
        Every::Hour | Every::Day => first.checked_add_days(Days::new(1)),
        Every::Week => first.checked_add_days(Days::new(7)),
        Every::Month => first.checked_add_months(Months::new(1)),
    }
    .unwrap_or(NaiveDate::MAX)
}

fn dates(every: Every, zone: Tz, instant: DateTime<Utc>) -> Slot {
    let mut first = first_day(every, instant.with_timezone(&zone).date_naive());
    let mut next = next_first_day(every, first);
    // A clock that goes back over midnight shows yesterday's date again in a day that has begun.
    while next > first && begins(zone, next) <= instant {
        first = next;
        next = next_first_day(every, first);
    }
    let name = match every {
        Every::Hour | Every::Day => first.format("%Y-%m-%d").to_string(),
        Every::Week => first.format("%G-W%V").to_string(),
        Every::Month => first.format("%Y-%m").to_string(),
    };
    Slot { name, start: begins(zone, first), end: begins(zone, next) }
}

/// The first instant at which the zone's clock shows the date or a later one.
fn begins(zone: Tz, date: NaiveDate) -> DateTime<Utc> {
    let midnight = date.and_time(NaiveTime::MIN);
    match zone.from_local_datetime(&midnight).earliest() {
        Some(instant) => instant.with_timezone(&Utc),
        // Midnight is skipped: the date begins when the clock jumps over it.
        None => first_instant(
            midnight.and_utc() - TimeDelta::hours(26),
            midnight.and_utc() + TimeDelta::hours(26),
            |at| at.with_timezone(&zone).naive_local() >= midnight,
        ),
    }
}

fn hour(zone: Tz, instant: DateTime<Utc>) -> Slot {
    // Clocks change on whole seconds.
    let instant = instant.with_nanosecond(0).unwrap_or(instant);
    let local = instant.with_timezone(&zone);
    let offset = local.offset().fix();
    let clock = local.naive_local();
    let top = clock.date().and_time(NaiveTime::from_hms_opt(clock.hour(), 0, 0).unwrap_or_default());
    let same_offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix() == offset;

    // The hour as this offset has it, less what lies beyond a clock change.
    let full_start = utc_at(top, offset);
    let full_end = full_start + TimeDelta::hours(1);
    let start = first_instant(full_start, instant, same_offset);
    let end = first_instant(instant, full_end, |at| !same_offset(at));

    let mut name = clock.format("%Y-%m-%dT%H").to_string();
    if passages(zone, top, offset).len() > 1 {
        name.push_str(&offset.to_string());
    }
    Slot { name, start, end }
}

/// Offsets, in seconds, under which an hour of the clock passes.
fn passages(zone: Tz, top: NaiveDateTime, seen: FixedOffset) -> BTreeSet<i32> {
    let last = top + TimeDelta::seconds(3_599);
    let mut offsets = BTreeSet::from([seen.local_minus_utc()]);
    for clock in [top, last] {
        let found = zone.from_local_datetime(&clock);
        for instant in [found.earliest(), found.latest()].into_iter().flatten() {
            offsets.insert(instant.offset().fix().local_minus_utc());
        }
    }
    offsets
}

fn utc_at(clock: NaiveDateTime, offset: FixedOffset) -> DateTime<Utc> {
    clock.and_utc() - TimeDelta::seconds(i64::from(offset.local_minus_utc()))
}

/// The first second of `from..to` at which `holds` begins to hold, else `to`; it has to go on holding
/// from there.
fn first_instant(
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    holds: impl Fn(DateTime<Utc>) -> bool,
) -> DateTime<Utc> {
    if holds(from) {
        return from;
    }
    // As a rule no clock changes in between, and nothing has to be searched.
    if !holds(to - TimeDelta::seconds(1)) {
        return to;
    }
    let (mut before, mut after) = (0, (to - from).num_seconds());
    while after - before > 1 {
        let middle = before + (after - before) / 2;
        if holds(from + TimeDelta::seconds(middle)) {
            after = middle;
        } else {
            before = middle;
        }
    }
    from + TimeDelta::seconds(after)
}

#[cfg(test)]
#[path = "slot_firings_tests.rs"]
mod firings;
#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
