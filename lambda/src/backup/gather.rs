//! Gathering: what became of the orders that were sent. One listing tells of many of them; it lags
//! behind `SendCommand`, so an order that is not in it yet is under way.
//!
//! Orders are looked at while others are still being sent: what is frozen must not wait for the other
//! instances, and what was throttled is to slow down those that follow. When, and how many calls it takes, is
//! decided by [`looks`].

use super::{
    case::Case,
    deadline::Deadline,
    dispatch::Sending,
    evidence::{needs_thaw, of_report, of_silence},
    looks::{self, InAir},
    stop::Stop,
};
use crate::{
    aws::{CallError, Document, Invocation, Invocations, Stage},
    clock::Clock,
    timer,
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};
use stillframe_plan::{Evidence, InstanceId, RunId};
use stillframe_wire::{Reason, Report};

/// First pause between two looks; each further one is longer by half.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// Longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How far SSM's clock may be behind ours, where it has not told when an order was sent.
const SKEW: TimeDelta = TimeDelta::seconds(5);
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
    sent_at: DateTime<Utc>,
}

impl Flight {
    /// The flight of a sending that began at that time of ours; `None` when nothing left, which the case is
    /// told.
    pub fn of(case: usize, cases: &mut [Case<'_>], sending: Sending, sent_at: DateTime<Utc>) -> Option<Self> {
        let found = cases.get_mut(case)?;
        found.attempt += 1;
        let instance = found.expected.instance.clone()?;
        let ours = sent_at - SKEW;
        let (command, sent_at, cause) = match sending {
            Sending::Sent(sent) => (Some(sent.command), sent.at.unwrap_or(ours), String::new()),
            Sending::Unknown(cause) => (None, ours, cause),
            Sending::Failed(cause) => {
                found.evidence = Evidence::NotSent { cause };
                return None;
            }
        };
        found.evidence = Evidence::UnderWay;
        let run = found.expected.run.clone();
        Some(Self { case, instance, run, command, cause, left: timer::now(), sent_at })
    }

    /// Its invocation among those listed. One whose command id is not known is recognised by instance
    /// and comment, among the commands that are nobody else's.
    fn find<'i>(
        &self,
        listed: impl IntoIterator<Item = &'i Invocation>,
        known: &BTreeSet<String>,
    ) -> Option<&'i Invocation> {
        listed.into_iter().find(|invocation| match &self.command {
            Some(command) => &invocation.command == command && invocation.instance == self.instance,
            None => {
                invocation.instance == self.instance
                    && invocation.carries(self.run.as_str())
                    && !known.contains(&invocation.command)
            }
        })
    }
}

/// The orders that are in the air, and what came of those that were.
#[derive(Debug, Default)]
pub struct Air {
    flights: Vec<Flight>,
    /// Every command that was sent by us.
    known: BTreeSet<String>,
    /// When each order was sent, in order.
    sent: Vec<DateTime<Utc>>,
    looked_at: Option<Instant>,
    /// How many were added since.
    new: usize,
    /// Cases whose order nobody has: their sending was unknown, and nothing of them showed up.
    pub absent: Vec<usize>,
    /// Instances that were told to thaw, and what came of that.
    pub thaws: Vec<(InstanceId, Result<(), String>)>,
    /// How many reports since the last look tell that EC2 was asked too often.
    pub throttled: usize,
}

impl Air {
    /// One more.
    pub fn add(&mut self, flight: Flight) {
        self.looked_at.get_or_insert_with(timer::now);
        self.new += 1;
        self.known.extend(flight.command.clone());
        let place = self.sent.partition_point(|at| *at <= flight.sent_at);
        self.sent.insert(place, flight.sent_at);
        self.flights.push(flight);
    }

    /// Whether it is time for a look, while orders are still being sent.
    #[must_use]
    pub fn is_look_due(&self) -> bool {
        let Some(looked_at) = self.looked_at else { return false };
        let ago = timer::now().duration_since(looked_at);
        looks::is_due(&self.in_air(), &self.sent, self.new, ago)
    }

    fn in_air(&self) -> Vec<InAir> {
        let in_air = |flight: &Flight| InAir { sent_at: flight.sent_at, has_name: flight.command.is_some() };
        self.flights.iter().map(in_air).collect()
    }

    /// When the oldest order in the air was sent, or a little before.
    #[must_use]
    pub fn oldest(&self) -> Option<DateTime<Utc>> {
        self.flights.iter().map(|flight| flight.sent_at).min()
    }

    /// What a listing has to go back to, and the flights that are asked for by themselves.
    fn reach(&self) -> (Option<DateTime<Utc>>, Vec<(&str, &InstanceId)>) {
        let reach = looks::reach(&self.in_air(), &self.sent);
        let alone = reach.alone.iter().filter_map(|at| self.flights.get(*at));
        (
            reach.since,
            alone.filter_map(|flight| Some((flight.command.as_deref()?, &flight.instance))).collect(),
        )
    }
}

/// Looks at what became of orders.
#[derive(Debug, Clone)]
pub struct Gather {
    invocations: Invocations,
    clock: Clock,
}

impl Gather {
    /// Looks through this verb.
    #[must_use]
    pub fn new(invocations: Invocations, clock: Clock) -> Self {
        Self { invocations, clock }
    }

    /// Waits until every flight has ended; tells the cases and `air`. `thaw` is called for an instance as
    /// soon as its order has ended without proof that all is thawed there.
    ///
    /// # Errors
    /// Time is nearly up; the cases that have ended are told.
    pub async fn all(
        &self,
        air: &mut Air,
        cases: &mut [Case<'_>],
        deadline: &Deadline,
        thaw: impl AsyncFn(&InstanceId) -> Result<(), String>,
    ) -> Result<(), Stop> {
        let mut pause = FIRST_PAUSE;
        while !air.flights.is_empty() {
            deadline.check()?;
            timer::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
            self.look(air, cases, &thaw).await;
        }
        Ok(())
    }

    /// Looks once; tells the cases that have ended.
    pub async fn look(
        &self,
        air: &mut Air,
        cases: &mut [Case<'_>],
        thaw: &impl AsyncFn(&InstanceId) -> Result<(), String>,
    ) {
        air.throttled = 0;
        air.new = 0;
        air.looked_at = Some(timer::now());
        let listed = match self.list(air).await {
            Ok(listed) => listed,
            Err(error) => {
                tracing::warn!(%error, "orders not seen; looking again");
                return;
            }
        };
        let mut by_instance: BTreeMap<&InstanceId, Vec<&Invocation>> = BTreeMap::new();
        for invocation in &listed {
            by_instance.entry(&invocation.instance).or_default().push(invocation);
        }
        for mut flight in std::mem::take(&mut air.flights) {
            let Some(case) = cases.get_mut(flight.case) else { continue };
            let own = by_instance.get(&flight.instance).into_iter().flatten().copied();
            match flight.find(own, &air.known) {
                Some(invocation) if invocation.stage != Stage::UnderWay => {
                    if needs_thaw(invocation) {
                        let sent = thaw(&flight.instance).await;
                        air.thaws.push((flight.instance, sent));
                    }
                    (case.evidence, case.report) = self.read(invocation, &flight.run).await;
                    air.throttled += usize::from(was_throttled(case));
                }
                Some(invocation) => {
                    flight.command = Some(invocation.command.clone());
                    air.known.insert(invocation.command.clone());
                    air.flights.push(flight);
                }
                None if flight.command.is_none() && timer::now().duration_since(flight.left) > SHOWS_UP => {
                    case.evidence = Evidence::NotSent { cause: flight.cause };
                    air.absent.push(flight.case);
                }
                None => air.flights.push(flight),
            }
        }
    }

    async fn list(&self, air: &Air) -> Result<Vec<Invocation>, CallError> {
        let (since, alone) = air.reach();
        let mut listed = match since {
            Some(since) => self.invocations.of_document(Document::Freeze, since).await?,
            None => Vec::new(),
        };
        for (command, instance) in alone {
            listed.extend(self.invocations.one(command, instance).await?);
        }
        Ok(listed)
    }

    /// What time it is: for [`Flight::of`], before an order is sent.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
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

/// Whether EC2 was asked too often for its snapshots.
fn was_throttled(case: &Case<'_>) -> bool {
    case.report.as_ref().and_then(|report| report.reason) == Some(Reason::Throttled)
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
            left: timer::now(),
            sent_at: DateTime::UNIX_EPOCH,
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
