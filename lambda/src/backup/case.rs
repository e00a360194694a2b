//! One instance or volume on its way through a run: what is expected of it and what is known so far.

use stillframe_plan::{Evidence, Expectation, Order, Plan};
use stillframe_wire::Report;

/// The case of one instance or volume.
#[derive(Debug)]
pub struct Case<'p> {
    /// What is to be settled.
    pub expected: Expectation,
    /// Its order, when it has one.
    pub order: Option<&'p Order>,
    /// How often the order was sent.
    pub attempt: u32,
    /// What is known of how it went.
    pub evidence: Evidence,
    /// The helper's report, for the run's own report.
    pub report: Option<Report>,
    /// Whether the crash-consistent set in the order's stead was asked for, and what went wrong.
    pub fallback: Option<Result<(), String>>,
    /// How often snapshots had been asked for when they were last looked for to the end.
    looked: Option<u32>,
}

impl<'p> Case<'p> {
    /// A case of which nothing is known yet.
    #[must_use]
    pub fn new(expected: Expectation, order: Option<&'p Order>) -> Self {
        Self {
            expected,
            order,
            attempt: 0,
            evidence: Evidence::Nothing,
            report: None,
            fallback: None,
            looked: None,
        }
    }

    /// Whether there may be snapshots that have not been looked for.
    #[must_use]
    pub fn is_to_be_looked_for(&self) -> bool {
        self.looked != Some(self.asked())
    }

    /// They have been looked for.
    pub fn note_look(&mut self) {
        self.looked = Some(self.asked());
    }

    fn asked(&self) -> u32 {
        self.attempt + u32::from(self.fallback.is_some())
    }

    /// A case for each of the plan's orders.
    #[must_use]
    pub fn of_orders(plan: &'p Plan) -> Vec<Self> {
        // The plan gives the expectations of orders first, in the orders' order.
        plan.expectations()
            .into_iter()
            .zip(&plan.orders)
            .map(|(expected, order)| Self::new(expected, Some(order)))
            .collect()
    }
}
