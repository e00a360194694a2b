//! What a helper does that has nothing to freeze: it reads the order, fetches the instance's credentials,
//! sends READY and FROZEN to the signal function, and reports.

use serde_json::Value;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use stillframe_wire::{
    Answer, Cut, Exit, FileSystem, FileSystemReport, FileSystemVerdict, Frozen, InstanceId, JsonError,
    OrderError, Ready, Reason, Refusal, RefusalReason, Report, Signal, SnapshotReport, Verdict, WorkOrder,
};

/// The answer of a function, on its way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>>;

/// Has a function called by its name, with an event.
pub type Invoke<'a> = dyn Fn(String, Value) -> Answering<'a> + Send + Sync + 'a;

/// One run of it.
#[derive(Debug)]
pub struct Helper {
    /// The instance that it runs on.
    pub instance: String,
    /// The script's environment.
    pub env: BTreeMap<String, String>,
    /// Mount point and type of every volume of the region.
    pub mounts: Arc<BTreeMap<String, (String, String)>>,
}

/// Why it gave up.
#[derive(Debug, thiserror::Error)]
enum GaveUp {
    #[error(transparent)]
    Order(#[from] OrderError),
    #[error("the signal function cannot be reached: {0}")]
    Unreachable(String),
    #[error("the signal function's answer cannot be read: {0}")]
    Answer(#[from] JsonError),
    #[error("the signal function gave an answer to another question")]
    OtherAnswer,
    #[error("{}", .0.message)]
    Refused(Refusal),
}

impl GaveUp {
    fn reason(&self) -> Reason {
        match self {
            Self::Order(_) => Reason::BadOrder,
            Self::Unreachable(_) => Reason::SignalUnreachable,
            Self::Answer(_) | Self::OtherAnswer => Reason::BadAnswer,
            Self::Refused(refusal) => match refusal.reason {
                RefusalReason::Throttled => Reason::Throttled,
                RefusalReason::PendingLimit => Reason::PendingLimit,
                RefusalReason::Unknown => Reason::BadAnswer,
                _ => Reason::RefusedBySignal,
            },
        }
    }
}

impl Helper {
    /// Carries out an order; what goes to stdout, and the exit code.
    pub async fn freeze(&self, token: &str, invoke: &Invoke<'_>) -> (Report, Exit) {
        let order = WorkOrder::read_unverified(token);
        let run = order.as_ref().ok().map(|order| order.run.clone());
        let cut = match order {
            Ok(order) => self.cut(token, &order, invoke).await,
            Err(error) => Err(GaveUp::Order(error)),
        };
        let (mut report, exit) = match cut {
            Ok(report) => (report, Exit::Done),
            Err(gave_up) => {
                let refused = matches!(gave_up, GaveUp::Order(_) | GaveUp::Refused(_));
                let (verdict, exit) = if refused {
                    (Verdict::Refused, Exit::Refused)
                } else {
                    (Verdict::NotFrozen, Exit::NotFrozen)
                };
                let mut report = Report::new(verdict);
                report.reason = Some(gave_up.reason());
                report.error = Some(gave_up.to_string());
                (report, exit)
            }
        };
        report.run = run;
        report.instance = InstanceId::new(self.instance.as_str()).ok();
        (report, exit)
    }

    async fn cut(&self, token: &str, order: &WorkOrder, invoke: &Invoke<'_>) -> Result<Report, GaveUp> {
        let here = InstanceId::new(self.instance.as_str());
        here.map_or(Ok(()), |here| order.for_instance(&here))?;
        let send = async |signal: Signal| -> Result<Answer, GaveUp> {
            let answer = invoke(order.signal_function.clone(), serde_json::json!(signal)).await;
            match Answer::read(answer.map_err(GaveUp::Unreachable)?.to_string().as_bytes())? {
                Answer::Refused(refusal) => Err(GaveUp::Refused(refusal)),
                answer => Ok(answer),
            }
        };
        let filesystems = self.file_systems(order);
        let rehearse = order.rehearse;
        let ready = Ready { order: token.to_owned(), filesystems: filesystems.clone(), rehearse };
        send(Signal::Ready(ready)).await?;
        if rehearse {
            return Ok(Report::new(Verdict::Rehearsed));
        }
        let budget_ms = order.max_freeze_ms;
        let frozen = Frozen { order: token.to_owned(), budget_ms, filesystems: filesystems.clone() };
        match send(Signal::Frozen(frozen)).await? {
            Answer::Cut(cut) => Ok(report(cut, &filesystems)),
            _ => Err(GaveUp::OtherAnswer),
        }
    }

    fn file_systems(&self, order: &WorkOrder) -> Vec<FileSystem> {
        let on_volume = |volume: &stillframe_wire::OrderedVolume| {
            let (mount_point, fs_type) = self.mounts.get(volume.id.as_str())?;
            Some(FileSystem {
                mount_point: mount_point.clone(),
                fs_type: fs_type.clone(),
                uuid: None,
                volumes: vec![volume.id.clone()],
                layout: "disk".to_owned(),
            })
        };
        order.volumes.iter().filter_map(on_volume).collect()
    }
}

fn report(cut: Cut, filesystems: &[FileSystem]) -> Report {
    let mut report = Report::new(Verdict::Consistent);
    report.snapshots = cut
        .snapshots
        .into_iter()
        .map(|one| SnapshotReport {
            frozen: filesystems.iter().any(|fs| fs.volumes.contains(&one.volume)),
            volume: one.volume,
            snapshot: one.snapshot,
        })
        .collect();
    report.filesystems = filesystems
        .iter()
        .map(|fs| FileSystemReport {
            mount_point: fs.mount_point.clone(),
            // Nothing that could be measured; zero would mean "never".
            frozen_us: 1,
            verdict: FileSystemVerdict::Frozen,
        })
        .collect();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn helper() -> Helper {
        Helper {
            instance: "i-0aaaaaaaaaaaaaaa1".to_owned(),
            // The discard port: nobody listens.
            env: BTreeMap::from([("AWS_ENDPOINT_URL".to_owned(), "http://127.0.0.1:9".to_owned())]),
            mounts: Arc::default(),
        }
    }

    #[tokio::test]
    async fn an_order_that_is_none_is_refused() {
        let nobody =
            |_: String, _: Value| -> Answering<'_> { Box::pin(async { Err("nobody listens".to_owned()) }) };
        let (report, exit) = helper().freeze("a.b.c", &nobody).await;
        assert_eq!(
            (report.verdict, report.reason, exit),
            (Verdict::Refused, Some(Reason::BadOrder), Exit::Refused)
        );
    }
}
