//! The function's memory: the real program, in a process of its own, on the machine's own time. It runs the
//! policy over the same account, of which all instances but a few have their restore point of the day: so it
//! looks at everything, plans, sends orders, settles, looks again and prunes, and is done in a minute.

use super::account::Account;
use crate::diskless::Diskless;
use crate::region::Region;
use crate::server;
use crate::sync::lock;
use crate::{lambda, random};
use anyhow::Context;
use std::sync::Arc;
use stillframe_plan::tags;
use tokio::net::TcpListener;

/// Instances that have something to do.
const BUSY: usize = 20;

/// The most memory that it has had, MiB.
///
/// # Errors
/// It could not be run.
pub fn measure(account: &Account) -> anyhow::Result<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut spec = account.spec();
        spec.latency_ms = ["Describe", "others"].map(|name| (name.to_owned(), 0)).into();
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", socket.local_addr()?);
        let machines = Arc::new(Diskless::new(&spec));
        let launcher = std::env::current_exe()?;
        let region = Arc::new(Region::new(&spec, &endpoint, machines, Some(launcher))?);
        let listener = server::listen(socket, server::router(Arc::clone(&region)));
        account.fill_until(&region, 0);
        take_away_some(&region);
        let event = account.policy().to_string();
        let outcome = lambda::invoke(&region, "backup", event.as_bytes(), &random::uuid()).await;
        let peak = region.functions.peak_mib("backup");
        drop(listener);
        region.shutdown().await;
        let answer = outcome.map_err(|error| anyhow::anyhow!("{}: {}", error.code, error.message))?;
        anyhow::ensure!(answer.is_ok(), "the backup function failed: {answer:?}");
        peak.context("the function's process is gone")
    })
}

/// Some instances have no restore point of today.
fn take_away_some(region: &Region) {
    let mut inventory = lock(&region.inventory);
    let today = region.clock.now().format("%Y-%m-%d").to_string();
    let busy: Vec<String> = inventory.instances.keys().take(BUSY).cloned().collect();
    inventory.snapshots.retain(|_, snapshot| {
        snapshot.tags.get(tags::SLOT) != Some(&today)
            || snapshot.tags.get(tags::INSTANCE).is_none_or(|instance| !busy.contains(instance))
    });
}
