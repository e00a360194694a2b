//! The other way: a tool that looks at each volume, snapshots it and tags the snapshot, one by one, as
//! Snaptastic did. Ten at once, a throttled call repeated after a pause that doubles, and no fault comes its
//! way.

use super::account::Account;
use super::figures::Naive;
use crate::simulation::{Line, Simulation};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use stillframe_lambda::timer;
use tokio::task::spawn_local;

const WORKERS: usize = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

/// Runs it on the same fleet, an hour later, when every bucket is full again.
pub async fn run(simulation: &Simulation, account: &Account) -> Naive {
    timer::sleep(Duration::from_secs(3_600)).await;
    let calls = || simulation.region.calls.by_operation(Some("operator"));
    let (before, began) = (calls(), timer::now());
    let line = Rc::new(simulation.line.clone());
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (line, account) = (Rc::clone(&line), *account);
            spawn_local(async move {
                for number in (worker..account.volumes()).step_by(WORKERS) {
                    let (instance, volume) =
                        (number / account.volumes_per_instance, number % account.volumes_per_instance);
                    one(&line, &Account::volume(instance, volume)).await;
                }
            })
        })
        .collect();
    for worker in workers {
        // One that panicked would show in the counts.
        let _ = worker.await;
    }
    let after: BTreeMap<_, _> = calls();
    let made = after.iter().map(|(name, count)| count - before.get(name).copied().unwrap_or(0)).sum();
    let throttled = simulation.region.throttled.by_operation(Some("operator")).values().sum();
    Naive { makespan_s: timer::now().duration_since(began).as_secs_f64(), calls: made, throttled }
}

async fn one(line: &Line, volume: &str) {
    insist(line, format!("Action=DescribeVolumes&VolumeId.1={volume}")).await;
    let made = insist(line, format!("Action=CreateSnapshot&VolumeId={volume}")).await;
    let id = made.split_once("<snapshotId>").and_then(|(_, rest)| rest.split('<').next());
    if let Some(id) = id {
        let tag = "Tag.1.Key=naive&Tag.1.Value=yes";
        insist(line, format!("Action=CreateTags&ResourceId.1={id}&{tag}")).await;
    }
}

/// Makes a call until it is not throttled.
async fn insist(line: &Line, form: String) -> String {
    let mut pause = FIRST_PAUSE;
    loop {
        match line.ec2(form.clone(), None).await {
            Ok((status, text)) if status.is_success() || !text.contains("RequestLimitExceeded") => {
                return text;
            }
            _ => timer::sleep(pause).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
