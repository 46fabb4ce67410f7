//! HTTP as a kind of load: what stands under `http:` in a `load` entry.

use crate::load::{LoadKind, LoadPlan, Statuses};
use schemars::{JsonSchema, Schema, schema_for};
use serde::Deserialize;
use squall_http::{Headers, Request, Url, Verb};
use squall_model::catalog::AnyLoad;
use squall_model::node::Node;
use squall_model::read::{self, ReadError};
use std::num::NonZeroU16;
use std::path::PathBuf;

/// What stands under `http:` as a load.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Parameters {
    /// Where to send the requests: an `http://` or `https://` URL. Redirects are not followed.
    url: Url,
    /// The method.
    #[serde(default)]
    method: Verb,
    /// Headers to send.
    #[serde(default)]
    headers: Headers,
    /// The body to send; nothing, where not given.
    #[serde(default)]
    body: Option<String>,
    /// The statuses that are a success: `200`, `200-299`, `2xx`, or a list of such. Without it, all below 400.
    #[serde(default)]
    expect: Option<Statuses>,
    /// Whether to speak HTTP/2: as TLS negotiates it (ALPN), or with `http://` without asking.
    #[serde(default)]
    http2: bool,
    /// At most this many connections, opened as needed. A request that finds none free waits, and its wait counts.
    #[serde(default = "connections")]
    connections: NonZeroU16,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

fn connections() -> NonZeroU16 {
    NonZeroU16::MIN.saturating_add(999)
}

/// The `http` kind of load.
pub(crate) struct HttpLoad;

impl AnyLoad for HttpLoad {
    fn name(&self) -> &'static str {
        "http"
    }

    fn summary(&self) -> &'static str {
        "Sends HTTP requests at a constant rate, whatever the server does, and measures what became of them"
    }

    fn example(&self) -> &'static str {
        "\
shop:
  http: {url: \"http://127.0.0.1:8080/checkout\", method: POST, body: \"{}\", expect: 2xx}
  rate: 200/s
  timeout: 2s
"
    }

    fn schema(&self) -> Schema {
        schema_for!(Parameters)
    }

    fn check(&self, parameters: &Node) -> Result<(), ReadError> {
        self.plan(parameters).map(drop)
    }
}

impl LoadKind for HttpLoad {
    fn plan(&self, parameters: &Node) -> Result<LoadPlan, ReadError> {
        let Parameters { url, method, headers, body, expect, http2, connections, authorities } =
            read::decode(parameters)?;
        let request = Request::of(url, method).headers(headers).body(body.unwrap_or_default());
        Ok(LoadPlan {
            expect,
            http2,
            connections: usize::from(connections.get()),
            authorities: authorities.into(),
            ..LoadPlan::new(request, None)
        })
    }
}
