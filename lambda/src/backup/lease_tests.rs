use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn lease(run: &str, expires: i64) -> Lease {
    Lease { run: run.to_owned(), holder: format!("holder of {run}"), expires, finished: false }
}

fn held(number: u64, run: &str, expires: i64) -> Generation {
    Generation { number, lease: Some(lease(run, expires)) }
}

fn finished(number: u64) -> Generation {
    Generation { number, lease: Some(Lease { finished: true, ..lease("before", 9_999) }) }
}

fn left_to(run: &str, until: i64) -> Claim {
    Claim::Leave { run: run.to_owned(), until }
}

#[test]
fn the_first_run_of_a_policy_creates_the_first_generation() {
    assert_eq!(decide(&[], 100, None), Claim::Create(1));
}

#[test]
fn a_live_lease_holds_off_and_a_stale_or_finished_one_does_not() {
    assert_eq!(decide(&[held(4, "a", 200)], 100, None), left_to("a", 200));
    assert_eq!(decide(&[held(4, "a", 100)], 100, None), Claim::Create(5));
    assert_eq!(decide(&[finished(4)], 100, None), Claim::Create(5));
}

#[test]
fn only_the_newest_generation_counts() {
    assert_eq!(decide(&[held(4, "dead", 9_999), finished(5)], 100, None), Claim::Create(6));
    assert_eq!(decide(&[held(5, "a", 200), finished(4)], 100, None), left_to("a", 200));
}

#[test]
fn a_value_that_cannot_be_read_holds_nobody_off_for_ever() {
    let broken = generation("/stillframe/lease/daily", "/stillframe/lease/daily/7", "{").unwrap();
    assert_eq!(broken, Generation { number: 7, lease: None });
    assert_eq!(decide(&[broken], 100, None), Claim::Create(8));
}

#[test]
fn names_that_are_no_generation_are_left_alone() {
    for name in ["/stillframe/lease/daily/x", "/stillframe/lease/daily-2/7", "/other/7"] {
        assert_eq!(generation("/stillframe/lease/daily", name, "{}"), None, "{name}");
    }
}

#[test]
fn a_continuation_takes_the_next_generation_of_its_own_run_only() {
    let from = HandedOver { run: "a".to_owned(), generation: 4 };
    let next = |seen: &[Generation]| decide(seen, 100, Some(&from));
    assert_eq!(next(&[held(4, "a", 200)]), Claim::Create(5), "handed over while live");
    assert_eq!(next(&[held(4, "a", 50)]), Claim::Create(5), "came late, nobody took over");
    assert_eq!(next(&[held(3, "x", 50)]), Claim::Create(5), "the list lags behind");
    assert_eq!(next(&[held(4, "a", 200), held(5, "a", 300)]), left_to("a", 300), "the event came twice");
    assert_eq!(next(&[held(4, "a", 50), held(5, "b", 300)]), left_to("b", 300), "came too late");
    assert_eq!(next(&[finished(4)]), left_to("before", 9_999));
}

#[test]
fn the_holder_deletes_history_but_for_the_last_few() {
    let seen: Vec<_> = (1..=7).map(finished).collect();
    assert_eq!(outlived(&seen, 7), vec![1, 2, 3]);
    assert_eq!(outlived(&seen, 2), Vec::<u64>::new());
}

/// Parameter Store as far as the lease uses it, with the leases that were created and never finished.
#[derive(Default)]
struct Store {
    parameters: BTreeMap<u64, Lease>,
}

impl Store {
    fn seen(&self) -> Vec<Generation> {
        self.parameters
            .iter()
            .map(|(number, lease)| Generation { number: *number, lease: Some(lease.clone()) })
            .collect()
    }
}

proptest! {
    /// Claimants whose lists lag up to four generations behind: never two live holders.
    #[test]
    fn there_is_one_holder_at_a_time(steps in prop::collection::vec((0_usize..9, any::<bool>(), 0_i64..40), 1..60)) {
        let mut store = Store::default();
        let mut past = vec![store.seen()];
        let mut now = 0;
        let mut live: Option<u64> = None;
        for (lag, ends_well, passed) in steps {
            now += passed;
            if let Some(holder) = live {
                let expired = store.parameters.get(&holder).is_some_and(|lease| lease.expires <= now);
                if ends_well && !expired
                    && let Some(lease) = store.parameters.get_mut(&holder)
                {
                    lease.finished = true;
                }
                if ends_well || expired { live = None; }
            }
            past.push(store.seen());
            let list = &past[past.len().saturating_sub(1 + lag)];
            if let Claim::Create(number) = decide(list, now, None)
                && !store.parameters.contains_key(&number)
            {
                prop_assert_eq!(live, None, "created {} while {:?} was held", number, live);
                store.parameters.insert(number, lease("r", now + 30));
                for old in outlived(&store.seen(), number) { store.parameters.remove(&old); }
                live = Some(number);
            }
            past.push(store.seen());
        }
    }
}
