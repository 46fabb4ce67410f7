//! JSON in an answer over HTTP: what stands at a path of it.

pub(crate) mod names;
mod path;

use crate::question::{Auth, Question};
use crate::timeout::Timeout;
use path::Path;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;
use squall_http::{Headers, Request, Response, Url, Verb};
use squall_model::probe::{Observe, Pending, Probe, ProbeError, ValueKind};
use squall_model::units::Duration;
use squall_model::value::{Reading, Value};
use std::path::PathBuf;

/// What stands under `json:`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Where to ask: an `http://` or `https://` URL. Redirects are not followed.
    url: Url,
    /// Which part of the answer: `$.data[0].depth`, `$.queues[?@.name == "orders"].depth`, `$..errors[-1]`.
    path: String,
    /// The method.
    #[serde(default)]
    method: Verb,
    /// Headers to send.
    #[serde(default)]
    headers: Headers,
    /// The body to send; nothing, where not given.
    #[serde(default)]
    body: Option<String>,
    /// How long the whole answer may take.
    #[serde(default = "Timeout::two_seconds")]
    timeout: Timeout,
    /// Who asks: `{bearer: {env: TOKEN}}`, `{basic: {user: squall, password: {file: /run/secrets/shop}}}`,
    /// `{certificate: client.pem, key: client.key}`.
    #[serde(default)]
    auth: Option<Auth>,
    /// A PEM file with certificate authorities to believe beside the web's. Without it, the file that `SSL_CERT_FILE`
    /// names counts.
    #[serde(default)]
    authorities: Option<PathBuf>,
}

/// The `json` probe.
pub struct JsonPath {
    question: Question,
    path: Path,
    written: String,
}

impl Probe for JsonPath {
    const NAME: &'static str = "json";
    const SUMMARY: &'static str = "Asks for JSON over HTTP and reads what stands at a path of it";
    const EXAMPLE: &'static str = "\
- json: {url: \"http://127.0.0.1:8080/stats\", path: \"$.queues[?@.name == 'orders'].depth\"}
  expect: value < 100
";
    const VALUES: &'static [(&'static str, &'static str)] = &[
        (
            "value",
            "what stands there: a number, a text, yes or no; absent where it is none of these, or not one alone",
        ),
        ("found", "how many places the path leads to"),
        ("length", "how many items or entries the list or map there has, where it is one"),
    ];
    const KINDS: &'static [(&'static str, ValueKind)] =
        &[("found", ValueKind::Number), ("length", ValueKind::Number)];
    const DEFAULT_EXPECTATION: Option<&'static str> = Some("found > 0");
    type Parameters = Parameters;

    fn new(parameters: Parameters) -> Result<Self, ProbeError> {
        let Parameters { url, path: written, method, headers, body, timeout, auth, authorities } = parameters;
        let path = Path::parse(&written).map_err(ProbeError)?;
        let request = Request::of(url, method).headers(headers).body(body.unwrap_or_default());
        Ok(Self { question: Question::new(request, auth, authorities, timeout)?.kept(), path, written })
    }
}

impl Observe for JsonPath {
    fn observe(&self) -> Pending<'_, Result<Reading, ProbeError>> {
        Box::pin(self.question.ask(|response| {
            self.read(response).map_err(|cause| format!("{}: {cause}", self.question.request()))
        }))
    }

    fn patience(&self) -> Duration {
        self.question.timeout().patience()
    }
}

impl JsonPath {
    fn read(&self, response: &Response) -> Result<Reading, String> {
        if response.status >= 400 {
            return Err(format!(
                "answered with status {}, so `{}` is not known",
                response.status, self.written
            ));
        }
        if response.is_truncated() {
            return Err("the answer is longer than 1 MiB".to_owned());
        }
        let document: Json = serde_json::from_slice(&response.body)
            .map_err(|error| format!("the answer is not JSON: {error}"))?;
        let found = self.path.find(&document);
        let mut reading = Reading::from([("found".to_owned(), Value::Number(found.len() as f64))]);
        if let [one] = found.as_slice() {
            let length = match one {
                Json::Array(items) => Some(items.len()),
                Json::Object(entries) => Some(entries.len()),
                _ => None,
            };
            reading.extend(length.map(|length| ("length".to_owned(), Value::Number(length as f64))));
            reading.extend(names::value(one).map(|value| ("value".to_owned(), value)));
        }
        Ok(reading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_probe::{ask, built, refusal};
    use serde_json::json;
    use squall_http::testing::{TestServer, answer};

    #[test]
    fn what_stands_at_a_path_is_read() {
        let server = TestServer::start(|request| {
            let body =
                r#"{"queues": [{"name": "orders", "depth": 7}, {"name": "mail", "depth": 2}], "up": true}"#;
            std::future::ready(match request.uri().path() {
                "/stats" => answer(200, body),
                "/text" => answer(200, "<html>"),
                _ => answer(503, body),
            })
        });
        let read = |place: &str, path: &str| {
            ask(&built::<JsonPath>(json!({"url": server.url(place), "path": path})))
        };
        let reading = read("/stats", "$.queues[?@.name == 'orders'].depth").unwrap();
        assert_eq!((&reading["value"], &reading["found"]), (&Value::Number(7.0), &Value::Number(1.0)));
        assert_eq!(read("/stats", "$.up").unwrap()["value"], Value::Bool(true));
        assert_eq!(read("/stats", "$.queues").unwrap()["length"], Value::Number(2.0));
        let several = read("/stats", "$.queues[*].depth").unwrap();
        assert!(several["found"] == Value::Number(2.0) && !several.contains_key("value"));
        assert_eq!(read("/stats", "$.down").unwrap()["found"], Value::Number(0.0));
        for (place, words) in [("/text", "not JSON"), ("/gone", "status 503")] {
            let error = read(place, "$.up").unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(refusal::<JsonPath>(json!({"url": "http://a/", "path": "up"})).contains("begins with `$`"));
        assert_eq!(server.connections(), 7, "each probe keeps its own");
    }
}
