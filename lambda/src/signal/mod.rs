//! The signal function: takes the snapshots while somebody is frozen.
//!
//! It acts on signed work orders and nothing else, keeps nothing between READY and FROZEN (they may
//! reach different environments), and answers a failure of its own as a refusal: the helper can do
//! nothing with a function error but thaw.

mod cut;
mod key;
mod set;

use crate::{
    aws::{Account, CreateSnapshots, Parameters, WarmUp},
    clock::Clock,
    config::Config,
    timer,
};
use key::KeyKeeper;
use std::time::Duration;
use stillframe_wire::{
    Answer, Frozen, OrderError, Ready, ReadyAnswer, Refusal, RefusalReason, Signal, WorkOrder,
};

/// How long READY, or the start of an environment, waits for a warm connection.
const WARM_UP: Duration = Duration::from_secs(2);

/// The function's environment.
#[derive(Debug)]
pub struct SignalFunction {
    clock: Clock,
    key: KeyKeeper,
    warm_up: WarmUp,
    create_snapshots: CreateSnapshots,
}

impl SignalFunction {
    /// Prepares the environment: loads the key and opens the EC2 connection, at the same time, so that
    /// a FROZEN that meets it first finds both. Neither failing is fatal; each is tried again when
    /// needed.
    pub async fn start(config: &Config) -> Self {
        Self::start_in(&Account::from_environment().await, config).await
    }

    /// The same in this account.
    pub async fn start_in(account: &Account, config: &Config) -> Self {
        let mut function = Self {
            clock: config.clock,
            key: KeyKeeper::new(Parameters::new(account), config.key_parameter()),
            warm_up: WarmUp::new(account),
            create_snapshots: CreateSnapshots::new(account),
        };
        let (key, ()) =
            tokio::join!(timer::within(WARM_UP, function.key.load()), function.warm_up.call(WARM_UP));
        if let Some(Err(error)) = key {
            tracing::info!(%error, "no signing key yet");
        }
        function
    }

    /// Answers one invocation.
    pub async fn answer(&mut self, payload: &[u8]) -> Answer {
        let answer = match Signal::read(payload) {
            Err(error) => Err(refusal(RefusalReason::Malformed, error.to_string())),
            Ok(Signal::Ready(ready)) => self.ready(&ready).await,
            Ok(Signal::Frozen(frozen)) => self.frozen(&frozen).await,
        };
        answer.unwrap_or_else(Answer::Refused)
    }

    async fn ready(&mut self, ready: &Ready) -> Result<Answer, Refusal> {
        let order = self.verify(&ready.order).await?;
        if order.rehearse && !ready.rehearse {
            let message =
                "the order is for a rehearsal and this helper would freeze; update stillframe-helper";
            return Err(refusal(RefusalReason::Malformed, message.to_owned()));
        }
        set::compose(&order, &ready.filesystems)?;
        self.warm_up.call(WARM_UP).await;
        Ok(Answer::Ready(ReadyAnswer { run: order.run }))
    }

    async fn frozen(&mut self, frozen: &Frozen) -> Result<Answer, Refusal> {
        let budget = cut::Budget::new(Duration::from_millis(frozen.budget_ms));
        let order = self.verify(&frozen.order).await?;
        if order.rehearse {
            let message = "the order is for a rehearsal: no snapshot is made";
            return Err(refusal(RefusalReason::Malformed, message.to_owned()));
        }
        let request = set::compose(&order, &frozen.filesystems)?;
        let cut = cut::cut(&self.create_snapshots, &self.clock, &order, &request, &budget).await?;
        self.warm_up.used();
        Ok(Answer::Cut(cut))
    }

    /// Reads the order if our key signed it and it is still good. A key that was replaced since this
    /// environment started is looked up once more before an order is called forged.
    async fn verify(&mut self, token: &str) -> Result<WorkOrder, Refusal> {
        let internal = |error: key::NoKey| refusal(RefusalReason::Internal, error.to_string());
        let now = self.clock.now_s();
        let mut verdict = WorkOrder::verify(token, self.key.get().await.map_err(internal)?, now);
        if verdict == Err(OrderError::BadSignature) && self.key.is_old() {
            self.key.load().await.map_err(internal)?;
            verdict = WorkOrder::verify(token, self.key.get().await.map_err(internal)?, now);
        }
        verdict.map_err(|error| {
            let reason = match error {
                OrderError::Expired { .. } => RefusalReason::Expired,
                OrderError::BadSignature => RefusalReason::BadSignature,
                _ => RefusalReason::Malformed,
            };
            refusal(reason, error.to_string())
        })
    }
}

fn refusal(reason: RefusalReason, message: String) -> Refusal {
    Refusal { reason, message }
}
