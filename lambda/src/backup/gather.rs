//! Gathering: what became of the orders that were sent. One listing tells of all of them; it lags
//! behind `SendCommand`, so an order that is not in it yet is under way.

use super::{
    case::Case,
    deadline::Deadline,
    dispatch::Sending,
    evidence::{needs_thaw, of_report, of_silence},
    stop::Stop,
};
use crate::{
    aws::{Invocation, Invocations, Stage},
    config::FREEZE_DOCUMENT,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use stillframe_plan::{Evidence, InstanceId, RunId};
use stillframe_wire::Report;

/// First pause between two looks; each further one is longer by half.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How far SSM's clock may be behind ours.
const SKEW: TimeDelta = TimeDelta::seconds(60);
/// After how long an order whose sending is unknown, and which nothing shows, was not sent. (A command
/// that was sent shows after about a second.)
const SHOWS_UP: Duration = Duration::from_secs(10);

/// One order that was sent, or perhaps sent.
#[derive(Debug)]
pub struct Flight {
    /// Which case it belongs to.
    pub case: usize,
    instance: InstanceId,
    run: RunId,
    command: Option<String>,
    cause: String,
    left: Instant,
}

impl Flight {
    /// The flight of a sending; `None` when nothing left, which the case is told.
    pub fn of(case: usize, cases: &mut [Case<'_>], sending: Sending) -> Option<Self> {
        let found = cases.get_mut(case)?;
        found.attempt += 1;
        let instance = found.expected.instance.clone()?;
        let (command, cause) = match sending {
            Sending::Sent(command) => (Some(command), String::new()),
            Sending::Unknown(cause) => (None, cause),
            Sending::Failed(cause) => {
                found.evidence = Evidence::NotSent { cause };
                return None;
            }
        };
        found.evidence = Evidence::UnderWay;
        Some(Self { case, instance, run: found.expected.run.clone(), command, cause, left: Instant::now() })
    }

    /// Its invocation among those listed. One whose command id is not known is recognised by instance
    /// and comment, among the commands that are nobody else's.
    fn find<'i>(&self, listed: &'i [Invocation], known: &BTreeSet<String>) -> Option<&'i Invocation> {
        listed.iter().find(|invocation| match &self.command {
            Some(command) => &invocation.command == command && invocation.instance == self.instance,
            None => {
                invocation.instance == self.instance
                    && invocation.carries(self.run.as_str())
                    && !known.contains(&invocation.command)
            }
        })
    }
}

/// What came of the flights.
#[derive(Debug, Default)]
pub struct Landed {
    /// Cases whose order nobody has: their sending was unknown, and nothing of them showed up.
    pub absent: Vec<usize>,
    /// Instances that were told to thaw, and what came of that.
    pub thaws: Vec<(InstanceId, Result<(), String>)>,
}

/// Looks at what became of orders.
#[derive(Debug, Clone)]
pub struct Gather {
    invocations: Invocations,
}

impl Gather {
    /// Looks through this verb.
    #[must_use]
    pub fn new(invocations: Invocations) -> Self {
        Self { invocations }
    }

    /// Waits until every flight has ended; tells the cases and `landed`. `since`: when the first of them
    /// was sent. `thaw` is called for an instance as soon as its order has ended without proof that all is
    /// thawed there: what is frozen must not wait for the other instances.
    ///
    /// # Errors
    /// Time is nearly up; the cases that have ended are told.
    pub async fn all(
        &self,
        mut flights: Vec<Flight>,
        cases: &mut [Case<'_>],
        since: DateTime<Utc>,
        deadline: &Deadline,
        landed: &mut Landed,
        thaw: impl AsyncFn(&InstanceId) -> Result<(), String>,
    ) -> Result<(), Stop> {
        let known: BTreeSet<String> = flights.iter().filter_map(|flight| flight.command.clone()).collect();
        let mut pause = FIRST_PAUSE;
        while !flights.is_empty() {
            deadline.check()?;
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            let listed = match self.invocations.of_document(FREEZE_DOCUMENT, since - SKEW).await {
                Ok(listed) => listed,
                Err(error) => {
                    tracing::warn!(%error, "orders not seen; looking again");
                    continue;
                }
            };
            let mut still = Vec::new();
            for flight in flights {
                let Some(case) = cases.get_mut(flight.case) else { continue };
                match flight.find(&listed, &known) {
                    Some(invocation) if invocation.stage != Stage::UnderWay => {
                        if needs_thaw(invocation) {
                            let sent = thaw(&flight.instance).await;
                            landed.thaws.push((flight.instance, sent));
                        }
                        (case.evidence, case.report) = self.read(invocation, &flight.run).await;
                    }
                    None if flight.command.is_none() && flight.left.elapsed() > SHOWS_UP => {
                        case.evidence = Evidence::NotSent { cause: flight.cause };
                        landed.absent.push(flight.case);
                    }
                    _ => still.push(flight),
                }
            }
            flights = still;
        }
        Ok(())
    }

    /// Reads an ended order's report, the whole of it when its first part says that there is more.
    pub async fn read(&self, invocation: &Invocation, run: &RunId) -> (Evidence, Option<Report>) {
        let mut report = Report::read(&invocation.output).ok();
        if report.as_ref().is_none_or(|report| report.truncated)
            && let Ok(Some(whole)) =
                self.invocations.whole_output(&invocation.command, &invocation.instance).await
            && let Ok(whole) = Report::read(&whole)
        {
            report = Some(whole);
        }
        match report {
            Some(report) => (of_report(&report, &invocation.instance, run), Some(report)),
            None => (of_silence(&invocation.stage), None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(command: &str, instance: &str, comment: &str) -> Invocation {
        Invocation {
            command: command.to_owned(),
            instance: instance.into(),
            comment: comment.to_owned(),
            sent_at: None,
            stage: Stage::UnderWay,
            output: String::new(),
        }
    }

    fn flight(command: Option<&str>) -> Flight {
        Flight {
            case: 0,
            instance: "i-1".into(),
            run: "daily/s/x".into(),
            command: command.map(str::to_owned),
            cause: String::new(),
            left: Instant::now(),
        }
    }

    #[test]
    fn a_flight_is_found_by_its_command_or_else_by_instance_and_run() {
        let listed = [
            invocation("c1", "i-1", "daily/s/x"),
            invocation("c2", "i-2", "daily/s/x"),
            invocation("c3", "i-1", "daily/s/other"),
            invocation("c4", "i-1", "daily/s/x"),
        ];
        let none = BTreeSet::new();
        let found = |flight: &Flight, known: &BTreeSet<String>| {
            flight.find(&listed, known).map(|invocation| invocation.command.clone())
        };
        assert_eq!(found(&flight(Some("c3")), &none).as_deref(), Some("c3"));
        assert_eq!(found(&flight(Some("c9")), &none), None);
        assert_eq!(found(&flight(None), &none).as_deref(), Some("c1"));
        let known = BTreeSet::from(["c1".to_owned()]);
        assert_eq!(
            found(&flight(None), &known).as_deref(),
            Some("c4"),
            "the first attempt's is not the second's"
        );
    }
}
