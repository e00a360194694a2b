//! The freeze protocol as one table: what follows from what. Pure: it reads no clock, makes no call,
//! and knows file systems by their number. The driver executes the effects and reports the events;
//! deadlines come in as events.
//!
//! ```text
//! Ready -> Flush -> [Hooks -> Flush] -> [Again] -> [Prime] -> Freeze -> Sync -> Cut -> Thaw -> Over
//!   any failure before the first freeze, and a rehearsal after its last Flush -----------------^
//!   any failure from Prime on ---------------------------------------------------------> Thaw --^
//! ```
//!
//! Promise 1 in this table: `Over` is reached only when no file system is frozen by us, or when its
//! thaw was refused by the kernel, which the state then says ([`Fault::ThawUncertain`]).

pub use super::words::{Effect, Event, Fault, Illegal, Member, Phase, Standing};
use stillframe_wire::Reason;

/// The protocol at one instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Where it stands.
    pub phase: Phase,
    /// The file systems to be frozen.
    pub members: Vec<Member>,
    /// Why it is no proof; the first reason stays.
    pub cause: Option<Reason>,
    /// Whether every ordered snapshot was answered for while all was frozen.
    pub cut: bool,
    /// Whether a freeze that counts was begun (a prime does not).
    pub begun: bool,
    /// Whether it ends before anything is frozen.
    pub rehearsal: bool,
    /// Whether hooks have yet to run before the freeze. They run when most is flushed, so that what they hold
    /// still is held for the shortest time, and what they write is flushed after them.
    pub hooks: bool,
}

impl State {
    /// The beginning, with the levels of the file systems to be frozen, and what to do first. A `rehearsal`
    /// goes no further than the flush; `hooks` is whether there are any.
    #[must_use]
    pub fn begin(levels: &[usize], rehearsal: bool, hooks: bool) -> (Self, Vec<Effect>) {
        let member = |&level: &usize| Member { level, standing: Standing::Free, fault: None };
        let members = levels.iter().map(member).collect();
        (
            Self { phase: Phase::Ready, members, cause: None, cut: false, begun: false, rehearsal, hooks },
            vec![Effect::SignalReady],
        )
    }

    /// Whether the freeze provably enclosed the cut.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.phase == Phase::Over && self.cut && self.cause.is_none()
    }

    /// Whether only calls are left that the kernel has not answered: FIFREEZE waits for a disk, and
    /// everything that can be thawed before it answers is.
    #[must_use]
    pub fn only_hangs(&self) -> bool {
        let hangs = |m: &Member| matches!(m.standing, Standing::Freezing | Standing::Priming);
        let moves = |m: &Member| matches!(m.standing, Standing::Thawing | Standing::Syncing);
        self.phase == Phase::Thaw && self.members.iter().any(hangs) && !self.members.iter().any(moves)
    }
}

/// What follows when `event` happens in `state`.
///
/// # Errors
/// It cannot happen there.
pub fn step(mut state: State, event: Event) -> Result<(State, Vec<Effect>), Illegal> {
    use Standing::{Freezing, Frozen, Priming, Synced, Syncing, Thawing};
    let illegal = Err(Illegal { phase: state.phase, event });
    let effects = match (state.phase, event) {
        (Phase::Over, _) => return illegal,

        (Phase::Ready, Event::Accepted) => state.enter(Phase::Flush, vec![Effect::Flush]),
        (Phase::Ready | Phase::Again { .. }, Event::Rejected(reason)) => state.end(reason),
        (Phase::Flush, Event::Flushed { .. }) if state.hooks => {
            state.hooks = false;
            state.enter(Phase::Hooks, vec![Effect::RunHooks])
        }
        (Phase::Hooks, Event::HooksRan) => state.enter(Phase::Flush, vec![Effect::Flush]),
        (Phase::Hooks, Event::HookFailed) => state.end(Reason::HookFailed),
        (Phase::Flush, Event::Flushed { .. }) if state.rehearsal => {
            state.enter(Phase::Over, vec![Effect::Finish])
        }
        (Phase::Flush, Event::Flushed { prime, stale: true }) => {
            state.enter(Phase::Again { prime }, vec![Effect::SignalReady])
        }
        (Phase::Flush, Event::Flushed { prime: true, .. })
        | (Phase::Again { prime: true }, Event::Accepted) => state.enter(Phase::Prime, vec![Effect::Arm]),
        // While much is left to write a prime would only stall the writers twice.
        (Phase::Flush, Event::Flushed { prime: false, .. })
        | (Phase::Again { prime: false }, Event::Accepted) => state.enter(Phase::Freeze, vec![Effect::Arm]),
        (Phase::Flush, Event::FlushFailed) => state.end(Reason::FlushFailed),
        (Phase::Flush, Event::FlushGaveUp) => state.end(Reason::FlushGaveUp),

        (Phase::Prime, Event::Armed) if state.is_untouched() => state.prime_next_level(),
        (Phase::Prime, Event::Primed(n)) if state.moves(n, Priming, Standing::Primed) => {
            state.prime_next_level()
        }
        (Phase::Prime, Event::Refused(n, fault)) if state.fails(n, Priming, Standing::Free, fault) => {
            if state.cause.is_some() { state.retreat() } else { state.prime_next_level() }
        }

        (Phase::Freeze, Event::Armed) if state.is_untouched() => {
            state.begun = true;
            state.freeze_next_level()
        }
        (Phase::Freeze, Event::Froze(n)) if state.moves(n, Freezing, Frozen) => state.freeze_next_level(),
        (Phase::Freeze, Event::Refused(n, fault)) if state.fails(n, Freezing, Standing::Free, fault) => {
            if state.cause.is_some() {
                state.retreat()
            } else {
                state.freeze_next_level()
            }
        }

        (Phase::Sync, Event::Synced(n)) if state.moves(n, Syncing, Synced) => {
            if state.any(Syncing) {
                vec![]
            } else {
                state.enter(Phase::Cut, vec![Effect::SignalFrozen])
            }
        }
        (Phase::Sync, Event::SyncFailed(n)) if state.fails(n, Syncing, Frozen, Fault::WriteLost) => {
            state.retreat()
        }

        (Phase::Cut, Event::CutMade) => {
            state.cut = true;
            state.retreat()
        }
        (Phase::Cut, Event::CutFailed(reason)) => {
            state.cause = state.cause.or(Some(reason));
            state.retreat()
        }

        (Phase::Thaw, Event::Thawed(n)) if state.moves(n, Thawing, Standing::Thawed) => state.retreat(),
        (Phase::Thaw, Event::NotThawed(n, fault)) if state.fails(n, Thawing, Standing::Thawed, fault) => {
            state.retreat()
        }
        // What was under way when the attempt ended comes in late. A late freeze is thawed.
        (Phase::Thaw, Event::Froze(n)) if state.moves(n, Freezing, Frozen) => state.retreat(),
        (Phase::Thaw, Event::Primed(n)) if state.moves(n, Priming, Standing::Primed) => state.retreat(),
        (Phase::Thaw, Event::Synced(n)) if state.moves(n, Syncing, Synced) => state.retreat(),
        (Phase::Thaw, Event::SyncFailed(n)) if state.fails(n, Syncing, Frozen, Fault::WriteLost) => {
            state.retreat()
        }
        (Phase::Thaw, Event::Refused(n, fault))
            if state.fails(n, Freezing, Standing::Free, fault)
                || state.fails(n, Priming, Standing::Free, fault) =>
        {
            state.retreat()
        }

        (Phase::Ready | Phase::Flush | Phase::Hooks | Phase::Again { .. }, Event::Stop(reason)) => {
            state.end(reason)
        }
        (Phase::Prime | Phase::Freeze | Phase::Sync | Phase::Cut, Event::Stop(reason)) => {
            state.cause = state.cause.or(Some(reason));
            state.retreat()
        }
        // The thaw is under way already. That nobody watched it to its end breaks the proof; a
        // deadline or a signal that comes after the answer does not.
        (Phase::Thaw, Event::Stop(reason)) => {
            if reason == Reason::GuardianLost {
                state.cause = state.cause.or(Some(reason));
            }
            vec![]
        }
        _ => return illegal,
    };
    Ok((state, effects))
}

impl State {
    fn enter(&mut self, phase: Phase, effects: Vec<Effect>) -> Vec<Effect> {
        self.phase = phase;
        effects
    }

    fn end(&mut self, reason: Reason) -> Vec<Effect> {
        self.cause = self.cause.or(Some(reason));
        self.enter(Phase::Over, vec![Effect::Finish])
    }

    fn is_untouched(&self) -> bool {
        self.members.iter().all(|member| member.standing == Standing::Free)
    }

    fn any(&self, standing: Standing) -> bool {
        self.members.iter().any(|member| member.standing == standing)
    }

    /// Moves one member, if it stands where it must.
    fn moves(&mut self, n: usize, from: Standing, to: Standing) -> bool {
        match self.members.get_mut(n) {
            Some(member) if member.standing == from => {
                member.standing = to;
                true
            }
            _ => false,
        }
    }

    /// The same with a fault, which may be the reason for the end.
    fn fails(&mut self, n: usize, from: Standing, to: Standing, fault: Fault) -> bool {
        if !self.moves(n, from, to) {
            return false;
        }
        if let Some(member) = self.members.get_mut(n) {
            // What may still be frozen must be said, whatever went wrong before.
            let worst = fault == Fault::ThawUncertain;
            member.fault = if worst { Some(fault) } else { member.fault.or(Some(fault)) };
        }
        self.cause = self.cause.or(fault.reason());
        true
    }

    /// Moves every member that stands at `from` in the lowest level that has one.
    fn start_level(&mut self, from: Standing, to: Standing, effect: fn(usize) -> Effect) -> Vec<Effect> {
        let can = |member: &Member| member.standing == from && member.fault.is_none();
        let Some(level) = self.members.iter().filter(|m| can(m)).map(|m| m.level).min() else {
            return vec![];
        };
        let mut effects = Vec::with_capacity(self.members.len());
        for (n, member) in self.members.iter_mut().enumerate() {
            if can(member) && member.level == level {
                member.standing = to;
                effects.push(effect(n));
            }
        }
        effects
    }

    fn prime_next_level(&mut self) -> Vec<Effect> {
        if self.any(Standing::Priming) {
            return vec![];
        }
        let next = self.start_level(Standing::Free, Standing::Priming, Effect::Prime);
        if !next.is_empty() {
            return next;
        }
        for member in &mut self.members {
            if member.standing == Standing::Primed {
                member.standing = Standing::Free;
            }
        }
        if self.members.iter().all(|member| member.fault.is_some()) {
            return self.end(Reason::NothingToFreeze);
        }
        self.enter(Phase::Freeze, vec![Effect::Arm])
    }

    fn freeze_next_level(&mut self) -> Vec<Effect> {
        if self.any(Standing::Freezing) {
            return vec![];
        }
        let next = self.start_level(Standing::Free, Standing::Freezing, Effect::Freeze);
        if !next.is_empty() {
            return next;
        }
        if !self.any(Standing::Frozen) {
            self.begun = false;
            return self.end(Reason::NothingToFreeze);
        }
        self.phase = Phase::Sync;
        let mut effects = Vec::with_capacity(self.members.len());
        for (n, member) in self.members.iter_mut().enumerate() {
            if member.standing == Standing::Frozen {
                member.standing = Standing::Syncing;
                effects.push(Effect::Sync(n));
            }
        }
        effects
    }

    /// Thaws what is frozen, outer before inner: the highest level that is not at rest comes first,
    /// and a call under way there is waited for.
    fn retreat(&mut self) -> Vec<Effect> {
        use Standing::{Freezing, Frozen, Priming, Synced, Syncing, Thawing};
        self.phase = Phase::Thaw;
        let restless =
            |m: &Member| matches!(m.standing, Priming | Freezing | Frozen | Syncing | Synced | Thawing);
        let Some(level) = self.members.iter().filter(|m| restless(m)).map(|m| m.level).max() else {
            return self.enter(Phase::Over, vec![Effect::Finish]);
        };
        let mut effects = Vec::with_capacity(self.members.len());
        for (n, member) in self.members.iter_mut().enumerate() {
            if member.level == level && matches!(member.standing, Frozen | Synced) {
                member.standing = Thawing;
                effects.push(Effect::Thaw(n));
            }
        }
        effects
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
