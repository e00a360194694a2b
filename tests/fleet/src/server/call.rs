//! What every AWS call goes through, whatever its service: it is counted, the caller's right is checked, a
//! fault may hit it, it takes its time, and its effect happens whether or not somebody still waits.

use super::Lost;
use super::protocol::Protocol;
use super::spoil::spoil;
use crate::api_error::ApiError;
use crate::caller::Caller;
use crate::faults::{self, Fault};
use crate::region::Region;
use crate::rights::Denial;
use axum::body::Body;
use axum::http::Response;
use stack::iam;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use stillframe_lambda::timer;

/// The step of tokio's timer.
const TICK: Duration = Duration::from_millis(1);

/// One call of an operation.
#[derive(Debug)]
pub struct Call {
    /// How answers are written.
    pub protocol: Protocol,
    /// The operation.
    pub operation: &'static str,
    /// Who calls.
    pub caller: Caller,
    /// For `Invoke`, the function.
    pub function: Option<&'static str>,
    /// For `Invoke`, the kind of the event.
    pub event: Option<String>,
    /// When the caller gives the answer up, where it has said so.
    pub deadline: Option<Instant>,
    /// The instance that the call is about, if it is about one.
    pub instance: Option<String>,
    /// What IAM is asked, where a template says who may do what.
    pub asked: Option<iam::Call>,
}

/// How the latency relates to the effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The effect's own time counts inside.
    Whole,
    /// The effect's own time comes on top: a function takes as long as it takes.
    Added,
}

impl Call {
    /// A call of an operation that is no function's.
    pub fn of(protocol: Protocol, operation: &'static str, caller: Caller, instance: Option<String>) -> Self {
        Self {
            protocol,
            operation,
            caller,
            function: None,
            event: None,
            deadline: None,
            instance,
            asked: None,
        }
    }

    /// Serves the call. The effect comes after half of the latency, so that neither a freeze that is late
    /// nor a thaw that is early can go unnoticed.
    pub async fn serve<F>(self, region: Arc<Region>, pace: Pace, effect: F) -> Response<Body>
    where
        F: Future<Output = Result<Response<Body>, ApiError>> + Send + 'static,
    {
        let seen = faults::Call {
            operation: self.operation,
            caller: &self.caller,
            function: self.function,
            event: self.event.as_deref(),
        };
        region.calls.count(seen);
        if let Err(denial) = self.allowed(&region) {
            return self.protocol.error(&self.protocol.denied(&denial));
        }
        if !region.buckets.take(self.operation) {
            region.throttled.count(seen);
            return self.protocol.error(&self.protocol.throttled());
        }
        match region.faults.take(seen) {
            Some(Fault::Throttle) => self.protocol.error(&self.protocol.throttled()),
            Some(Fault::Error500) => self.protocol.error(&self.protocol.failed()),
            Some(Fault::Hang) => std::future::pending().await,
            fault => {
                let protocol = self.protocol;
                // A task of its own: it goes on when the client has hung up.
                let task = tokio::spawn(self.happen(region, fault, pace, effect));
                task.await.unwrap_or_else(|error| protocol.error(&ApiError::internal(&error)))
            }
        }
    }

    fn allowed(&self, region: &Region) -> Result<(), Denial> {
        match (&region.rights, &self.asked) {
            (Some(rights), Some(asked)) => rights.check(&self.caller, asked),
            _ if self.caller.may(self.operation, self.function) => Ok(()),
            _ => Err(Denial::plain(self.caller.name(), self.operation)),
        }
    }

    async fn happen<F>(
        self,
        region: Arc<Region>,
        fault: Option<Fault>,
        pace: Pace,
        effect: F,
    ) -> Response<Body>
    where
        F: Future<Output = Result<Response<Body>, ApiError>>,
    {
        region.in_flight.fetch_add(1, Ordering::SeqCst);
        if let Some(Fault::Delay(longer)) = fault {
            timer::sleep(longer).await;
        }
        if fault == Some(Fault::KillCommands) {
            kill_commands(&region, self.instance.as_deref().or(calling_instance(&self.caller)));
        }
        let arrived = timer::now();
        let latency = region.latencies.of(self.operation);
        wait_until(arrived + latency / 2).await;
        let answer = effect.await.unwrap_or_else(|error| self.protocol.error(&error));
        match pace {
            Pace::Whole => wait_until(arrived + latency).await,
            Pace::Added => wait_until(timer::now() + latency / 2).await,
        }
        let answer = match fault {
            Some(Fault::DropResponse) => lost(),
            Some(Fault::KillCaller) => {
                match &self.caller {
                    Caller::Function { environment, .. } => region.functions.kill(*environment).await,
                    caller => kill_commands(&region, calling_instance(caller)),
                }
                lost()
            }
            Some(Fault::Spoil(how)) => spoil(how, answer, self.deadline).await,
            _ => answer,
        };
        region.in_flight.fetch_sub(1, Ordering::SeqCst);
        answer
    }
}

/// Waits to the nearest tick of the timer, which would otherwise round up: several waits follow each other
/// inside a frozen window, and their sum is measured.
async fn wait_until(deadline: Instant) {
    let until = deadline.checked_sub(TICK / 2).unwrap_or(deadline);
    timer::sleep(until.saturating_duration_since(timer::now())).await;
}

fn calling_instance(caller: &Caller) -> Option<&str> {
    match caller {
        Caller::Instance(id) => Some(id),
        _ => None,
    }
}

fn kill_commands(region: &Region, instance: Option<&str>) {
    if let Some(instance) = instance {
        region.commands.scripts(Some(instance)).iter().for_each(|script| script.kill());
    }
}

fn lost() -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    answer.extensions_mut().insert(Lost);
    answer
}
