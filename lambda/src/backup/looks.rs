//! When to look at orders that are in the air, and how: as often as few calls allow. Pure.
//!
//! A page of a listing tells of fifty orders, ended or not, from the newest back to the time that the listing
//! is asked for. So what a look costs depends on how many orders were sent since the oldest that is in the
//! air; what takes much longer than the others is cheaper asked for by itself. And a look is worth its calls
//! when at least half of what it lists is new. Whatever the calls, none comes later than [`LATEST`]: what
//! ended without proof that all is thawed is told to thaw then.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use std::time::Duration;

/// Entries of a listing's page.
pub const PAGE: usize = 50;
/// The longest time between two looks while orders are being sent.
const LATEST: Duration = Duration::from_secs(30);
/// How full the last page of a listing is to be: another policy's orders may be in it as well.
const FULL: usize = PAGE - 5;
/// Most orders that are asked for by themselves in one look.
const MOST_ALONE: usize = PAGE;

/// An order in the air.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InAir {
    /// When it was sent, by SSM's clock, or a little before.
    pub sent_at: DateTime<Utc>,
    /// Whether it can be asked for by itself.
    pub has_name: bool,
}

/// How to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// From when on orders are listed; `None` when a listing is not needed.
    pub since: Option<DateTime<Utc>>,
    /// Which of the orders in the air are asked for by themselves.
    pub alone: Vec<usize>,
}

/// Whether it is time for a look, while orders are still being sent. `new`: how many were sent since the last
/// one, which was so long ago.
#[must_use]
pub fn is_due(in_air: &[InAir], sent: &[DateTime<Utc>], new: usize, ago: Duration) -> bool {
    if ago >= LATEST {
        return true;
    }
    // Two pages at least: of one the orders that have only just been sent are too large a part.
    let listed = || reach(in_air, sent).since.map_or(0, |since| count(since, sent));
    new >= PAGE && {
        let listed = listed();
        listed > PAGE && listed % PAGE >= FULL && new * 2 >= listed
    }
}

/// The cheapest look that tells of all that are in the air. `sent`: when each order was sent, those that have
/// ended too, in order.
#[must_use]
pub fn reach(in_air: &[InAir], sent: &[DateTime<Utc>]) -> Reach {
    let mut oldest_first: Vec<(usize, &InAir)> = in_air.iter().enumerate().collect();
    oldest_first.sort_by_key(|(_, order)| order.sent_at);
    let nameless = oldest_first.iter().position(|(_, order)| !order.has_name);
    let most_alone = nameless.unwrap_or(oldest_first.len()).min(MOST_ALONE);
    let listing = |alone: usize| oldest_first.get(alone).map(|(_, order)| begin(order.sent_at));
    let calls = |alone: &usize| alone + listing(*alone).map_or(0, |since| pages(since, sent));
    let alone = (0..=most_alone).min_by_key(calls).unwrap_or(0);
    Reach { since: listing(alone), alone: oldest_first.iter().take(alone).map(|(at, _)| *at).collect() }
}

/// Listings are asked for by the second, and nobody says on which side of it they begin.
fn begin(sent_at: DateTime<Utc>) -> DateTime<Utc> {
    sent_at.trunc_subsecs(0) - TimeDelta::seconds(1)
}

fn count(since: DateTime<Utc>, sent: &[DateTime<Utc>]) -> usize {
    sent.len() - sent.partition_point(|at| *at < since)
}

fn pages(since: DateTime<Utc>, sent: &[DateTime<Utc>]) -> usize {
    count(since, sent).div_ceil(PAGE).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::milliseconds(i64::try_from(ms).unwrap())
    }

    fn named(ms: u64) -> InAir {
        InAir { sent_at: at(ms), has_name: true }
    }

    /// How many orders are sent in a test.
    const ORDERS: u64 = 1_000;

    /// Orders every 200 ms.
    fn sent(count: u64) -> Vec<DateTime<Utc>> {
        (0..count).map(|n| at(n * 200)).collect()
    }

    #[test]
    fn one_that_takes_long_is_asked_for_by_itself() {
        let sent = sent(1_000);
        let [straggler, young] = [named(2_000), named(199_000)];
        let reach = reach(&[young, straggler], &sent);
        assert_eq!(reach, Reach { since: Some(at(198_000)), alone: vec![1] });
    }

    #[test]
    fn one_without_a_name_is_listed() {
        let sent = sent(1_000);
        let nameless = InAir { has_name: false, ..named(2_500) };
        let reach = reach(&[nameless, named(1_500), named(199_000)], &sent);
        // To ask for the one before it costs a call, and saves none.
        assert_eq!(reach, Reach { since: Some(at(0)), alone: vec![] });
    }

    #[test]
    fn nothing_in_the_air_is_not_looked_for() {
        assert_eq!(reach(&[], &sent(10)), Reach { since: None, alone: vec![] });
    }

    proptest! {
        /// Every order in the air is listed or asked for, and it costs no more than to list all, or to ask
        /// for each.
        #[test]
        fn a_look_tells_of_all_and_costs_least(
            orders in proptest::collection::vec((0_u64..300_000, any::<bool>(), 0_u8..10), 0..300),
        ) {
            let mut sent: Vec<_> = orders.iter().map(|(ms, ..)| at(*ms)).collect();
            sent.sort();
            let still = orders.iter().filter(|(.., luck)| *luck == 0);
            let in_air: Vec<_> =
                still.map(|(ms, has_name, _)| InAir { sent_at: at(*ms), has_name: *has_name }).collect();
            let reach = reach(&in_air, &sent);
            for (number, order) in in_air.iter().enumerate() {
                let alone = reach.alone.contains(&number);
                prop_assert!(order.has_name || !alone);
                prop_assert!(alone || reach.since.is_some_and(|since| since < order.sent_at));
            }
            let calls = reach.alone.len() + reach.since.map_or(0, |since| pages(since, &sent));
            let oldest = in_air.iter().map(|order| order.sent_at).min();
            prop_assert!(calls <= oldest.map_or(0, |oldest| pages(begin(oldest), &sent)));
            if in_air.iter().all(|order| order.has_name) && in_air.len() <= MOST_ALONE {
                prop_assert!(calls <= in_air.len());
            }
        }

        /// However long orders take, their end is seen within [`LATEST`]; and where none takes as long as that,
        /// at least half of what is listed is new, and more where they are quick.
        #[test]
        fn an_end_is_seen_in_time_and_for_few_calls((longest, seed) in (1_u64..60_000, any::<u64>())) {
            let mut random = seed;
            let mut takes = || {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (random >> 33) % longest
            };
            let (mut flights, mut sent) = (Vec::<(u64, u64)>::new(), Vec::new());
            let (mut looked_at, mut new, mut calls) = (0, 0, 0);
            for n in 0..ORDERS {
                let now = n * 200;
                flights.push((now, now + takes()));
                sent.push(at(now));
                new += 1;
                let in_air: Vec<_> = flights.iter().map(|(sent, _)| named(*sent)).collect();
                if !is_due(&in_air, &sent, new, Duration::from_millis(now - looked_at)) {
                    continue;
                }
                for (_, ended) in flights.iter().filter(|(_, ended)| *ended <= now) {
                    prop_assert!(now - ended <= 30_200, "seen {} ms after its end", now - ended);
                }
                let reach = reach(&in_air, &sent);
                calls += reach.alone.len() + reach.since.map_or(0, |since| pages(since, &sent));
                flights.retain(|(_, ended)| *ended > now);
                (looked_at, new) = (now, 0);
            }
            let least = usize::try_from(ORDERS).unwrap() / PAGE;
            prop_assert!(longest > 3_000 || calls * 10 <= least * 14, "{calls} calls, {least} at least");
            prop_assert!(longest > 25_000 || calls <= least * 2 + 4, "{calls} calls, {least} at least");
        }
    }
}
