//! The way to a simulated region: requests are handed to its router, and answers come back, or do not.

use crate::server;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;
use tower_service::Service;

/// The way.
#[derive(Debug, Clone)]
pub struct Line(Router);

/// An answer that did not come.
#[derive(Debug, thiserror::Error)]
#[error("the connection closed without an answer")]
pub struct Lost;

/// A function that was not run, or failed.
#[derive(Debug, thiserror::Error)]
#[error("Invoke gave {0}: {1}")]
pub struct Refused(StatusCode, String);

impl Line {
    /// The way to what this router serves.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self(router)
    }

    /// Sends a request.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn send(&self, request: Request<Body>) -> Result<(StatusCode, HeaderMap, Bytes), Lost> {
        let answer = self.0.clone().call(request).await.unwrap_or_else(|never| match never {});
        let lost = answer.extensions().get::<server::Lost>().is_some();
        if lost || answer.extensions().get::<server::Reset>().is_some() {
            return Err(Lost);
        }
        let (head, body) = answer.into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(|_| Lost)?;
        Ok((head.status, head.headers, body))
    }

    /// One EC2 call of an operator's: a form. The answer's status and text.
    ///
    /// # Errors
    /// No answer comes.
    pub async fn ec2(&self, form: String, key: Option<&str>) -> Result<(StatusCode, String), Lost> {
        let mut request =
            Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, signed_by(key));
        }
        let request = request.body(Body::from(form)).map_err(|_| Lost)?;
        let (status, _, body) = self.send(request).await?;
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }

    /// Invokes a function; with `queued`, by Lambda's queue.
    ///
    /// # Errors
    /// It was not run, or failed.
    pub async fn invoke(
        &self,
        key: Option<&str>,
        function: &str,
        event: &Value,
        queued: bool,
    ) -> Result<Value, Refused> {
        let lost = |Lost| Refused(StatusCode::GATEWAY_TIMEOUT, Lost.to_string());
        let mut request = Request::post(format!("/2015-03-31/functions/{function}/invocations"));
        if queued {
            request = request.header("X-Amz-Invocation-Type", "Event");
        }
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, signed_by(key));
        }
        let request = request.body(Body::from(event.to_string())).map_err(|_| lost(Lost))?;
        let (status, headers, body) = self.send(request).await.map_err(lost)?;
        let text = || String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() || headers.contains_key("X-Amz-Function-Error") {
            return Err(Refused(status, text()));
        }
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The same way, for the SDK.
    #[must_use]
    pub fn http_client(&self) -> SharedHttpClient {
        let connector = SharedHttpConnector::new(Connector(self.clone()));
        http_client_fn(move |_, _| connector.clone())
    }
}

fn signed_by(key: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential={key}/00000000/region/service/aws4_request")
}

#[derive(Debug)]
struct Connector(Line);

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let line = self.0.clone();
        HttpConnectorFuture::new(async move {
            let user = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
            let mut inner = Request::builder().method(request.method()).uri(request.uri());
            for (name, value) in request.headers() {
                inner = inner.header(name, value);
            }
            let body = request.body().bytes().map(Bytes::copy_from_slice).unwrap_or_default();
            let inner = inner.body(Body::from(body)).map_err(|error| user(error.into()))?;
            let (status, headers, body) =
                line.send(inner).await.map_err(|lost| ConnectorError::io(lost.into()))?;
            let status = status.as_u16().try_into().map_err(|_| user("no HTTP status".into()))?;
            let mut answer = HttpResponse::new(status, SdkBody::from(body.to_vec()));
            for (name, value) in &headers {
                if let Ok(value) = value.to_str() {
                    answer.headers_mut().insert(name.as_str().to_owned(), value.to_owned());
                }
            }
            Ok(answer)
        })
    }
}
