//! Lambda's Runtime API, as one environment's program sees it: `next`, `response`, `error`.

use super::FunctionError;
use super::environment::Job;
use crate::sync::lock;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::json;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

/// What a program makes of an event.
pub type Reply = Result<Vec<u8>, FunctionError>;

/// Most bytes of an answer.
const LARGEST: usize = 6 << 20;

#[derive(Clone)]
struct Runtime {
    jobs: Arc<Mutex<mpsc::Receiver<Job>>>,
    open: Arc<std::sync::Mutex<HashMap<String, oneshot::Sender<Reply>>>>,
    kill: watch::Sender<bool>,
}

/// The API over one program's queue of jobs; `kill` ends the program.
pub fn router(jobs: Arc<Mutex<mpsc::Receiver<Job>>>, kill: watch::Sender<bool>) -> Router {
    let runtime = Runtime { jobs, open: Arc::default(), kill };
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
        .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
        .route("/2018-06-01/runtime/init/error", post(init_error))
        .layer(DefaultBodyLimit::max(2 * LARGEST))
        .with_state(runtime)
}

async fn next(State(runtime): State<Runtime>) -> Response {
    let Some(job) = runtime.jobs.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let headers = [
        ("Lambda-Runtime-Aws-Request-Id", job.request.clone()),
        ("Lambda-Runtime-Deadline-Ms", job.deadline_ms.to_string()),
        ("Lambda-Runtime-Invoked-Function-Arn", job.arn),
        ("Lambda-Runtime-Trace-Id", "Root=1-00000000-000000000000000000000000;Sampled=0".to_owned()),
        ("Content-Type", "application/json".to_owned()),
    ];
    lock(&runtime.open).insert(job.request, job.reply);
    (headers, job.payload).into_response()
}

async fn response(State(runtime): State<Runtime>, Path(id): Path<String>, body: Bytes) -> Response {
    let reply = if body.len() > LARGEST {
        Err(FunctionError::new("Function.ResponseSizeTooLarge", "Response payload size exceeded 6 MB."))
    } else {
        Ok(body.to_vec())
    };
    runtime.answer(&id, reply)
}

async fn error(State(runtime): State<Runtime>, Path(id): Path<String>, body: Bytes) -> Response {
    runtime.answer(&id, Err(FunctionError::of_program(body.to_vec())))
}

/// The program cannot start: whoever waits for it hears why, and the process is ended.
async fn init_error(State(runtime): State<Runtime>, headers: HeaderMap, body: Bytes) -> Response {
    let kind = headers.get("Lambda-Runtime-Function-Error-Type").and_then(|value| value.to_str().ok());
    tracing::warn!(kind, body = %String::from_utf8_lossy(&body), "a function failed to start");
    if let Ok(job) = runtime.jobs.lock().await.try_recv() {
        let _ = job.reply.send(Err(FunctionError::of_program(body.to_vec())));
    }
    runtime.kill.send_replace(true);
    accepted()
}

impl Runtime {
    fn answer(&self, id: &str, reply: Reply) -> Response {
        match lock(&self.open).remove(id) {
            // Whoever asked may have given up; the program is not to blame for that.
            Some(asker) => {
                let _ = asker.send(reply);
                accepted()
            }
            None => (StatusCode::BAD_REQUEST, json!({"errorType": "InvalidRequestID"}).to_string())
                .into_response(),
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, json!({"status": "OK"}).to_string()).into_response()
}
