//! Sending orders and, as a last resort, thaws.

use super::{
    order::{DELIVERY, execution, work_order},
    pace::Paces,
};
use crate::{
    aws::{CallError, Cause, Document, SendCommand, Sent},
    clock::Clock,
    timer,
};
use std::time::Duration;
use stillframe_plan::{InstanceId, Order, Plan, RunId};
use stillframe_wire::SigningKey;

/// How often a throttled command, which was certainly not sent, is tried.
const MOST_TRIES: u32 = 5;
/// First pause after a throttled try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The same for a thaw.
const FIRST_THAW_PAUSE: Duration = Duration::from_millis(100);

/// What came of sending one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sending {
    /// SSM has it.
    Sent(Sent),
    /// Nobody knows: it is recognised by its comment, if it shows up.
    Unknown(String),
    /// SSM has not.
    Failed(String),
}

/// Sends commands.
#[derive(Debug)]
pub struct Dispatch {
    send_command: SendCommand,
    clock: Clock,
    signal_function: String,
}

impl Dispatch {
    /// Sends through this verb, for this signal function.
    #[must_use]
    pub fn new(send_command: SendCommand, clock: Clock, signal_function: String) -> Self {
        Self { send_command, clock, signal_function }
    }

    /// Signs a fresh order and sends it.
    pub async fn order(&self, plan: &Plan, order: &Order, key: &SigningKey, paces: &mut Paces) -> Sending {
        let mut pause = FIRST_PAUSE;
        // A try that was throttled cuts nothing: the order has its one cut ahead, however often it is sent.
        paces.cuts.token().await;
        for tries_left in (0..MOST_TRIES).rev() {
            paces.commands.token().await;
            let signed = work_order(plan, order, &self.signal_function, self.clock.now_s())
                .map_err(|error| error.to_string())
                .and_then(|order| order.sign(key).map_err(|error| error.to_string()));
            let token = match signed {
                Ok(token) => token,
                Err(cause) => return Sending::Failed(cause),
            };
            let parameters = [
                ("order", token),
                ("executionTimeout", execution(order.max_freeze_ms).as_secs().to_string()),
            ];
            let answer = self
                .send_command
                .call(&order.call.instance, Document::Freeze, &parameters, plan.run.as_str(), DELIVERY)
                .await;
            match answer {
                Ok(sent) => return Sending::Sent(sent),
                // By SSM, which says nothing of EC2's bucket.
                Err(error) if error.cause() == Cause::Throttled && tries_left > 0 => {
                    paces.commands.throttled();
                    timer::sleep(pause).await;
                    pause *= 2;
                }
                Err(error @ CallError::Unknown { .. }) => return Sending::Unknown(error.to_string()),
                Err(error) => return Sending::Failed(error.to_string()),
            }
        }
        Sending::Failed("SendCommand was throttled".to_owned())
    }

    /// Has an instance thaw whatever a freeze left frozen. Needs no order and waits for no pace; harmless
    /// where nothing is frozen, and so sent again when it was throttled or nobody knows.
    ///
    /// # Errors
    /// It was not sent, or nobody knows.
    pub async fn thaw(&self, instance: &InstanceId, run: &RunId) -> Result<(), CallError> {
        let mut pause = FIRST_THAW_PAUSE;
        let mut tries_left = MOST_TRIES;
        loop {
            tries_left -= 1;
            let answer = self.send_command.call(instance, Document::Thaw, &[], run.as_str(), DELIVERY).await;
            match answer {
                Err(error) if tries_left > 0 && error.cause() != Cause::Refused => {
                    tracing::warn!(%error, %instance, "thaw not sent; sending it again");
                    timer::sleep(pause).await;
                    pause *= 2;
                }
                answer => return answer.map(|_| ()),
            }
        }
    }
}
