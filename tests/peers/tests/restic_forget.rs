//! Retention decides as `restic forget` does for the same times and options: both are asked about random
//! histories, in zones whose clocks change, around ends of months, years and ISO weeks.
//!
//! Versions before 0.16 (Debian 12 has 0.14) do not keep the oldest snapshot while a rule has room; they are
//! compared with our decision without that.
//!
//! `RESTIC` names another program than `restic`, `RESTIC_RULE_SETS` how many rule sets each zone is asked
//! about, `RESTIC_SEED` which histories.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed expectation is a failed test")]

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use fastrand::Rng;
use peers::{Decision, Restic, Version};
use std::collections::BTreeSet;
use stillframe_plan::{Keep, KeptBy, Rule, Within, retain};

/// Histories of each zone, by host.
const HOSTS: usize = 6;
/// Snapshots of each history.
const SNAPSHOTS: usize = 9;
/// Year, month, day.
type Day = (i32, u32, u32);
/// The zones, each with days on which its calendar does something.
const ZONES: [(Tz, [Day; 4]); 5] = [
    (Tz::UTC, [(2016, 2, 29), (2021, 1, 1), (2023, 1, 1), (2024, 12, 30)]),
    (Tz::Europe__Berlin, [(2024, 10, 27), (2024, 3, 31), (2021, 1, 3), (2023, 3, 26)]),
    // Changes by night to half past the hour's offset; until 2011 at one minute past midnight.
    (Tz::America__St_Johns, [(2010, 11, 7), (2010, 3, 14), (2023, 11, 5), (2024, 3, 10)]),
    (Tz::Asia__Kathmandu, [(2016, 1, 1), (2024, 2, 29), (2018, 12, 31), (2020, 12, 31)]),
    // Without 30 December 2011; summer over the new year until 2021.
    (Tz::Pacific__Apia, [(2011, 12, 30), (2012, 4, 1), (2021, 4, 4), (2016, 1, 1)]),
];
const GROUPS: [&str; 5] = ["host", "", "host", "tags", "host,tags"];

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The histories: each around one of the days, from quarters of an hour to years apart. The newest of a dense
/// one is of a time of the night at which clocks change, a day later, so that `within` reaches that change.
fn histories(zone: Tz, days: &[Day], random: &mut Rng) -> Vec<Vec<DateTime<Utc>>> {
    let mut all = BTreeSet::new();
    let mut history = |host: usize| {
        let (year, month, day) = days[random.usize(..days.len())];
        let noon = NaiveDate::from_ymd_opt(year, month, day).unwrap().and_hms_opt(12, 0, 0).unwrap();
        let offset = chrono::Offset::fix(&zone.offset_from_utc_datetime(&noon)).local_minus_utc();
        let noon = noon.and_utc() - TimeDelta::seconds(i64::from(offset));
        let mut history = Vec::new();
        while history.len() < SNAPSHOTS {
            let away = match host % HOSTS {
                0 | 1 if history.is_empty() => {
                    TimeDelta::minutes(random.choice([735, 870, 870, 870]).unwrap())
                }
                0 => TimeDelta::minutes(random.i64(-24 * 4..12 * 4) * 15),
                1 => TimeDelta::minutes(-9 * 60 + random.i64(-16..8) * 15),
                2 | 3 => TimeDelta::hours(random.i64(-24 * 8..24 * 8)),
                4 => TimeDelta::days(random.i64(-60..60)),
                _ => TimeDelta::seconds(random.i64(-86_400 * 900..86_400 * 900)),
            };
            if all.insert(noon + away) {
                history.push(noon + away);
            }
        }
        history
    };
    (0..HOSTS).map(&mut history).collect()
}

fn rules(random: &mut Rng) -> Keep {
    let mut keep = Keep::last(0);
    for count in [
        &mut keep.last,
        &mut keep.hourly,
        &mut keep.daily,
        &mut keep.weekly,
        &mut keep.monthly,
        &mut keep.yearly,
    ] {
        // Few rules at a time, so that each of them decides something; sometimes one that never fills.
        *count = match random.u8(..10) {
            0..5 => 0,
            5..7 => 100,
            _ => random.u32(1..6),
        };
    }
    let mut part = |most: u32| if random.bool() { random.u32(..=most) } else { 0 };
    let mut span = Within { years: part(3), months: part(14), days: part(40), hours: part(50) };
    if random.bool() {
        let (days, hours) = (random.choice([1, 1, 1, 2]).unwrap(), random.choice([0, 0, 0, 1, 24]).unwrap());
        span = Within { days, hours, ..Within::default() };
    }
    keep.within = (span != Within::default()).then_some(span);
    if keep == Keep::last(0) { Keep::last(1) } else { keep }
}

/// Our decision in this version's words.
fn ours(version: &Version, keep: &Keep, zone: Tz, theirs: &Decision) -> Decision {
    let newest_first: Vec<_> = theirs.keys().rev().copied().collect();
    let words = |kept: &KeptBy| {
        let within = kept.within().then(|| format!("within {}", keep.within.unwrap()));
        let counted = kept.matches().filter(|found| !found.oldest || version.keeps_oldest()).map(|found| {
            let oldest = if found.oldest && version.tells_oldest() { "oldest " } else { "" };
            format!("{oldest}{} snapshot", found.rule.as_str())
        });
        within.into_iter().chain(counted).collect()
    };
    let kept = retain(keep, zone, &newest_first);
    newest_first.into_iter().zip(kept.iter().map(words)).collect()
}

struct Compared {
    cases: usize,
    kept: usize,
    removed: usize,
}

fn compare(version: &Version, zone: Tz, days: &[Day], mut random: Rng) -> Compared {
    let restic = Restic::new(zone).unwrap();
    for (host, history) in histories(zone, days, &mut random).into_iter().enumerate() {
        for instant in history {
            restic.backup(instant, &format!("host-{host}"), &format!("tag-{}", random.u8(..3))).unwrap();
        }
    }
    let mut compared = Compared { cases: 0, kept: 0, removed: 0 };
    for set in 0..usize::try_from(setting("RESTIC_RULE_SETS", 18)).unwrap() {
        let keep = rules(&mut random);
        let groups = restic.forget(&keep, GROUPS[set % GROUPS.len()]).unwrap();
        assert_eq!(
            groups.iter().map(Decision::len).sum::<usize>(),
            HOSTS * SNAPSHOTS,
            "restic left some out"
        );
        for theirs in groups {
            assert_eq!(theirs, ours(version, &keep, zone, &theirs), "{zone}, {keep:?}");
            compared.cases += 1;
            compared.kept += theirs.values().filter(|reasons| !reasons.is_empty()).count();
            compared.removed += theirs.values().filter(|reasons| reasons.is_empty()).count();
        }
    }
    compared
}

#[test]
fn retention_decides_as_restic_does() {
    let version = match Restic::version() {
        Ok(version) => version,
        Err(error) => {
            let required = std::env::var_os("STILLFRAME_REQUIRE").is_some_and(|value| value == "1");
            assert!(!required, "cannot run, and STILLFRAME_REQUIRE=1: restic: {error}");
            eprintln!("skipped: this comparison needs the program restic: {error}");
            return;
        }
    };
    let (version, oldest) = match version.keeps_oldest() {
        true => (&version, ""),
        false => (&version, " (which does not keep the oldest: not compared)"),
    };
    let seed = setting("RESTIC_SEED", 20_261_122);
    let compared: Vec<Compared> = std::thread::scope(|scope| {
        let zones: Vec<_> = (seed..)
            .zip(ZONES)
            .map(|(seed, (zone, days))| {
                scope.spawn(move || compare(version, zone, &days, Rng::with_seed(seed)))
            })
            .collect();
        zones.into_iter().map(|zone| zone.join().unwrap()).collect()
    });
    let sum = |of: fn(&Compared) -> usize| compared.iter().map(of).sum::<usize>();
    let cases = sum(|compared| compared.cases);
    let (kept, removed) = (sum(|compared| compared.kept), sum(|compared| compared.removed));
    println!(
        "{}{oldest}, seed {seed}: {cases} histories x rule sets in {} zones, {kept} kept, {removed} removed, \
         no difference",
        version.text,
        ZONES.len()
    );
    assert!(cases >= 300 || std::env::var_os("RESTIC_RULE_SETS").is_some(), "{cases} are too few");
    assert!(kept > cases && removed > cases, "the rules decided nothing");
}

#[test]
fn every_rule_is_among_the_rule_sets() {
    let mut random = Rng::with_seed(1);
    let sets: Vec<Keep> = (0..200).map(|_| rules(&mut random)).collect();
    for rule in Rule::ALL {
        assert!(sets.iter().any(|keep| keep.count(rule) > 0 && keep.count(rule) < 100));
        assert!(sets.iter().any(|keep| keep.count(rule) == 100));
    }
    assert!(sets.iter().any(|keep| keep.within.is_some()) && sets.iter().any(|keep| keep.within.is_none()));
}
