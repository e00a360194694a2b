use super::*;
use crate::world::time;
use proptest::prelude::*;

fn name(every: Every, zone: &str, at: &str) -> String {
    Slot::of(every, zone.parse().unwrap(), time(at)).name
}

#[test]
fn names_follow_the_calendar_of_the_zone() {
    use Every::{Day, Hour, Month, Week};
    for (every, zone, at, expected) in [
        (Hour, "UTC", "2026-11-22T14:59:59Z", "2026-11-22T14"),
        (Hour, "Asia/Kolkata", "2026-11-22T14:29:59Z", "2026-11-22T19"),
        (Hour, "Asia/Kolkata", "2026-11-22T14:30:00Z", "2026-11-22T20"),
        (Day, "UTC", "2026-11-22T23:59:59Z", "2026-11-22"),
        (Day, "Pacific/Auckland", "2026-11-22T11:00:00Z", "2026-11-23"),
        (Day, "America/New_York", "2026-11-22T04:59:59Z", "2026-11-21"),
        // ISO weeks: the year is that of the week's Thursday.
        (Week, "UTC", "2026-11-22T12:00:00Z", "2026-W47"),
        (Week, "UTC", "2026-11-23T00:00:00Z", "2026-W48"),
        (Week, "UTC", "2026-12-31T12:00:00Z", "2026-W53"),
        (Week, "UTC", "2027-01-03T12:00:00Z", "2026-W53"),
        (Week, "UTC", "2027-01-04T00:00:00Z", "2027-W01"),
        (Week, "UTC", "2024-12-30T00:00:00Z", "2025-W01"),
        (Month, "UTC", "2026-11-30T23:59:59Z", "2026-11"),
        (Month, "Asia/Tokyo", "2026-11-30T15:00:00Z", "2026-12"),
    ] {
        assert_eq!(name(every, zone, at), expected, "{every:?} in {zone} at {at}");
    }
}

/// Slots around a clock change: each from its first instant, and its length in minutes.
fn slots(every: Every, zone: &str, from: &str, to: &str) -> Vec<(String, i64)> {
    let zone = zone.parse().unwrap();
    let mut slots = Vec::new();
    let mut at = time(from);
    while at < time(to) {
        let slot = Slot::of(every, zone, at);
        assert!(slot.start <= at && at < slot.end, "{slot:?} does not hold {at}");
        slots.push((slot.name, (slot.end - slot.start).num_minutes()));
        at = slot.end;
    }
    slots
}

fn table(rows: &[(&str, i64)]) -> Vec<(String, i64)> {
    rows.iter().map(|(name, minutes)| ((*name).to_owned(), *minutes)).collect()
}

#[test]
fn hours_on_the_days_that_the_clock_changes() {
    // Back by an hour: each passage of the repeated hour is a slot of its own.
    assert_eq!(
        slots(Every::Hour, "Europe/Berlin", "2026-10-24T23:00:00Z", "2026-10-25T03:00:00Z"),
        table(&[
            ("2026-10-25T01", 60),
            ("2026-10-25T02+02:00", 60),
            ("2026-10-25T02+01:00", 60),
            ("2026-10-25T03", 60),
        ])
    );
    // Forward by an hour: 02 does not exist.
    assert_eq!(
        slots(Every::Hour, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"),
        table(&[("2026-03-29T01", 60), ("2026-03-29T03", 60), ("2026-03-29T04", 60)])
    );
    assert_eq!(
        slots(Every::Hour, "America/New_York", "2026-11-01T04:00:00Z", "2026-11-01T08:00:00Z"),
        table(&[
            ("2026-11-01T00", 60),
            ("2026-11-01T01-04:00", 60),
            ("2026-11-01T01-05:00", 60),
            ("2026-11-01T02", 60),
        ])
    );
    // Lord Howe Island changes by half an hour: back from 02:00 to 01:30 ...
    assert_eq!(
        slots(Every::Hour, "Australia/Lord_Howe", "2026-04-04T13:00:00Z", "2026-04-04T16:30:00Z"),
        table(&[
            ("2026-04-05T00", 60),
            ("2026-04-05T01+11:00", 60),
            ("2026-04-05T01+10:30", 30),
            ("2026-04-05T02", 60),
        ])
    );
    // ... and forward from 02:00 to 02:30.
    assert_eq!(
        slots(Every::Hour, "Australia/Lord_Howe", "2026-10-03T14:30:00Z", "2026-10-03T17:00:00Z"),
        table(&[("2026-10-04T01", 60), ("2026-10-04T02", 30), ("2026-10-04T03", 60)])
    );
}

#[test]
fn days_on_which_the_clock_changes_are_longer_or_shorter() {
    assert_eq!(
        slots(Every::Day, "Europe/Berlin", "2026-10-23T22:00:00Z", "2026-10-26T23:00:00Z"),
        table(&[("2026-10-24", 1_440), ("2026-10-25", 1_500), ("2026-10-26", 1_440)])
    );
    assert_eq!(
        slots(Every::Day, "Europe/Berlin", "2026-03-27T23:00:00Z", "2026-03-30T22:00:00Z"),
        table(&[("2026-03-28", 1_440), ("2026-03-29", 1_380), ("2026-03-30", 1_440)])
    );
    assert_eq!(
        slots(Every::Day, "Australia/Lord_Howe", "2026-04-03T13:00:00Z", "2026-04-05T13:30:00Z"),
        table(&[("2026-04-04", 1_440), ("2026-04-05", 1_470)])
    );
}

#[test]
fn a_day_that_the_zone_skips_has_no_slot() {
    assert_eq!(
        slots(Every::Day, "Pacific/Apia", "2011-12-28T10:00:00Z", "2012-01-01T10:00:00Z"),
        table(&[("2011-12-28", 1_440), ("2011-12-29", 1_440), ("2011-12-31", 1_440), ("2012-01-01", 1_440)])
    );
    assert_eq!(
        slots(Every::Hour, "Pacific/Apia", "2011-12-30T08:00:00Z", "2011-12-30T12:00:00Z"),
        table(&[("2011-12-29T22", 60), ("2011-12-29T23", 60), ("2011-12-31T00", 60), ("2011-12-31T01", 60),])
    );
}

#[test]
fn midnight_itself_may_be_skipped_or_repeated() {
    // Forward at midnight: the day begins at 01:00.
    assert_eq!(
        slots(Every::Day, "America/Sao_Paulo", "2018-11-03T03:00:00Z", "2018-11-05T02:00:00Z"),
        table(&[("2018-11-03", 1_440), ("2018-11-04", 1_380)])
    );
    // Back at midnight: the day before lasts an hour longer.
    assert_eq!(
        slots(Every::Day, "America/Sao_Paulo", "2019-02-16T02:00:00Z", "2019-02-18T03:00:00Z"),
        table(&[("2019-02-16", 1_500), ("2019-02-17", 1_440)])
    );
    // Back over midnight, from 00:01: the new day has begun and goes on.
    assert_eq!(
        slots(Every::Day, "America/St_Johns", "2010-11-06T02:30:00Z", "2010-11-08T03:30:00Z"),
        table(&[("2010-11-06", 1_440), ("2010-11-07", 1_500)])
    );
    // 23:30 on the sixth for the second time: the seventh has begun.
    for (every, expected) in
        [(Every::Day, "2010-11-07"), (Every::Hour, "2010-11-06T23-03:30"), (Every::Month, "2010-11")]
    {
        assert_eq!(name(every, "America/St_Johns", "2010-11-07T03:00:00Z"), expected);
    }
    assert_eq!(
        slots(Every::Hour, "America/St_Johns", "2010-11-07T01:30:00Z", "2010-11-07T04:30:00Z"),
        table(&[
            ("2010-11-06T23-02:30", 60),
            ("2010-11-07T00-02:30", 1),
            ("2010-11-06T23-03:30", 59),
            ("2010-11-07T00-03:30", 60),
        ])
    );
}

fn any_zone() -> impl Strategy<Value = Tz> {
    proptest::sample::select(chrono_tz::TZ_VARIANTS.as_slice())
}

fn any_every() -> impl Strategy<Value = Every> {
    proptest::sample::select(vec![Every::Hour, Every::Day, Every::Week, Every::Month])
}

/// 1972 to 2049: before, offsets had odd seconds.
fn any_instant() -> impl Strategy<Value = DateTime<Utc>> {
    (63_072_000_i64..2_500_000_000, 0_u32..1_000_000_000)
        .prop_map(|(seconds, nanos)| DateTime::from_timestamp(seconds, nanos).unwrap())
}

/// Instants in the neighbourhood of the zone's clock changes, where the trouble is.
fn near_a_change(zone: Tz, year: i32, wanted: usize) -> Option<DateTime<Utc>> {
    let mut at = Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single()?;
    let end = at + TimeDelta::days(366);
    let offset = |at: DateTime<Utc>| at.with_timezone(&zone).offset().fix();
    let mut changes = Vec::new();
    while at < end {
        let next = at + TimeDelta::hours(12);
        if offset(at) != offset(next) {
            changes.push(first_instant(at, next, |moment| offset(moment) != offset(at)));
        }
        at = next;
    }
    changes.get(wanted % changes.len().max(1)).copied()
}

fn check_slots(every: Every, zone: Tz, a: DateTime<Utc>, b: DateTime<Utc>) -> Result<(), TestCaseError> {
    let (a, b) = if a <= b { (a, b) } else { (b, a) };
    let (first, second) = (Slot::of(every, zone, a), Slot::of(every, zone, b));
    for (slot, at) in [(&first, a), (&second, b)] {
        prop_assert!(slot.start <= at && at < slot.end, "{:?} does not hold {}", slot, at);
        // Both ends belong where they are said to.
        prop_assert_eq!(&Slot::of(every, zone, slot.start), slot);
        prop_assert_eq!(&Slot::of(every, zone, slot.end - TimeDelta::nanoseconds(1)), slot);
        let next = Slot::of(every, zone, slot.end);
        prop_assert_eq!(next.start, slot.end);
        prop_assert_ne!(&next.name, &slot.name);
    }
    prop_assert!(first.start <= second.start);
    prop_assert_eq!(first.name == second.name, first == second);
    prop_assert_eq!(first == second, b < first.end);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn every_instant_lies_in_exactly_one_slot(
        every in any_every(), zone in any_zone(), a in any_instant(), b in any_instant(),
    ) {
        check_slots(every, zone, a, b)?;
    }

    #[test]
    fn also_around_clock_changes(
        every in any_every(), zone in any_zone(), year in 1972_i32..2045, which in 0_usize..4,
        a in -10_800_i64..10_800, b in -10_800_i64..10_800,
    ) {
        if let Some(change) = near_a_change(zone, year, which) {
            check_slots(every, zone, change + TimeDelta::seconds(a), change + TimeDelta::seconds(b))?;
        }
    }
}
