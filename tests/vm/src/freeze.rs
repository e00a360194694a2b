//! `stillframe-helper freeze` in the guest, as the SSM agent starts it, with a signed order.

use crate::signal_function::{Frozen, SignalFunction};
use anyhow::Context;
use serde_json::json;
use std::time::Duration;
use stillframe_wire::{AUDIENCE, OrderError, Report, SigningKey, VolumeId, WorkOrder};
use vm::guest::Guest;
use vm::words::Done;

const INSTANCE: &str = "i-0aaaaaaaaaaaaaaa1";
/// The function's key and the order's, of a region that does not exist.
const KEY: [u8; 32] = [7; 32];

/// How a freeze ended.
#[derive(Debug)]
pub(crate) struct Outcome<T> {
    /// The helper's end.
    pub(crate) done: Done,
    /// What it printed; nothing when it was killed.
    pub(crate) report: Option<Report>,
    /// What the scenario did at FROZEN; nothing when there was none.
    pub(crate) at_frozen: Option<T>,
}

impl<T> Outcome<T> {
    /// The report's essence in one line.
    pub(crate) fn said(&self) -> String {
        let code = self.done.code.map_or_else(|| "killed".to_owned(), |code| format!("exit {code}"));
        match &self.report {
            Some(report) => {
                let error = report.error.as_deref().unwrap_or_default();
                let reason = report.reason.map(|reason| format!(" {reason:?}")).unwrap_or_default();
                format!("{code}, {:?}{reason} {error}", report.verdict).trim().to_owned()
            }
            None => format!("{code}, no report {}", self.done.stderr.trim()).trim().to_owned(),
        }
    }
}

/// An order for these volumes.
pub(crate) fn order(volumes: &[VolumeId], max_freeze: Duration) -> anyhow::Result<WorkOrder> {
    let volumes: Vec<_> = volumes.iter().map(|id| json!({"id": id, "device": "/dev/sdf"})).collect();
    // As JSON, so that what an order need not say is not said here either.
    Ok(serde_json::from_value(json!({
        "v": stillframe_wire::VERSION,
        "aud": AUDIENCE,
        "sub": INSTANCE,
        "exp": 4_000_000_000_u64,
        "jti": "daily/2026-11-22/k3v9x2",
        "policy": "daily",
        "slot": "2026-11-22",
        "volumes": volumes,
        "exclude_boot": true,
        "tags": {},
        "layout_tags": 8,
        "max_freeze_ms": u64::try_from(max_freeze.as_millis())?,
        "hooks": false,
        "signal_function": "signal",
    }))?)
}

fn sign(order: &WorkOrder) -> Result<String, OrderError> {
    order.sign(&SigningKey::new(KEY.to_vec())?)
}

/// Runs the helper to its end. `at_frozen` is called once everything is frozen; then the answer goes back.
/// `before` are shell commands that the helper's shell runs first.
pub(crate) fn freeze<T>(
    guest: &Guest,
    order: &WorkOrder,
    before: &str,
    at_frozen: impl FnOnce(&Frozen) -> anyhow::Result<T>,
) -> anyhow::Result<Outcome<T>> {
    let function = SignalFunction::start()?;
    let script = format!(
        "{before}\nexport AWS_REGION=eu-north-1 AWS_ACCESS_KEY_ID=AKIDTEST AWS_SECRET_ACCESS_KEY=secret\n\
         export AWS_ENDPOINT_URL_LAMBDA={} AWS_SSM_INSTANCE_ID={INSTANCE} SSM_order={}\n\
         exec /opt/stillframe-helper freeze",
        function.url(),
        sign(order)?
    );
    std::thread::scope(|scope| {
        let helper = scope.spawn(|| guest.run_any(&script));
        let mut at_frozen = Some(at_frozen);
        let mut result = None;
        while !helper.is_finished() {
            let Some(frozen) = function.frozen(Duration::from_millis(20)) else { continue };
            if let Some(at_frozen) = at_frozen.take() {
                result = Some(at_frozen(&frozen));
                frozen.answer();
            }
        }
        let done = helper.join().map_err(|_| anyhow::anyhow!("the helper's thread panicked"))??;
        let report = Report::read(&done.stdout).ok();
        let at_frozen = result.transpose().context("while everything was frozen")?;
        Ok(Outcome { done, report, at_frozen })
    })
}
