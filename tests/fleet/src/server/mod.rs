//! The HTTP side: one listener for all services, told apart by what a request looks like. Connections are
//! kept alive and sent without delay, because a frozen window is measured through them.

mod aws;
mod call;
mod control;
pub mod control_bodies;
mod functions;
mod protocol;
mod spoil;

use crate::imds;
use crate::region::Region;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{Request, Response};
use axum::routing::{get, post, put};
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Most bytes of a request: more than Lambda's limit, so that Lambda's own refusal is reached.
const LARGEST_REQUEST: usize = 16 << 20;

/// An answer that carries this is not sent: the connection closes instead.
#[derive(Debug, Clone, Copy)]
pub struct Lost;

/// An answer that carries this is not sent: the connection is reset instead.
#[derive(Debug, Clone, Copy)]
pub struct Reset;

/// Why a connection was closed in the middle of a request.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost, as ordered")]
struct LostAnswer;

/// Everything that the region serves.
pub fn router(region: Arc<Region>) -> Router {
    Router::new()
        .route("/", post(aws::serve))
        .route("/2015-03-31/functions/{name}/invocations", post(functions::invoke))
        .route("/imds/{instance}/latest/api/token", put(imds::token))
        .route("/imds/{instance}/latest/{*path}", get(imds::get))
        .nest("/_fleet", control::router())
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(region)
}

/// A listener with its connections; they end when it is dropped.
#[derive(Debug)]
pub struct Listener(JoinHandle<()>);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves a router on a socket.
pub fn listen(socket: TcpListener, router: Router) -> Listener {
    Listener(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = socket.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(connection(stream, router.clone()));
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: some connection will end.
                        tracing::warn!(%error, "failed to accept a connection");
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }))
}

async fn connection(stream: TcpStream, router: Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    // Closed last of all, when it has been decided how.
    let last = stream.as_fd().try_clone_to_owned();
    let reset = Arc::new(AtomicBool::new(false));
    let resets = Arc::clone(&reset);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = router.call(request.map(Body::new));
        let resets = Arc::clone(&resets);
        async move {
            let answer: Response<Body> = answer.await.unwrap_or_else(|never| match never {});
            if answer.extensions().get::<Reset>().is_some() {
                resets.store(true, Ordering::Relaxed);
                return Err(LostAnswer);
            }
            if answer.extensions().get::<Lost>().is_some() { Err(LostAnswer) } else { Ok(answer) }
        }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection ended");
    }
    if let Ok(last) = last
        && reset.load(Ordering::Relaxed)
        && let Err(error) = crate::sys::reset_on_close(&last)
    {
        tracing::warn!(%error, "failed to reset a connection, which is closed instead");
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
