//! Answers that arrive spoilt: cut off in the middle, for another run, without a volume, or at an instant
//! around the caller's deadline. What the function did stays done.

use super::Reset;
use crate::faults::Spoil;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderValue, Response, header};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use serde_json::Value;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// More than any answer of a function that is spoilt has.
const LARGEST: usize = 1 << 20;

/// Spoils an answer. `deadline`: when the caller gives it up, where the caller has said so.
pub async fn spoil(how: Spoil, answer: Response<Body>, deadline: Option<Instant>) -> Response<Body> {
    match how {
        Spoil::Reset => {
            let mut answer = Response::new(Body::empty());
            answer.extensions_mut().insert(Reset);
            answer
        }
        Spoil::Half | Spoil::HalfAndHang => {
            let (mut head, body) = answer.into_parts();
            let whole = to_bytes(body, LARGEST).await.unwrap_or_default();
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
            let half = Half { rest: Some(whole.slice(..whole.len() / 2)), hangs: how == Spoil::HalfAndHang };
            Response::from_parts(head, Body::new(half))
        }
        Spoil::OtherRun => edited(answer, |cut| cut["run"] = "daily/1999-12-31/zzzzzz".into()).await,
        Spoil::MissingVolume => {
            edited(answer, |cut| {
                cut["snapshots"].as_array_mut().map(Vec::pop);
            })
            .await
        }
        Spoil::AtDeadline(offset_us) => {
            if let Some(at) = deadline.and_then(|deadline| shifted(deadline, offset_us)) {
                // The runtime's timer has steps of a millisecond, which is what this is about.
                let _ = tokio::task::spawn_blocking(move || {
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                })
                .await;
            }
            answer
        }
    }
}

fn shifted(at: Instant, by_us: i64) -> Option<Instant> {
    let by = Duration::from_micros(by_us.unsigned_abs());
    if by_us < 0 { at.checked_sub(by) } else { at.checked_add(by) }
}

/// Changes the cut in an answer; a refusal stays as it is.
#[allow(clippy::indexing_slicing, reason = "a missing key of a JSON value is made")]
async fn edited(answer: Response<Body>, edit: impl FnOnce(&mut Value)) -> Response<Body> {
    let (head, body) = answer.into_parts();
    let whole = to_bytes(body, LARGEST).await.unwrap_or_default();
    let body = match serde_json::from_slice::<Value>(&whole) {
        Ok(mut value) if value.get("cut").is_some() => {
            edit(&mut value["cut"]);
            Body::from(value.to_string())
        }
        _ => Body::from(whole),
    };
    Response::from_parts(head, body)
}

/// A body that ends, or stands still, before its announced length.
struct Half {
    rest: Option<Bytes>,
    hangs: bool,
}

/// The end of half an answer.
#[derive(Debug, thiserror::Error)]
#[error("the answer ends here, as ordered")]
struct CutOff;

impl HttpBody for Half {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        match self.rest.take() {
            Some(half) => Poll::Ready(Some(Ok(Frame::data(half)))),
            None if self.hangs => Poll::Pending,
            None => Poll::Ready(Some(Err(CutOff))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Not known: the announced length is a lie.
        SizeHint::default()
    }
}

/// When the caller of a function gives its answer up, and which signal the event is, as far as it says so.
#[must_use]
pub fn read_event(payload: &[u8], arrived: Instant) -> (Option<Instant>, Option<String>) {
    let Ok(Value::Object(event)) = serde_json::from_slice::<Value>(payload) else { return (None, None) };
    let budget = event.get("frozen").and_then(|frozen| frozen.get("budget_ms")).and_then(Value::as_u64);
    let deadline = budget.and_then(|ms| arrived.checked_add(Duration::from_millis(ms)));
    (deadline, event.keys().next().cloned())
}
