//! Faults to order, and the count of calls. A fault waits for the next calls that match it and is used up
//! by them; `after` lets some pass first.

use crate::caller::Caller;
use crate::operation;
use crate::sync::lock;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused for asking too often; nothing happens.
    Throttle,
    /// An internal error; nothing happens.
    Error500,
    /// It happens, and the connection closes without an answer.
    DropResponse,
    /// It happens that much later.
    Delay(Duration),
    /// Nothing happens and no answer comes, for ever.
    Hang,
    /// It happens, then the caller is killed: the function's process, or the commands that run on the
    /// calling instance. No answer.
    KillCaller,
    /// The commands that run on the instance that the call is about, or comes from, are killed before
    /// it happens.
    KillCommands,
    /// It happens, and the answer is spoilt.
    Spoil(Spoil),
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// The connection is reset instead.
    Reset,
    /// Its second half does not come: the connection closes.
    Half,
    /// Its second half does not come: nothing more does.
    HalfAndHang,
    /// The cut in it is of another run.
    OtherRun,
    /// The cut in it lacks its last volume.
    MissingVolume,
    /// It is held until so many microseconds after the caller's deadline; before it, when negative.
    AtDeadline(i64),
}

/// Why a fault was not accepted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// There is no such operation.
    #[error("op: {0:?} is no operation of the fleet")]
    Operation(String),
    /// There is no such fault.
    #[error(
        "fault: {0:?} is none of throttle, error500, drop-response, delay-ms:N, hang, kill-caller, \
         kill-commands, reset, half-answer, half-answer-hang, other-run, missing-volume, at-deadline-us:N"
    )]
    Fault(String),
}

/// A fault as it is ordered: the body of `POST /_fleet/faults`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultOrder {
    /// The operation.
    pub op: String,
    /// `throttle`, `error500`, `drop-response`, `delay-ms:N`, `hang`, `kill-caller`, `kill-commands`, or
    /// what spoils an answer: `reset`, `half-answer`, `half-answer-hang`; of the signal function's FROZEN
    /// only: `other-run`, `missing-volume`, `at-deadline-us:N`.
    pub fault: String,
    /// How many calls it hits.
    #[serde(default = "once")]
    pub times: u64,
    /// How many matching calls pass before.
    #[serde(default)]
    pub after: u64,
    /// Only invocations of this function.
    pub function: Option<String>,
    /// Only invocations with an event of this kind, its first key: `ready`, `frozen`.
    pub event: Option<String>,
    /// Only calls of this function, or of this instance.
    pub caller: Option<String>,
}

fn once() -> u64 {
    1
}

/// One call, as far as faults care.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The operation.
    pub operation: &'static str,
    /// Who calls.
    pub caller: &'a Caller,
    /// For `Invoke`, the function.
    pub function: Option<&'a str>,
    /// For `Invoke`, the kind of the event.
    pub event: Option<&'a str>,
}

#[derive(Debug)]
struct Armed {
    operation: &'static str,
    fault: Fault,
    order: FaultOrder,
}

/// Faults that come by chance, to whoever calls but the operator.
#[derive(Debug, Default)]
struct Chance {
    of: f64,
    random: Option<fastrand::Rng>,
    hits: BTreeMap<&'static str, u64>,
}

/// The faults of a region that wait for their call.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Vec<Armed>>, Mutex<Chance>);

impl Faults {
    /// Adds a fault behind those that wait already.
    ///
    /// # Errors
    /// The operation or the fault does not exist.
    pub fn add(&self, order: FaultOrder) -> Result<(), FaultError> {
        let operation = operation::named(&order.op).ok_or_else(|| FaultError::Operation(order.op.clone()))?;
        let fault = read(&order.fault).ok_or_else(|| FaultError::Fault(order.fault.clone()))?;
        lock(&self.0).push(Armed { operation, fault, order });
        Ok(())
    }

    /// From now on one call in `1 / of` is throttled, fails, or loses its answer after the effect; of the
    /// signal function's some end with its death.
    pub fn by_chance(&self, of: f64, seed: u64) {
        *lock(&self.1) = Chance { of, random: Some(fastrand::Rng::with_seed(seed)), hits: BTreeMap::new() };
    }

    /// How many faults came by chance, by kind.
    #[must_use]
    pub fn chance_hits(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.1).hits.clone()
    }

    /// Forgets all that still wait.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }

    /// The fault for this call, used up by it.
    #[must_use]
    pub fn take(&self, call: Call<'_>) -> Option<Fault> {
        let mut waiting = lock(&self.0);
        let mut hit = None;
        for armed in waiting.iter_mut().filter(|armed| armed.matches(call)) {
            if armed.order.after > 0 {
                armed.order.after -= 1;
            } else if hit.is_none() && armed.order.times > 0 {
                armed.order.times -= 1;
                hit = Some(armed.fault);
            }
        }
        waiting.retain(|armed| armed.order.times > 0);
        drop(waiting);
        hit.or_else(|| lock(&self.1).take(call))
    }
}

impl Chance {
    fn take(&mut self, call: Call<'_>) -> Option<Fault> {
        let random = self.random.as_mut()?;
        if *call.caller == Caller::Operator || random.f64() >= self.of {
            return None;
        }
        let kinds = [
            ("throttled", Fault::Throttle),
            ("5xx", Fault::Error500),
            ("answer lost", Fault::DropResponse),
            ("function killed", Fault::KillCaller),
        ];
        let signal = matches!(call.caller, Caller::Function { name, .. } if name == crate::caller::SIGNAL);
        let (kind, fault) = *kinds.get(random.usize(..if signal { 4 } else { 3 }))?;
        *self.hits.entry(kind).or_default() += 1;
        Some(fault)
    }
}

impl Armed {
    fn matches(&self, call: Call<'_>) -> bool {
        self.operation == call.operation
            && self.order.function.as_deref().is_none_or(|function| call.function == Some(function))
            && self.order.event.as_deref().is_none_or(|event| call.event == Some(event))
            && self.order.caller.as_deref().is_none_or(|caller| call.caller.name() == caller)
    }
}

fn read(fault: &str) -> Option<Fault> {
    Some(match fault {
        "throttle" => Fault::Throttle,
        "error500" => Fault::Error500,
        "drop-response" => Fault::DropResponse,
        "hang" => Fault::Hang,
        "kill-caller" => Fault::KillCaller,
        "kill-commands" => Fault::KillCommands,
        "reset" => Fault::Spoil(Spoil::Reset),
        "half-answer" => Fault::Spoil(Spoil::Half),
        "half-answer-hang" => Fault::Spoil(Spoil::HalfAndHang),
        "other-run" => Fault::Spoil(Spoil::OtherRun),
        "missing-volume" => Fault::Spoil(Spoil::MissingVolume),
        _ => match fault.split_once(':')? {
            ("delay-ms", ms) => Fault::Delay(Duration::from_millis(ms.parse().ok()?)),
            ("at-deadline-us", us) => Fault::Spoil(Spoil::AtDeadline(us.parse().ok()?)),
            _ => return None,
        },
    })
}

/// How often each operation was called, every attempt counted, by caller.
#[derive(Debug, Default)]
pub struct Calls(Mutex<BTreeMap<(&'static str, String), u64>>);

impl Calls {
    /// Counts one.
    pub fn count(&self, call: Call<'_>) {
        *lock(&self.0).entry((call.operation, call.caller.name().to_owned())).or_default() += 1;
    }

    /// The counts by operation; of one caller, or of all.
    #[must_use]
    pub fn by_operation(&self, of: Option<&str>) -> BTreeMap<&'static str, u64> {
        let mut sums = BTreeMap::new();
        for ((operation, caller), count) in &*lock(&self.0) {
            if of.is_none_or(|of| of == caller) {
                *sums.entry(*operation).or_default() += count;
            }
        }
        sums
    }
}

#[cfg(test)]
#[path = "faults_tests.rs"]
mod tests;
