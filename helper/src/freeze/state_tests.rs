use super::*;
use proptest::prelude::*;

/// Every kind of event, with `n` for the file system.
fn events(n: usize) -> Vec<Event> {
    vec![
        Event::Accepted,
        Event::Rejected(Reason::SignalUnreachable),
        Event::Flushed { prime: true, stale: false },
        Event::Flushed { prime: false, stale: false },
        Event::Flushed { prime: true, stale: true },
        Event::FlushFailed,
        Event::FlushGaveUp,
        Event::HooksRan,
        Event::HookFailed,
        Event::Armed,
        Event::Primed(n),
        Event::Froze(n),
        Event::Refused(n, Fault::Foreign),
        Event::Refused(n, Fault::Unsupported),
        Event::Synced(n),
        Event::SyncFailed(n),
        Event::CutMade,
        Event::CutFailed(Reason::BadAnswer),
        Event::Thawed(n),
        Event::NotThawed(n, Fault::ThawedByOther),
        Event::Stop(Reason::Deadline),
        Event::Stop(Reason::GuardianLost),
    ]
}

/// One file system at `standing`, in `phase`.
fn state(phase: Phase, standing: Standing) -> State {
    let begun = matches!(phase, Phase::Freeze | Phase::Sync | Phase::Cut | Phase::Thaw);
    State {
        phase,
        members: vec![Member { level: 0, standing, fault: None }],
        cause: None,
        cut: false,
        begun,
        rehearsal: false,
        hooks: false,
    }
}

/// The whole table for one file system: where it stands, what happens, where it goes, what is done.
/// A pair that is not here is illegal.
fn table() -> Vec<(Phase, Standing, Event, Phase, Vec<Effect>)> {
    use Phase::{Again, Cut, Flush, Freeze, Hooks, Over, Prime, Ready, Sync, Thaw};
    use Standing::{Free, Freezing, Frozen, Primed, Priming, Synced, Syncing, Thawing};
    let stops = |phase: Phase, standing: Standing, to: Phase, effect: Option<Effect>| {
        [Reason::Deadline, Reason::GuardianLost].map(move |reason| {
            (phase, standing, Event::Stop(reason), to, effect.into_iter().collect::<Vec<_>>())
        })
    };
    let again = Again { prime: true };
    let unprimed = Again { prime: false };
    let finish = || vec![Effect::Finish];
    let unreachable = Event::Rejected(Reason::SignalUnreachable);
    let mut table = vec![
        (Ready, Free, Event::Accepted, Flush, vec![Effect::Flush]),
        (Ready, Free, unreachable, Over, finish()),
        (Flush, Free, Event::Flushed { prime: true, stale: false }, Prime, vec![Effect::Arm]),
        (Flush, Free, Event::Flushed { prime: false, stale: false }, Freeze, vec![Effect::Arm]),
        (Flush, Free, Event::Flushed { prime: true, stale: true }, again, vec![Effect::SignalReady]),
        (Flush, Free, Event::FlushFailed, Over, finish()),
        (Flush, Free, Event::FlushGaveUp, Over, finish()),
        (Hooks, Free, Event::HooksRan, Flush, vec![Effect::Flush]),
        (Hooks, Free, Event::HookFailed, Over, finish()),
        (again, Free, Event::Accepted, Prime, vec![Effect::Arm]),
        (again, Free, unreachable, Over, finish()),
        (unprimed, Free, Event::Accepted, Freeze, vec![Effect::Arm]),
        (unprimed, Free, unreachable, Over, finish()),
        (Prime, Free, Event::Armed, Prime, vec![Effect::Prime(0)]),
        (Prime, Priming, Event::Primed(0), Freeze, vec![Effect::Arm]),
        (Prime, Priming, Event::Refused(0, Fault::Foreign), Over, finish()),
        (Prime, Priming, Event::Refused(0, Fault::Unsupported), Over, finish()),
        (Freeze, Free, Event::Armed, Freeze, vec![Effect::Freeze(0)]),
        (Freeze, Freezing, Event::Froze(0), Sync, vec![Effect::Sync(0)]),
        (Freeze, Freezing, Event::Refused(0, Fault::Foreign), Over, finish()),
        (Freeze, Freezing, Event::Refused(0, Fault::Unsupported), Over, finish()),
        (Sync, Syncing, Event::Synced(0), Cut, vec![Effect::SignalFrozen]),
        (Sync, Syncing, Event::SyncFailed(0), Thaw, vec![Effect::Thaw(0)]),
        (Cut, Synced, Event::CutMade, Thaw, vec![Effect::Thaw(0)]),
        (Cut, Synced, Event::CutFailed(Reason::BadAnswer), Thaw, vec![Effect::Thaw(0)]),
        (Thaw, Thawing, Event::Thawed(0), Over, finish()),
        (Thaw, Thawing, Event::NotThawed(0, Fault::ThawedByOther), Over, finish()),
        (Thaw, Freezing, Event::Froze(0), Thaw, vec![Effect::Thaw(0)]),
        (Thaw, Freezing, Event::Refused(0, Fault::Foreign), Over, finish()),
        (Thaw, Freezing, Event::Refused(0, Fault::Unsupported), Over, finish()),
        (Thaw, Priming, Event::Primed(0), Over, finish()),
        (Thaw, Priming, Event::Refused(0, Fault::Foreign), Over, finish()),
        (Thaw, Priming, Event::Refused(0, Fault::Unsupported), Over, finish()),
        (Thaw, Syncing, Event::Synced(0), Thaw, vec![Effect::Thaw(0)]),
        (Thaw, Syncing, Event::SyncFailed(0), Thaw, vec![Effect::Thaw(0)]),
    ];
    for (phase, standing) in [(Ready, Free), (Flush, Free), (Hooks, Free), (again, Free), (unprimed, Free)] {
        table.extend(stops(phase, standing, Over, Some(Effect::Finish)));
    }
    table.extend(stops(Prime, Free, Over, Some(Effect::Finish)));
    table.extend(stops(Prime, Primed, Over, Some(Effect::Finish)));
    table.extend(stops(Prime, Priming, Thaw, None));
    table.extend(stops(Freeze, Free, Over, Some(Effect::Finish)));
    table.extend(stops(Freeze, Freezing, Thaw, None));
    table.extend(stops(Freeze, Frozen, Thaw, Some(Effect::Thaw(0))));
    table.extend(stops(Sync, Syncing, Thaw, None));
    table.extend(stops(Cut, Synced, Thaw, Some(Effect::Thaw(0))));
    for standing in [Freezing, Priming, Syncing, Thawing] {
        table.extend(stops(Thaw, standing, Thaw, None));
    }
    table
}

/// The pairs of phase and standing that the protocol can be in.
fn places() -> Vec<(Phase, Standing)> {
    let mut places: Vec<(Phase, Standing)> = Vec::new();
    for (phase, standing, ..) in table() {
        if !places.contains(&(phase, standing)) {
            places.push((phase, standing));
        }
    }
    places.push((Phase::Over, Standing::Free));
    places.push((Phase::Over, Standing::Thawed));
    places
}

#[test]
fn every_pair_of_state_and_event_does_what_the_table_says() {
    let table = table();
    let mut legal = 0;
    for (phase, standing) in places() {
        for event in events(0) {
            let row = table.iter().find(|row| (row.0, row.1, row.2) == (phase, standing, event));
            let got = step(state(phase, standing), event);
            match (row, got) {
                (Some((.., to, effects)), Ok((after, did))) => {
                    assert_eq!((after.phase, &did), (*to, effects), "{phase:?} {standing:?} {event:?}");
                    legal += 1;
                }
                (None, Err(illegal)) => assert_eq!(illegal, Illegal { phase, event }),
                (row, got) => panic!("{phase:?} {standing:?} {event:?}: table {row:?}, step {got:?}"),
            }
        }
    }
    assert_eq!(legal, table.len(), "a row of the table was not reached");
}

#[test]
fn an_event_of_a_file_system_that_is_none_is_illegal() {
    for (phase, standing) in places() {
        for event in [Event::Froze(7), Event::Thawed(7), Event::Refused(7, Fault::Failed), Event::Synced(7)] {
            assert!(step(state(phase, standing), event).is_err());
        }
    }
}

#[test]
fn an_illegal_pair_names_both() {
    let error = step(state(Phase::Cut, Standing::Synced), Event::Armed).unwrap_err().to_string();
    assert_eq!(error, "Armed cannot happen in Cut");
}

#[test]
fn what_goes_wrong_first_is_the_reason() {
    let (state, _) = step(state(Phase::Cut, Standing::Synced), Event::CutFailed(Reason::Throttled)).unwrap();
    let (state, _) = step(state, Event::NotThawed(0, Fault::ThawedByOther)).unwrap();
    assert_eq!(state.cause, Some(Reason::Throttled));
    assert!(!state.is_proved());
}

#[test]
fn a_guardian_lost_during_the_thaw_breaks_the_proof_and_a_deadline_does_not() {
    for (reason, proved) in
        [(Reason::GuardianLost, false), (Reason::Deadline, true), (Reason::Terminated, true)]
    {
        let (state, _) = step(state(Phase::Cut, Standing::Synced), Event::CutMade).unwrap();
        let (state, _) = step(state, Event::Stop(reason)).unwrap();
        let (state, _) = step(state, Event::Thawed(0)).unwrap();
        assert_eq!(state.is_proved(), proved, "{reason:?}");
    }
}

#[test]
fn a_type_without_freeze_goes_along_unfrozen() {
    let (mut state, _) = State::begin(&[0, 0], false, false);
    state.phase = Phase::Freeze;
    let (state, effects) = step(state, Event::Armed).unwrap();
    assert_eq!(effects, [Effect::Freeze(0), Effect::Freeze(1)]);
    let (state, effects) = step(state, Event::Refused(0, Fault::Unsupported)).unwrap();
    assert_eq!(effects, []);
    let (state, effects) = step(state, Event::Froze(1)).unwrap();
    assert_eq!(effects, [Effect::Sync(1)]);
    assert_eq!(state.cause, None);
}

#[test]
fn levels_are_frozen_upwards_and_thawed_downwards() {
    let (mut state, _) = State::begin(&[1, 0], false, false);
    state.phase = Phase::Freeze;
    let mut order = Vec::new();
    let mut events = vec![Event::Armed];
    while let Some(event) = events.pop() {
        let (next, effects) = step(state, event).unwrap();
        state = next;
        for effect in effects {
            order.push(effect);
            events.push(match effect {
                Effect::Freeze(n) => Event::Froze(n),
                Effect::Sync(n) => Event::Synced(n),
                Effect::SignalFrozen => Event::CutMade,
                Effect::Thaw(n) => Event::Thawed(n),
                _ => continue,
            });
        }
    }
    let freezes_and_thaws: Vec<Effect> =
        order.into_iter().filter(|effect| matches!(effect, Effect::Freeze(_) | Effect::Thaw(_))).collect();
    assert_eq!(freezes_and_thaws, [Effect::Freeze(1), Effect::Freeze(0), Effect::Thaw(0), Effect::Thaw(1)]);
    assert!(state.is_proved());
}

#[test]
fn a_rehearsal_ends_where_the_freeze_would_begin() {
    let rehearsal = |phase| State { rehearsal: true, ..state(phase, Standing::Free) };
    for event in [
        Event::Flushed { prime: true, stale: false },
        Event::Flushed { prime: false, stale: false },
        Event::Flushed { prime: true, stale: true },
    ] {
        let (over, effects) = step(rehearsal(Phase::Flush), event).unwrap();
        assert_eq!((over.phase, effects), (Phase::Over, vec![Effect::Finish]));
        assert!(over.cause.is_none() && !over.is_proved());
    }
    let (over, _) = step(rehearsal(Phase::Flush), Event::FlushGaveUp).unwrap();
    assert_eq!(over.cause, Some(Reason::FlushGaveUp));
}

#[test]
fn hooks_run_once_between_two_flushes_and_before_anything_is_frozen() {
    for (rehearsal, end) in [(false, Phase::Prime), (true, Phase::Over)] {
        let flushed = Event::Flushed { prime: true, stale: false };
        let due = State { hooks: true, rehearsal, ..state(Phase::Flush, Standing::Free) };
        let (running, effects) = step(due, flushed).unwrap();
        assert_eq!((running.phase, effects), (Phase::Hooks, vec![Effect::RunHooks]));
        assert!(running.is_untouched() && !running.begun);
        let (failed, _) = step(running.clone(), Event::HookFailed).unwrap();
        assert_eq!((failed.phase, failed.cause), (Phase::Over, Some(Reason::HookFailed)));
        let (again, effects) = step(running, Event::HooksRan).unwrap();
        assert_eq!((again.phase, effects), (Phase::Flush, vec![Effect::Flush]));
        assert_eq!(step(again, flushed).unwrap().0.phase, end);
    }
}

#[test]
fn what_hangs_is_told_from_what_moves() {
    let two = |first, second| {
        let mut state = state(Phase::Thaw, first);
        state.members.push(Member { level: 0, standing: second, fault: None });
        state
    };
    use Standing::{Freezing, Primed, Priming, Syncing, Thawed, Thawing};
    for (first, second, hangs) in [
        (Freezing, Thawed, true),
        (Priming, Primed, true),
        (Freezing, Thawing, false),
        (Freezing, Syncing, false),
        (Thawed, Thawed, false),
    ] {
        assert_eq!(two(first, second).only_hangs(), hangs, "{first:?} {second:?}");
    }
    assert!(!state(Phase::Freeze, Freezing).only_hangs(), "it has not been given up on yet");
}

/// A kernel and a network in which each call ends when the test says, as the test says.
struct World {
    state: State,
    pending: Vec<Effect>,
    frozen: Vec<bool>,
    /// Whether all members without fault were frozen when the cut was made.
    enclosed: bool,
    thawed_before_cut: bool,
    /// Whether any ioctl was asked for.
    touched: bool,
    /// Whether hooks ran after that.
    hooks_late: bool,
}

impl World {
    fn new(levels: &[usize], rehearsal: bool, hooks: bool) -> Self {
        let (state, pending) = State::begin(levels, rehearsal, hooks);
        let frozen = vec![false; levels.len()];
        Self {
            state,
            pending,
            frozen,
            enclosed: false,
            thawed_before_cut: false,
            touched: false,
            hooks_late: false,
        }
    }

    fn happens(&mut self, event: Event) {
        let (state, effects) = step(self.state.clone(), event).unwrap_or_else(|illegal| panic!("{illegal}"));
        self.state = state;
        self.hooks_late |= self.touched && effects.contains(&Effect::RunHooks);
        self.touched |=
            effects.iter().any(|effect| matches!(effect, Effect::Arm | Effect::Prime(_) | Effect::Freeze(_)));
        self.pending.extend(effects.into_iter().filter(|effect| *effect != Effect::Finish));
        // A call whose phase is over is dropped, as the driver does; a system call cannot be.
        let phase = self.state.phase;
        self.pending.retain(|effect| match effect {
            Effect::SignalReady => matches!(phase, Phase::Ready | Phase::Again { .. }),
            Effect::Flush => phase == Phase::Flush,
            Effect::RunHooks => phase == Phase::Hooks,
            Effect::SignalFrozen => phase == Phase::Cut,
            Effect::Arm => matches!(phase, Phase::Prime | Phase::Freeze),
            _ => true,
        });
    }

    /// Ends one pending call, well or badly.
    fn ends(&mut self, effect: Effect, luck: u8) {
        let bad = luck < 40;
        let event = match effect {
            Effect::SignalReady if bad => Event::Rejected(Reason::SignalUnreachable),
            Effect::SignalReady => Event::Accepted,
            Effect::Flush if luck < 10 => Event::FlushFailed,
            Effect::Flush if luck < 20 => Event::FlushGaveUp,
            Effect::Flush => Event::Flushed { prime: luck.is_multiple_of(2), stale: luck.is_multiple_of(3) },
            Effect::RunHooks if bad => Event::HookFailed,
            Effect::RunHooks => Event::HooksRan,
            Effect::Arm if bad => Event::Stop(Reason::GuardianLost),
            Effect::Arm => Event::Armed,
            Effect::Prime(n) if bad => Event::Refused(n, Fault::Foreign),
            Effect::Prime(n) if luck < 60 => Event::Refused(n, Fault::Unsupported),
            Effect::Prime(n) => Event::Primed(n),
            Effect::Freeze(n) if luck < 20 => Event::Refused(n, Fault::Unsupported),
            Effect::Freeze(n) if bad => Event::Refused(n, Fault::Failed),
            Effect::Freeze(n) => {
                self.frozen[n] = true;
                Event::Froze(n)
            }
            Effect::Sync(n) if bad => Event::SyncFailed(n),
            Effect::Sync(n) => Event::Synced(n),
            Effect::SignalFrozen if bad => Event::CutFailed(Reason::BadAnswer),
            Effect::SignalFrozen => {
                let members = self.state.members.iter().zip(&self.frozen);
                self.enclosed =
                    members.clone().all(|(m, frozen)| *frozen || m.fault == Some(Fault::Unsupported))
                        && members.clone().any(|(_, frozen)| *frozen);
                Event::CutMade
            }
            Effect::Thaw(n) if luck < 20 => {
                self.frozen[n] = false;
                Event::NotThawed(n, Fault::ThawedByOther)
            }
            Effect::Thaw(n) if luck < 30 => Event::NotThawed(n, Fault::ThawUncertain),
            Effect::Thaw(n) => {
                self.frozen[n] = false;
                Event::Thawed(n)
            }
            Effect::Finish => return,
        };
        self.happens(event);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

    /// Promise 1 and 2, for any order in which calls end and things go wrong.
    #[test]
    fn nothing_stays_frozen_and_a_proof_is_one(
        levels in proptest::collection::vec(0_usize..3, 1..5),
        moves in proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u8>()), 0..80),
        rehearsal in proptest::bool::weighted(0.1),
        hooks in any::<bool>(),
    ) {
        let mut world = World::new(&levels, rehearsal, hooks);
        for (which, luck, stop) in moves {
            if world.state.phase == Phase::Over {
                break;
            }
            let stop = match stop {
                0..=3 => Some(Reason::Deadline),
                4..=6 => Some(Reason::GuardianLost),
                7..=9 => Some(Reason::Terminated),
                _ => None,
            };
            if let Some(reason) = stop {
                world.happens(Event::Stop(reason));
            } else if !world.pending.is_empty() {
                let effect = world.pending.remove(usize::from(which) % world.pending.len());
                if matches!(effect, Effect::Thaw(_)) && !world.state.cut {
                    world.thawed_before_cut = true;
                }
                world.ends(effect, luck);
            }
        }
        // The deadline comes in the end, and every call returns.
        if world.state.phase != Phase::Over {
            world.happens(Event::Stop(Reason::Deadline));
        }
        for _ in 0..64 {
            let Some(effect) = world.pending.pop() else { break };
            world.ends(effect, 255);
        }
        prop_assert_eq!(world.state.phase, Phase::Over);
        prop_assert!(!world.hooks_late, "a hook ran after the first ioctl was asked for");
        prop_assert!(!world.touched || !world.state.hooks, "a freeze was begun without its hooks");
        if rehearsal {
            prop_assert!(!world.touched && !world.state.begun && !world.state.is_proved());
        }
        for (member, frozen) in world.state.members.iter().zip(&world.frozen) {
            prop_assert!(!frozen || member.fault == Some(Fault::ThawUncertain), "{:?}", member);
        }
        if world.state.is_proved() {
            prop_assert!(world.enclosed && !world.thawed_before_cut);
            prop_assert!(world.state.members.iter().all(|m| matches!(
                (m.standing, m.fault),
                (Standing::Thawed, None) | (_, Some(Fault::Unsupported))
            )));
        }
    }
}
