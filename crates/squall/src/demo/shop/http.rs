//! What a request and a reply are to the shop: small, whole, and bounded.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest body that the shop reads, in bytes.
pub(super) const BODY_LIMIT: usize = 64 * 1024;

/// How long a client may take to send a body.
const BODY_PATIENCE: Duration = Duration::from_secs(10);

/// A request, read to its end.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    query: String,
    body: Bytes,
}

impl Request {
    /// Reads a request whole, or says why not.
    pub(super) async fn read<B>(request: hyper::Request<B>) -> Result<Self, Reply>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_PATIENCE, read_body(body)).await {
            Ok(Some(body)) => body,
            Ok(None) => {
                return Err(Reply::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is cut off or too large"));
            }
            Err(_) => return Err(Reply::error(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
        };
        let path = head.uri.path().to_owned();
        let query = head.uri.query().unwrap_or_default().to_owned();
        Ok(Self { method: head.method, path, query, body })
    }

    /// The value of `name` in the query, as written.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// The body as JSON, or the reply that says what is wrong with it.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Reply> {
        serde_json::from_slice(&self.body).map_err(|error| {
            Reply::error(StatusCode::BAD_REQUEST, &format!("the body is not what was expected: {error}"))
        })
    }
}

/// Reads a body of at most [`BODY_LIMIT`] bytes to its end; `None` when it is longer or breaks off.
pub(super) async fn read_body<B>(body: B) -> Option<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Limited::new(body, BODY_LIMIT).collect().await.ok()?;
    Some(collected.to_bytes())
}

/// A reply, whole.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Reply {
    /// Plain text.
    pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: body.into() }
    }

    /// The text format of Prometheus, version 0.0.4.
    pub(super) fn metrics(body: String) -> Self {
        Self { status: StatusCode::OK, content_type: "text/plain; version=0.0.4; charset=utf-8", body }
    }

    /// JSON.
    pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_string(body) {
            Ok(body) => Self { status, content_type: "application/json", body },
            Err(error) => Self::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// `{"error": …}`
    pub(super) fn error(status: StatusCode, error: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error": error }))
    }

    /// No such page.
    pub(super) fn not_found() -> Self {
        Self::error(StatusCode::NOT_FOUND, "no such page")
    }

    /// The reply as hyper sends it.
    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(self.body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        response
    }
}
