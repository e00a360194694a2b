use super::*;
use insta::assert_snapshot;
use serde_json::{Value, json};

fn keep(rules: Value) -> Keep {
    serde_json::from_value(rules).unwrap()
}

fn at(text: &str, zone: Tz) -> DateTime<Utc> {
    let clock = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap();
    zone.from_local_datetime(&clock).earliest().unwrap().with_timezone(&Utc)
}

/// The decisions as a calendar: one line for each instant, newest first, on the zone's clock.
fn calendar(rules: Value, zone: Tz, instants: &[DateTime<Utc>]) -> String {
    let mut newest_first = instants.to_vec();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    let kept = retain(&keep(rules), zone, &newest_first);
    let line = |(instant, kept): (&DateTime<Utc>, &KeptBy)| {
        let clock = instant.with_timezone(&zone).format("%a %G-W%V  %Y-%m-%d %H:%M %z");
        format!("{clock}  {}", if kept.any() { kept.to_string() } else { "-".to_owned() })
    };
    newest_first.iter().zip(&kept).map(line).collect::<Vec<_>>().join("\n")
}

/// One instant a day, `days` of them back from the given one.
fn daily(newest: &str, zone: Tz, days: i64) -> Vec<DateTime<Utc>> {
    let newest = at(newest, zone);
    (0..days).map(|day| newest - TimeDelta::days(day)).collect()
}

#[test]
fn three_weeks_over_a_new_year_with_a_week_53() {
    let instants = daily("2027-01-10 01:00", Tz::UTC, 21);
    let rules = json!({"last": 2, "daily": 4, "weekly": 3, "monthly": 12, "yearly": 1});
    assert_snapshot!(calendar(rules, Tz::UTC, &instants), @r"
    Sun 2027-W01  2027-01-10 01:00 +0000  last 1, daily 1, weekly 1, monthly 1, yearly 1
    Sat 2027-W01  2027-01-09 01:00 +0000  last 2, daily 2
    Fri 2027-W01  2027-01-08 01:00 +0000  daily 3
    Thu 2027-W01  2027-01-07 01:00 +0000  daily 4
    Wed 2027-W01  2027-01-06 01:00 +0000  -
    Tue 2027-W01  2027-01-05 01:00 +0000  -
    Mon 2027-W01  2027-01-04 01:00 +0000  -
    Sun 2026-W53  2027-01-03 01:00 +0000  weekly 2
    Sat 2026-W53  2027-01-02 01:00 +0000  -
    Fri 2026-W53  2027-01-01 01:00 +0000  -
    Thu 2026-W53  2026-12-31 01:00 +0000  monthly 2
    Wed 2026-W53  2026-12-30 01:00 +0000  -
    Tue 2026-W53  2026-12-29 01:00 +0000  -
    Mon 2026-W53  2026-12-28 01:00 +0000  -
    Sun 2026-W52  2026-12-27 01:00 +0000  weekly 3
    Sat 2026-W52  2026-12-26 01:00 +0000  -
    Fri 2026-W52  2026-12-25 01:00 +0000  -
    Thu 2026-W52  2026-12-24 01:00 +0000  -
    Wed 2026-W52  2026-12-23 01:00 +0000  -
    Tue 2026-W52  2026-12-22 01:00 +0000  -
    Mon 2026-W52  2026-12-21 01:00 +0000  monthly 3 (oldest)
    ");
}

#[test]
fn hours_around_a_clock_that_goes_back() {
    let first = "2026-10-25T03:30:00Z".parse::<DateTime<Utc>>().unwrap();
    let instants: Vec<_> = (0..12).map(|half| first - TimeDelta::minutes(30 * half)).collect();
    assert_snapshot!(calendar(json!({"hourly": 4, "daily": 2}), Tz::Europe__Berlin, &instants), @r"
    Sun 2026-W43  2026-10-25 04:30 +0100  hourly 1, daily 1
    Sun 2026-W43  2026-10-25 04:00 +0100  -
    Sun 2026-W43  2026-10-25 03:30 +0100  hourly 2
    Sun 2026-W43  2026-10-25 03:00 +0100  -
    Sun 2026-W43  2026-10-25 02:30 +0100  hourly 3
    Sun 2026-W43  2026-10-25 02:00 +0100  -
    Sun 2026-W43  2026-10-25 02:30 +0200  -
    Sun 2026-W43  2026-10-25 02:00 +0200  -
    Sun 2026-W43  2026-10-25 01:30 +0200  hourly 4
    Sun 2026-W43  2026-10-25 01:00 +0200  -
    Sun 2026-W43  2026-10-25 00:30 +0200  -
    Sun 2026-W43  2026-10-25 00:00 +0200  daily 2 (oldest)
    ");
}

#[test]
fn the_oldest_is_kept_while_a_rule_has_room() {
    let instants = ["2026-11-22 10:00", "2026-11-22 09:00", "2026-11-22 08:00", "2026-11-22 07:00"]
        .map(|t| at(t, Tz::UTC));
    assert_snapshot!(calendar(json!({"daily": 1}), Tz::UTC, &instants), @r"
    Sun 2026-W47  2026-11-22 10:00 +0000  daily 1
    Sun 2026-W47  2026-11-22 09:00 +0000  -
    Sun 2026-W47  2026-11-22 08:00 +0000  -
    Sun 2026-W47  2026-11-22 07:00 +0000  -
    ");
    assert_snapshot!(calendar(json!({"daily": 2, "monthly": 3}), Tz::UTC, &instants), @r"
    Sun 2026-W47  2026-11-22 10:00 +0000  daily 1, monthly 1
    Sun 2026-W47  2026-11-22 09:00 +0000  -
    Sun 2026-W47  2026-11-22 08:00 +0000  -
    Sun 2026-W47  2026-11-22 07:00 +0000  daily 2 (oldest), monthly 2 (oldest)
    ");
}

#[test]
fn within_counts_from_the_newest_and_leaves_out_its_own_edge() {
    let instants = daily("2026-03-31 12:00", Tz::UTC, 32);
    let kept = retain(&keep(json!({"within": "1m"})), Tz::UTC, &instants);
    // A month before 31 March is "31 February", which is 3 March: kept from the 4th on.
    assert_eq!(kept.iter().filter(|kept| kept.within()).count(), 28);
    let kept = retain(&keep(json!({"within": "2d", "last": 1})), Tz::UTC, &instants);
    assert_eq!(kept.iter().filter(|kept| kept.any()).count(), 2);
}

#[test]
fn a_span_goes_back_on_the_calendar_of_the_zone() {
    let berlin = Tz::Europe__Berlin;
    for (zone, from, span, expected) in [
        (Tz::UTC, "2024-03-31 12:00", "1m", "2024-03-02 12:00"),
        (Tz::UTC, "2023-03-31 12:00", "1m", "2023-03-03 12:00"),
        (Tz::UTC, "2024-02-29 12:00", "1y", "2023-03-01 12:00"),
        (Tz::UTC, "2026-01-15 00:00", "1m", "2025-12-15 00:00"),
        (Tz::UTC, "2026-03-01 00:00", "1d", "2026-02-28 00:00"),
        (Tz::UTC, "2026-11-22 01:00", "2y5m7d3h", "2024-06-14 22:00"),
        (Tz::UTC, "2026-11-22 01:00", "13m", "2025-10-22 01:00"),
        // Days keep the clock, hours do not.
        (berlin, "2026-10-26 01:00", "1d", "2026-10-25 01:00"),
        (berlin, "2026-10-26 01:00", "24h", "2026-10-25 02:00"),
        (berlin, "2026-10-26 12:00", "24h", "2026-10-25 12:00"),
        (berlin, "2026-10-25 12:00", "24h", "2026-10-24 13:00"),
        (berlin, "2026-10-25 12:00", "1d", "2026-10-24 12:00"),
        // 02:30 does not exist on the day that the clock jumps over it: an hour on.
        (berlin, "2026-03-30 02:30", "1d", "2026-03-29 03:30"),
        // 02:30 comes twice on the day that the clock goes back.
        (berlin, "2026-10-26 02:30", "1d", "2026-10-25 02:30"),
        (Tz::Asia__Kathmandu, "2026-11-22 00:10", "1d1h", "2026-11-20 23:10"),
    ] {
        let within: Within = serde_json::from_value(json!(span)).unwrap();
        let found = back(at(from, zone), within, zone).unwrap().with_timezone(&zone);
        assert_eq!(found.format("%Y-%m-%d %H:%M").to_string(), expected, "{span} before {from} {zone}");
    }
}

#[test]
fn a_span_longer_than_any_calendar_keeps_everything() {
    let instants = daily("2026-11-22 01:00", Tz::UTC, 3);
    for span in ["4000000000y", "4000000000m", "4000000000d", "4294967295h", "300000y"] {
        let kept = retain(&keep(json!({"within": span})), Tz::UTC, &instants);
        assert!(kept.iter().all(KeptBy::within), "{span}");
    }
}

#[test]
fn a_zone_without_a_day_and_one_that_leads_the_calendar() {
    // Apia skipped 30 December 2011.
    let apia = Tz::Pacific__Apia;
    let newest = at("2012-01-01 12:00", apia);
    let instants: Vec<_> = (0..5).map(|day| newest - TimeDelta::days(day)).collect();
    assert_snapshot!(calendar(json!({"daily": 4, "yearly": 2}), apia, &instants), @r"
    Sun 2011-W52  2012-01-01 12:00 +1400  daily 1, yearly 1
    Sat 2011-W52  2011-12-31 12:00 +1400  daily 2, yearly 2
    Thu 2011-W52  2011-12-29 12:00 -1000  daily 3
    Wed 2011-W52  2011-12-28 12:00 -1000  daily 4
    Tue 2011-W52  2011-12-27 12:00 -1000  -
    ");
}

#[test]
fn nothing_comes_of_nothing() {
    assert_eq!(retain(&Keep::last(3), Tz::UTC, &[]), []);
}
