//! Schedules fire every hour whatever the slot; what comes of it over clock changes: no day and no hour is
//! left out, none is backed up twice.

use super::*;
use crate::world::time;
use chrono_tz::Tz;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What a schedule makes that fires each hour: the restore points by slot, and when each was made.
fn fired(
    every: Every,
    zone: Tz,
    first: DateTime<Utc>,
    firings: usize,
    fails: impl Fn(usize) -> bool,
) -> Vec<(String, DateTime<Utc>)> {
    let mut made: Vec<(String, DateTime<Utc>)> = Vec::new();
    for number in 0..firings {
        let at = first + TimeDelta::hours(i64::try_from(number).unwrap());
        let slot = Slot::of(every, zone, at).name;
        if !fails(number) && !made.iter().any(|(done, _)| *done == slot) {
            made.push((slot, at));
        }
    }
    made
}

/// The dates that a zone's clock shows from one instant to another, found by watching it. A clock that goes
/// back over midnight does not end the day that it has begun.
fn dates_shown(zone: Tz, from: DateTime<Utc>, to: DateTime<Utc>) -> Vec<String> {
    let mut dates: Vec<NaiveDate> = Vec::new();
    let mut at = from;
    while at <= to {
        let date = at.with_timezone(&zone).date_naive();
        if dates.last().is_none_or(|last| date > *last) {
            dates.push(date);
        }
        at += TimeDelta::minutes(1);
    }
    dates.iter().map(ToString::to_string).collect()
}

/// Zones and the day on which the clock changes: by an hour, by half of one, by two; at midnight, a minute
/// past it, and over it; and the days that Samoa and Kwajalein left out.
const CHANGES: [(&str, &str); 23] = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Asia/Kolkata", "2026-03-29"),
    ("Asia/Kathmandu", "2026-10-25"),
    ("America/St_Johns", "2010-03-14"),
    ("America/St_Johns", "2010-11-07"),
    ("Australia/Adelaide", "2026-04-05"),
    ("Australia/Adelaide", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Pacific/Chatham", "2026-04-05"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("America/Sao_Paulo", "2018-11-04"),
    ("America/Sao_Paulo", "2019-02-17"),
    ("Asia/Beirut", "2026-03-29"),
    ("Asia/Beirut", "2026-10-25"),
    ("Africa/Cairo", "2026-04-24"),
    ("Africa/Cairo", "2026-10-30"),
    ("Pacific/Apia", "2011-12-30"),
    ("Pacific/Kwajalein", "1993-08-21"),
];

#[test]
fn every_day_gets_exactly_one_restore_point_whatever_the_clock_does() {
    for (zone, day) in CHANGES {
        let zone: Tz = zone.parse().unwrap();
        for minute in [0, 1, 29, 30, 59] {
            let first = time(day) - TimeDelta::days(3) + TimeDelta::minutes(minute);
            let made = fired(Every::Day, zone, first, 24 * 7, |_| false);
            let days: Vec<String> = made.iter().map(|(slot, _)| slot.clone()).collect();
            let last = first + TimeDelta::hours(24 * 7 - 1);
            assert_eq!(
                days,
                dates_shown(zone, first, last),
                "{zone} around {day}, firing at minute {minute}"
            );
            for pair in made.windows(2) {
                let apart = (pair[1].1 - pair[0].1).num_hours();
                assert!(apart <= 26, "{zone}: {apart} hours between {:?} and {:?}", pair[0], pair[1]);
            }
        }
    }
}

#[test]
fn every_hour_gets_exactly_one_restore_point_whatever_the_clock_does() {
    for (zone, day) in CHANGES {
        let zone: Tz = zone.parse().unwrap();
        for minute in [0, 1, 29, 30, 59] {
            let first = time(day) - TimeDelta::days(2) + TimeDelta::minutes(minute);
            let made = fired(Every::Hour, zone, first, 24 * 4, |_| false);
            assert_eq!(made.len(), 24 * 4, "{zone} around {day}, firing at minute {minute}: {made:?}");
        }
    }
}

/// Apia went from Thursday to Saturday.
#[test]
fn the_day_that_samoa_left_out_is_not_made_up_for() {
    let zone = "Pacific/Apia".parse().unwrap();
    let made = fired(Every::Day, zone, time("2011-12-28T10:05:00Z"), 24 * 4, |_| false);
    let days: Vec<&str> = made.iter().map(|(slot, _)| slot.as_str()).collect();
    assert_eq!(days, ["2011-12-28", "2011-12-29", "2011-12-31", "2012-01-01"]);
}

#[test]
fn a_day_whose_first_firings_are_missed_is_caught_up_once() {
    let zone: Tz = "Europe/Berlin".parse().unwrap();
    // From the beginning of 25 October, a day of 25 hours; the first five firings do not come.
    let first = time("2026-10-24T22:05:00Z");
    let made = fired(Every::Day, zone, first, 26, |number| number < 5);
    assert_eq!(
        made,
        [
            ("2026-10-25".to_owned(), time("2026-10-25T03:05:00Z")),
            ("2026-10-26".to_owned(), time("2026-10-25T23:05:00Z")),
        ]
    );
    // Of hours that are missed nothing can be caught up: they are over.
    let made = fired(Every::Hour, zone, first, 8, |number| (1..6).contains(&number));
    assert_eq!(made.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// In any zone and any year, around a change or anywhere, with firings that fail now and then: every
    /// slot in which one does not fail gets one, and no slot two.
    #[test]
    fn a_slot_in_which_a_firing_works_has_exactly_one(
        every in proptest::sample::select(vec![Every::Hour, Every::Day, Every::Week]),
        zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.as_slice()),
        start in 63_072_000_i64..2_500_000_000,
        minute in 0_i64..60,
        failing in proptest::collection::vec(any::<bool>(), 24 * 4),
    ) {
        let first = DateTime::from_timestamp(start - start % 3_600 + minute * 60, 0).unwrap();
        let made = fired(every, zone, first, failing.len(), |number| failing[number]);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (slot, _) in &made {
            *counts.entry(slot).or_default() += 1;
        }
        prop_assert!(counts.values().all(|count| *count == 1));
        for (number, failed) in failing.iter().enumerate() {
            let at = first + TimeDelta::hours(i64::try_from(number).unwrap());
            let slot = Slot::of(every, zone, at);
            let works = |at: DateTime<Utc>| made.iter().any(|(name, made_at)| *name == slot.name && *made_at <= at);
            prop_assert!(*failed || works(at), "{} has none by {}", slot.name, at);
        }
    }

    /// Two firings an hour apart never lie in one hour of the clock: none is taken for a repetition.
    #[test]
    fn firings_an_hour_apart_are_of_different_hours(
        zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.as_slice()),
        seconds in 63_072_000_i64..2_500_000_000,
    ) {
        let at = DateTime::from_timestamp(seconds, 0).unwrap();
        let next = Slot::of(Every::Hour, zone, at + TimeDelta::hours(1));
        prop_assert_ne!(Slot::of(Every::Hour, zone, at).name, next.name);
    }
}
