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

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: &str =
        r#"{"cut":{"run":"daily/2026-11-22/k3v9x2","snapshots":[{"volume":"a"},{"volume":"b"}]}}"#;

    fn spoilt(how: Spoil, body: &'static str, deadline: Option<Instant>) -> Response<Body> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(spoil(how, Response::new(Body::from(body)), deadline))
    }

    fn read(answer: Response<Body>) -> Result<String, axum::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(to_bytes(answer.into_body(), LARGEST))?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    #[test]
    fn a_cut_is_for_another_run_or_lacks_its_last_volume() {
        let other = read(spoilt(Spoil::OtherRun, CUT, None)).unwrap();
        assert!(other.contains("1999") && !other.contains("k3v9x2"), "{other}");
        let less = read(spoilt(Spoil::MissingVolume, CUT, None)).unwrap();
        assert!(less.contains(r#""a""#) && !less.contains(r#""b""#), "{less}");
        let refused = r#"{"refused":{"reason":"throttled","message":""}}"#;
        assert_eq!(read(spoilt(Spoil::OtherRun, refused, None)).unwrap(), refused, "nothing to spoil");
    }

    #[test]
    fn half_an_answer_says_that_it_is_whole_and_fails() {
        let answer = spoilt(Spoil::Half, CUT, None);
        assert_eq!(answer.headers()[header::CONTENT_LENGTH], CUT.len().to_string().as_str());
        assert!(read(answer).is_err());
    }

    #[test]
    fn an_answer_comes_when_the_deadline_says() {
        let began = Instant::now();
        let answer = spoilt(Spoil::AtDeadline(-10_000), CUT, began.checked_add(Duration::from_millis(40)));
        assert!(began.elapsed() >= Duration::from_millis(30), "{:?}", began.elapsed());
        assert_eq!(read(answer).unwrap(), CUT);
    }

    #[test]
    fn the_event_tells_its_kind_and_its_callers_deadline() {
        let now = Instant::now();
        let (deadline, kind) = read_event(br#"{"frozen": {"order": "x", "budget_ms": 700}}"#, now);
        assert_eq!(
            (deadline, kind.as_deref()),
            (now.checked_add(Duration::from_millis(700)), Some("frozen"))
        );
        assert_eq!(read_event(br#"{"ready": {}}"#, now), (None, Some("ready".to_owned())));
        assert_eq!(read_event(b"[]", now), (None, None));
    }
}
