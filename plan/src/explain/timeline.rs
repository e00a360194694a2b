//! Until when a restore point is kept, as far as that can be told.
//!
//! The assumption: from now on the policy makes one good restore point in each slot, as long after the
//! slot's beginning as it is now; first in the slot of now for a lineage that has none there. Since the rules
//! count instants of the calendar, these instants decide which of the present ones are given up, and when. Of
//! the rules' counts only those grow that have room; so a point that no rule keeps is never kept again, and
//! for each rule one number says when it lets go: how many further buckets must begin.
//!
//! Not foreseen are changes by somebody (a lock, an image, another `keep`), the brake, and a slot that goes
//! wrong: every point is kept the longer for each of them.

use crate::observed::Observed;
use crate::policy::{Policy, Slot};
use crate::retention::{Bucket, Keep, KeptBy, Match, Rule, Within, back, bucket};
use chrono::{DateTime, Months, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

/// How far ahead is looked, years.
pub const FORESIGHT_YEARS: u32 = 10;

/// How long a restore point is kept. The order is that of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Until the run of about this instant.
    At(DateTime<Utc>),
    /// For longer than is looked ahead.
    Beyond {
        /// So many years.
        years: u32,
    },
    /// That cannot be told.
    Unforeseen(Unforeseen),
}

/// Why it cannot be told how long a restore point is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unforeseen {
    /// It hangs on a guard that somebody or EC2 has to lift.
    Guarded,
    /// The policy makes no further restore points of its lineage: what the rules keep now they keep.
    NothingFollows,
}

/// The instants at which further restore points are made, by assumption.
pub(super) struct Timeline {
    zone: Tz,
    slot_start: DateTime<Utc>,
    /// The first one is now, the second in the slot after that of now.
    instants: Vec<DateTime<Utc>>,
    /// For each rule how many buckets have begun since the first instant.
    begun: [Vec<u32>; Rule::ALL.len()],
}

/// How far must be looked ahead.
struct Need {
    /// Never further than this.
    horizon: DateTime<Utc>,
    /// For each rule how many buckets have to begin.
    buckets: [u32; Rule::ALL.len()],
    /// How far the longest `within` looks back.
    within: DateTime<Utc>,
}

impl Need {
    fn of<'a>(policy: &Policy, now: DateTime<Utc>, rules: impl Iterator<Item = &'a Keep>) -> Self {
        let mut need = Self {
            horizon: now.checked_add_months(Months::new(FORESIGHT_YEARS * 12)).unwrap_or(now),
            buckets: [0; Rule::ALL.len()],
            within: now,
        };
        for keep in rules {
            for (most, rule) in need.buckets.iter_mut().zip(Rule::ALL) {
                *most = (*most).max(keep.count(rule));
            }
            if let Some(span) = keep.within {
                // Rather too far than not far enough: as long as months get.
                let days = |count: u32, length: i64| i64::from(count) * length;
                let days = days(span.years, 366) + days(span.months, 31) + days(span.days, 1) + 40;
                let ahead = TimeDelta::try_days(days).zip(TimeDelta::try_hours(i64::from(span.hours)));
                let end =
                    ahead.and_then(|(days, hours)| now.checked_add_signed(days)?.checked_add_signed(hours));
                need.within = need.within.max(end.unwrap_or(need.horizon));
            }
        }
        if let Some(last) = need.buckets.first_mut() {
            *last = (*last).max(policy.min);
        }
        need
    }

    fn is_met(&self, timeline: &Timeline) -> bool {
        let begun = timeline.begun.iter().map(|begun| begun.last().copied().unwrap_or(0));
        self.buckets.iter().zip(begun).all(|(needed, begun)| *needed == 0 || begun > *needed)
            && timeline.instants.last().is_some_and(|last| *last >= self.within)
            && timeline.instants.len() > 2
    }
}

/// What is to come for one lineage.
#[derive(Clone, Copy)]
pub(super) struct Future {
    /// The place of its next restore point among the instants.
    first: usize,
    newest_good: DateTime<Utc>,
}

impl Timeline {
    /// As far as these rules look ahead.
    pub(super) fn of<'a>(
        policy: &Policy,
        observed: &Observed,
        rules: impl Iterator<Item = &'a Keep>,
    ) -> Self {
        let (zone, now) = (policy.timezone, observed.now);
        let slot = Slot::of(policy.every, zone, now);
        let into = now - slot.start;
        let need = Need::of(policy, now, rules);
        let mut timeline =
            Self { zone, slot_start: slot.start, instants: Vec::new(), begun: Default::default() };
        let mut buckets = timeline.buckets(now);
        timeline.add(now, &mut buckets);
        let mut next = slot.end;
        while next < need.horizon && !need.is_met(&timeline) {
            let following = Slot::of(policy.every, zone, next);
            // On the day of a clock change a slot may be shorter than the way into it.
            let instant = (following.start + into).min(following.end - TimeDelta::seconds(1));
            timeline.add(instant, &mut buckets);
            next = following.end;
        }
        timeline
    }

    fn buckets(&self, instant: DateTime<Utc>) -> [Option<Bucket>; Rule::ALL.len()] {
        let clock = instant.with_timezone(&self.zone).naive_local();
        Rule::ALL.map(|rule| bucket(rule, clock))
    }

    /// `before`: the buckets of the instant before, of the first one its own.
    fn add(&mut self, instant: DateTime<Utc>, before: &mut [Option<Bucket>; Rule::ALL.len()]) {
        let is_first = self.instants.is_empty();
        let buckets = self.buckets(instant);
        for ((begun, bucket), before) in self.begun.iter_mut().zip(&buckets).zip(&*before) {
            let begins = !is_first && (bucket.is_none() || bucket != before);
            begun.push(begun.last().copied().unwrap_or(0) + u32::from(begins));
        }
        self.instants.push(instant);
        *before = buckets;
    }

    /// The future of a lineage whose newest good restore point is of this instant.
    pub(super) fn after(&self, newest_good: DateTime<Utc>) -> Future {
        Future { first: usize::from(newest_good >= self.slot_start), newest_good }
    }

    /// The instant of the `number`th further restore point, from 1.
    pub(super) fn further(&self, future: Future, number: u32) -> Until {
        self.at(future.first + (number as usize).saturating_sub(1))
    }

    /// When the rules let go of a good restore point that they keep. `is_oldest`: it is the oldest good one
    /// of its lineage.
    pub(super) fn of_rules(
        &self,
        keep: &Keep,
        kept_by: KeptBy,
        future: Future,
        (instant, is_oldest): (DateTime<Utc>, bool),
    ) -> Until {
        let counted = kept_by.matches().map(|found| self.of_rule(keep, found, future, is_oldest));
        let within = keep.within.filter(|_| kept_by.within());
        counted.chain(within.map(|span| self.of_within(span, future, instant))).max().unwrap_or(self.at(0))
    }

    fn of_rule(&self, keep: &Keep, found: Match, future: Future, is_oldest: bool) -> Until {
        let count = keep.count(found.rule);
        let continues = !self.next_begins_bucket(found.rule, future);
        if found.number == 1 && continues {
            // The next one takes its place as the newest of their bucket. The oldest of all stays while
            // the rule has room.
            let room = if is_oldest { count.saturating_sub(1) } else { 0 };
            return if room == 0 {
                self.at(future.first)
            } else {
                self.bucket_begins(found.rule, future, room)
            };
        }
        self.bucket_begins(found.rule, future, count.saturating_add(1).saturating_sub(found.number))
    }

    /// Whether the next restore point lies in another bucket than the newest good one.
    fn next_begins_bucket(&self, rule: Rule, future: Future) -> bool {
        let bucket_of =
            |instant: DateTime<Utc>| bucket(rule, instant.with_timezone(&self.zone).naive_local());
        let newest = bucket_of(future.newest_good);
        let next = self.instants.get(future.first).copied().and_then(bucket_of);
        newest.is_none() || newest != next
    }

    /// The instant at which the `number`th further bucket of a rule begins, from 1.
    fn bucket_begins(&self, rule: Rule, future: Future, number: u32) -> Until {
        let Some(begun) = self.begun.get(rule as usize) else { return self.at(usize::MAX) };
        let at_first = begun.get(future.first).copied().unwrap_or(0);
        let with_first = u32::from(self.next_begins_bucket(rule, future));
        let wanted = at_first.saturating_add(number.saturating_sub(with_first));
        self.at(begun.partition_point(|begun| *begun < wanted).max(future.first))
    }

    /// When the newest has become so young that the span before it leaves this instant out.
    fn of_within(&self, span: Within, future: Future, instant: DateTime<Utc>) -> Until {
        let rest = self.instants.get(future.first..).unwrap_or_default();
        let leaves_out =
            |newest: &DateTime<Utc>| back(*newest, span, self.zone).is_some_and(|horizon| instant <= horizon);
        // A month before the end of a month may be a later day than a month before the next day; what is let
        // go once is gone, so the days around the one found are looked at as well.
        let around = rest.partition_point(|newest| !leaves_out(newest));
        let from = rest.partition_point(|earlier| {
            rest.get(around).is_some_and(|found| *found - *earlier > TimeDelta::days(5))
        });
        let first =
            rest.iter().skip(from).position(leaves_out).map_or(usize::MAX, |at| future.first + from + at);
        self.at(first)
    }

    fn at(&self, place: usize) -> Until {
        self.instants
            .get(place)
            .map_or(Until::Beyond { years: FORESIGHT_YEARS }, |instant| Until::At(*instant))
    }
}
