use super::*;
use proptest::prelude::*;

const RANGE: Range = FIVE_A_SECOND;

/// A bucket of EC2's, with some tokens for others.
struct Ec2 {
    tokens: f64,
    per_second: f64,
    at: Instant,
}

impl Ec2 {
    fn takes(&mut self, now: Instant) -> bool {
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(100.0);
        self.at = now;
        let taken = self.tokens >= 1.0;
        if taken {
            self.tokens -= 1.0;
        }
        taken
    }
}

/// Calls for so long; how many were taken, and how many throttled.
fn call_for(pace: &mut Pace, ec2: &mut Ec2, mut now: Instant, seconds: u64) -> (u32, u32) {
    let (end, mut taken, mut throttled) = (now + Duration::from_secs(seconds), 0, 0);
    while now < end {
        now += pace.take(now) + Duration::from_millis(1);
        if ec2.takes(now) {
            taken += 1;
        } else {
            throttled += 1;
            pace.fall(now);
        }
    }
    (taken, throttled)
}

#[test]
fn a_burst_is_free_and_then_tokens_come_at_the_rate() {
    let start = Instant::now();
    let mut pace = Pace::new(3, Range { least: 1.0, first: 2.0, most: 2.0, rise: 0.0 }, start);
    let waits: Vec<u128> = (0..5).map(|_| pace.take(start).as_millis()).collect();
    assert_eq!(waits, [0, 0, 0, 500, 1_000]);
    // The waits ended a second ago: two more tokens have come.
    let later = start + Duration::from_secs(2);
    assert_eq!(pace.take(later), Duration::ZERO);
    assert_eq!(pace.take(later), Duration::ZERO);
    assert_eq!(pace.take(later).as_millis(), 500);
}

#[test]
fn no_more_than_the_burst_is_saved_up() {
    let start = Instant::now();
    let mut pace = Pace::new(2, RANGE, start);
    let later = start + Duration::from_secs(3_600);
    let waits: Vec<bool> = (0..3).map(|_| pace.take(later).is_zero()).collect();
    assert_eq!(waits, [true, true, false]);
}

#[test]
fn with_the_account_to_itself_it_is_never_throttled_and_comes_close_to_what_there_is() {
    let start = Instant::now();
    let mut ec2 = Ec2 { tokens: 100.0, per_second: 5.0, at: start };
    let (taken, throttled) = call_for(&mut Pace::new(50, RANGE, start), &mut ec2, start, 1_000);
    assert_eq!(throttled, 0);
    assert!(taken > 4_800, "{taken} of 5,100");
}

#[test]
fn beside_other_users_it_falls_below_what_they_leave_and_rises_when_they_are_gone() {
    let start = Instant::now();
    let mut pace = Pace::new(50, RANGE, start);
    let mut ec2 = Ec2 { tokens: 10.0, per_second: 2.0, at: start };
    let (taken, throttled) = call_for(&mut pace, &mut ec2, start, 1_000);
    assert!(taken > 1_500, "{taken} of 2,000");
    assert!(throttled * 10 < taken, "{throttled} throttled, {taken} taken");
    ec2.per_second = 5.0;
    let later = start + Duration::from_secs(1_010);
    let (_, throttled) = call_for(&mut pace, &mut ec2, later, 300);
    assert!((throttled, pace.rate) == (0, RANGE.most), "{throttled} throttled, {} a second", pace.rate);
}

#[test]
fn a_handful_of_throttled_calls_at_once_is_one_event() {
    let start = Instant::now();
    let mut pace = Pace::new(50, RANGE, start);
    for ms in [0, 100, 4_000] {
        pace.fall(start + Duration::from_millis(ms));
    }
    assert!((pace.rate - 2.8).abs() < 1e-9, "{}", pace.rate);
    pace.fall(start + Duration::from_secs(6));
    assert!((pace.rate - 1.96).abs() < 1e-9, "{}", pace.rate);
    (0..100).for_each(|n| pace.fall(start + Duration::from_secs(20 + n * 6)));
    assert!((pace.rate - RANGE.least).abs() < 1e-9, "{}", pace.rate);
}

#[test]
fn now_and_then_a_throttled_command_does_not_slow_orders_down_below_what_ec2_takes() {
    let start = Instant::now();
    let mut pace = Pace::new(10, COMMANDS, start);
    // One in three hundred, at five a second.
    let (mut now, mut waited) = (start, Duration::ZERO);
    for call in 0..10_000 {
        now += Duration::from_millis(200);
        waited += pace.take(now);
        if call % 300 == 0 {
            pace.fall(now);
        }
    }
    assert!(waited < Duration::from_secs(20), "{waited:?} in {:?}", now - start);
    assert!(pace.rate > 10.0, "{}", pace.rate);
}

/// Pauses between calls, milliseconds: mostly none, sometimes a long one.
fn pauses() -> impl Strategy<Value = Vec<u64>> {
    let pause = prop_oneof![8 => Just(0_u64), 2 => 0..5_000_u64, 1 => 0..200_000_u64];
    proptest::collection::vec(pause, 1..400)
}

proptest! {
    /// Nobody is throttled while frozen because of us alone: whatever pauses there are, and however many
    /// invocations a run has, each of which begins with a full pace.
    #[test]
    fn with_the_account_to_itself_no_call_is_throttled(pauses in pauses(), hops in 1_u32..4) {
        let start = Instant::now();
        let mut ec2 = Ec2 { tokens: 100.0, per_second: 5.0, at: start };
        let mut now = start;
        for _ in 0..hops {
            let mut pace = Pace::new(50, RANGE, now);
            for pause in &pauses {
                now += Duration::from_millis(*pause);
                now += pace.take(now);
                prop_assert!(ec2.takes(now), "throttled after {:?}", now - start);
            }
            // What a continuation needs before its first order: a lease, two looks, the reserve.
            now += Duration::from_secs(10);
        }
    }

    /// In no stretch of time are there more calls than the burst and the highest rate give, and no rate is
    /// outside its range, whatever is throttled.
    #[test]
    fn a_pace_keeps_its_promise_in_every_window(pauses in pauses(), throttled in proptest::collection::vec(any::<bool>(), 400)) {
        let start = Instant::now();
        let mut pace = Pace::new(50, RANGE, start);
        let (mut now, mut calls) = (start, Vec::new());
        for (pause, throttled) in pauses.iter().zip(throttled) {
            now += Duration::from_millis(*pause);
            now += pace.take(now);
            calls.push((now - start).as_secs_f64());
            if throttled {
                pace.fall(now);
            }
            prop_assert!((RANGE.least..=RANGE.most).contains(&pace.rate), "{}", pace.rate);
        }
        for (from, first) in calls.iter().enumerate() {
            for (to, last) in calls.iter().enumerate().skip(from) {
                let most = 50.0 + (last - first) * RANGE.most + 1e-6;
                let count = f64::from(u32::try_from(to - from + 1).unwrap());
                prop_assert!(count <= most, "{count} calls in {} s", last - first);
            }
        }
    }

    /// Beside others a call in ten at most is throttled in the long run, and what they leave is used.
    #[test]
    fn beside_others_it_settles_at_what_they_leave(left in 0.5..5.0_f64) {
        let start = Instant::now();
        let mut pace = Pace::new(50, RANGE, start);
        let mut ec2 = Ec2 { tokens: 100.0, per_second: left, at: start };
        call_for(&mut pace, &mut ec2, start, 600);
        let later = start + Duration::from_secs(600);
        let (taken, throttled) = call_for(&mut pace, &mut ec2, later, 3_000);
        prop_assert!(f64::from(throttled) <= f64::from(taken) / 10.0, "{throttled} throttled, {taken} taken");
        prop_assert!(f64::from(taken) >= left.min(RANGE.most) * 3_000.0 * 0.7, "{taken} taken of {left} a second");
    }
}
